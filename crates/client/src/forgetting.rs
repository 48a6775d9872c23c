//! How far deletes are forgotten.

use model::NodeId;
use serde::{Deserialize, Serialize};

use crate::cluster::text;

/// How far deletes are forgotten, and what keeps it from going further. In JSON as the node gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forgetting {
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
}
