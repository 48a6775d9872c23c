//! What is remembered of ended sessions: reports for people, failures by reason, and whom to leave alone for a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::NodeId;

use crate::session::Report;

/// Ended sessions that are kept for people.
const ENDED_MAX: usize = 64;
/// After a first failed session a peer is left alone for this long; twice as long after each more.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// ... and never longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// How sessions with one peer went lately.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    failures: u32,
    until: Duration,
    busy: u32,
}

/// What all sessions did that have ended since the start of this life, those that found equal roots too. Running ones
/// are added when they end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairTotals {
    /// Sessions that this node and its peer both opened.
    pub sessions: u64,
    /// Keys named as differing, by either side.
    pub named: u64,
    /// Entries sent.
    pub sent: u64,
    /// Entries received.
    pub received: u64,
    /// Bytes of whole frames sent.
    pub bytes_sent: u64,
    /// Bytes of whole frames received.
    pub bytes_received: u64,
}

impl RepairTotals {
    fn add(&mut self, report: &Report) {
        self.sessions += 1;
        self.named += report.found;
        self.sent += report.sent;
        self.received += report.received;
        self.bytes_sent += report.bytes_sent;
        self.bytes_received += report.bytes_received;
    }
}

/// The ended sessions of a node.
#[derive(Debug, Default)]
pub struct Repairs {
    /// The latest first.
    ended: VecDeque<Report>,
    /// Sessions that found equal roots.
    pub checks: u64,
    /// Sessions that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What all sessions did that have ended.
    pub totals: RepairTotals,
    lately: BTreeMap<NodeId, Lately>,
}

impl Repairs {
    /// Counts what a session did that has ended.
    pub fn count(&mut self, report: &Report) {
        self.totals.add(report);
    }

    /// Keeps the report of a session that has ended.
    pub fn ended(&mut self, report: Report) {
        self.ended.push_front(report);
        self.ended.truncate(ENDED_MAX);
    }

    /// One more session failed for this reason.
    pub fn failed(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    /// The reports of ended sessions, the latest first.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.ended.iter()
    }

    /// A session with this peer did what it should, or the peer began another life: what was is forgotten.
    pub fn went_well(&mut self, peer: NodeId) {
        self.lately.remove(&peer);
    }

    /// Leaves the peer alone for a while: longer each time if `worse`.
    pub fn back_off(&mut self, peer: NodeId, now: Duration, worse: bool) {
        let lately = self.lately.entry(peer).or_default();
        let pause = BACKOFF_MIN.saturating_mul(1 << lately.failures.min(16)).min(BACKOFF_MAX);
        lately.failures += u32::from(worse);
        lately.until = now + if worse { pause } else { BACKOFF_MIN };
    }

    /// Whether the peer is left alone.
    pub fn is_backed_off(&self, peer: NodeId, now: Duration) -> bool {
        self.lately.get(&peer).is_some_and(|lately| now < lately.until)
    }

    /// The peer was busy: how many times in a row before.
    pub fn was_busy(&mut self, peer: NodeId) -> u32 {
        let lately = self.lately.entry(peer).or_default();
        lately.busy = lately.busy.saturating_add(1);
        lately.busy - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_left_alone_twice_as_long_each_time_until_it_does_well() {
        let mut repairs = Repairs::default();
        let (peer, now) = (NodeId(1), Duration::from_secs(1_000));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            repairs.back_off(peer, now, true);
            let ends = (0..400).find(|s| !repairs.is_backed_off(peer, now + Duration::from_secs(*s)));
            pauses.extend(ends);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        repairs.back_off(peer, now, false);
        assert!(!repairs.is_backed_off(peer, now + BACKOFF_MIN));
        repairs.back_off(peer, now, true);
        repairs.went_well(peer);
        assert!(!repairs.is_backed_off(peer, now));
    }
}
