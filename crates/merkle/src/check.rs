//! The invariant of the tree, for tests, drills and tools.

use thiserror::Error;

use crate::{digest::RangeDigest, level::Level, tree::Tree};

/// Two levels of a tree that do not tell the same story. It can only come from a defect or from bad memory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the range {value:x} of {bits} bits is {kept:?}, but the leaves under it add up to {leaves:?}")]
pub struct Drift {
    /// Bits of the range's prefix; 0 for the root.
    pub bits: u8,
    /// The range's prefix.
    pub value: u64,
    /// What the tree keeps for the range.
    pub kept: RangeDigest,
    /// What the leaves add up to.
    pub leaves: RangeDigest,
}

impl Tree {
    /// Adds up the leaves and compares every level and the root with them. Time is proportional to the leaves.
    ///
    /// # Errors
    /// The first range, from the root down, whose digest is not the sum of its leaves. The tree is not changed.
    pub fn check(&self) -> Result<(), Drift> {
        compare(0, 0, self.root, self.leaves.total(0, self.leaves.ranges()))?;
        self.inner.iter().try_for_each(|level| self.check_level(level))
    }

    fn check_level(&self, level: &Level) -> Result<(), Drift> {
        let width = 1_usize << (self.leaf_bits() - level.bits());
        (0..level.ranges()).try_for_each(|slot| {
            compare(level.bits(), slot as u64, level.total(slot, 1), self.leaves.total(slot * width, width))
        })
    }
}

fn compare(bits: u8, value: u64, kept: RangeDigest, leaves: RangeDigest) -> Result<(), Drift> {
    if kept == leaves { Ok(()) } else { Err(Drift { bits, value, kept, leaves }) }
}
