//! Removing a member that is down, by promises: the driver side of [`crate::promise`] within the core.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Hlc, NodeId};

use super::{Core, Env};
use crate::liveness::LivenessState;
use crate::promise::{Answer, Ask, Eviction, Tally, Verdict};
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

#[derive(Debug)]
struct Running {
    eviction: Eviction,
    ask_again: Duration,
    give_up: Duration,
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
    pub(super) fn evict(&mut self, target: NodeId, env: Env<'_>) {
        if self.evictions.running.contains_key(&target) {
            return;
        }
        let Some(now) = env.time.tick(env.now.wall_ms) else { return };
        let stamp = self.evictions.above.next().map_or(now, |above| above.max(now));
        let (me, watermark) = (self.meta.node, self.meta.stability.watermark);
        let (roster, own) = (&self.meta.roster, &self.meta.promises);
        let name = roster.shown_name(target);
        match Eviction::begin(me, target, stamp, roster, watermark, own, self.is_down(target, env)) {
            Err(refusal) => tracing::warn!(member = %name, %refusal, "not to be removed"),
            Ok((eviction, promises)) => {
                tracing::info!(member = %name, "asking the others to promise its removal");
                self.meta.promises = promises;
                self.persist();
                let now = env.now.mono;
                let running = Running { eviction, ask_again: now, give_up: now + GIVEN_UP };
                self.evictions.running.insert(target, running);
            }
        }
    }

    /// How far the removal of this member has come; none when none is under way.
    pub(super) fn eviction_tally(&self, target: NodeId) -> Option<Tally> {
        self.evictions.running.get(&target).map(|running| running.eviction.tally())
    }

    pub(super) fn evictions_due(&mut self, env: Env<'_>) {
        if self.evictions.running.is_empty() {
            return;
        }
        let live = self.live();
        let mut asks: Vec<(NodeId, Ask)> = Vec::new();
        let mut enough = Vec::new();
        let roster = &self.meta.roster;
        let above = &mut self.evictions.above;
        let without_promises = !self.config.rules.hold(Rule::H15);
        self.evictions.running.retain(|target, running| {
            if running.eviction.may_remove(roster) || without_promises {
                enough.push(*target);
                return false;
            }
            if env.now.mono >= running.give_up || !roster.contains(*target) {
                let tally = running.eviction.tally();
                *above = running.eviction.stamp_above().max(*above);
                tracing::warn!(
                    member = %roster.shown_name(*target), promised = tally.promised, needed = tally.needed,
                    refusals = ?running.eviction.refusals(), "too few promises to remove it"
                );
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
        for target in enough {
            self.remove(target, env);
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
