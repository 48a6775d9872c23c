//! Removing a member that is down, by promises: the driver side of [`crate::promise`] within the core. An operator may
//! have it done without, by force.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Hlc, NodeId};
use thiserror::Error;

use super::event::Answered;
use super::{Action, Core, Env, LeaveRefusal, ReplyId};
use crate::liveness::LivenessState;
use crate::promise::{Answer, Ask, Eviction, Refusal, Tally, Verdict};
use crate::roster::Removal;
use crate::rules::Rule;
use crate::wire::Frame;

/// Members that have not answered are asked again after this time.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// An eviction without enough promises is given up after this time; who still wants it begins anew.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The evictions this node has under way, by target.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    running: BTreeMap<NodeId, Running>,
    /// What the stamps of new attempts must be above, by what earlier ones were told.
    above: Hlc,
}

#[derive(Clone, Debug)]
struct Running {
    eviction: Eviction,
    ask_again: Duration,
    give_up: Duration,
    /// Operators that wait for it.
    replies: Vec<ReplyId>,
}

/// A member was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// By whose promises; none where that was forced, or where another had done it already.
    pub promised: Option<Tally>,
    /// When the last session began that proved it identical to this node, milliseconds since 1970, if ever one did.
    pub identical_ms: Option<u64>,
}

/// Why a member was not removed. The roster is unchanged.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EvictRefusal {
    /// Whoever asks must be a member that starts nothing and stops nothing.
    #[error("this node is no member, or is starting or stopping")]
    NotReady,
    /// Of a node that is behind: its roster may be older than the others'.
    #[error("this node is behind, and may not know who belongs")]
    Behind,
    /// The target is none.
    #[error("there is no such member")]
    NotAMember,
    /// A node removes itself by leaving.
    #[error("a node does not evict itself: it leaves")]
    Oneself,
    /// The target answers, or it is too early to say that it does not.
    #[error("the member answers, or this node has not looked for it for long enough")]
    Answers,
    /// Even if all that answer promised, they would be too few.
    #[error("too few members answer: {} of {} could promise it, {} are needed", .0.promised, .1, .0.needed)]
    NoMajority(Tally, usize),
    /// Too few promised it in time.
    #[error("only {} of the {} members needed promised it", .tally.promised, .tally.needed)]
    TooFew {
        /// How far it came.
        tally: Tally,
        /// Who refused, and why.
        refusals: Vec<(NodeId, Refusal)>,
    },
    /// This node has promised something that stands in the way.
    #[error("{0}")]
    Promised(Refusal),
}

impl Evictions {
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.running.values().map(|r| r.ask_again.min(r.give_up)).min()
    }
}

impl Core {
    fn is_down(&self, member: NodeId, env: Env<'_>) -> bool {
        member != self.meta.node && self.surely(member, env) == LivenessState::Down
    }

    /// Begins to remove a member that is down, unless that is under way already. Promises are on disk before anyone
    /// is asked.
    pub(super) fn evict(&mut self, target: NodeId, env: Env<'_>) -> Result<(), EvictRefusal> {
        if self.evictions.running.contains_key(&target) {
            return Ok(());
        }
        let now = env.time.tick(env.now.wall_ms).ok_or(EvictRefusal::NotReady)?;
        // What this node has promised the target itself may have come from a clock that is ahead.
        let above = self.meta.promises.latest_for(target).unwrap_or_default().max(self.evictions.above);
        let stamp = above.next().map_or(now, |above| above.max(now));
        let watermark = self.elders_until();
        let (me, roster, own) = (self.meta.node, &self.meta.roster, &self.meta.promises);
        let name = roster.shown_name(target);
        match Eviction::begin(me, target, stamp, roster, watermark, own, self.is_down(target, env)) {
            Err(refusal) => {
                tracing::warn!(member = %name, %refusal, "not to be removed");
                Err(EvictRefusal::Promised(refusal))
            }
            Ok((eviction, promises)) => {
                tracing::info!(member = %name, "asking the others to promise its removal");
                self.meta.promises = promises;
                self.persist();
                let now = env.now.mono;
                let (give_up, replies) = (now + GIVEN_UP, Vec::new());
                self.evictions.running.insert(target, Running { eviction, ask_again: now, give_up, replies });
                Ok(())
            }
        }
    }

    /// Whose additions everybody knows: without the promises of most of those a majority may be made up by one side alone
    /// (H33).
    fn elders_until(&self) -> Hlc {
        if self.config.rules.hold(Rule::H33) { self.meta.stability.watermark } else { Hlc::ZERO }
    }

    /// An operator wants a member to be removed.
    pub(super) fn evict_wanted(&mut self, reply: ReplyId, target: NodeId, force: bool, env: Env<'_>) {
        let done = match (force, self.meta.node == target) {
            (true, true) => self.evict_oneself(env).map(Some),
            (true, false) => self.evict_by_force(target, env).map(Some),
            (false, _) => self.evict_by_promises(reply, target, env).map(|()| None),
        };
        if let Some(done) = done.transpose() {
            self.answer_evict(reply, done);
        }
    }

    fn answer_evict(&mut self, reply: ReplyId, answer: Result<Evicted, EvictRefusal>) {
        self.out.push_back(Action::Answer { reply, answer: Answered::Evict(answer) });
    }

    /// Begins, or joins what has begun; the answer comes when that ends.
    fn evict_by_promises(
        &mut self,
        reply: ReplyId,
        target: NodeId,
        env: Env<'_>,
    ) -> Result<(), EvictRefusal> {
        if !self.may_repair() {
            return Err(EvictRefusal::NotReady);
        }
        if target == self.meta.node {
            return Err(EvictRefusal::Oneself);
        }
        if !self.meta.roster.contains(target) {
            return Err(EvictRefusal::NotAMember);
        }
        if !self.meta.caught_up {
            return Err(EvictRefusal::Behind);
        }
        if !self.is_down(target, env) {
            return Err(EvictRefusal::Answers);
        }
        self.evict(target, env)?;
        let (me, live) = (self.meta.node, self.live());
        let Some(running) = self.evictions.running.get_mut(&target) else {
            return Err(EvictRefusal::NotReady);
        };
        let at_most = running.eviction.tally_if(|id| id == me || live.contains(&id));
        if !at_most.enough() && self.config.rules.hold(Rule::H15) {
            let members = self.meta.roster.len();
            if running.replies.is_empty() {
                self.evictions.running.remove(&target);
                self.give_up_own_promises();
            }
            return Err(EvictRefusal::NoMajority(at_most, members));
        }
        running.replies.push(reply);
        Ok(())
    }

    /// Asks nobody. What the member alone holds is lost, unless somebody brings it back from its quarantine file.
    fn evict_by_force(&mut self, target: NodeId, env: Env<'_>) -> Result<Evicted, EvictRefusal> {
        if self.stopping || !self.is_member() {
            return Err(EvictRefusal::NotReady);
        }
        if !self.meta.roster.contains(target) {
            return Err(EvictRefusal::NotAMember);
        }
        let at = env.time.tick(env.now.wall_ms).ok_or(EvictRefusal::NotReady)?;
        let identical_ms = self.meta.identical.get(&target).copied();
        tracing::warn!(member = %self.meta.roster.shown_name(target), last_identical_ms = identical_ms,
            "removed by force, without the promises of the others: what it took since it was last proven identical, and \
             told nobody, is lost to them");
        let before = self.meta.roster.clone();
        let removed = self.meta.roster.remove(target, Removal { at, by: self.meta.node });
        removed.map_err(|_| EvictRefusal::NotAMember)?;
        self.roster_changed(&before, env);
        Ok(Evicted { promised: None, identical_ms })
    }

    fn evict_oneself(&mut self, env: Env<'_>) -> Result<Evicted, EvictRefusal> {
        let left = self.leave(true, env).map(|()| Evicted { promised: None, identical_ms: None });
        left.map_err(|refusal| match refusal {
            LeaveRefusal::NotAMember => EvictRefusal::NotAMember,
            _ => EvictRefusal::NotReady,
        })
    }

    /// How far the removal of this member has come; none when none is under way.
    pub(super) fn eviction_tally(&self, target: NodeId) -> Option<Tally> {
        self.evictions.running.get(&target).map(|running| running.eviction.tally())
    }

    pub(super) fn evictions_due(&mut self, env: Env<'_>) {
        if self.evictions.running.is_empty() {
            return;
        }
        let (live, elders_until) = (self.live(), self.elders_until());
        let mut asks: Vec<(NodeId, Ask)> = Vec::new();
        let mut enough = Vec::new();
        let mut given_up: Vec<(Running, NodeId)> = Vec::new();
        let roster = &self.meta.roster;
        let above = &mut self.evictions.above;
        let without_promises = !self.config.rules.hold(Rule::H15);
        self.evictions.running.retain(|target, running| {
            running.eviction.watermark_rose(roster, elders_until);
            if running.eviction.may_remove(roster) || without_promises {
                let replies = std::mem::take(&mut running.replies);
                enough.push((*target, running.eviction.tally(), replies));
                return false;
            }
            if env.now.mono >= running.give_up || !roster.contains(*target) {
                *above = running.eviction.stamp_above().max(*above);
                given_up.push((running.clone(), *target));
                return false;
            }
            if env.now.mono >= running.ask_again {
                running.ask_again = env.now.mono + ASKED_AGAIN;
                let ask = *running.eviction.ask();
                asks.extend(running.eviction.to_ask().filter(|id| live.contains(id)).map(|id| (id, ask)));
            }
            true
        });
        for (to, ask) in asks {
            self.introduce(to);
            self.say(to, Frame::PromiseAsk(ask));
        }
        for (running, target) in given_up {
            self.too_few(&running, target);
        }
        for (target, tally, replies) in enough {
            let identical_ms = self.meta.identical.get(&target).copied();
            self.remove(target, env);
            let gone = !self.meta.roster.contains(target);
            for reply in replies {
                let evicted = Evicted { promised: Some(tally), identical_ms };
                self.answer_evict(reply, if gone { Ok(evicted) } else { Err(EvictRefusal::Answers) });
            }
        }
        self.give_up_own_promises();
    }

    /// What this node has promised itself counts for no attempt that has ended.
    pub(super) fn give_up_own_promises(&mut self) {
        let running = &self.evictions.running;
        if self.meta.promises.give_up(self.meta.node, |target| running.contains_key(&target)) {
            self.persist();
        }
    }

    /// Not enough have promised in time, or another has removed it.
    fn too_few(&mut self, running: &Running, target: NodeId) {
        let tally = running.eviction.tally();
        let gone = !self.meta.roster.contains(target);
        if !gone {
            tracing::warn!(
                member = %self.meta.roster.shown_name(target), promised = tally.promised, needed = tally.needed,
                refusals = ?running.eviction.refusals(), "too few promises to remove it"
            );
        }
        let refusals: Vec<_> = running.eviction.refusals().iter().map(|(id, why)| (*id, *why)).collect();
        for reply in &running.replies {
            let refused = EvictRefusal::TooFew { tally, refusals: refusals.clone() };
            let answer = if gone { Ok(Evicted { promised: None, identical_ms: None }) } else { Err(refused) };
            self.answer_evict(*reply, answer);
        }
    }

    /// Enough have promised. A target that came back in the meantime stays.
    pub(super) fn remove(&mut self, target: NodeId, env: Env<'_>) {
        let at = env.time.tick(env.now.wall_ms).unwrap_or(Hlc::ZERO);
        if !self.is_down(target, env) || at == Hlc::ZERO {
            return;
        }
        let before = self.meta.roster.clone();
        match self.meta.roster.remove(target, Removal { at, by: self.meta.node }) {
            Ok(_) => self.roster_changed(&before, env),
            Err(error) => tracing::warn!(%error, "not removed"),
        }
    }

    pub(super) fn promise_asked(&mut self, from: NodeId, ask: Ask, env: Env<'_>) {
        if ask.evictor != from {
            return;
        }
        let down = self.is_down(ask.target, env);
        let (answer, promises) = self.meta.promises.answer(self.meta.node, &self.meta.roster, &ask, down);
        if let Some(promises) = promises {
            tracing::info!(member = %self.meta.roster.shown_name(ask.target), by = %self.meta.roster.shown_name(from), "promised its removal");
            self.meta.promises = promises;
            self.persist();
        }
        if matches!(answer.verdict, Verdict::Refused(crate::promise::Refusal::RosterDiffers)) {
            self.tell_roster(from);
        }
        self.say(from, Frame::PromiseAnswer(answer));
    }

    pub(super) fn promise_answered(&mut self, from: NodeId, answer: &Answer) {
        if let Some(running) = self.evictions.running.get_mut(&answer.ask.target) {
            running.eviction.heard(from, answer);
        }
    }
}
