//! What a node is told before it starts: flags over `MANGROVE_*` over a TOML file over the defaults.
//!
//! `layers` collects what was said and by whom, `values` reads single values with their units, `check`
//! turns both into [`Settings`] or into one sentence that says what to write instead.

mod check;
mod layers;
mod nearest;
#[cfg(test)]
mod tests;
mod values;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use layers::{Flags, load};
pub use values::NodeName;

/// The port of HTTP where none is given.
pub const HTTP_PORT: u16 = 7710;

/// The port of gossip (UDP heartbeats and TCP frames on one number) where none is given.
pub const GOSSIP_PORT: u16 = 7711;

/// The largest value that any setting may allow, in bytes.
pub const VALUE_BYTES_LIMIT: u64 = 16 * 1024 * 1024;

/// To how many members a new write is pushed in a round, where nobody says otherwise.
pub const FANOUT: u8 = 3;

/// When an acknowledged write is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged (the default).
    Fsync,
    /// Within about a second after: a crash of the process or of the machine can take the last acknowledged writes
    /// that only this node had.
    Interval,
}

/// How repair finds what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMethod {
    /// By whichever is cheaper for what seems to differ (the default).
    Auto,
    /// Always by the tree.
    Tree,
    /// By the sketch wherever it can be decoded.
    Sketch,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal.
    Pretty,
    /// One JSON object a line, for programs.
    Json,
}

/// All that a node is told before it starts. Checked: every value lies within its documented range and the
/// values fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the node keeps everything; made if it is not there.
    pub data_dir: PathBuf,
    /// Where HTTP is served; port 0 takes a free one.
    pub http: SocketAddr,
    /// Where heartbeats (UDP) and frames (TCP) arrive; port 0 takes a free one.
    pub gossip: SocketAddr,
    /// `host:port` under which other nodes reach `gossip`, where it differs from the bound address.
    pub advertise: Option<String>,
    /// Seeds as `host:port`, to be resolved anew on every attempt. May name this node itself.
    pub join: Vec<String>,
    /// Found a cluster where no seed answers and the data directory is empty.
    pub found: bool,
    /// The node's name, unique in its cluster.
    pub name: NodeName,
    /// Allows addresses beyond loopback.
    pub insecure: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The least level logged: error, warn, info, debug or trace.
    pub log_level: tracing::Level,
    /// Time between two sessions that a node begins, jittered; 10 ms to 1 h. Shorter repairs sooner and costs
    /// a round trip under 200 bytes each time. Up to eight times as long while nothing changes and all live members were
    /// found identical.
    pub repair_interval: Duration,
    /// Whether new writes are pushed at once. Off, they wait for anti-entropy.
    pub rumors: bool,
    /// Whether sessions are begun. Off, nothing repairs what rumors lost, and only a node that is behind begins any:
    /// for tests and benchmarks only.
    pub anti_entropy: bool,
    /// The largest value that a client may write here, in bytes, 1 to [`VALUE_BYTES_LIMIT`].
    pub value_bytes_max: u64,
    /// To how many random live members a rumor is pushed, 1 to 64. More is faster and costs more messages.
    pub fanout: usize,
    /// When an acknowledged write is on disk.
    pub durability: Durability,
    /// Bytes a second of repair, sent and taken in together, over all sessions; none for no limit. At
    /// least 128 KiB, so that the largest value passes within the time of one session.
    pub repair_max_bytes_per_second: Option<NonZeroU64>,
    /// Whether repair is slowed down while clients' requests take longer than they did lately.
    pub repair_governor: bool,
    /// Whether tombstones are forgotten once every member is known to hold them.
    pub forget_deletes: bool,
    /// How long a tombstone stays on the disk after it has left the tree: 6 minutes, which is longer than any session, to
    /// 7 days.
    pub forget_grace: Duration,
    /// How repair finds what differs.
    pub repair_method: RepairMethod,
    /// How fast the node reads its store again to find damage, in bytes a second; 0 for not at all, else at least
    /// 64 KiB.
    pub scrub_bytes_per_second: u64,
    /// Whether clients may cut this node off from the others for a bounded time.
    pub allow_drills: bool,
    /// Each frame and heartbeat is held back this long before it is sent, 0 to 5 s, so that a round trip takes twice as
    /// long more: for tests and benchmarks.
    pub transport_delay: Duration,
}

impl Settings {
    /// `host:port` under which other nodes reach gossip, once `bound` is known (port 0 asks for a free one).
    #[must_use]
    pub fn gossip_advertised(&self, bound: SocketAddr) -> String {
        self.advertise.clone().unwrap_or_else(|| bound.to_string())
    }

    /// `host:port` under which this node's HTTP is shown to others: the bound address, or the advertised host
    /// where HTTP listens on every address.
    #[must_use]
    pub fn http_advertised(&self, bound_http: SocketAddr, bound_gossip: SocketAddr) -> String {
        if !bound_http.ip().is_unspecified() {
            return bound_http.to_string();
        }
        match self.advertise.as_deref().and_then(|address| address.rsplit_once(':')) {
            Some((host, _)) => format!("{host}:{}", bound_http.port()),
            None => SocketAddr::new(bound_gossip.ip(), bound_http.port()).to_string(),
        }
    }
}

/// Why settings were refused: one sentence that names the value, where it came from and what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SettingsError(pub String);

impl From<SettingsError> for crate::exit::Fatal {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.0)
    }
}
