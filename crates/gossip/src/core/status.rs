//! What people and programs see of a member: a snapshot, made anew when something changed.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ClusterId, Hlc, NodeId};

use super::repairs::RepairTotals;
use super::{Core, Known, LeavingStatus};
use crate::liveness::LivenessState;
use crate::pace::GovernorStatus;
use crate::roster::{Removal, RosterVersion};
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

/// A node that was a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedStatus {
    /// Its id, which never returns.
    pub id: NodeId,
    /// Its name; another may have it now.
    pub name: String,
    /// When it was removed, by the remover's clock.
    pub at: Hlc,
    /// The name of who removed it: its own where it left.
    pub by: String,
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
    /// Who belongs.
    pub roster: RosterVersion,
    /// Every member, this node among them, by name.
    pub members: Vec<MemberStatus>,
    /// Everybody who was removed or has left, the latest first.
    pub removed: Vec<RemovedStatus>,
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
    /// Whether this node is no member any more, and values that no other member is known to have may be in its store
    /// alone: the search that puts them into quarantine has not ended.
    pub unsearched: bool,
    /// Why its store has stopped, if it has, whatever else is true of the node.
    pub stopped: Option<String>,
}

/// How far deletes are forgotten, and what keeps it from going further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgettingStatus {
    /// Whether this node forgets deletes, and tells the others what they need to know to do so.
    pub on: bool,
    /// The watermark: every write at or under it is known to every member.
    pub watermark: Hlc,
    /// The expiry horizon.
    pub horizon: Hlc,
    /// The member that the watermark waits for, and the last of its times that is known; none where none is known.
    /// Where this node forgets deletes there always is one: the one that holds the watermark where it is.
    pub waits: Option<Waits>,
    /// Why it has to be waited for.
    pub why: Option<WaitsWhy>,
    /// Why this node is behind, if it is.
    pub behind: Option<Cause>,
    /// Where it is and every member that answers is, too: whom it waits for. Each has to meet all others.
    pub unmet: Vec<NodeId>,
    /// Siblings that were not taken since the start, since they were replaced long ago.
    pub resurrections_blocked: u64,
    /// Siblings put into quarantine since the start.
    pub quarantined: u64,
}

/// Why the watermark has to wait for a member, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsWhy {
    /// It is down.
    Down,
    /// It holds less than it should, and says nothing until it has fetched that.
    Behind,
    /// It answers, and nothing that it said of what it holds counts: it does not forget deletes, or has not heard yet who
    /// belongs.
    Silent,
    /// It has started, and no member that was there all along has met it since: its disk may be an old one.
    Started,
    /// What it said last is old beside what this node says: its clock is slow, or it is heard of seldom.
    Slow,
    /// What it holds of another member is old: the two have not been proven identical since.
    Apart,
}

/// A member whose times lie so many milliseconds under this node's is slow.
const SLOW_MS: u64 = 60_000;

/// While a session runs people are shown its progress this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// In a large cluster people are shown what is new this often, unless it changes who is answered.
const LARGE_PUBLISHED_EVERY: Duration = Duration::from_secs(1);
/// ... for so many members; the more there are, the rarer, so that it takes the same share of a node's time.
const LARGE_PUBLISHED: u32 = 256;

impl Core {
    /// Whether people are to see something else now than before. To say it of a thousand members takes its time.
    pub(super) fn publishes(&mut self, now: Duration) -> bool {
        let serving = self.serving();
        let at_once = self.shown.as_ref() != Some(&serving) || !self.is_large();
        let due = if self.changed {
            at_once || now >= self.published + self.published_every()
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
        self.changed.then(|| self.published + self.published_every()).or(progress)
    }

    fn published_every(&self) -> Duration {
        let members = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        LARGE_PUBLISHED_EVERY * members.max(LARGE_PUBLISHED) / LARGE_PUBLISHED
    }

    pub(super) fn status(&self, now: Duration) -> Status {
        let named = self.names.get_or_init(|| {
            let mut named = self.meta.roster.shown_names();
            named.sort_by(|(a, one), (b, other)| (one, a).cmp(&(other, b)));
            named
        });
        let members = named.iter().map(|(id, name)| self.member(*id, name.clone())).collect();
        Status {
            cluster: self.meta.cluster,
            node: self.meta.node,
            name: self.meta.name.clone(),
            serving: self.serving(),
            roster: self.meta.roster.version(),
            members,
            removed: self.removed(),
            governor: self.governor.status(now),
            repairs: self.reports(now),
            checks: self.repairs.checks,
            session_failures: self.repairs.failures.clone(),
            totals: self.repairs.totals,
            forgetting: self.forgetting_status(),
            leaving: self.leaving_status(),
            known: self.known_to_others(),
            unsearched: self.is_unsearched(),
            stopped: self.stopped.clone(),
        }
    }

    fn forgetting_status(&self) -> ForgettingStatus {
        let kept = &self.meta.stability;
        let waits = self.forgetting.waits.filter(|_| self.config.forgets_deletes);
        ForgettingStatus {
            on: self.config.forgets_deletes,
            watermark: kept.watermark,
            horizon: kept.horizon,
            waits,
            why: waits.map(|waits| self.why_waited_for(waits.member)),
            behind: kept.behind.filter(|_| !self.meta.caught_up),
            unmet: self.unmet(),
            resurrections_blocked: self.forgetting.blocked,
            quarantined: self.forgetting.quarantined,
        }
    }

    fn why_waited_for(&self, member: NodeId) -> WaitsWhy {
        let me = self.meta.node;
        let is_behind =
            if member == me { !self.meta.caught_up } else { self.said_behind(member) == Some(true) };
        match self.forgetting.known.under(self.forgetting.version, member) {
            _ if member != me && self.liveness.state(member) == LivenessState::Down => WaitsWhy::Down,
            _ if is_behind => WaitsWhy::Behind,
            None => WaitsWhy::Silent,
            Some(said) if said.unproven => WaitsWhy::Started,
            Some(said) if said.at.millis() + SLOW_MS < self.meta.stability.published.millis() => {
                WaitsWhy::Slow
            }
            Some(_) => WaitsWhy::Apart,
        }
    }

    fn removed(&self) -> Vec<RemovedStatus> {
        let roster = &self.meta.roster;
        let status = |(id, removal): (NodeId, Removal)| RemovedStatus {
            id,
            name: roster.shown_name(id),
            at: removal.at,
            by: roster.shown_name(removal.by),
        };
        let mut removed: Vec<RemovedStatus> = roster.removed().map(status).collect();
        removed.sort_by_key(|removed| (std::cmp::Reverse(removed.at), removed.id));
        removed
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
