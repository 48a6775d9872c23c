//! How far deletes are forgotten, as `/v1/cluster` tells it. The JSON names are part of the API.

use model::NodeId;
use serde::Serialize;

use crate::view::{displayed, moment};

/// How far deletes are forgotten, and what keeps it from going further.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ForgettingView {
    /// Whether this node forgets deletes; where one does not, none does.
    pub on: bool,
    /// Every write up to this time is known to every member; in milliseconds since 1970, RFC 3339 in JSON, null before
    /// there is one.
    #[serde(serialize_with = "moment")]
    pub watermark: Option<u64>,
    /// How long ago that was by this node's clock, milliseconds; null before there is one, and where this node does not
    /// forget.
    pub watermark_lag_ms: Option<u64>,
    /// The member that holds the watermark where it is.
    pub waits_for: Option<WaitsView>,
    /// What expires up to this time has expired for every member; as `watermark`.
    #[serde(serialize_with = "moment")]
    pub horizon: Option<u64>,
    /// Why the node is behind, as a sentence's end; null when it is not.
    pub behind: Option<String>,
    /// Values not taken from other members since the start, because they had been replaced or deleted long ago.
    pub resurrections_blocked: u64,
    /// Values put into the quarantine file since the start.
    pub quarantined: u64,
    /// Tombstones that wait.
    pub waiting: WaitingView,
}

/// Tombstones that wait, and the bytes of their keys and records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WaitingView {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitsView {
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The last of its times that is known, milliseconds since 1970; RFC 3339 in JSON, null when none is.
    #[serde(serialize_with = "moment")]
    pub since: Option<u64>,
    /// Why it has to be waited for.
    pub why: WaitsWhy,
}

/// Why the watermark has to wait for a member, as far as the answering node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitsWhy {
    /// It is down.
    Down,
    /// It speaks no wire version that the answering node speaks, too.
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
}
