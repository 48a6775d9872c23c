//! Two replicas that differ in a known number of keys.

use merkle::Prefer;

use crate::Cost;

/// How one of the keys that differ does so. Of each four, two are updated and one is missing on each side: the mix
/// that the targets are stated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// The second side holds a newer entry.
    Updated,
    /// The first side lacks the key.
    MissingInFirst,
    /// The second side lacks the key.
    MissingInSecond,
}

impl Differs {
    /// How the key with this number differs.
    pub fn of(number: u64) -> Differs {
        match number % 4 {
            0 => Differs::MissingInFirst,
            1 => Differs::MissingInSecond,
            _ => Differs::Updated,
        }
    }

    /// How many sides hold the key, and so name it.
    pub fn holders(self) -> usize {
        match self {
            Differs::Updated => 2,
            Differs::MissingInFirst | Differs::MissingInSecond => 1,
        }
    }
}

/// Two replicas of the keys numbered from 0 on, of which the first few differ; their tokens lie anywhere.
pub trait Pair {
    /// Two equal replicas of so many keys of 16 bytes.
    fn new(keys: u64) -> Self;

    /// Lets the keys under this number differ. Those that differ already go on doing so.
    fn diverge_to(&mut self, differing: u64);

    /// Searches for what differs in the way that the second side prefers, with both sides in this thread.
    fn search(&self, prefer: Prefer) -> Cost;
}
