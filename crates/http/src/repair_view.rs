//! What `/v1/repairs` and `/v1/drills` answer with. The JSON names are part of the API.

use std::collections::BTreeMap;

use model::NodeId;
use serde::Serialize;

use crate::view::displayed;

/// The sessions of one node: those that run, then those that ended last, the newest first.
///
/// Sessions that found equal roots come every second and are only counted, unless they were asked
/// for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairsView {
    /// The name of the node that answers.
    pub node: String,
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub node_id: NodeId,
    /// Its clock as it answers, in milliseconds since 1970.
    pub now_ms: u64,
    /// The sessions.
    pub repairs: Vec<SessionView>,
    /// Sessions since this node started that found equal roots: nothing to repair.
    pub checks: u64,
    /// Sessions since this node started that failed: how many, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What all sessions did that have ended since this node started.
    pub totals: TotalsView,
    /// How fast repair may go at the moment; null before the node is a member.
    pub governor: Option<GovernorView>,
}

/// What ended sessions did, those that found equal roots too, from this node's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TotalsView {
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

/// One session with one peer, from this node's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Names the session; its two sides show the same.
    pub id: String,
    /// The peer's name.
    pub peer: String,
    /// The peer's id, in hex.
    #[serde(serialize_with = "displayed")]
    pub peer_id: NodeId,
    /// Whether this node began it.
    pub initiated: bool,
    /// When it began by this node's clock, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it has run or ran, in milliseconds.
    pub elapsed_ms: u64,
    /// The same in microseconds.
    pub elapsed_us: u64,
    /// How far it is.
    pub phase: RepairPhase,
    /// How it ended; null while it runs.
    pub outcome: Option<RepairOutcome>,
    /// Why it was given up, for people; null unless the outcome is aborted or failed.
    pub failure: Option<String>,
    /// How what differs is found; null before that is known.
    pub method: Option<RepairMethod>,
    /// Why in this way, for people; empty before that is known.
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
    /// Bytes of exactly the keys and siblings that the other side lacked, both directions.
    pub bytes_ideal: u64,
    /// Round trips until both sides knew what differs.
    pub round_trips: u32,
    /// Frames, both directions.
    pub frames: u32,
    /// Bytes a second lately, both directions.
    pub rate_bytes_per_second: u64,
    /// How long it will still take, in milliseconds; null while that is not known.
    pub remaining_ms: Option<u64>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

/// How what differs is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairMethod {
    /// Down the range tree.
    Tree,
    /// By sketch.
    Sketch,
    /// Not at all: whole ranges are sent.
    Bulk,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// This node gave up.
    Failed,
}

/// How fast repair may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GovernorView {
    /// Bytes a second that repair is held to now; null when it may go as fast as it can.
    pub limit_bytes_per_second: Option<u64>,
    /// What holds it to that.
    pub brake: Brake,
    /// The same in words for people.
    pub reason: String,
    /// Bytes a second of repair lately, all sessions together, both directions.
    pub rate_bytes_per_second: u64,
    /// The latest p99 of clients' requests in microseconds; null when there were too few.
    pub p99_us: Option<u64>,
    /// The p99 that it is compared with; null before there is one.
    pub baseline_p99_us: Option<u64>,
}

/// What holds repair back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

/// A repair that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairBegun {
    /// The peer's name.
    pub peer: String,
    /// The peer's id, in hex.
    #[serde(serialize_with = "displayed")]
    pub peer_id: NodeId,
    /// This node's clock when it was asked, in milliseconds since 1970: the session that does it
    /// begins at or after it, unless one was running.
    pub since_ms: u64,
}

/// The drills of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillsView {
    /// The name of the node that answers.
    pub node: String,
    /// Whether the node takes any: it was started with `--allow-drills`.
    pub allowed: bool,
    /// Until when the node is cut off from the others by its own clock, in milliseconds since
    /// 1970; null when it is not.
    pub isolated_until_ms: Option<u64>,
    /// How long that still is, in milliseconds; null when it is not.
    pub remaining_ms: Option<u64>,
}
