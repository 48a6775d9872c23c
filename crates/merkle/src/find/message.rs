//! What the two sides of a search send each other.

use serde::{Deserialize, Serialize};

use super::blob::Blob;

/// One message of a search, at most [`crate::MESSAGE_BYTES_MAX`] bytes. Opaque: only a [`crate::Finder`] makes and
/// reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindMessage(pub(crate) Body);

/// A part of a turn. The first part of a turn carries the answers to what was asked in the other side's last turn,
/// one bit for each digest or tag shown: set when it differed. A search by the sketch has messages of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// The walk: digests of ranges one step down.
    Digests {
        depth: Depth,
        answers: Blob,
        /// Of the ranges under the first open ones, in token order.
        digests: Blob,
    },
    /// The walk, at the leaves: tags of entries.
    Tags {
        more: bool,
        answers: Blob,
        /// The last open range counted here is shown up to this token only.
        upto: Option<u64>,
        /// Number of tags in each of the first open ranges.
        counts: Vec<u32>,
        /// In (token, key) order.
        tags: Blob,
    },
    /// Nothing asked. The search is over, or the other side is to show its tags.
    Answers { answers: Blob },
    /// The sketch, by the responder: the cells that follow those given before.
    Cells { more: bool, cells: Blob },
    /// The sketch, by the initiator: cells up to this index are wanted.
    More { upto: u64 },
    /// The sketch, by the initiator, last: the units that differ, ascending, each as its gap to the one before.
    Units { more: bool, units: Blob },
    /// The sketch, by the initiator: it does not decode; both walk the tree.
    Walk,
}

/// Bits of the ranges shown, and in the top bit whether the turn has more parts: a byte saved in each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Depth(u8);

impl Depth {
    const MORE: u8 = 0x80;

    pub(crate) fn new(bits: u8, more: bool) -> Depth {
        Depth(bits & !Depth::MORE | if more { Depth::MORE } else { 0 })
    }

    pub(crate) fn bits(self) -> u8 {
        self.0 & !Depth::MORE
    }

    pub(crate) fn more(self) -> bool {
        self.0 & Depth::MORE != 0
    }
}

impl FindMessage {
    /// The length of this message in bincode's standard form, in bytes.
    pub fn bytes(&self) -> usize {
        let blob = |blob: &Blob| varint_bytes(blob.0.len() as u64) + blob.0.len();
        1 + match &self.0 {
            Body::Digests { answers, digests, .. } => 1 + blob(answers) + blob(digests),
            Body::Tags { answers, upto, counts, tags, .. } => {
                let upto = 1 + upto.map_or(0, varint_bytes);
                let numbers: usize = counts.iter().map(|count| varint_bytes(u64::from(*count))).sum();
                1 + blob(answers) + upto + varint_bytes(counts.len() as u64) + numbers + blob(tags)
            }
            Body::Answers { answers } => blob(answers),
            Body::Cells { cells: bytes, .. } | Body::Units { units: bytes, .. } => 1 + blob(bytes),
            Body::More { upto } => varint_bytes(*upto),
            Body::Walk => 0,
        }
    }
}

/// Bytes of a number in bincode's standard form.
pub(crate) fn varint_bytes(number: u64) -> usize {
    match number {
        0..=250 => 1,
        251..=0xFFFF => 3,
        0x1_0000..=0xFFFF_FFFF => 5,
        _ => 9,
    }
}
