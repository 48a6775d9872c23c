//! All randomness of a run, from one number.
//!
//! Each concern has a generator of its own: were there one for all, a fault that is left out would shift every delay and
//! every choice behind it, and a failure could not be shrunk.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Where the generators come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    seed: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The generator of a concern; `which` tells several of one concern apart.
    pub(crate) fn of(&self, concern: &str, which: (u64, u64)) -> StdRng {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, which.0, which.1] {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(concern.as_bytes());
        StdRng::from_seed(*hasher.finalize().as_bytes())
    }
}
