//! What the two sides hold: a million keys in common, and a number that differ anywhere among them.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// A key.
pub type Name = [u8; 16];
/// What identifies the contents of an entry: a hash of key and version, made by the store and not by a method.
pub type Digest = u128;
/// An entry: its key and its digest.
pub type Item = (Name, Digest);

/// Which side holds what, for one number of differing keys.
pub struct Workload {
    /// What both hold before they part, in key order.
    pub common: Vec<Item>,
    /// What the first side writes after that: new keys.
    pub first: Vec<Item>,
    /// What the second side writes after that: new keys, and new versions of common ones.
    pub second: Vec<Item>,
}

impl Workload {
    /// Keys and digests at random, the same in each run. Half of those that differ are updated on the second side, a
    /// quarter is missing on each side.
    pub fn new(keys: usize, differing: usize) -> Workload {
        let mut rng = StdRng::seed_from_u64(2_026);
        let common = common(keys, &mut rng);
        // The same keys differ in a run of more, and some besides.
        let mut rng = StdRng::seed_from_u64(11);
        let mut places: Vec<usize> = (0..common.len()).collect();
        places.shuffle(&mut rng);
        let (mut first, mut second, mut places) = (Vec::new(), Vec::new(), places.into_iter());
        for number in 0..differing {
            match (number % 4, places.next()) {
                (0, _) => first.push((rng.random(), rng.random())),
                (1, _) => second.push((rng.random(), rng.random())),
                (_, Some(place)) => second.push((common[place].0, rng.random())),
                (_, None) => break,
            }
        }
        Workload { common, first, second }
    }

    /// All that the first side holds, in key order.
    pub fn first_side(&self) -> Vec<Item> {
        written(&self.common, &self.first)
    }

    /// All that the second side holds, in key order.
    pub fn second_side(&self) -> Vec<Item> {
        written(&self.common, &self.second)
    }

    /// How many keys have a version on both sides, and not the same.
    pub fn updated(&self) -> usize {
        let held = |item: &&Item| self.common.binary_search_by_key(&item.0, |held| held.0).is_ok();
        self.second.iter().filter(held).count()
    }

    /// The keys that differ, in key order.
    pub fn differing(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.first.iter().chain(&self.second).map(|item| item.0).collect();
        names.sort_unstable();
        names
    }
}

/// The keys that both sides begin with, in key order.
pub fn common(keys: usize, rng: &mut StdRng) -> Vec<Item> {
    let mut common: Vec<Item> = (0..keys).map(|_| (rng.random(), rng.random())).collect();
    common.sort_unstable();
    common.dedup_by_key(|item| item.0);
    common
}

/// A store's contents after some writes.
fn written(held: &[Item], writes: &[Item]) -> Vec<Item> {
    // A stable sort: where a key is there twice, its write stands behind what it replaces.
    let mut all: Vec<Item> = held.iter().chain(writes).copied().collect();
    all.sort_by_key(|item| item.0);
    let mut kept: Vec<Item> = Vec::with_capacity(all.len());
    for item in all {
        match kept.last_mut() {
            Some(last) if last.0 == item.0 => *last = item,
            _ => kept.push(item),
        }
    }
    kept
}

/// The keys of which the two sides hold different entries; both in key order.
pub fn differing_between(first: &[Item], second: &[Item]) -> Vec<Name> {
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    let mut names = Vec::new();
    loop {
        match (first.peek(), second.peek()) {
            (None, None) => return names,
            (Some(mine), Some(theirs)) if mine.0 == theirs.0 => {
                if mine.1 != theirs.1 {
                    names.push(mine.0);
                }
                first.next();
                second.next();
            }
            (Some(mine), theirs) if theirs.is_none_or(|theirs| mine.0 < theirs.0) => {
                names.push(mine.0);
                first.next();
            }
            (_, Some(theirs)) => {
                names.push(theirs.0);
                second.next();
            }
            (Some(_), None) => return names,
        }
    }
}

/// Where the items from a key on begin, of items in key order.
pub fn position(items: &[Item], name: &Name) -> usize {
    items.partition_point(|item| item.0 < *name)
}
