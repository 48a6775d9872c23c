//! Replicas that cost next to nothing to read: a sorted array with an index, and its tree.

use std::collections::BTreeSet;
use std::ops::Range;

use merkle::{Cells, Frozen, FrozenEntry, Opening, Prefer, Prefix, RangeDigest, Tree, ViewLost};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{Cost, Differs, Pair, key, search};

/// Two sorted arrays.
pub struct SortedPair {
    first: Sorted,
    second: Sorted,
    differing: u64,
    rng: StdRng,
}

impl Pair for SortedPair {
    fn new(keys: u64) -> SortedPair {
        let mut rng = StdRng::seed_from_u64(keys);
        let entry = |number| {
            let key = key(number);
            (key.token().0, key.as_bytes().into(), rng.random())
        };
        let first = Sorted::new((0..keys).map(entry).collect());
        SortedPair { second: first.clone(), first, differing: 0, rng }
    }

    fn diverge_to(&mut self, differing: u64) {
        let (mut gone_from_first, mut gone_from_second) = (BTreeSet::new(), BTreeSet::new());
        for number in self.differing..differing {
            let key = key(number);
            let at = (key.token().0, key.as_bytes().into());
            match Differs::of(number) {
                Differs::Updated => self.second.update(&at, self.rng.random()),
                Differs::MissingInFirst => _ = gone_from_first.insert(at),
                Differs::MissingInSecond => _ = gone_from_second.insert(at),
            }
        }
        self.first.remove(&gone_from_first);
        self.second.remove(&gone_from_second);
        self.differing = self.differing.max(differing);
    }

    fn search(&self, prefer: Prefer) -> Cost {
        search(&self.first, &self.second, prefer).unwrap()
    }
}

type Place = (u64, Box<[u8]>);

/// A sorted array of entries with an index, and its tree.
#[derive(Clone)]
pub struct Sorted {
    entries: Vec<FrozenEntry>,
    tree: Tree,
    /// For each leaf of the tree, where its entries begin.
    leaf_starts: Vec<usize>,
}

impl Sorted {
    /// Of these entries, in any order.
    pub fn new(mut entries: Vec<FrozenEntry>) -> Sorted {
        entries.sort_unstable();
        let mut tree = Tree::with_keys(entries.len() as u64);
        for (token, _, digest) in &entries {
            tree.change(*token, None, Some(*digest));
        }
        let mut sorted = Sorted { entries, tree, leaf_starts: Vec::new() };
        sorted.index();
        sorted
    }

    fn index(&mut self) {
        let leaves = Prefix::ROOT.children(self.tree.leaf_bits());
        let starts = leaves.map(|leaf| self.entries.partition_point(|entry| entry.0 < leaf.first_token()));
        self.leaf_starts = starts.collect();
    }

    /// Where the entries of the leaf with this token lie.
    fn leaf(&self, token: u64) -> Range<usize> {
        let leaf = Prefix::of(token, self.tree.leaf_bits()).value() as usize;
        let start = |leaf: usize| self.leaf_starts.get(leaf).copied().unwrap_or(self.entries.len());
        start(leaf)..start(leaf + 1)
    }

    /// Where the first entry at or behind a place lies.
    fn position(&self, place: (u64, &[u8])) -> usize {
        let leaf = self.leaf(place.0);
        let entries = self.entries.get(leaf.clone()).unwrap_or(&[]);
        leaf.start + entries.partition_point(|(token, key, _)| (*token, &**key) < place)
    }

    fn find(&self, token: u64, key: &[u8]) -> Option<&FrozenEntry> {
        let found = self.entries.get(self.position((token, key)));
        found.filter(|entry| (entry.0, &*entry.1) == (token, key))
    }

    fn update(&mut self, place: &Place, digest: u128) {
        let position = self.position((place.0, &place.1));
        let entry = self.entries.get_mut(position).unwrap();
        let old = std::mem::replace(&mut entry.2, digest);
        self.tree.change(place.0, Some(old), Some(digest));
    }

    fn remove(&mut self, gone: &BTreeSet<Place>) {
        for (token, key) in gone {
            let old = self.find(*token, key).unwrap().2;
            self.tree.change(*token, Some(old), None);
        }
        let mut gone = gone.iter().peekable();
        self.entries
            .retain(|entry| gone.next_if(|(token, key)| (*token, key) == (entry.0, &entry.1)).is_none());
        self.index();
    }
}

impl Frozen for Sorted {
    fn opening(&self) -> Result<Opening, ViewLost> {
        Ok(self.tree.opening())
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.tree.range(prefix)
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        let mut page = Vec::new();
        let mut collect = |token, key: &[u8], digest| page.push((token, key.into(), digest));
        self.scan(first, last, after, limit, &mut collect)?;
        Ok(page)
    }

    fn scan(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: &mut dyn FnMut(u64, &[u8], u128),
    ) -> Result<(), ViewLost> {
        let from = match after {
            Some((token, key)) => self.position((token, key)) + usize::from(self.find(token, key).is_some()),
            None => self.position((first, &[])),
        };
        let behind = self.entries.get(from..).unwrap_or(&[]);
        for (token, key, digest) in behind.iter().take(limit).take_while(|entry| entry.0 <= last) {
            visit(*token, key, *digest);
        }
        Ok(())
    }

    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost> {
        Ok(self.tree.cells(from, to))
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        Ok(self.find(token, key).map(|entry| entry.2))
    }
}
