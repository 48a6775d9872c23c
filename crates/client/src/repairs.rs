//! What repair does, a repair begun by hand, and drills.

use std::collections::BTreeMap;
use std::time::Duration;

use model::NodeId;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::cluster::text;
use crate::send::Call;
use crate::{Client, Error};

/// The sessions of one node. In JSON as the node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// The name of the node that answered.
    pub node: String,
    /// Its id.
    #[serde(with = "text")]
    pub node_id: NodeId,
    /// Its clock as it answered, in milliseconds since 1970.
    pub now_ms: u64,
    /// Those that run, then those that ended last, the newest first.
    pub repairs: Vec<RepairSession>,
    /// Sessions since the node started that found equal roots; they are not among `repairs`, unless
    /// they were asked for.
    pub checks: u64,
    /// Sessions since the node started that failed: how many, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What all sessions did that have ended since the node started.
    #[serde(default)]
    pub totals: RepairTotals,
    /// How fast repair may go; `None` before the node is a member.
    pub governor: Option<Governor>,
}

/// What ended sessions did, those that found equal roots too, from the side of the node that answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepairTotals {
    /// How many there were.
    pub sessions: u64,
    /// Keys that either side named as differing.
    pub found: u64,
    /// Entries sent.
    pub sent: u64,
    /// Entries received.
    pub received: u64,
    /// Bytes of whole frames sent.
    pub bytes_sent: u64,
    /// Bytes of whole frames received.
    pub bytes_received: u64,
}

/// One session with one peer, from the side of the node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairSession {
    /// Names the session; its two sides show the same.
    pub id: String,
    /// The peer's name.
    pub peer: String,
    /// The peer's id.
    #[serde(with = "text")]
    pub peer_id: NodeId,
    /// Whether the node that answered began it.
    pub initiated: bool,
    /// When it began by that node's clock, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it has run or ran, in milliseconds.
    pub elapsed_ms: u64,
    /// The same in microseconds.
    pub elapsed_us: u64,
    /// How far it is.
    pub phase: RepairPhase,
    /// How it ended; `None` while it runs.
    pub outcome: Option<RepairOutcome>,
    /// Why it was given up.
    pub failure: Option<String>,
    /// How what differs is found; `None` before that is known.
    pub method: Option<RepairMethod>,
    /// Why in this way; empty before that is known.
    pub reason: String,
    /// Keys that differ, as estimated when it began.
    pub estimate: u64,
    /// Keys that either side named as differing.
    pub found: u64,
    /// Entries sent.
    pub sent: u64,
    /// Entries received.
    pub received: u64,
    /// Bytes of whole frames sent.
    pub bytes_sent: u64,
    /// Bytes of whole frames received.
    pub bytes_received: u64,
    /// Of both, bytes that served to find what differs.
    pub bytes_find: u64,
    /// Of both, bytes that named what differs.
    pub bytes_names: u64,
    /// Bytes of exactly what the other side lacked, both directions.
    pub bytes_ideal: u64,
    /// Round trips until both sides knew what differs.
    pub round_trips: u32,
    /// Frames, both directions.
    pub frames: u32,
    /// Bytes a second lately, both directions.
    pub rate_bytes_per_second: u64,
    /// How long it will still take, in milliseconds; `None` while that is not known.
    pub remaining_ms: Option<u64>,
}

impl RepairSession {
    /// Bytes of whole frames, both directions.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_sent.saturating_add(self.bytes_received)
    }
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairPhase {
    /// The two compare their roots.
    Opening,
    /// They find what differs.
    Finding,
    /// They exchange what the other lacks.
    Exchanging,
    /// They prove that nothing was missed, and put it on disk.
    Closing,
    /// It is over.
    Ended,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// How what differs is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairMethod {
    /// Down the range tree.
    Tree,
    /// By sketch.
    Sketch,
    /// Not at all: whole ranges are sent.
    Bulk,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairOutcome {
    /// The two were proven identical as of its start.
    Identical,
    /// As much as one session takes was exchanged; the next goes on at once.
    More,
    /// The peer had no time.
    Busy,
    /// The peer gave up.
    Aborted,
    /// The node gave up.
    Failed,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// How fast repair may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governor {
    /// Bytes a second that repair is held to now; `None` when it may go as fast as it can.
    pub limit_bytes_per_second: Option<u64>,
    /// What holds it to that.
    pub brake: Brake,
    /// The same in words.
    pub reason: String,
    /// Bytes a second of repair lately, all sessions together, both directions.
    pub rate_bytes_per_second: u64,
    /// The latest p99 of clients' requests in microseconds.
    pub p99_us: Option<u64>,
    /// The p99 that it is compared with.
    pub baseline_p99_us: Option<u64>,
}

/// What holds repair back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Brake {
    /// Nothing.
    None,
    /// The cap of the settings.
    Cap,
    /// Clients wait longer than they did lately.
    Foreground,
    /// They do not any more, and repair speeds up step by step.
    Recovering,
    /// The same, and repair is as slow as it ever gets.
    Floor,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// A repair that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairBegun {
    /// The peer's name.
    pub peer: String,
    /// The peer's id.
    #[serde(with = "text")]
    pub peer_id: NodeId,
    /// The node's clock when it was asked, in milliseconds since 1970: the session that does it
    /// begins at or after it, unless one with this peer was running.
    pub since_ms: u64,
}

/// The drills of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drills {
    /// The name of the node that answered.
    pub node: String,
    /// Whether it takes any.
    pub allowed: bool,
    /// Until when it is cut off from the others by its own clock, in milliseconds since 1970.
    pub isolated_until_ms: Option<u64>,
    /// How long that still is, in milliseconds.
    pub remaining_ms: Option<u64>,
}

impl Client {
    /// The sessions of the node that answers.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn repairs(&self) -> Result<Repairs, Error> {
        self.send(Call::new(Method::GET, "/v1/repairs")).await?.json()
    }

    /// Begins a session of the node that answers with a member of this name or id, and returns
    /// before it is done.
    ///
    /// # Errors
    /// Any [`Error`]; a problem `no-such-member`, `member-down` or `not-a-peer` says that nothing
    /// was begun.
    pub async fn repair(&self, peer: &str) -> Result<RepairBegun, Error> {
        self.post("/v1/repairs", &serde_json::json!({ "peer": peer })).await
    }

    /// The drills of the node that answers.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn drills(&self) -> Result<Drills, Error> {
        self.send(Call::new(Method::GET, "/v1/drills")).await?.json()
    }

    /// Cuts the node that answers off from the others for so long (1 s to 10 min, in whole
    /// milliseconds), whatever drill ran before. Give this client one endpoint.
    ///
    /// # Errors
    /// Any [`Error`]; a problem `drills-not-allowed` says that the node takes no drills.
    pub async fn drill_isolate(&self, time: Duration) -> Result<Drills, Error> {
        self.post("/v1/drills", &serde_json::json!({ "isolate": format!("{}ms", time.as_millis()) })).await
    }

    pub(crate) async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        target: &str,
        body: &serde_json::Value,
    ) -> Result<T, Error> {
        let mut call = Call::new(Method::POST, target).header("content-type", "application/json")?;
        call.body = Some(body.to_string().into());
        self.send(call).await?.json()
    }
}
