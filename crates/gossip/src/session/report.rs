//! What a session says of itself to people: what it did, what it cost, how far it is.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use model::NodeId;

use super::frames::{AbortReason, SessionFrame, SessionId};
use crate::time::Now;

/// Rates are taken over this long.
const RATE_OVER: Duration = Duration::from_secs(4);
/// Counts of bytes within [`RATE_OVER`] are kept for slots of this length.
const RATE_SLOT: Duration = Duration::from_millis(250);

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPhase {
    /// The opening is not answered yet.
    Opening,
    /// Looking for what differs.
    Finding,
    /// Naming it, and streaming what the other side lacks.
    Exchanging,
    /// All is exchanged; it is being made durable on both sides.
    Closing,
    /// Over.
    Ended,
}

/// How a session finds what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMethod {
    /// By walking the tree.
    Tree,
    /// By the sketch.
    Sketch,
    /// Not at all: one side holds next to nothing, and is sent everything in order.
    Bulk,
}

/// How a session ended, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The two were proven identical as of its start.
    Identical,
    /// Data was exchanged, nothing is claimed, and the next session goes on.
    More,
    /// Data was exchanged, nothing is claimed: of some entries neither side could say whether they were replaced.
    Withheld,
    /// One of the two was repairing with somebody else.
    Busy,
    /// The peer gave up.
    Aborted(AbortReason),
    /// This side gave up, and why.
    Failed(String),
}

/// A session as people and programs see it, running or ended. All counts are this side's view of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: SessionId,
    /// The other side.
    pub peer: NodeId,
    /// Whether this node began it.
    pub initiated: bool,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// How long it has run, or ran; milliseconds.
    pub elapsed_ms: u64,
    /// The same in microseconds.
    pub elapsed_us: u64,
    /// Where it is.
    pub phase: SessionPhase,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// How it finds what differs; none before it is known.
    pub method: Option<SessionMethod>,
    /// Why in that way.
    pub reason: String,
    /// Keys that differ, as estimated from the openings.
    pub estimate: u64,
    /// Keys that differ, as named by either side so far.
    pub found: u64,
    /// Entries sent.
    pub sent: u64,
    /// Entries received.
    pub received: u64,
    /// Bytes of whole frames sent, with the transport's four bytes of length.
    pub bytes_sent: u64,
    /// Bytes of whole frames received, counted alike.
    pub bytes_received: u64,
    /// Of both, those spent on finding what differs: openings and search messages.
    pub bytes_find: u64,
    /// Of both, those spent on naming it: names and wants.
    pub bytes_names: u64,
    /// Of both, the keys and the encoded siblings that the other side lacked, and nothing else.
    pub bytes_ideal: u64,
    /// Round trips until both sides knew what differs, the opening's included.
    pub round_trips: u32,
    /// Bytes a second, both directions, over the last seconds.
    pub rate_bytes_per_second: u64,
    /// About how long it will still take, milliseconds; none while that is unknown.
    pub remaining_ms: Option<u64>,
    /// Frames, both directions.
    pub frames: u32,
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the peer.
    Sent,
    /// From the peer.
    Received,
}

/// Keeps a session's account while it runs.
#[derive(Debug)]
pub struct Account {
    report: Report,
    began: Duration,
    last_way: Option<Way>,
    crossings: u32,
    /// Slots of time and the bytes that went in each, the latest last.
    recent: VecDeque<(Duration, u64)>,
}

impl Account {
    /// Of a session that begins now.
    pub fn new(id: SessionId, peer: NodeId, now: Now) -> Self {
        let report = Report {
            id,
            peer,
            initiated: id.initiator != peer,
            started_ms: now.wall_ms,
            elapsed_ms: 0,
            elapsed_us: 0,
            phase: SessionPhase::Opening,
            outcome: None,
            method: None,
            reason: String::new(),
            estimate: 0,
            found: 0,
            sent: 0,
            received: 0,
            bytes_sent: 0,
            bytes_received: 0,
            bytes_find: 0,
            bytes_names: 0,
            bytes_ideal: 0,
            round_trips: 0,
            rate_bytes_per_second: 0,
            remaining_ms: None,
            frames: 0,
        };
        Self { report, began: now.mono, last_way: None, crossings: 0, recent: VecDeque::new() }
    }

    /// A frame went, of so many bytes with all that the transport adds.
    pub fn frame(&mut self, way: Way, frame: &SessionFrame, bytes: u64, now: Duration) {
        let report = &mut self.report;
        report.frames = report.frames.saturating_add(1);
        match way {
            Way::Sent => report.bytes_sent += bytes,
            Way::Received => report.bytes_received += bytes,
        }
        match frame {
            SessionFrame::Open(_) | SessionFrame::Opened(_) | SessionFrame::Find(_) => {
                report.bytes_find += bytes;
                if self.last_way.replace(way) != Some(way) {
                    self.crossings += 1;
                    report.round_trips = self.crossings.div_ceil(2);
                }
            }
            SessionFrame::Names(_) | SessionFrame::Wants(_) => report.bytes_names += bytes,
            _ => {}
        }
        match self.recent.back_mut() {
            Some((slot, sum)) if now < *slot + RATE_SLOT => *sum += bytes,
            _ => self.recent.push_back((now, bytes)),
        }
        while self.recent.front().is_some_and(|(slot, _)| now > *slot + RATE_OVER) {
            self.recent.pop_front();
        }
    }

    /// What stands so far, to be changed.
    pub fn edit(&mut self) -> &mut Report {
        &mut self.report
    }

    /// The report as of now. `left` is how many entries are still to be exchanged, where that is known, `done` how many
    /// were. A side that cannot know goes by the estimate, until that is used up.
    pub fn report(&self, phase: SessionPhase, left: Option<u64>, done: u64, now: Duration) -> Report {
        let ran = now.saturating_sub(self.began);
        let (bytes, over) = self.lately(now);
        let estimated = self.report.estimate.checked_sub(done).filter(|left| *left > 0);
        let left = left.or(estimated);
        let remaining_ms = match (phase, left) {
            (SessionPhase::Exchanging, Some(left)) if done > 0 && bytes > 0 => {
                let each = (self.report.bytes_sent + self.report.bytes_received) as f64 / done as f64;
                let rate = bytes as f64 / over.as_secs_f64();
                Some((left as f64 * each / rate * 1000.0) as u64)
            }
            _ => None,
        };
        Report {
            phase,
            elapsed_ms: ran.as_millis() as u64,
            elapsed_us: ran.as_micros() as u64,
            rate_bytes_per_second: (bytes as f64 / over.as_secs_f64()) as u64,
            remaining_ms,
            ..self.report.clone()
        }
    }

    /// Bytes that went lately, and over how long.
    fn lately(&self, now: Duration) -> (u64, Duration) {
        let recent = self.recent.iter().filter(|(slot, _)| *slot + RATE_OVER >= now);
        let bytes = recent.clone().map(|(_, bytes)| bytes).sum();
        let since = recent.map(|(slot, _)| *slot).next().unwrap_or(now);
        (bytes, now.saturating_sub(since).max(Duration::from_millis(1)))
    }
}

impl fmt::Display for SessionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Finding => "finding",
            Self::Exchanging => "exchanging",
            Self::Closing => "closing",
            Self::Ended => "ended",
        })
    }
}

impl fmt::Display for SessionMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "tree",
            Self::Sketch => "sketch",
            Self::Bulk => "bulk",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identical => f.write_str("identical"),
            Self::More => f.write_str("more to come"),
            Self::Withheld => f.write_str("what neither can judge was left out"),
            Self::Busy => f.write_str("busy"),
            Self::Aborted(reason) => write!(f, "ended by the peer: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}
