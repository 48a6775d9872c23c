//! How fast repair may go, so that it never takes the node away from its clients.
//!
//! One [`Governor`] a node, over all of its sessions. What repair sends and what it takes in is spent from one
//! bucket: on either side it costs the node the same things, its processors, its store's critical section and its
//! disk. Work is done in small slices (a frame, at most), each waits for [`Governor::ready_at`].
//!
//! | file | what it holds |
//! |---|---|
//! | `bucket` | bytes spent at a rate |
//! | `control` | what rate, from how long clients' requests take |
//! | `meter` | the rate that people see |

mod bucket;
mod control;
mod meter;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bucket::Bucket;
use control::Control;
use meter::Meter;

/// Repair that is held back is done in slices of this many bytes: frames are cut to that, and the rows of one take a
/// node a few milliseconds.
const SLICE_BYTES: u64 = 32 << 10;
/// ... and has credit for no more than this at any time.
const WINDOW_BYTES: u64 = 512 << 10;

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
    /// They do not any more, and repair speeds up step by step.
    Recovering,
    /// The same, and repair has been slowed down as far as it ever is.
    Floor,
}

impl fmt::Display for Brake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "nothing holds repair back",
            Self::Cap => "the limit that was set",
            Self::Foreground => "clients wait longer than they did lately",
            Self::Recovering => "clients are served; repair speeds up step by step",
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
    control: Control,
    meter: Meter,
    /// Bytes that credit was given for, spent then, that have not come.
    given: u64,
}

impl Governor {
    /// Repair that may begin at once.
    pub fn new(config: GovernorConfig, now: Duration) -> Self {
        let mut governor = Self {
            config,
            bucket: Bucket::new(None, now),
            control: Control::new(now),
            meter: Meter::new(now),
            given: 0,
        };
        governor.bucket.set_rate(now, governor.rate());
        governor
    }

    /// Learns how the clients' requests of the last window went.
    pub fn foreground(&mut self, now: Duration, window: Foreground) {
        self.meter.settle(now);
        self.control.window(now, window);
        self.bucket.set_rate(now, self.rate());
    }

    /// Repair has sent this many bytes.
    pub fn spend(&mut self, now: Duration, bytes: u64) {
        self.moved(now, bytes);
        self.bucket.spend(now, bytes);
    }

    /// Credit was given to a peer for this many bytes: they are waited for before more is given, whenever they come.
    pub fn gave(&mut self, now: Duration, bytes: u64) {
        // Without a rate nothing is paid: not now, and not for what comes once there is one.
        if self.rate().is_some() {
            self.given = self.given.saturating_add(bytes);
            self.bucket.spend(now, bytes);
        }
    }

    /// Repair has taken in this many bytes, of which `data` may have had credit.
    pub fn came(&mut self, now: Duration, bytes: u64, data: u64) {
        let paid = data.min(bytes).min(self.given);
        self.given -= paid;
        self.moved(now, bytes);
        self.bucket.spend(now, bytes - paid);
    }

    /// The repair that credit was given for has ended: what has not come will not.
    pub fn ended(&mut self, now: Duration) {
        self.bucket.forgive(now, std::mem::take(&mut self.given));
    }

    fn moved(&mut self, now: Duration, bytes: u64) {
        self.meter.add(now, bytes);
        self.control.spent(now, bytes);
        self.bucket.set_rate(now, self.rate());
    }

    /// Bytes that may be sent, or given credit for, each time it is ready: many where nothing holds repair back.
    pub fn slice(&self) -> u64 {
        if self.rate().is_some() { SLICE_BYTES } else { u64::MAX }
    }

    /// Bytes that may be on their way here: few while there are clients, as they come whatever happens meanwhile.
    pub fn window(&self) -> u64 {
        let free = self.rate().is_none() && (!self.config.adaptive || self.control.is_free());
        if free { u64::MAX } else { WINDOW_BYTES }
    }

    /// When the next slice of repair may be sent, or the next one asked for; not after `now`: at once. It changes with
    /// every call that changes the governor, in either direction.
    pub fn ready_at(&self, now: Duration) -> Duration {
        let pause = if self.config.adaptive { self.control.pause_until() } else { None };
        self.bucket.ready_at().max(pause.unwrap_or_default()).max(now)
    }

    /// What people see.
    pub fn status(&self, now: Duration) -> GovernorStatus {
        let limit = self.rate();
        let braked = self.config.adaptive && self.control.limit().is_some_and(|held| Some(held) == limit);
        let whole = |number: f64| number.round() as u64;
        GovernorStatus {
            limit_bytes_per_second: limit.map(whole),
            brake: match limit {
                None => Brake::None,
                Some(_) if braked => self.control.brake(),
                Some(_) => Brake::Cap,
            },
            rate_bytes_per_second: whole(self.meter.rate(now)),
            p99_us: self.control.p99_us().map(whole),
            baseline_p99_us: self.control.baseline_us().map(whole),
        }
    }

    /// Bytes a second that hold now.
    fn rate(&self) -> Option<f64> {
        let cap = self.config.max_bytes_per_second.map(|rate| rate.get() as f64);
        let held = if self.config.adaptive { self.control.limit() } else { None };
        match (cap, held) {
            (Some(cap), Some(held)) => Some(cap.min(held)),
            (cap, held) => cap.or(held),
        }
    }
}
