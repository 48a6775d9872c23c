//! What a node tells about itself and its cluster.

use std::fmt::Display;
use std::str::FromStr;

use model::{ClusterId, NodeId};
use reqwest::Method;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::forgetting::Forgetting;
use crate::send::Call;
use crate::{Client, Error};

/// The cluster as one node sees it. In JSON as the node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's id; `None` before the node has joined.
    #[serde(with = "optional_text")]
    pub cluster: Option<ClusterId>,
    /// The node that answered.
    pub node: NodeView,
    /// The root of its tree, in hex.
    pub root: String,
    /// Keys with a value.
    pub keys: u64,
    /// Tombstones kept.
    pub tombstones: u64,
    /// Memory that the tree and the sketch over all of it take, in bytes; 0 from a node that does not say.
    #[serde(default)]
    pub tree_bytes: u64,
    /// How far deletes are forgotten.
    #[serde(default)]
    pub forgetting: Forgetting,
    /// The node's scrub; `None` from one that has no store yet, or does not say.
    #[serde(default)]
    pub scrub: Option<ScrubView>,
    /// What of its records was found damaged or lost since its process began; `None`: nothing, or it does not say.
    #[serde(default)]
    pub damage: Option<DamageView>,
    /// Bytes of the values in its quarantine file; 0 where it has none, or does not say.
    #[serde(default)]
    pub quarantine_bytes: u64,
    /// Every member of the roster, the answering node included.
    pub members: Vec<MemberView>,
    /// Everybody who was removed or has left, the latest first.
    #[serde(default)]
    pub removed: Vec<RemovedView>,
}

/// A node that was a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedView {
    /// Its id, which never returns.
    #[serde(with = "text")]
    pub id: NodeId,
    /// Its name; another may have it now.
    pub name: String,
    /// When it was removed, by the remover's clock, RFC 3339.
    pub at: Option<String>,
    /// The name of who removed it: its own where it left.
    pub by: String,
}

/// A node's scrub in its own store. Counts are since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// For how long, at most, an entry has not been proven, in milliseconds; `None`: not known.
    pub oldest_unverified_age_ms: Option<u64>,
}

/// What a node has lost of its records since its process began, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageView {
    /// When it was last found, RFC 3339.
    pub found_at: Option<String>,
    /// What was found then, as a sentence's end.
    pub what: String,
    /// Records that were taken out of the store.
    pub records: u64,
    /// Of these: under their keys the node holds something again, from other members.
    pub held_again: u64,
    /// Of these: no other member held anything under their keys.
    pub held_by_none: u64,
    /// Whether the node has completed a session with a member that is not behind since, or is the only one.
    pub healed: bool,
    /// The file with the bytes of records that were taken out, on the node's machine.
    pub kept_in: Option<String>,
}

/// The node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Whether it serves reads and writes; `None` from a node that does not say.
    #[serde(default)]
    pub ready: Option<bool>,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// Its id.
    #[serde(with = "text")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// How long its process has run, milliseconds; 0 from a node that does not say.
    #[serde(default)]
    pub uptime_ms: u64,
    /// The `host:port` at which it serves HTTP.
    pub http: String,
    /// The `host:port` at which peers reach it.
    pub gossip: String,
}

/// One member of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its id.
    #[serde(with = "text")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub liveness: Liveness,
    /// Whether it is leaving the cluster.
    #[serde(default)]
    pub leaving: bool,
    /// Its root as last heard.
    pub root: Option<String>,
    /// When it was last proven identical to the answering node, RFC 3339.
    pub last_identical: Option<String>,
    /// How far timestamps that it sent lay ahead of the answering node's clock when that was last noticed, milliseconds;
    /// 0 when they were never more than 5 s ahead.
    #[serde(default)]
    pub clock_ahead_ms: u64,
    /// What repair does with it now: `running`, or `None`.
    pub repair: Option<String>,
    /// Why it takes no connection of the answering node, where that does not pass by itself: the two speak no common wire
    /// version.
    #[serde(default)]
    pub refused: Option<String>,
    /// The `host:port` at which it serves HTTP.
    #[serde(default)]
    pub http: Option<String>,
    /// The `host:port` at which peers reach it.
    #[serde(default)]
    pub gossip: Option<String>,
}

/// Whether a member answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Whether a node serves reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True: it does.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct ReadyForm {
    ready: bool,
}

#[derive(Deserialize)]
struct HealthForm {
    healthy: bool,
}

impl Client {
    /// The cluster as the node sees it that answers.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn cluster(&self) -> Result<ClusterView, Error> {
        self.send(Call::new(Method::GET, "/v1/cluster")).await?.json()
    }

    /// Whether a node serves reads and writes. Of several endpoints: whether any does, and if
    /// none, the reason of the last that answered.
    ///
    /// # Errors
    /// Any [`Error`]; that a node is not ready is none.
    pub async fn ready(&self) -> Result<Readiness, Error> {
        match self.send(Call::new(Method::GET, "/readyz")).await {
            Ok(answer) => {
                let ReadyForm { ready } = answer.json()?;
                Ok(Readiness { ready, reason: None })
            }
            Err(Error::Problem(problem)) if problem.status == 503 => {
                Ok(Readiness { ready: false, reason: Some(problem.detail) })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a node's program runs and answers, ready or not.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn healthy(&self) -> Result<bool, Error> {
        let HealthForm { healthy } = self.send(Call::new(Method::GET, "/healthz")).await?.json()?;
        Ok(healthy)
    }
}

pub(crate) mod text {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod optional_text {
    use super::*;

    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
