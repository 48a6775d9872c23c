//! The time as it is handed to the protocol. Nothing in this crate reads a clock.

use std::time::Duration;

/// One instant, as the driver saw it when it called.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the node's start; never falls. All timers count by it.
    pub mono: Duration,
    /// The wall clock, in milliseconds since 1970. May step in either direction; orders siblings for
    /// display and is shown to people, nothing more.
    pub wall_ms: u64,
}
