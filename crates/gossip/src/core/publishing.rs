//! Summary vectors at work: this node's own is published, and what others have published is told on in openings.

use std::time::Duration;

use model::{Hlc, NodeId};
use rand::RngExt;
use storage::Marks;

use super::{Action, Core, Env, Op};
use crate::rules::Rule;
use crate::session::Stability;
use crate::stability::{Own, Places, Published, SAID_MAX, STEP_MS, Said, SaidVector, Vector, step};

/// Without a reservation for the clock nothing is published; it is tried again after this time.
const TRIED_AGAIN: Duration = Duration::from_secs(1);
/// With more members than that this node publishes at its own pace only, and reckons the watermark no more often.
const AT_ONCE_MAX: usize = 64;

impl Core {
    /// The own component rises to a new time once all that was written until then is durable.
    pub(super) fn begin_publishing(&mut self, env: Env<'_>) {
        let now = env.now.mono;
        if self.may_be_old(now) {
            return self.publish_what_was();
        }
        let Some(at) = env.time.tick(env.now.wall_ms) else {
            self.forgetting.publish_at = now + TRIED_AGAIN;
            return;
        };
        self.forgetting.publish_at = now + Duration::from_millis(STEP_MS - env.now.wall_ms % STEP_MS);
        if !self.config.rules.hold(Rule::H10) {
            return self.published(at);
        }
        // After the time was taken: a write with an earlier one is in the store, or holds up this answer.
        let seq = env.store.written();
        let op = self.op(Op::Publish(at));
        self.forgetting.publishing = true;
        self.out.push_back(Action::AwaitDurable { op, seq });
    }

    /// A disk that may be old says what it said last: so much its data surely has. Those that join must hear where it stands,
    /// and no watermark rises by it.
    fn publish_what_was(&mut self) {
        self.forgetting.publish_at = self.old_until();
        let (me, roster) = (self.meta.node, self.forgetting.version);
        let vector = self.vector_at(self.meta.stability.published);
        let own = Own { roster, adopted: Hlc::ZERO, unproven: true };
        let said = Published::new(me, own, &vector, &self.forgetting.known);
        self.forgetting.known.take(me, said, me);
    }

    /// What this node's vector says at its own time `at`, of which everything before is durable.
    fn vector_at(&self, at: Hlc) -> Vector {
        let kept = &self.meta.stability;
        kept.complete(self.meta.node, kept.vouched(at), &self.meta.roster)
    }

    /// What this node publishes at that time.
    fn publication_at(&self, at: Hlc) -> Published {
        let known = &self.forgetting.known;
        Published { at, ..Published::new(self.meta.node, self.own(), &self.vector_at(at), known) }
    }

    fn own(&self) -> Own {
        let kept = &self.meta.stability;
        Own { roster: self.forgetting.version, adopted: kept.adopted, unproven: kept.unproven.is_some() }
    }

    /// Publishes before the time comes, where the watermark could rise by it: in a small cluster.
    pub(super) fn publish_early(&mut self, env: Env<'_>) {
        if self.forgetting.members.len() > AT_ONCE_MAX || self.forgetting.publishing {
            return;
        }
        let now = self.publication_at(self.meta.stability.published);
        let said = self.forgetting.known.get(self.meta.node);
        let is_news = |said: &Published| step(now.least) > step(said.least) || now.meets != said.meets;
        if said.is_none_or(is_news) {
            self.forgetting.publish_at = self.forgetting.publish_at.min(env.now.mono);
        }
    }

    /// All that this node held at this time is durable.
    pub(super) fn published(&mut self, at: Hlc) {
        self.forgetting.publishing = false;
        let (me, kept) = (self.meta.node, &mut self.meta.stability);
        // Of an adoption since then nothing was said: it publishes by itself.
        if at < kept.adopted || at <= kept.published || self.forgetting.adoption_due {
            return;
        }
        kept.published = at;
        let said = self.publication_at(at);
        self.forgetting.known.take(me, said, me);
        self.forgetting.reckon = true;
        self.persist();
    }

    fn places(&self) -> Places<'_> {
        Places { members: &self.forgetting.members, version: self.forgetting.version }
    }

    /// What an opening says, for this peer. The vector is as of now: what it says is durable here.
    pub(super) fn said_to(&mut self, peer: NodeId) -> Stability {
        let own = self.forgetting.known.under(self.forgetting.version, self.meta.node);
        let published = own.map_or(Hlc::ZERO, |own| own.at);
        let vector = own.map(|_| SaidVector::of(self.places(), published, &self.vector_at(published)));
        let told = self.forgetting.told.get(&peer).copied().unwrap_or_default();
        let around = NodeId(self.rng.random());
        let (news, is_all) = self.forgetting.known.news((told, peer), SAID_MAX, around);
        let form = |(of, known)| Said::of(self.places(), published, of, known);
        let said = news.into_iter().filter_map(form).collect();
        if is_all {
            self.forgetting.told.insert(peer, self.forgetting.known.learned());
        }
        let Marks { watermark, horizon } = self.meta.stability.marks();
        let unproven = self.meta.stability.unproven.is_some();
        Stability { watermark, horizon, all_behind: self.all_behind(), unproven, published, vector, said }
    }

    /// What a peer of the same roster says in its opening. Gives its vector, if it says one.
    pub(super) fn heard_said(&mut self, peer: NodeId, stability: &Stability) -> Option<Vector> {
        let base = stability.published;
        let soon = self.forgetting.members.len() <= AT_ONCE_MAX;
        for said in &stability.said {
            let Some((of, published)) = said.hear(self.places(), base) else { continue };
            if of != self.meta.node {
                // In a large cluster what is heard is reckoned with when this node publishes.
                self.forgetting.reckon |= self.forgetting.known.take(of, published, peer) && soon;
            }
        }
        let vector = stability.vector.as_ref().and_then(|said| said.hear(self.places(), base));
        // While its disk may be an old one the own component lies below the time of what it published.
        vector.filter(|vector| vector.get(peer) == base || stability.unproven)
    }

    /// What was said to this peer may have been lost, or it may have forgotten it.
    pub(super) fn forget_told(&mut self, peer: NodeId) {
        self.forgetting.told.remove(&peer);
    }
}
