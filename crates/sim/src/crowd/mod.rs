//! Experiments on many nodes: what the theory of epidemics asks, answered by the code that ships.
//!
//! | module | what runs | what surrounds it |
//! |---|---|---|
//! | [`spread`] | the rumors of every node | a network that delays and loses, nothing else |
//! | [`demers`] | the same, in the rounds of the 1987 paper | nothing |
//! | [`detection`] | the heartbeats of every node | a network that delays and loses |
//! | [`cluster`] | whole nodes: core, store, connections | what random runs have, too |
//! | [`story`] | the same, four of them, told round by round | |

pub mod cluster;
pub mod demers;
pub mod detection;
mod form;
pub mod spread;
pub mod story;
pub(crate) mod watch;

use std::time::Duration;

/// The network is in two parts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// So many hundredths of the nodes, at least one and not all, reach only each other.
    pub percent: u32,
    /// From the first write on.
    pub time: Duration,
}

impl Cut {
    /// How many of so many nodes are on one side; the others are on the other.
    pub fn first_side(&self, nodes: usize) -> usize {
        (nodes * self.percent as usize / 100).clamp(1, nodes.saturating_sub(1).max(1))
    }
}

/// Writes are this far apart.
pub const WRITES_EVERY: Duration = Duration::from_millis(50);

/// The greatest number of nodes of an experiment with rumors alone.
pub const NODES_MAX: usize = 50_000;
/// The greatest number of whole nodes.
pub const WHOLE_NODES_MAX: usize = 2_000;
