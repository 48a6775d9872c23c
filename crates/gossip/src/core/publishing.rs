//! Summary vectors at work: this node's own is published, and what others have published is told on in openings.

use std::time::Duration;

use model::{Hlc, NodeId};
use rand::RngExt;
use storage::Marks;

use super::{Action, Core, Env, Op};
use crate::rules::Rule;
use crate::session::Stability;
use crate::stability::{Published, SAID_COMPONENTS_MAX, STEP_MS, Said, Vector};

/// Without a reservation for the clock nothing is published; it is tried again after this time.
const TRIED_AGAIN: Duration = Duration::from_secs(1);
/// With more members than that the watermark is reckoned no more often than this node publishes.
const RECKONED_AT_ONCE_MAX: usize = 64;

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
        self.out.push_back(Action::AwaitDurable { op, seq });
    }

    /// A disk that may be old says what it said last: so much its data surely has. Those that join must hear where it stands,
    /// and no watermark rises by it.
    fn publish_what_was(&mut self) {
        self.forgetting.publish_at = self.old_until();
        let (me, kept) = (self.meta.node, &self.meta.stability);
        let (at, roster) = (kept.published, self.forgetting.version);
        let vector = kept.complete(me, at, &self.meta.roster);
        let said = Published { at: vector.get(me), roster, adopted: Hlc::ZERO, vector };
        self.forgetting.known.take(me, said);
    }

    /// All that this node held at this time is durable.
    pub(super) fn published(&mut self, at: Hlc) {
        let (me, kept) = (self.meta.node, &mut self.meta.stability);
        // Of an adoption since then nothing was said: it publishes by itself.
        if at < kept.adopted || at <= kept.published || self.forgetting.adoption_due {
            return;
        }
        kept.published = at;
        let vector = kept.complete(me, at, &self.meta.roster);
        let (roster, adopted) = (self.forgetting.version, kept.adopted);
        self.forgetting.known.take(me, Published { at, roster, adopted, vector });
        self.forgetting.reckon = true;
        self.persist();
    }

    /// What an opening says, for this peer.
    pub(super) fn said_to(&mut self, peer: NodeId) -> Stability {
        let version = self.forgetting.version;
        // Where there is not room for all, none comes first always.
        let from = NodeId(self.rng.random());
        let known = &self.forgetting.known;
        let own = known.get(self.meta.node).filter(|published| published.roster == version);
        let published = own.map_or(Hlc::ZERO, |published| published.at);
        let told = self.forgetting.told.entry(peer).or_default();
        let mut said: Vec<Said> = Vec::new();
        let mut left = SAID_COMPONENTS_MAX;
        // This node's own first: the peer cannot do without it.
        let me = self.meta.node;
        let own = known.get(me).map(|published| (me, published));
        let order = own.into_iter().chain(known.iter_from(from).filter(|(of, _)| *of != me));
        for (of, published) in order {
            if of == peer || told.get(&of).is_some_and(|at| *at >= published.at) {
                continue;
            }
            let Some(form) = Said::of(&self.meta.roster, version, of, published) else { continue };
            if form.components() > left {
                break;
            }
            left -= form.components();
            told.insert(of, published.at);
            said.push(form);
        }
        let Marks { watermark, horizon } = self.meta.stability.marks();
        Stability { watermark, horizon, all_behind: self.all_behind(), published, said }
    }

    /// What a peer of the same roster says in its opening. Gives the vector that it had published before it froze its
    /// view, if that is known.
    pub(super) fn heard_said(&mut self, peer: NodeId, stability: &Stability) -> Option<Vector> {
        let version = self.forgetting.version;
        for said in &stability.said {
            let Some((of, published)) = said.hear(&self.meta.roster, version) else { continue };
            if of == self.meta.node {
                continue;
            }
            let told = self.forgetting.told.entry(peer).or_default().entry(of).or_default();
            *told = published.at.max(*told);
            // In a large cluster what is heard is reckoned with when this node publishes.
            let soon = self.meta.roster.len() <= RECKONED_AT_ONCE_MAX;
            self.forgetting.reckon |= self.forgetting.known.take(of, published) && soon;
        }
        let theirs = self.forgetting.known.get(peer)?;
        let same = theirs.at == stability.published && theirs.roster == version;
        same.then(|| theirs.vector.clone())
    }

    /// What was said to this peer may have been lost, or it may have forgotten it.
    pub(super) fn forget_told(&mut self, peer: NodeId) {
        self.forgetting.told.remove(&peer);
    }
}
