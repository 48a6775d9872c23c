//! What `/v1/cluster` and `/readyz` answer with. The JSON names are part of the API.

use std::fmt::Display;

use jiff::Timestamp;
use model::{ClusterId, NodeId};
use serde::{Serialize, Serializer};

use crate::damage_view::DamageView;
use crate::forgetting_view::ForgettingView;

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterView {
    /// The cluster's id in hex; null before the node has joined.
    #[serde(serialize_with = "shown")]
    pub cluster: Option<ClusterId>,
    /// The node that answers.
    pub node: NodeView,
    /// The root of its tree, in hex, as people may see it.
    pub root: String,
    /// Keys with one sibling or more.
    pub keys: u64,
    /// Tombstones kept.
    pub tombstones: u64,
    /// Memory that the tree and the sketch over all of it take, in bytes.
    pub tree_bytes: u64,
    /// How far deletes are forgotten.
    pub forgetting: ForgettingView,
    /// The node's scrub in its own store; null before it has one.
    pub scrub: Option<ScrubView>,
    /// What of its records was found damaged or lost since its process began; null when nothing was.
    pub damage: Option<DamageView>,
    /// Bytes of the values in its quarantine file; 0 where it has none.
    pub quarantine_bytes: u64,
    /// Every member of the roster, the answering node included.
    pub members: Vec<MemberView>,
    /// Everybody who was removed or has left, the latest first.
    pub removed: Vec<RemovedView>,
}

/// A node that was a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedView {
    /// Its id, in hex. It never returns.
    #[serde(serialize_with = "displayed")]
    pub id: NodeId,
    /// Its name; another may have it now.
    pub name: String,
    /// When it was removed, by the remover's clock, in milliseconds since 1970; RFC 3339 in JSON.
    #[serde(serialize_with = "moment")]
    pub at: Option<u64>,
    /// The name of who removed it: its own where it left.
    pub by: String,
}

/// A node's scrub. Counts are since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScrubView {
    /// At which rate it reads; 0: it does not.
    pub bytes_per_second: u64,
    /// Whether a pass is under way.
    pub running: bool,
    /// Entries proven.
    pub entries: u64,
    /// Bytes of their keys and records.
    pub bytes: u64,
    /// Passes that came to their end.
    pub passes: u64,
    /// For how long, at most, an entry has not been proven, in milliseconds; null when that is not known.
    pub oldest_unverified_age_ms: Option<u64>,
}

/// The node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Whether it serves reads and writes.
    pub ready: bool,
    /// Why not, as a sentence; null when it does.
    pub reason: Option<String>,
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub id: NodeId,
    /// Its name, unique in the roster.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// How long its process has run, milliseconds.
    pub uptime_ms: u64,
    /// The `host:port` at which it serves HTTP.
    pub http: String,
    /// The `host:port` at which peers reach it.
    pub gossip: String,
}

/// One member of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub liveness: Liveness,
    /// Whether it is leaving the cluster.
    pub leaving: bool,
    /// Its root as last heard; null when never.
    pub root: Option<String>,
    /// When it was last proven identical to the answering node, in milliseconds since 1970;
    /// RFC 3339 in JSON, null when never.
    #[serde(serialize_with = "moment")]
    pub last_identical: Option<u64>,
    /// How far timestamps that it sent lay ahead of the answering node's clock when that was last noticed, in
    /// milliseconds; 0 when they were never more than 5 s ahead.
    pub clock_ahead_ms: u64,
    /// The session open with it now, or null.
    pub repair: Option<RepairView>,
    /// Why it takes no connection of the answering node, where that does not pass by itself: the two speak no common wire
    /// version. Else null.
    pub refused: Option<String>,
    /// The `host:port` at which it serves HTTP; null when not known.
    pub http: Option<String>,
    /// The `host:port` at which peers reach it; null when not known.
    pub gossip: Option<String>,
}

/// Whether a member answers. Belonging to the roster is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It did not answer the last probes.
    Suspect,
    /// It was declared down.
    Down,
    /// It left the roster.
    Left,
}

/// What repair does with a member at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairView {
    /// A session is open.
    Running,
}

/// Whether a node serves reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True: `/readyz` answers 200.
    pub ready: bool,
    /// Why not, one sentence for people. Ignored when ready.
    pub reason: Option<String>,
}

impl Readiness {
    /// Serves reads and writes.
    pub fn yes() -> Self {
        Readiness { ready: true, reason: None }
    }

    /// Does not, and why.
    pub fn no(reason: impl Into<String>) -> Self {
        Readiness { ready: false, reason: Some(reason.into()) }
    }
}

pub(crate) fn displayed<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn shown<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

pub(crate) fn moment<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    match value.and_then(rfc3339) {
        Some(text) => to.serialize_str(&text),
        None => to.serialize_none(),
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC; `None` past the year 9999.
pub fn rfc3339(millis: u64) -> Option<String> {
    let millis = i64::try_from(millis).ok()?;
    Some(format!("{:.3}", Timestamp::from_millisecond(millis).ok()?))
}
