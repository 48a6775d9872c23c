//! Growth of the tree without a pause: new leaves are filled in steps while the tree goes on working.

use thiserror::Error;

use crate::{
    digest::RangeDigest,
    level::Level,
    prefix::Prefix,
    sketch::Cells,
    tree::{KEYS_PER_LEAF_MAX, LEAF_BITS_MAX, LEAF_BITS_MIN, Tree},
};

/// The leaves to come, of one bit more, and the cells to come. They hold every entry whose token lies under `cursor`.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    leaves: Level,
    cells: Cells,
    cursor: u64,
}

impl Growth {
    /// A change under the cursor has been read already, so it goes to the new leaves and, by who called this, to the
    /// new cells too; above it, it will be read.
    pub(crate) fn change(&mut self, token: u64, delta: RangeDigest) -> Option<&mut Cells> {
        let is_read = token < self.cursor;
        if is_read {
            self.leaves.add(token, delta);
        }
        is_read.then_some(&mut self.cells)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.leaves.bytes() + size_of_val(self.cells.as_slice())
    }
}

/// Why a step of growth was refused. The growth is given up and the tree is as it was without it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrowthError {
    /// [`Tree::begin_growth`] was not called, or an earlier step failed or ended it.
    #[error("the tree is not growing")]
    NotGrowing,
    /// The batch is not in token order, or leaves the part of the token space it should cover, or covers nothing.
    #[error("the batch at token {token:016x} does not go on from where the last one ended")]
    OutOfOrder {
        /// The token at fault: one in the batch, or the next cursor.
        token: u64,
    },
    /// What the store holds in a range is not what the tree was told of it.
    #[error("the tree has drifted from the data in the range {value:x} of {bits} bits")]
    Drifted {
        /// Bits of the range's prefix.
        bits: u8,
        /// The range's prefix.
        value: u64,
    },
}

impl Tree {
    /// True when there are too many keys a leaf and no growth is under way.
    pub fn growth_wanted(&self) -> bool {
        let room = KEYS_PER_LEAF_MAX << self.leaf_bits();
        self.growth.is_none() && self.root.count > room && self.leaf_bits() < LEAF_BITS_MAX
    }

    /// Begins to grow the leaves by one bit. No effect when growth is under way or the leaves have their most bits.
    pub fn begin_growth(&mut self) {
        if self.growth.is_none() && self.leaf_bits() < LEAF_BITS_MAX {
            let leaf_bits = self.leaf_bits() + 1;
            let cells = self.sketch.next_run(leaf_bits);
            self.growth = Some(Growth { leaves: Level::new(leaf_bits), cells, cursor: 0 });
        }
    }

    /// The token from which the next step must read; `None` when the tree is not growing.
    pub fn growth_cursor(&self) -> Option<u64> {
        self.growth.as_ref().map(|growth| growth.cursor)
    }

    /// Fills in the next part of the new leaves. `batch` is (token, digest) of all entries, as they are now, from
    /// [`Tree::growth_cursor`] up to but without `next_cursor`, in token order; `None` stands for the end of the
    /// token space. Several keys of one token belong in one batch. Returns true when the tree has grown.
    ///
    /// Every old leaf that has been passed is compared with the two new ones that replace it.
    ///
    /// # Errors
    /// See [`GrowthError`]. After an error the tree is not growing and otherwise unchanged.
    pub fn grow_step(
        &mut self,
        batch: impl IntoIterator<Item = (u64, u128)>,
        next_cursor: Option<u64>,
    ) -> Result<bool, GrowthError> {
        let mut growth = self.growth.take().ok_or(GrowthError::NotGrowing)?;
        let mut low = growth.cursor;
        for (token, digest) in batch {
            if token < low || next_cursor.is_some_and(|next| token >= next) {
                return Err(GrowthError::OutOfOrder { token });
            }
            growth.leaves.add(token, RangeDigest::of(digest));
            growth.cells.change(token, None, Some(digest));
            low = token;
        }
        if let Some(next) = next_cursor.filter(|next| *next <= growth.cursor) {
            return Err(GrowthError::OutOfOrder { token: next });
        }
        self.compare_leaves(&growth, next_cursor)?;
        match next_cursor {
            Some(next) => {
                growth.cursor = next;
                self.growth = Some(growth);
            }
            None => {
                self.put_leaves(growth.leaves);
                self.sketch.put_run(growth.cells);
            }
        }
        Ok(next_cursor.is_none())
    }

    /// Compares the old leaves that end between the cursor and the next one with what was read.
    fn compare_leaves(&self, growth: &Growth, next_cursor: Option<u64>) -> Result<(), GrowthError> {
        let end = next_cursor.map_or(self.leaves.ranges(), |next| self.leaves.slot(next));
        for slot in self.leaves.slot(growth.cursor)..end {
            if self.leaves.total(slot, 1) != growth.leaves.total(2 * slot, 2) {
                return Err(GrowthError::Drifted { bits: self.leaf_bits(), value: slot as u64 });
            }
        }
        Ok(())
    }

    /// The new leaves take their place; the old ones stay as a level if they lie at a kept depth.
    fn put_leaves(&mut self, leaves: Level) {
        let old = std::mem::replace(&mut self.leaves, leaves);
        if old.bits().is_multiple_of(LEAF_BITS_MIN) {
            self.inner.push(old);
        }
    }

    /// The range that a failed step found drifted, for a closer look by the store.
    pub fn drifted_range(error: &GrowthError) -> Option<Prefix> {
        match error {
            GrowthError::Drifted { bits, value } => Prefix::new(*bits, *value),
            _ => None,
        }
    }
}
