//! How nodes come to differ: which key is written to which node.

use crate::cli::bench::data::{Data, Dice, mix};
use crate::cli::bench::fill::Write;
use crate::cli::error::CliError;

/// In what way nodes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Half updated, a quarter missing on each side, anywhere.
    Random,
    /// The same, all within one range of tokens. Keys that begin alike lie as far apart as any others, because
    /// their places are hashes: neighbours in the tree are the nearest to a cluster that there can be.
    Cluster,
    /// All missing on every node but the first.
    Missing,
    /// All updated.
    Updated,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Random, Self::Cluster, Self::Missing, Self::Updated];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Cluster => "cluster",
            Self::Missing => "missing",
            Self::Updated => "updated",
        }
    }
}

/// The keys that all nodes hold.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    data: Data,
    /// Their numbers, in an order that each choice changes.
    held: Vec<u64>,
    /// The least number that was never used.
    next: u64,
    /// The version of values written next.
    version: u64,
}

/// How many keys are looked at for each one wanted within a range, over what is expected.
const PATIENCE: u64 = 64;

impl Keys {
    /// Keys 0 to `count`, version 0.
    pub(crate) fn new(data: Data, count: u64) -> Self {
        Self { data, held: (0..count).collect(), next: count, version: 0 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    /// The writes that make `differ` keys differ between `nodes` nodes. Once nodes are repaired all hold them.
    /// The same calls give the same writes.
    pub(crate) fn differ(&mut self, differ: u64, shape: Shape, nodes: usize) -> Result<Vec<Write>, CliError> {
        self.version += 1;
        let created = match shape {
            Shape::Random | Shape::Cluster => differ / 4 * 2,
            Shape::Missing => differ,
            Shape::Updated => 0,
        };
        let updated = usize::try_from(differ - created).unwrap_or(usize::MAX).min(self.held.len());
        let mut dice = Dice::new(mix(self.data.seed).wrapping_add(self.version));
        let range = if shape == Shape::Cluster { Some(self.neighbours(updated, &mut dice)) } else { None };
        if range.is_none() {
            self.choose(updated, &mut dice);
        }
        let version = self.version;
        let mut writes: Vec<Write> = self
            .held
            .iter()
            .take(updated)
            .map(|index| (*index, version))
            .enumerate()
            .map(|(number, (index, version))| Write { node: number % nodes.max(1), index, version })
            .collect();
        for number in 0..created {
            let node = if shape == Shape::Missing { 0 } else { (number % nodes.max(1) as u64) as usize };
            let index = self.fresh(range)?;
            writes.push(Write { node, index, version });
            self.held.push(index);
        }
        // In no order: else one node would get all of its writes first.
        for at in (1..writes.len()).rev() {
            writes.swap(at, dice.below(at as u64 + 1) as usize);
        }
        Ok(writes)
    }

    /// Puts this many keys, chosen evenly, in front.
    fn choose(&mut self, count: usize, dice: &mut Dice) {
        for at in 0..count {
            let other = at as u64 + dice.below((self.held.len() - at) as u64);
            self.held.swap(at, other as usize);
        }
    }

    /// Puts this many neighbours in token order in front, and gives back the range of tokens around them.
    fn neighbours(&mut self, count: usize, dice: &mut Dice) -> (u64, u64) {
        let data = self.data;
        self.held.sort_by_cached_key(|index| token(&data, *index));
        let from = dice.below((self.held.len() - count) as u64 + 1) as usize;
        self.held.rotate_left(from);
        let at = |number: usize| self.held.get(number).map(|index| token(&data, *index));
        // Up to the next one; a range that would wrap around the end goes up to the end.
        let first = at(0).unwrap_or(0);
        let last = at(count).filter(|last| *last > first).unwrap_or(u64::MAX);
        (first, last)
    }

    /// A key that was never used, of a token within the range.
    fn fresh(&mut self, range: Option<(u64, u64)>) -> Result<u64, CliError> {
        let Some((first, last)) = range else {
            self.next += 1;
            return Ok(self.next - 1);
        };
        let part = (last - first) as f64 / u64::MAX as f64;
        let patience = (PATIENCE as f64 / part.max(1e-15)) as u64;
        for index in self.next..self.next.saturating_add(patience).min(self.data.keys_max()) {
            if (first..=last).contains(&token(&self.data, index)) {
                self.next = index + 1;
                return Ok(index);
            }
        }
        Err(CliError::Failed("no further keys are found in the range: choose a longer --key-size".to_owned()))
    }
}

fn token(data: &Data, index: u64) -> u64 {
    model::Key::new(data.key(index)).map_or(0, |key| key.token().0)
}
