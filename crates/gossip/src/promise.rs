//! Evicting a member that is down, by promises that cannot cross.
//!
//! Two members that cannot see each other must never evict each other: the merged roster would hold
//! neither, and acknowledged writes with them (H15). So a member that wants to remove another (also to let
//! a wiped node come back under its name, H34) first collects promises, each on the promiser's disk before
//! it is answered. An eviction needs promises
//!
//! * from more than half of the **whole** roster, the member that is down counted in (its own promise is
//!   never given, the evictor's own counts);
//! * and from more than half of those members whose add lies at or under the watermark, if there are any,
//!   so that a cut-off member cannot outvote the others with members that it added itself (H33). While the
//!   watermark is zero this rule asks for nothing, and H33 is not prevented.
//!
//! A member refuses its promise
//!
//! 1. unless it sees the same roster, the evictor in it, and the target down;
//! 2. when it has promised anyone to remove the evictor;
//! 3. when it has promised the *target* to remove somebody, unless the ask's stamp is later than that
//!    promise's.
//!
//! Why this suffices, for evictions under one roster: any two have a promiser in common, since both have
//! more than half. If A evicts B and B evicts C, that promiser gave A its promise last (by rule 2 it would
//! have refused B otherwise), so by rule 3 A's stamp is later than B's. Around a circle of evictions the
//! stamps would fall for ever; so there is no circle, of two (already by rule 2) or of more, and the
//! members that are left are never none. `promise/tests.rs` tries all orders.
//!
//! What follows from "more than half of the whole roster": **a cluster of two cannot replace a member that
//! is down**, since one of two is not more than half, and no rule could tell a dead member from one that
//! serves its own clients across a cut. Removing it takes an operator's force, spelled out, which is not
//! in this module but in `core/eviction`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::roster::{Roster, RosterVersion};

#[cfg(test)]
mod tests;

/// What an evictor asks every other member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The member that wants to remove.
    pub evictor: NodeId,
    /// The member to be removed.
    pub target: NodeId,
    /// When this eviction began, by the evictor's clock; later for each new attempt.
    pub stamp: Hlc,
    /// The roster whose members are counted.
    pub roster: RosterVersion,
}

/// The answer to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was asked.
    pub ask: Ask,
    /// Whether it is promised.
    pub verdict: Verdict,
}

/// Whether a promise is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is, and is on the promiser's disk.
    Promised,
    /// It is not. Nothing was changed by the ask.
    Refused(Refusal),
}

/// Why a promise is refused. The refuser's state is unchanged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Rosters are to be merged first, then asked again.
    #[error("it sees another roster")]
    RosterDiffers,
    /// Evictor or target do not belong, or are one and the same.
    #[error("evictor and target are not two members")]
    NotTwoMembers,
    /// Nobody promises its own removal, and nobody removes what answers.
    #[error("the member to be removed is not down as it sees it")]
    TargetAnswers,
    /// It helps to remove the evictor.
    #[error("it has promised to remove the evictor")]
    EvictorLeaves,
    /// It helps the target to remove somebody; an attempt with a later stamp than this may succeed.
    #[error("it has promised the target's own eviction, at {than}, and needs a later stamp")]
    Earlier {
        /// The stamp to be above.
        than: Hlc,
    },
}

/// The promises a member has given and not been released from. Part of what it keeps on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// Target, evictor, and the greatest stamp promised.
    given: BTreeMap<NodeId, BTreeMap<NodeId, Hlc>>,
}

impl Promises {
    /// What member `me` answers, and its promises as they must be **on disk before the answer leaves**
    /// (none when they do not change). `target_down` is whether `me` sees the target as down.
    pub fn answer(
        &self,
        me: NodeId,
        roster: &Roster,
        ask: &Ask,
        target_down: bool,
    ) -> (Answer, Option<Self>) {
        match self.consider(me, roster, ask, target_down) {
            Err(refusal) => (Answer { ask: *ask, verdict: Verdict::Refused(refusal) }, None),
            Ok(promises) => {
                (Answer { ask: *ask, verdict: Verdict::Promised }, (promises != *self).then_some(promises))
            }
        }
    }

    /// The promises with one for `ask` among them.
    fn consider(&self, me: NodeId, roster: &Roster, ask: &Ask, target_down: bool) -> Result<Self, Refusal> {
        if !roster.contains(ask.evictor) || !roster.contains(ask.target) || ask.evictor == ask.target {
            return Err(Refusal::NotTwoMembers);
        }
        if roster.version() != ask.roster {
            return Err(Refusal::RosterDiffers);
        }
        if !target_down || ask.target == me {
            return Err(Refusal::TargetAnswers);
        }
        if self.has_promised_to_remove(ask.evictor) {
            return Err(Refusal::EvictorLeaves);
        }
        if let Some(than) = self.latest_for(ask.target).filter(|than| ask.stamp <= *than) {
            return Err(Refusal::Earlier { than });
        }
        let mut promises = self.clone();
        let stamp = promises.given.entry(ask.target).or_default().entry(ask.evictor).or_default();
        *stamp = ask.stamp.max(*stamp);
        Ok(promises)
    }

    /// Whether anyone was promised that this member goes.
    pub fn has_promised_to_remove(&self, member: NodeId) -> bool {
        self.given.contains_key(&member)
    }

    /// The latest stamp of what this evictor was promised.
    pub(crate) fn latest_for(&self, evictor: NodeId) -> Option<Hlc> {
        self.given.values().filter_map(|evictors| evictors.get(&evictor)).max().copied()
    }

    /// Drops the promises that a removal has settled: those about a target, or to an evictor, that is no
    /// member any more. True when some were dropped; forgetting to write that to disk is harmless.
    pub fn release(&mut self, roster: &Roster) -> bool {
        let before = self.len();
        self.given.retain(|target, evictors| {
            evictors.retain(|evictor, _| roster.contains(*evictor));
            roster.contains(*target) && !evictors.is_empty()
        });
        self.len() != before
    }

    /// Drops what an evictor has promised itself, but for the targets whose eviction it is still about. It counts on no attempt
    /// that it has given up, and asks for the next one anew; meanwhile it must not refuse a target that came back. True when
    /// some were dropped; forgetting to write that to disk is harmless.
    pub fn give_up(&mut self, evictor: NodeId, about: impl Fn(NodeId) -> bool) -> bool {
        let before = self.len();
        self.given.retain(|target, evictors| {
            if !about(*target) {
                evictors.remove(&evictor);
            }
            !evictors.is_empty()
        });
        self.len() != before
    }

    /// All promises: target, evictor, stamp.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, NodeId, Hlc)> {
        self.given.iter().flat_map(|(target, evictors)| {
            evictors.iter().map(|(evictor, stamp)| (*target, *evictor, *stamp))
        })
    }

    /// How many promises there are.
    pub fn len(&self) -> usize {
        self.given.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

/// How far an eviction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Members that promised, the evictor among them.
    pub promised: usize,
    /// Promises needed of the whole roster.
    pub needed: usize,
    /// Promises of members whose add lies at or under the watermark.
    pub elders_promised: usize,
    /// Promises needed of those; 0 when there are none.
    pub elders_needed: usize,
}

impl Tally {
    /// Whether the eviction may be carried out.
    pub fn enough(self) -> bool {
        self.promised >= self.needed && self.elders_promised >= self.elders_needed
    }
}

/// An evictor's side: collects the answers to one ask. In memory only; a new attempt asks anew.
#[derive(Clone, Debug)]
pub struct Eviction {
    ask: Ask,
    members: BTreeSet<NodeId>,
    elders: BTreeSet<NodeId>,
    promised: BTreeSet<NodeId>,
    refused: BTreeMap<NodeId, Refusal>,
}

impl Eviction {
    /// Begins: the evictor `me` gives its own promise first. The returned promises must be **on disk
    /// before the ask leaves**. `stamp` is from the evictor's clock, above [`Eviction::stamp_above`] of an
    /// attempt before; `watermark` splits off the elders.
    ///
    /// # Errors
    /// The evictor's own [`Refusal`]; nothing has begun.
    pub fn begin(
        me: NodeId,
        target: NodeId,
        stamp: Hlc,
        roster: &Roster,
        watermark: Hlc,
        own: &Promises,
        target_down: bool,
    ) -> Result<(Self, Promises), Refusal> {
        let ask = Ask { evictor: me, target, stamp, roster: roster.version() };
        let promises = own.consider(me, roster, &ask, target_down)?;
        let members = roster.members().collect();
        let elders = BTreeSet::new();
        let mut eviction = Self { ask, members, elders, promised: [me].into(), refused: BTreeMap::new() };
        eviction.watermark_rose(roster, watermark);
        Ok((eviction, promises))
    }

    /// Whose additions lie at or under this watermark counts among the elders. To be said whenever the watermark rises: by
    /// another one the promises that were enough may be those of one side of a cut alone.
    pub fn watermark_rose(&mut self, roster: &Roster, watermark: Hlc) {
        let is_elder = |id: &NodeId| roster.added(*id).is_some_and(|add| add.at <= watermark);
        self.elders.extend(self.members.iter().copied().filter(is_elder));
    }

    /// What to ask every member of [`Eviction::to_ask`].
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// Who has not promised yet and may: ask these, again after a while too. Asking twice is harmless.
    pub fn to_ask(&self) -> impl Iterator<Item = NodeId> {
        self.members.iter().copied().filter(|id| *id != self.ask.target && !self.promised.contains(id))
    }

    /// Takes in an answer; `from` is who sent it, by its connection and not by what it says. Answers to
    /// other asks, and of nobody who counts, change nothing.
    pub fn heard(&mut self, from: NodeId, answer: &Answer) {
        if answer.ask != self.ask || from == self.ask.target || !self.members.contains(&from) {
            return;
        }
        match answer.verdict {
            Verdict::Promised => {
                self.refused.remove(&from);
                self.promised.insert(from);
            }
            Verdict::Refused(refusal) if !self.promised.contains(&from) => {
                self.refused.insert(from, refusal);
            }
            Verdict::Refused(_) => {}
        }
    }

    /// How far it has come.
    pub fn tally(&self) -> Tally {
        self.tally_of(|id| self.promised.contains(&id))
    }

    /// How far it would come if all of these promised it.
    pub fn tally_if(&self, promise: impl Fn(NodeId) -> bool) -> Tally {
        self.tally_of(|id| id != self.ask.target && promise(id))
    }

    fn tally_of(&self, promised: impl Fn(NodeId) -> bool) -> Tally {
        let elders_needed = if self.elders.is_empty() { 0 } else { majority(self.elders.len()) };
        Tally {
            promised: self.members.iter().filter(|id| promised(**id)).count(),
            needed: majority(self.members.len()),
            elders_promised: self.elders.iter().filter(|id| promised(**id)).count(),
            elders_needed,
        }
    }

    /// Whether the target may now be removed: enough promises, and the roster is still the one they were
    /// counted under. A roster that changed meanwhile takes a new attempt.
    pub fn may_remove(&self, roster: &Roster) -> bool {
        roster.version() == self.ask.roster && self.tally().enough()
    }

    /// Who refused, and why.
    pub fn refusals(&self) -> &BTreeMap<NodeId, Refusal> {
        &self.refused
    }

    /// What the stamp of a new attempt must be above: this one's, and those that refusals named.
    pub fn stamp_above(&self) -> Hlc {
        let named = self.refused.values().filter_map(|refusal| match refusal {
            Refusal::Earlier { than } => Some(*than),
            _ => None,
        });
        named.fold(self.ask.stamp, Hlc::max)
    }
}

/// More than half of `n`.
fn majority(n: usize) -> usize {
    n / 2 + 1
}
