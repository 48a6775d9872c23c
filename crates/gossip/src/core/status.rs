//! What people and programs see of a member: a snapshot, made anew when something changed.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ClusterId, Hlc, NodeId};

use super::repairs::RepairTotals;
use super::{Core, Known, LeavingStatus};
use crate::liveness::LivenessState;
use crate::pace::GovernorStatus;
use crate::session::{Report, Session, Tally};
use crate::stability::{Cause, Waits};

/// Whether this node answers clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It does.
    Yes,
    /// It has joined, and waits for its first completed session.
    Behind,
    /// It is leaving: it answers reads alone.
    Leaving,
    /// It has found itself removed from the roster, or has left.
    Removed,
    /// Its store failed, for this reason: it answers reads alone.
    Stopped(String),
    /// It is stopping.
    Stopping,
}

/// A running session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// What it did so far.
    pub tally: Tally,
}

/// A member as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name, made unique for people.
    pub name: String,
    /// Whether it answers.
    pub state: LivenessState,
    /// Whether it is leaving.
    pub leaving: bool,
    /// Where it is reached for frames, if known.
    pub gossip: Option<String>,
    /// Where its HTTP API is, if known.
    pub http: Option<String>,
    /// Its root as last heard, in the form shown to people; none for this node, whose root is the store's.
    pub root: Option<[u8; 16]>,
    /// The start of the last session that proved the two identical, milliseconds since 1970.
    pub last_identical_ms: Option<u64>,
    /// The session with it that is running.
    pub session: Option<SessionStatus>,
    /// How far its timestamps lay ahead of this node's clock when last noticed, milliseconds; 0 if never.
    pub skew_ms: u64,
}

/// A member's view of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers clients.
    pub serving: Serving,
    /// Every member, this node among them, by name.
    pub members: Vec<MemberStatus>,
    /// How fast repair may go, as of this snapshot.
    pub governor: GovernorStatus,
    /// Sessions: the running ones, then the last 64 that ended, the latest first. Those whose roots were equal are
    /// only counted, unless they were asked for.
    pub repairs: Vec<Report>,
    /// Sessions that found equal roots, since the start.
    pub checks: u64,
    /// Sessions that failed since the start, by reason.
    pub session_failures: BTreeMap<String, u64>,
    /// What ended sessions did, since the start.
    pub totals: RepairTotals,
    /// How far deletes are forgotten.
    pub forgetting: ForgettingStatus,
    /// How far this node's own leaving has come, if it is leaving.
    pub leaving: Option<LeavingStatus>,
    /// What other members are known to have seen of what this node holds.
    pub known: Known,
}

/// How far deletes are forgotten, and what keeps it from going further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgettingStatus {
    /// The watermark: every write at or under it is known to every member.
    pub watermark: Hlc,
    /// The expiry horizon.
    pub horizon: Hlc,
    /// The member that the watermark waits for, and the last of its times that is known; none where none is known.
    /// There always is one: the one that holds the watermark where it is.
    pub waits: Option<Waits>,
    /// Why this node is behind, if it is.
    pub behind: Option<Cause>,
    /// Siblings that were not taken since the start, since they were replaced long ago.
    pub resurrections_blocked: u64,
    /// Siblings put into quarantine since the start.
    pub quarantined: u64,
}

/// While a session runs people are shown its progress this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// In a large cluster people are shown what is new this often, unless it changes who is answered.
const LARGE_PUBLISHED_EVERY: Duration = Duration::from_secs(1);

impl Core {
    /// Whether people are to see something else now than before. To say it of a thousand members takes its time.
    pub(super) fn publishes(&mut self, now: Duration) -> bool {
        let serving = self.serving();
        let at_once = self.shown.as_ref() != Some(&serving) || !self.is_large();
        let due = if self.changed {
            at_once || now >= self.published + LARGE_PUBLISHED_EVERY
        } else {
            self.progress && now >= self.published + PUBLISH_EVERY && at_once
        };
        if due {
            self.shown = Some(serving);
        }
        due
    }

    /// When there is something to show that was put off.
    pub(super) fn publishes_at(&self) -> Option<Duration> {
        let progress = self.progress.then_some(self.published + PUBLISH_EVERY);
        self.changed.then_some(self.published + LARGE_PUBLISHED_EVERY).or(progress)
    }

    pub(super) fn status(&self, now: Duration) -> Status {
        let named = self.meta.roster.shown_names().into_iter();
        let mut members: Vec<MemberStatus> = named.map(|(id, name)| self.member(id, name)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
        Status {
            cluster: self.meta.cluster,
            node: self.meta.node,
            name: self.meta.name.clone(),
            serving: self.serving(),
            members,
            governor: self.governor.status(now),
            repairs: self.reports(now),
            checks: self.repairs.checks,
            session_failures: self.repairs.failures.clone(),
            totals: self.repairs.totals,
            forgetting: self.forgetting_status(),
            leaving: self.leaving_status(),
            known: self.known_to_others(),
        }
    }

    fn forgetting_status(&self) -> ForgettingStatus {
        let kept = &self.meta.stability;
        ForgettingStatus {
            watermark: kept.watermark,
            horizon: kept.horizon,
            waits: self.forgetting.waits,
            behind: kept.behind.filter(|_| !self.meta.caught_up),
            resurrections_blocked: self.forgetting.blocked,
            quarantined: self.forgetting.quarantined,
        }
    }

    fn reports(&self, now: Duration) -> Vec<Report> {
        let mut running: Vec<Report> =
            self.sessions.values().filter(|s| !s.is_check()).map(|s| s.report(now)).collect();
        running.sort_by_key(|report| report.started_ms);
        running.extend(self.repairs.reports().cloned());
        running
    }

    fn serving(&self) -> Serving {
        if !self.is_member() {
            Serving::Removed
        } else if self.stopping {
            Serving::Stopping
        } else if !self.meta.caught_up {
            // Before what follows: a node that lacks what others have answers no reads either (H22).
            Serving::Behind
        } else if let Some(reason) = &self.stopped {
            Serving::Stopped(reason.clone())
        } else if self.is_leaving() {
            Serving::Leaving
        } else {
            Serving::Yes
        }
    }

    fn member(&self, id: NodeId, name: String) -> MemberStatus {
        let contact = self.meta.roster.contact(id);
        let peer = self.peers.get(&id);
        let running: Option<&Session> = self.sessions.values().find(|s| s.peer() == id && !s.is_opening());
        MemberStatus {
            id,
            name,
            state: if id == self.meta.node { LivenessState::Alive } else { self.liveness.state(id) },
            leaving: self.meta.roster.is_leaving(id),
            gossip: contact.map(|c| c.gossip.clone()),
            http: contact.map(|c| c.http.clone()),
            root: peer.and_then(|p| p.root).map(|root| root.root_hash(&self.meta.digest_key.0)),
            last_identical_ms: self.meta.identical.get(&id).copied(),
            session: running.map(|s| SessionStatus { started_ms: s.started().wall_ms, tally: s.tally() }),
            skew_ms: peer.map_or(0, |p| p.skew_ms),
        }
    }
}
