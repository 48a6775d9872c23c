//! How fast repair may go, so that it never takes the node away from its clients.
//!
//! One [`Governor`] a node, over all of its sessions. What repair sends and what it takes in is spent from one
//! bucket: on either side it costs the node the same things, its processors, its store's critical section and its
//! disk. Work is done in small slices (a frame, at most), each waits for [`Governor::ready_at`].
//!
//! | file | what it holds |
//! |---|---|
//! | `bucket` | bytes spent at a rate |

mod bucket;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bucket::Bucket;

/// What the governor is told by its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GovernorConfig {
    /// Bytes a second that repair never exceeds, sent and taken in together; none for no such limit.
    pub max_bytes_per_second: Option<NonZeroU64>,
    /// Whether repair is slowed down while clients' requests take longer than they did lately.
    pub adaptive: bool,
}

impl Default for GovernorConfig {
    fn default() -> Self {
        Self { max_bytes_per_second: None, adaptive: true }
    }
}

/// Clients' requests that ended within one window of 250 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foreground {
    /// How many.
    pub requests: u64,
    /// The 99th percentile of how long they took, in microseconds; 0 where there were none.
    pub p99_us: u64,
}

/// What holds repair back at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Brake {
    /// Nothing.
    #[default]
    None,
    /// The operator's limit.
    Cap,
    /// Clients wait longer than they did lately.
    Foreground,
    /// The same, and repair has been slowed down as far as it ever is.
    Floor,
}

impl fmt::Display for Brake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "nothing holds repair back",
            Self::Cap => "the limit that was set",
            Self::Foreground => "clients wait longer than they did lately",
            Self::Floor => "clients wait longer than they did lately, and repair goes no slower than this",
        })
    }
}

/// What people see of a governor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GovernorStatus {
    /// Bytes a second that repair is held to now; none when it may go as fast as it can.
    pub limit_bytes_per_second: Option<u64>,
    /// What holds it to that.
    pub brake: Brake,
    /// Bytes a second of repair, sent and taken in, over about the last second.
    pub rate_bytes_per_second: u64,
    /// The 99th percentile of how long clients' requests took lately, in microseconds; none while there are too few.
    pub p99_us: Option<u64>,
    /// What it is without much repair, in microseconds; none before it is known.
    pub baseline_p99_us: Option<u64>,
}

/// Says when more repair may be done.
#[derive(Clone, Debug)]
pub struct Governor {
    config: GovernorConfig,
    bucket: Bucket,
    p99_us: Option<u64>,
}

impl Governor {
    /// Repair that may begin at once.
    pub fn new(config: GovernorConfig, now: Duration) -> Self {
        let rate = config.max_bytes_per_second.map(|rate| rate.get() as f64);
        Self { config, bucket: Bucket::new(rate, now), p99_us: None }
    }

    /// Learns how the clients' requests of the last window went.
    pub fn foreground(&mut self, _now: Duration, window: Foreground) {
        self.p99_us = (window.requests > 0).then_some(window.p99_us);
    }

    /// Repair has sent or taken in this many bytes.
    pub fn spend(&mut self, now: Duration, bytes: u64) {
        self.bucket.spend(now, bytes);
    }

    /// When the next slice of repair may be sent, or the next one asked for; not after `now`: at once.
    pub fn ready_at(&self, now: Duration) -> Duration {
        self.bucket.ready_at().max(now)
    }

    /// What people see.
    pub fn status(&self, _now: Duration) -> GovernorStatus {
        let limit_bytes_per_second = self.config.max_bytes_per_second.map(NonZeroU64::get);
        GovernorStatus {
            limit_bytes_per_second,
            brake: limit_bytes_per_second.map_or(Brake::None, |_| Brake::Cap),
            p99_us: self.p99_us,
            ..GovernorStatus::default()
        }
    }
}
