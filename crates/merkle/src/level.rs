//! One level of the tree: a flat array with a digest for every range of so many bits.

use crate::{digest::RangeDigest, prefix::Prefix};

/// Digests of all 2^bits ranges. Sums and counts lie apart, and counts are 32 bits wide, so that a range takes 20
/// bytes; a range would need four billion entries before its count wrapped.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    bits: u8,
    sums: Vec<u128>,
    counts: Vec<u32>,
}

impl Level {
    /// All ranges empty. `bits` lies in 1..=32. The zeroed memory is touched only as it is used.
    pub(crate) fn new(bits: u8) -> Level {
        let ranges = 1_usize << bits;
        Level { bits, sums: vec![0; ranges], counts: vec![0; ranges] }
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    pub(crate) fn ranges(&self) -> usize {
        self.sums.len()
    }

    pub(crate) fn slot(&self, token: u64) -> usize {
        Prefix::of(token, self.bits).value() as usize
    }

    pub(crate) fn add(&mut self, token: u64, delta: RangeDigest) {
        let slot = self.slot(token);
        if let (Some(sum), Some(count)) = (self.sums.get_mut(slot), self.counts.get_mut(slot)) {
            *sum = sum.wrapping_add(delta.sum);
            *count = count.wrapping_add(delta.count as u32);
        }
    }

    /// The digest of `ranges` neighbouring ranges from `slot` on; those past the end count as empty.
    pub(crate) fn total(&self, slot: usize, ranges: usize) -> RangeDigest {
        let end = slot.saturating_add(ranges);
        let sums = self.sums.get(slot..end).unwrap_or(&[]);
        let counts = self.counts.get(slot..end).unwrap_or(&[]);
        RangeDigest {
            count: counts.iter().map(|count| u64::from(*count)).sum(),
            sum: sums.iter().fold(0, |total: u128, sum| total.wrapping_add(*sum)),
        }
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.sums.len() * (size_of::<u128>() + size_of::<u32>())
    }
}
