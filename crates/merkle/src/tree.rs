//! The range tree: every level a flat array, an update one addition a level.

use crate::{
    digest::RangeDigest,
    frozen::ViewLost,
    growth::Growth,
    hint::SizeHint,
    level::Level,
    opening::Opening,
    prefix::Prefix,
    sketch::{Cells, Sketch},
};

/// The fewest bits the leaves of a tree have.
pub const LEAF_BITS_MIN: u8 = 4;
/// The most bits the leaves of a tree have; enough for 50 thousand million keys.
pub const LEAF_BITS_MAX: u8 = 32;
/// Keys a leaf, on average, above which a tree wants to grow. Growing halves it.
pub const KEYS_PER_LEAF_MAX: u64 = 12;

/// Bits from one kept level to the next: the token space is cut 16 ways at each.
const LEVEL_BITS: u8 = 4;

/// Digests of token ranges at 4, 8, 12, ... bits and at the leaves, over all entries of a store, and a sketch of them.
///
/// The tree cannot know what is stored: whoever changes an entry must call [`Tree::change`] in the same critical
/// section. Memory is about 30 bytes a leaf and 36 for its cells of the sketch, which at 6 to 12 keys a leaf is 5.5 to
/// 11 bytes a key. A tree grows, and shrinks where most of its keys have gone, in steps that whoever keeps it takes.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) root: RangeDigest,
    hint: SizeHint,
    pub(crate) sketch: Sketch,
    pub(crate) inner: Vec<Level>,
    pub(crate) leaves: Level,
    pub(crate) growth: Option<Growth>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// An empty tree of the least size.
    pub fn new() -> Tree {
        Tree::with_leaf_bits(LEAF_BITS_MIN)
    }

    /// An empty tree of the size that suits `expected` keys, so that filling it needs no growth.
    pub fn with_keys(expected: u64) -> Tree {
        let fits = |bits: &u8| expected <= KEYS_PER_LEAF_MAX << bits;
        Tree::with_leaf_bits((LEAF_BITS_MIN..LEAF_BITS_MAX).find(fits).unwrap_or(LEAF_BITS_MAX))
    }

    fn with_leaf_bits(leaf_bits: u8) -> Tree {
        let inner = (LEVEL_BITS..leaf_bits).step_by(usize::from(LEVEL_BITS)).map(Level::new).collect();
        Tree {
            root: RangeDigest::ZERO,
            hint: SizeHint::default(),
            sketch: Sketch::new(leaf_bits),
            inner,
            leaves: Level::new(leaf_bits),
            growth: None,
        }
    }

    /// Takes in that the entry of a key at `token` went from digest `old` to `new`; `None` stands for no entry, so
    /// this is an insert, an update or a removal. `old` must be what the tree was last told for that key.
    pub fn change(&mut self, token: u64, old: Option<u128>, new: Option<u128>) {
        let delta = RangeDigest::change(old, new);
        if delta.is_zero() {
            return;
        }
        self.root = self.root.add(delta);
        self.hint.change(token, old, new);
        for level in &mut self.inner {
            level.add(token, delta);
        }
        self.leaves.add(token, delta);
        let more = self.growth.as_mut().and_then(|growth| growth.change(token, delta));
        self.sketch.change(token, old, new, more);
    }

    /// The digest of everything.
    pub fn root(&self) -> RangeDigest {
        self.root
    }

    /// Bits of a leaf's prefix: there are 2^leaf_bits leaves.
    pub fn leaf_bits(&self) -> u8 {
        self.leaves.bits()
    }

    /// What an opening message says of this tree as it is now.
    pub fn opening(&self) -> Opening {
        Opening { root: self.root, leaf_bits: self.leaf_bits(), hint: self.hint }
    }

    /// The digest of a range. At most eight slots of one level are added up for it.
    ///
    /// # Errors
    /// [`ViewLost::TooDeep`] when the prefix has more bits than the leaves.
    pub fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        if prefix.bits() == 0 {
            return Ok(self.root);
        }
        let deep_enough = |level: &&Level| level.bits() >= prefix.bits();
        let level = self.inner.iter().chain([&self.leaves]).find(deep_enough).ok_or(ViewLost::TooDeep)?;
        let below = level.bits() - prefix.bits();
        Ok(level.total((prefix.value() << below) as usize, 1 << below))
    }

    /// Cells `from..to` of the sketch as it is now, as far as they are kept: three for each leaf.
    pub fn cells(&self, from: usize, to: usize) -> Cells {
        self.sketch.copy(from, to)
    }

    /// Bytes of memory that levels and cells hold.
    pub fn bytes(&self) -> usize {
        let kept = self.inner.iter().chain([&self.leaves]).map(Level::bytes).sum::<usize>();
        kept + self.sketch.bytes() + self.growth.as_ref().map_or(0, Growth::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_kept_at_every_fourth_bit() {
        let bits = |tree: &Tree| tree.inner.iter().map(Level::bits).collect::<Vec<_>>();
        assert!(bits(&Tree::new()).is_empty());
        let tree = Tree::with_keys(1_000_000);
        assert_eq!((bits(&tree), tree.leaf_bits()), (vec![4, 8, 12, 16], 17));
        assert_eq!(Tree::with_keys(12 << 12).leaf_bits(), 12);
        assert_eq!(Tree::with_keys((12 << 12) + 1).leaf_bits(), 13);
        assert_eq!(bits(&Tree::with_keys(12 << 12)), vec![4, 8]);
    }

    #[test]
    fn tree_and_sketch_of_a_million_keys_take_under_twelve_bytes_each() {
        let bytes = Tree::with_keys(1_000_000).bytes();
        assert!(bytes < 12_000_000, "{bytes}");
        // Where leaves hold the fewest keys.
        let keys = (KEYS_PER_LEAF_MAX << 16) + 1;
        assert!(Tree::with_keys(keys).bytes() as u64 <= 12 * keys);
    }

    #[test]
    fn ranges_at_every_depth() {
        let mut tree = Tree::with_keys(5_000);
        let tokens = [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for token in tokens {
            tree.change(token, None, Some(u128::from(token) << 64 | 1));
        }
        tree.check().unwrap();
        for bits in 0..=tree.leaf_bits() {
            for token in tokens {
                let prefix = Prefix::of(token, bits);
                let inside = tokens.iter().filter(|token| prefix.contains(**token));
                assert_eq!(tree.range(prefix).unwrap().count, inside.count() as u64);
            }
        }
        assert_eq!(tree.range(Prefix::of(0, tree.leaf_bits() + 1)), Err(ViewLost::TooDeep));
    }
}
