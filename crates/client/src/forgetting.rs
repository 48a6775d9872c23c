//! How far deletes are forgotten.

use model::NodeId;
use serde::{Deserialize, Serialize};

use crate::cluster::text;

/// How far deletes are forgotten, and what keeps it from going further. In JSON as the node gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forgetting {
    /// Whether the node forgets deletes; where one does not, none does.
    pub on: bool,
    /// Every write up to this time is known to every member, RFC 3339; `None` before there is one.
    pub watermark: Option<String>,
    /// How long ago that was by the node's clock, milliseconds.
    pub watermark_lag_ms: Option<u64>,
    /// The member that holds the watermark where it is.
    pub waits_for: Option<WaitsFor>,
    /// What expires up to this time has expired for every member, RFC 3339.
    pub horizon: Option<String>,
    /// Why the node is behind; `None` when it is not.
    pub behind: Option<String>,
    /// Values not taken from other members since the start, because they had been replaced or deleted long ago.
    pub resurrections_blocked: u64,
    /// Values put into the quarantine file since the start.
    pub quarantined: u64,
    /// Tombstones that wait.
    pub waiting: WaitingTombstones,
}

/// Tombstones that wait, and the bytes of their keys and records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitingTombstones {
    /// In the tree: until the watermark passes them.
    pub tombstones: u64,
    /// Their bytes.
    pub tombstone_bytes: u64,
    /// On the disk alone: until the grace ends.
    pub purged: u64,
    /// Their bytes.
    pub purged_bytes: u64,
}

/// A member that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// Its id.
    #[serde(with = "text")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The last of its times that is known, RFC 3339.
    pub since: Option<String>,
    /// Why it has to be waited for; `None` from a node that does not say.
    #[serde(default)]
    pub why: Option<WaitsWhy>,
}

/// Why deletes have to wait for a member, as far as the node knows that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitsWhy {
    /// It is down.
    Down,
    /// It speaks no wire version that the node that answered speaks, too.
    Wire,
    /// It is behind, and has to fetch what it lacks first.
    Behind,
    /// It answers, and says nothing of what it holds.
    Silent,
    /// It has started, and no member that was there all along has met it since.
    Started,
    /// What it said last is old.
    Slow,
    /// What it holds of another member is old.
    Apart,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}
