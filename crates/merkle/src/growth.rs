//! Growth of the tree without a pause: new leaves are filled in steps while the tree goes on working. It shrinks in the
//! same way, where most of what it held has gone.

use thiserror::Error;

use crate::{
    digest::RangeDigest,
    level::Level,
    prefix::Prefix,
    sketch::Cells,
    tree::{KEYS_PER_LEAF_MAX, LEAF_BITS_MAX, LEAF_BITS_MIN, Tree},
};

/// Keys a leaf, on average, under which a tree should shrink, which doubles it. Far enough from [`KEYS_PER_LEAF_MAX`]
/// that a tree does not grow and shrink in turns.
const KEYS_PER_LEAF_MIN: u64 = 3;

/// The leaves to come, of one bit more or less, and the cells to come. They hold every entry whose token lies under
/// `cursor`.
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

    /// Compares each leaf of the coarser of two levels that ends between the cursor and the next one with the two of
    /// the finer level.
    fn compare(&self, old: &Level, next_cursor: Option<u64>) -> Result<(), GrowthError> {
        let (coarse, fine) =
            if self.leaves.bits() > old.bits() { (old, &self.leaves) } else { (&self.leaves, old) };
        let end = next_cursor.map_or(coarse.ranges(), |next| coarse.slot(next));
        for slot in coarse.slot(self.cursor)..end {
            if coarse.total(slot, 1) != fine.total(2 * slot, 2) {
                return Err(GrowthError::Drifted { bits: coarse.bits(), value: slot as u64 });
            }
        }
        Ok(())
    }
}

/// Why a step of growth was refused. The growth is given up and the tree is as it was without it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrowthError {
    /// Neither [`Tree::begin_growth`] nor [`Tree::begin_shrinking`] was called, or an earlier step failed or ended it.
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

    /// True when leaves hold so few keys that half as many would do, and neither growth nor shrinking is under way.
    pub fn shrinking_wanted(&self) -> bool {
        self.growth.is_none()
            && self.leaf_bits() > LEAF_BITS_MIN
            && self.root.count < KEYS_PER_LEAF_MIN << self.leaf_bits()
    }

    /// Begins to shrink the leaves by one bit, in the steps of growth. No effect when growth or shrinking is under
    /// way, or the leaves have their fewest bits.
    ///
    /// Whoever holds a frozen view of more leaves than there are in the end has lost it: take the last step when no
    /// view is open.
    pub fn begin_shrinking(&mut self) {
        if self.growth.is_none() && self.leaf_bits() > LEAF_BITS_MIN {
            let leaf_bits = self.leaf_bits() - 1;
            let cells = self.sketch.fewer(leaf_bits);
            self.growth = Some(Growth { leaves: Level::new(leaf_bits), cells, cursor: 0 });
        }
    }

    /// Whether the steps of growth under way make fewer leaves.
    pub fn is_shrinking(&self) -> bool {
        self.growth.as_ref().is_some_and(|growth| growth.leaves.bits() < self.leaf_bits())
    }

    /// The token from which the next step must read; `None` when the tree is neither growing nor shrinking.
    pub fn growth_cursor(&self) -> Option<u64> {
        self.growth.as_ref().map(|growth| growth.cursor)
    }

    /// Fills in the next part of the new leaves. `batch` is (token, digest) of all entries, as they are now, from
    /// [`Tree::growth_cursor`] up to but without `next_cursor`, in token order; `None` stands for the end of the
    /// token space. Several keys of one token belong in one batch. Returns true when the tree has grown, or shrunk.
    ///
    /// Every old leaf that has been passed is compared with the new ones that replace it.
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
        growth.compare(&self.leaves, next_cursor)?;
        match next_cursor {
            Some(next) => {
                growth.cursor = next;
                self.growth = Some(growth);
            }
            None if growth.leaves.bits() > self.leaf_bits() => {
                self.put_leaves(growth.leaves);
                self.sketch.put_run(growth.cells);
            }
            None => self.put_fewer_leaves(growth),
        }
        Ok(next_cursor.is_none())
    }

    /// The new leaves take their place; the old ones stay as a level if they lie at a kept depth.
    fn put_leaves(&mut self, leaves: Level) {
        let old = std::mem::replace(&mut self.leaves, leaves);
        if old.bits().is_multiple_of(LEAF_BITS_MIN) {
            self.inner.push(old);
        }
    }

    /// A kept level of as many bits says the same as the new leaves, which take its place.
    fn put_fewer_leaves(&mut self, growth: Growth) {
        let bits = growth.leaves.bits();
        self.leaves = growth.leaves;
        self.inner.pop_if(|level| level.bits() == bits);
        self.sketch.put_fewer(growth.cells, bits);
    }

    /// The range that a failed step found drifted, for a closer look by the store.
    pub fn drifted_range(error: &GrowthError) -> Option<Prefix> {
        match error {
            GrowthError::Drifted { bits, value } => Prefix::new(*bits, *value),
            _ => None,
        }
    }
}
