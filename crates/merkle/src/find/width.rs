//! How much of a digest is shown.

use serde::{Deserialize, Serialize};

use crate::digest::RangeDigest;

/// How much of digests a search compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Width {
    /// Three bytes of a range's sum, four of an entry's digest. One differing range in 16 million goes unseen; the
    /// closing check of a session catches that.
    Short,
    /// Sums and counts of ranges, and digests of entries, whole. Nothing goes unseen. For a second search, after an
    /// unequal closing.
    Full,
}

impl Width {
    /// Bytes of one range's digest.
    pub(crate) fn digest_bytes(self) -> usize {
        match self {
            Width::Short => 3,
            Width::Full => 24,
        }
    }

    /// Bytes of one entry's tag.
    pub(crate) fn tag_bytes(self) -> usize {
        match self {
            Width::Short => 4,
            Width::Full => 16,
        }
    }

    /// Appends what is shown of a range's digest.
    pub(crate) fn push_digest(self, digest: RangeDigest, bytes: &mut Vec<u8>) {
        match self {
            Width::Short => bytes.extend(digest.sum.to_le_bytes().iter().take(3)),
            Width::Full => {
                bytes.extend(digest.sum.to_le_bytes());
                bytes.extend(digest.count.to_le_bytes());
            }
        }
    }

    /// Appends what is shown of an entry's digest.
    pub(crate) fn push_tag(self, digest: u128, bytes: &mut Vec<u8>) {
        bytes.extend(self.tag(digest).to_le_bytes().iter().take(self.tag_bytes()));
    }

    /// The tag of an entry as a number. The short one shares no bit with the truncated sums: an entry that differs
    /// alone in its range differs in those, so their bits would tell nothing new.
    pub(crate) fn tag(self, digest: u128) -> u128 {
        match self {
            Width::Short => digest >> 64 & 0xFFFF_FFFF,
            Width::Full => digest,
        }
    }

    /// Reads back a tag that [`Width::push_tag`] wrote.
    pub(crate) fn read_tag(bytes: &[u8]) -> u128 {
        bytes.iter().rev().fold(0, |tag, byte| tag << 8 | u128::from(*byte))
    }
}
