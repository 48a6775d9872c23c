//! Watermark and horizon at work: reckoned from what was published, and the store moved along with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use merkle::RangeDigest;
use model::{Hlc, NodeId};
use rand::RngExt;
use rand::seq::IndexedRandom;
use storage::Marks;

use super::{Action, Core, Env, Op};
use crate::liveness::LivenessState;
use crate::roster::{Roster, RosterVersion};
use crate::rules::Rule;
use crate::stability::{Cause, Elapsed, Publications, Waits, majority, reckon, step};

/// Rows that the store looks at or takes off its disk in one action, about.
const ROWS_A_STEP: usize = 1_024;

/// How many members are met at once where something has left the tree, and within what time that begins.
const TOLD_OF_MARKS: usize = 4;
const MARKS_TOLD_WITHIN: Duration = Duration::from_millis(200);

/// Tombstones that left the tree at one time.
#[derive(Clone, Copy, Debug)]
struct Purge {
    watermark: Hlc,
    at: Duration,
}

/// What a node does so that deletes can be forgotten, beyond what it keeps on disk.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    /// The version of the roster as it is, and who belongs by it.
    pub(super) version: RosterVersion,
    pub(super) members: Vec<NodeId>,
    pub(super) known: Publications,
    /// Of each peer: how many publications had been learned here when it was told all of them.
    pub(super) told: BTreeMap<NodeId, u64>,
    pub(super) publish_at: Duration,
    /// Whether a publication is under way.
    pub(super) publishing: bool,
    /// When this life began.
    pub(super) begun: Duration,
    /// When a member was heard of last that had not been heard of in this life.
    pub(super) last_heard: Duration,
    /// Of which members a life was heard of.
    pub(super) heard: BTreeSet<NodeId>,
    /// With whom a session has completed while every member was behind.
    pub(super) met: BTreeSet<NodeId>,
    /// With whom a session has completed in this life, under this roster.
    pub(super) completed: BTreeSet<NodeId>,
    /// Whether somebody was let in by this life while its disk may have been an old one.
    pub(super) let_in: bool,
    /// An adoption whose time could not be taken yet.
    pub(super) adoption_due: bool,
    /// Something is known that was not reckoned with.
    pub(super) reckon: bool,
    elapsed: Elapsed,
    pub(super) waits: Option<Waits>,
    /// To where the store has been moved, and the action under way.
    advanced: Marks,
    advancing: Option<(u64, Marks)>,
    /// The root before that action.
    root: Option<RangeDigest>,
    purges: VecDeque<Purge>,
    forgetting: Option<u64>,
    /// Siblings that were not taken, since they were replaced long ago.
    pub(super) blocked: u64,
    /// Siblings put into quarantine.
    pub(super) quarantined: u64,
}

impl Core {
    /// A new life is an adoption.
    pub(super) fn begin_forgetting(&mut self, life: Hlc, env: Env<'_>) {
        self.forgetting.version = self.version_of(&self.meta.roster);
        self.forgetting.members = self.meta.roster.members().collect();
        (self.forgetting.begun, self.forgetting.last_heard) = (env.now.mono, env.now.mono);
        let rules = self.config.rules;
        let founded_now = std::mem::take(&mut self.meta.stability.founded_now);
        let began_alone = !founded_now && self.meta.roster.len() == 1;
        let kept = &mut self.meta.stability;
        kept.begin_life(life);
        if began_alone {
            kept.alone.get_or_insert(life);
        }
        if !rules.hold(Rule::H25) || founded_now {
            kept.be_proven();
        }
        let past = kept.watermark.max(kept.published);
        self.start_above(past, env);
        let caught_up = self.meta.caught_up;
        if !caught_up {
            self.meta.stability.behind.get_or_insert(Cause::Joined);
        }
        self.alone_is_not_behind(founded_now);
        self.forgetting.publish_at = env.now.mono;
        if self.config.rules.hold(Rule::H30) {
            self.test_behind();
        }
        self.persist();
    }

    /// No time of this node lies at or under this one from now on (H11).
    fn start_above(&self, at: Hlc, env: Env<'_>) {
        if self.config.rules.hold(Rule::H11) {
            env.time.start_above(at);
        }
    }

    /// All that time, and what was heard, make due.
    pub(super) fn forgetting_due(&mut self, env: Env<'_>) {
        if !self.may_repair() {
            return;
        }
        if self.forgetting.adoption_due {
            self.adopt(env);
        }
        if self.publish_at().is_some_and(|at| at <= env.now.mono) {
            self.begin_publishing(env);
            self.purge_late(env);
        }
        if std::mem::take(&mut self.forgetting.reckon) {
            self.reckon(env);
        }
        self.advance(env);
        self.forget(env);
    }

    pub(super) fn forgetting_wakes(&self) -> Option<Duration> {
        if !self.may_repair() {
            return None;
        }
        let idle = self.forgetting.forgetting.is_none();
        let forget =
            self.forgetting.purges.front().filter(|_| idle).map(|purge| purge.at + self.config.grace);
        // A purge that is old enough waits for the end of a session, which is an event.
        let forget = forget.filter(|_| !self.forget_waits());
        [self.publish_at(), forget].into_iter().flatten().min()
    }

    /// When to publish next; never where nothing is made of it. A node that forgets nothing, with a watermark from before,
    /// does so once in each of its lives and under each roster, and once it is proven: whoever is behind that watermark must
    /// hear of it up to where it is not any more, and the watermark rises no further than to there.
    fn publish_at(&self) -> Option<Duration> {
        let kept = &self.meta.stability;
        let is_said = || {
            let said = self.forgetting.known.under(self.forgetting.version, self.meta.node);
            said.is_some_and(|said| said.unproven == kept.unproven.is_some())
        };
        let once = || kept.watermark > Hlc::ZERO && !is_said();
        (self.config.forgets_deletes || once()).then_some(self.forgetting.publish_at)
    }

    /// The roster's members are others than before: nothing counts that was reckoned under the former one.
    pub(super) fn roster_adopted(&mut self, version: RosterVersion, env: Env<'_>) {
        self.forgetting.version = version;
        self.forgetting.met.clear();
        self.forgetting.completed.clear();
        let members: Vec<NodeId> = self.meta.roster.members().collect();
        if members != self.forgetting.members {
            self.forgetting.last_heard = env.now.mono;
        }
        self.forgetting.members = members;
        self.forgetting.known.keep_members(&self.meta.roster);
        // Everyone publishes anew, who was put back to a backup with earlier times than were told.
        self.forgetting.told.clear();
        self.alone_is_not_behind(self.meta.stability.alone.is_none());
        if !self.config.rules.hold(Rule::H13) {
            self.forgetting.publish_at = env.now.mono;
            self.forgetting.reckon = true;
            return;
        }
        self.forgetting.adoption_due = true;
        self.adopt(env);
    }

    /// Who was removed counts on as long as this node's disk may be an old one.
    pub(super) fn removals_heard(&mut self, before: &Roster) {
        let (me, kept) = (self.meta.node, &mut self.meta.stability);
        if kept.unproven.is_none() {
            return;
        }
        for removed in before.members().filter(|id| *id != me && !self.meta.roster.contains(*id)) {
            kept.removed_unproven(kept.vector.of(removed, before));
        }
    }

    /// What is held of members that have begun a life since is looked at anew.
    pub(super) fn lives_began(&mut self, before: &Roster, env: Env<'_>) {
        if !self.config.rules.hold(Rule::H26) {
            return;
        }
        let others: Vec<NodeId> = self.others().collect();
        for member in others {
            let stamp = |roster: &Roster| roster.contact(member).map(|contact| contact.stamp);
            if let (Some(was), Some(at)) = (stamp(before), stamp(&self.meta.roster))
                && was < at
            {
                self.meta.stability.life_began(member, at);
                self.heard_of_life(member, env.now.mono);
            }
        }
    }

    fn adopt(&mut self, env: Env<'_>) {
        if let Some(at) = env.time.tick(env.now.wall_ms) {
            self.meta.stability.adopted = at;
            self.forgetting.adoption_due = false;
            self.forgetting.publish_at = env.now.mono;
            self.forgetting.reckon = true;
            self.persist();
        }
    }

    /// Liveness has changed, on which the horizon of a cluster of two rests.
    pub(super) fn reckon_anew(&mut self) {
        self.forgetting.reckon |= self.forgetting.members.len() <= 2;
    }

    fn reckon(&mut self, env: Env<'_>) {
        if !self.config.forgets_deletes {
            return;
        }
        if self.may_be_old(env.now.mono) {
            return;
        }
        if self.meta.stability.alone.is_some() {
            self.meta.stability.be_proven();
        }
        let own = &self.meta.stability.vector;
        let reckoned = reckon(&self.meta.roster, self.forgetting.version, &self.forgetting.known, own);
        if self.forgetting.waits != reckoned.waits {
            self.forgetting.waits = reckoned.waits;
            self.changed = true;
        }
        let horizon = self.reckon_horizon(env);
        let counts = self.config.rules.hold(Rule::H13);
        let watermark = if counts { reckoned.watermark } else { reckoned.unmet };
        self.take_marks(Marks { watermark: watermark.unwrap_or_default(), horizon }, env);
        self.publish_early(env);
    }

    /// The expiry horizon, by what is known now; lower than the one that is kept where little is.
    fn reckon_horizon(&mut self, env: Env<'_>) -> Hlc {
        let members = self.meta.roster.len();
        let other_down =
            members == 2 && self.others().all(|id| self.liveness.state(id) == LivenessState::Down);
        let rules = self.config.rules;
        if !rules.hold(Rule::H20) || (other_down && !rules.hold(Rule::H37)) {
            return step(self.meta.stability.published);
        }
        let published = self.forgetting.known.iter().map(|(_, published)| published.at);
        let agreed = majority(published, members);
        let kept = self.meta.stability.horizon;
        let passed = self.forgetting.elapsed.horizon(other_down, env.now.mono, kept);
        agreed.max(passed).unwrap_or_default()
    }

    /// Watermark and horizon rise to at least these: on disk before they are used. What the watermark says that this
    /// node should hold, it must hold.
    pub(super) fn take_marks(&mut self, marks: Marks, env: Env<'_>) {
        let kept = &mut self.meta.stability;
        let risen = Marks {
            watermark: kept.watermark.max(marks.watermark),
            horizon: kept.horizon.max(marks.horizon),
        };
        if risen == kept.marks() {
            return;
        }
        (kept.watermark, kept.horizon) = (risen.watermark, risen.horizon);
        // An earlier life of this node has published a time as late as that: no new dot may lie under it.
        self.start_above(risen.watermark, env);
        self.test_behind();
        self.persist();
    }

    /// Whether the store is where watermark and horizon are: else roots cannot be compared.
    pub(super) fn has_advanced(&self) -> bool {
        self.forgetting.advanced == self.meta.stability.marks()
    }

    fn advance(&mut self, env: Env<'_>) {
        if self.has_advanced() || self.forgetting.advancing.is_some() {
            return;
        }
        let marks = self.meta.stability.marks();
        self.forgetting.root = Some(env.store.root());
        let op = self.op(Op::Advance);
        self.forgetting.advancing = Some((op, marks));
        self.out.push_back(Action::Advance { op, marks, rows: ROWS_A_STEP });
    }

    /// A step of moving the store along was taken.
    pub(super) fn store_advanced(&mut self, op: u64, done: bool, env: Env<'_>) {
        let Some((_, marks)) = self.forgetting.advancing.take_if(|(under_way, _)| *under_way == op) else {
            return;
        };
        self.ops.remove(&op);
        if done {
            let before = std::mem::replace(&mut self.forgetting.advanced, marks);
            if before.watermark != marks.watermark {
                self.forgetting.purges.push_back(Purge { watermark: marks.watermark, at: env.now.mono });
            }
            self.purge_late(env);
            if self.forgetting.root != Some(env.store.root()) {
                self.tell_of_marks(env);
            }
            self.changed = true;
        }
    }

    /// What has become a tombstone under a watermark that stands still, by expiring or by a write of a clock that is behind, no
    /// later step takes off the disk.
    fn purge_late(&mut self, env: Env<'_>) {
        let idle = self.forgetting.purges.is_empty() && self.forgetting.advancing.is_none();
        if idle && env.store.waiting().purged > 0 {
            let watermark = self.forgetting.advanced.watermark;
            self.forgetting.purges.push_back(Purge { watermark, at: env.now.mono });
        }
    }

    /// This node was filled until now, with tombstones that have left the trees, too: for them the grace begins here.
    pub(super) fn grace_begins_anew(&mut self, now: Duration) {
        self.forgetting.purges.iter_mut().for_each(|purge| purge.at = now);
    }

    /// What left the tree by these marks still stands in the trees of those that have not heard of them: they are met
    /// soon, however quiet it is. Who learns of them so passes them on.
    fn tell_of_marks(&mut self, env: Env<'_>) {
        let live: Vec<NodeId> = self.live().to_vec();
        let told: Vec<NodeId> = live.sample(&mut self.rng, TOLD_OF_MARKS).copied().collect();
        for peer in told {
            let jitter = MARKS_TOLD_WITHIN.mul_f64(self.rng.random_range(0.0..1.0));
            self.schedule.soon(peer, env.now.mono + jitter);
        }
    }

    /// Whether a session is open in which a purged tombstone may still be needed (H9).
    fn forget_waits(&self) -> bool {
        let Some(purge) = self.forgetting.purges.front() else { return false };
        self.sessions.values().any(|session| session.started().mono <= purge.at)
    }

    /// Takes tombstones off the disk that left the tree long enough ago.
    fn forget(&mut self, env: Env<'_>) {
        let Some(purge) = self.forgetting.purges.front().copied() else { return };
        let is_old = env.now.mono >= purge.at + self.config.grace && !self.forget_waits();
        let may = is_old || !self.config.rules.hold(Rule::H9);
        if self.forgetting.forgetting.is_some() || !may {
            return;
        }
        let op = self.op(Op::Forget);
        self.forgetting.forgetting = Some(op);
        self.out.push_back(Action::Forget { op, upto: purge.watermark, rows: ROWS_A_STEP });
    }

    /// A step of taking tombstones off the disk was taken.
    pub(super) fn store_forgot(&mut self, op: u64, done: bool) {
        if self.forgetting.forgetting.take_if(|under_way| *under_way == op).is_none() {
            return;
        }
        self.ops.remove(&op);
        if done {
            self.forgetting.purges.pop_front();
        }
        self.changed = true;
    }
}
