//! Data on its way into frames.

use std::collections::VecDeque;

use bytes::Bytes;
use model::{Delta, Key};

use super::super::frames::SessionFrame;
use super::super::packed::{Item, Place, pack_data};
use super::Bench;

/// A frame is sent when it holds about this many bytes...
const FRAME_BYTES: usize = 128 << 10;
/// ... or as many as repair is done at a time, here or there, if those are fewer, but not fewer than this.
const FRAME_BYTES_MIN: usize = 16 << 10;
/// ... or this many entries.
const FRAME_ITEMS: usize = 4_096;
/// An entry heavier than this travels in pieces of this size.
const PIECE_BYTES: usize = 512 << 10;

/// Gathers data, and cuts it into frames.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Item>,
    weight: usize,
    key_bytes: usize,
    frames: VecDeque<SessionFrame>,
}

impl Outbox {
    /// Whether everything has been sent.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.frames.is_empty()
    }

    /// Whether whole frames wait for credit.
    pub fn is_full(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Adds what the receiver lacks of a key.
    pub fn push(&mut self, key: &Key, place: Place, delta: Option<Delta>, bench: &mut Bench<'_>) {
        let lacked = delta.is_some();
        let delta = delta.unwrap_or_default();
        let weight = delta.weight() + key.as_bytes().len();
        bench.tally.sent += u64::from(lacked);
        let room = usize::try_from(bench.flow.data_slice().min(bench.slice)).unwrap_or(usize::MAX);
        let room = room.clamp(FRAME_BYTES_MIN, FRAME_BYTES);
        if weight > PIECE_BYTES || self.weight + weight > room || self.items.len() >= FRAME_ITEMS {
            self.cut(bench);
        }
        self.weight += weight;
        self.key_bytes += if lacked { key.as_bytes().len() } else { 0 };
        self.items.push(Item { place, delta, sibling_bytes: 0 });
        if weight > PIECE_BYTES {
            self.cut(bench);
        }
    }

    /// Makes a frame of what was gathered, or pieces where it is too large for one.
    pub fn cut(&mut self, bench: &mut Bench<'_>) {
        if self.items.is_empty() {
            return;
        }
        let (bytes, sibling_bytes) = pack_data(&std::mem::take(&mut self.items));
        bench.tally.ideal += (sibling_bytes + std::mem::take(&mut self.key_bytes)) as u64;
        self.weight = 0;
        if bytes.len() <= PIECE_BYTES + FRAME_BYTES {
            return self.frames.push_back(SessionFrame::Data(bytes));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece: Bytes = rest.split_to(rest.len().min(PIECE_BYTES));
            self.frames.push_back(SessionFrame::Piece { left: rest.len() as u64, bytes: piece });
        }
    }

    /// Sends whole frames while there is credit.
    pub fn send(&mut self, bench: &mut Bench<'_>) {
        while bench.bytes > 0 && bench.flow.data_may() {
            let Some(frame) = self.frames.pop_front() else { return };
            bench.flow.data_goes(frame.data_bytes());
            bench.bytes = bench.bytes.saturating_sub(frame.data_bytes());
            bench.out.push(frame);
        }
    }
}
