//! Whether this node holds what the others count on: a disk that may be an old one is proven by whoever was there all along,
//! and a node that is behind is so until a session has filled it.

use std::time::Duration;

use model::{Hlc, NodeId};

use super::{Core, Env};
use crate::liveness::LivenessState;
use crate::rules::Rule;
use crate::session::Session;
use crate::stability::{Cause, Terms};

/// A node that began a life on data that name nobody but itself takes its disk for the newest after so long. Before, it may
/// be a backup from when it was alone: then the others call. Whom it lets in meanwhile knows no more of them.
const ALONE_AFTER: Duration = Duration::from_secs(600);
/// Where nobody is known that was there all along, as after a power cut, the disks are taken for the newest so long after the
/// last one that started was heard of. Before, there may be members that none of these disks names, since they were put back:
/// they call meanwhile.
const ALL_NEW_AFTER: Duration = Duration::from_secs(60);

impl Core {
    /// When a disk that may be old is taken for the newest.
    pub(super) fn old_until(&self) -> Duration {
        self.forgetting.begun + ALONE_AFTER
    }

    /// Whether this node's disk may be a backup from when it was alone.
    pub(super) fn may_be_old(&self, now: Duration) -> bool {
        self.meta.stability.alone.is_some() && now < self.old_until()
    }

    /// Whether a member was let in by this node since its disk may have been put back, or by one that was: what it knows of
    /// the cluster it has from here.
    fn knows_only_me(&self, member: NodeId) -> bool {
        let (me, roster) = (self.meta.node, &self.meta.roster);
        let Some(since) = self.meta.stability.alone else { return false };
        let mut id = member;
        for _ in 0..roster.ids() {
            match roster.added(id).filter(|add| add.at > since) {
                Some(add) if add.sponsor == me => return true,
                Some(add) if add.sponsor != id => id = add.sponsor,
                _ => return false,
            }
        }
        false
    }

    /// Whether this node has let somebody in while its disk may be an old one: the newcomer knows the cluster from that disk
    /// alone, and must not be left with it before those who know better have had time to call.
    pub(super) fn would_leave_a_guest_alone(&self, now: Duration) -> bool {
        self.meta.stability.unproven.is_some() && self.forgetting.let_in && self.others_may_call(now)
    }

    /// Whether members that this disk does not name may call yet.
    fn others_may_call(&self, now: Duration) -> bool {
        now < self.forgetting.last_heard + ALL_NEW_AFTER
    }

    /// Whoever is the only member has nobody to be behind of; where it surely is, it has nobody to be proven by either.
    pub(super) fn alone_is_not_behind(&mut self, surely: bool) {
        if self.is_member() && self.meta.roster.len() == 1 {
            if surely {
                self.meta.stability.be_proven();
            }
            self.meta.stability.behind = None;
            if !std::mem::replace(&mut self.meta.caught_up, true) {
                tracing::warn!("this node is the only member left; going on with what it holds");
                self.schedule.set_needed(false);
            }
        }
    }

    /// Whether the node holds as much as it should; once it is behind only a session ends that.
    pub(super) fn test_behind(&mut self) {
        let me = self.meta.node;
        if self.meta.caught_up && self.meta.stability.holds_too_little(me, &self.meta.roster) {
            tracing::warn!(
                watermark = %self.meta.stability.watermark,
                stable = %self.meta.stability.stable(me, &self.meta.roster),
                "this node holds less than the others count on, as after a restored backup: it is behind until a \
                 session with a member that is not has completed"
            );
            self.be_restored();
        }
    }

    /// The disk is older than what others count on.
    pub(super) fn be_restored(&mut self) {
        self.meta.caught_up = false;
        self.meta.stability.behind = Some(Cause::Restored);
        self.forgetting.met.clear();
        self.schedule.set_needed(true);
        self.changed = true;
    }

    /// A member has begun a life. Who has not been met in it was not met; and of each the first that is heard of counts for the
    /// time in which others call, not all of one that starts again and again.
    pub(super) fn heard_of_life(&mut self, member: NodeId, now: Duration) {
        self.forgetting.met.remove(&member);
        self.forgetting.completed.remove(&member);
        if self.forgetting.heard.insert(member) {
            self.forgetting.last_heard = now;
        }
    }

    /// Whether every member is known to be behind, this one too (H29).
    pub(super) fn all_behind(&self) -> bool {
        let is_behind = |id| self.said_behind(id) == Some(true);
        self.config.rules.hold(Rule::H29) && !self.meta.caught_up && self.others().all(is_behind)
    }

    /// Whether a member has said that it is behind; none before it has said anything.
    pub(super) fn said_behind(&self, id: NodeId) -> Option<bool> {
        self.peers.get(&id).and_then(|peer| peer.behind)
    }

    /// Where every member that answers is behind, and some do, and nobody is known who is not: whom this node waits for. Those of
    /// whom nothing is known, and those that it has not met since all are known to be behind.
    pub(super) fn unmet(&self) -> Vec<NodeId> {
        if self.meta.caught_up {
            return Vec::new();
        }
        let is_down = |id: NodeId| self.liveness.state(id) == LivenessState::Down;
        let is_behind = |id| self.said_behind(id) == Some(true);
        let may_be_behind = |id| is_behind(id) || (self.said_behind(id).is_none() && is_down(id));
        let nobody_knows =
            self.others().any(|id| is_behind(id) && !is_down(id)) && self.others().all(may_be_behind);
        let unmet = self.others().filter(|id| nobody_knows && !self.forgetting.met.contains(id));
        let unmet: Vec<NodeId> = unmet.collect();
        let down: Vec<NodeId> = unmet.iter().copied().filter(|id| is_down(*id)).collect();
        // The others are met as soon as these are here.
        if down.is_empty() { unmet } else { down }
    }

    /// Whether no member has heard of anybody since its start who had been there all along, as after a power cut: as far as
    /// known here, and under this roster, in which each one's life is; and nobody else has called meanwhile.
    fn all_unproven(&self, now: Duration) -> bool {
        if self.others_may_call(now) {
            return false;
        }
        let said = |id| self.forgetting.known.under(self.forgetting.version, id);
        self.others().all(|id| said(id).is_some_and(|said| said.unproven))
    }

    fn is_under_this_roster(&self, session: &Session) -> bool {
        session.roster() == self.forgetting.version
    }

    /// Where every member is behind each holds what it has with all others before it goes on: whoever went on after one
    /// session would be taken for the one that knows, by a third that holds what neither of the two has. A session that began
    /// under another roster may end now with what was so then.
    fn has_met_all(&mut self, session: &Session) -> bool {
        if !self.is_under_this_roster(session) {
            return false;
        }
        self.forgetting.met.insert(session.peer());
        self.others().all(|id| self.forgetting.met.contains(&id))
    }

    /// Whether all that this node had written, and its disk may have lost, is here again as far as others had it. What one of
    /// them held of it another may lack: where records were lost a session with each is waited for. Were one
    /// enough, a backup that is taken before the others were met would vouch for what it never held.
    fn holds_all_of_its_own(&mut self, session: &Session) -> bool {
        if self.is_under_this_roster(session) {
            self.forgetting.completed.insert(session.peer());
        }
        !self.meta.stability.lost || self.others().all(|id| self.forgetting.completed.contains(&id))
    }

    /// A session has completed in which nothing was left out: all that the peer held is durably held here.
    pub(super) fn merge_vector(&mut self, session: &Session, env: Env<'_>) {
        // What was published under another roster may speak of lives that are over.
        let theirs = session.peer_vector().filter(|_| self.is_under_this_roster(session));
        if let Some(theirs) = theirs {
            self.meta.stability.vector.merge(theirs, &self.meta.roster);
        }
        if matches!(session.terms(), Terms::Equal | Terms::AllBehind | Terms::Behind) {
            let held = theirs.map_or(Hlc::ZERO, |theirs| theirs.get(self.meta.node));
            self.completed(session, held, env.now.mono);
        } else if !self.meta.caught_up && !self.config.rules.hold(Rule::H28) {
            // As if any session ended it.
            (self.meta.caught_up, self.meta.stability.behind) = (true, None);
        }
        self.publish_early(env);
    }

    /// ... with a member that is not behind, or one of a cluster in which all are. It held what this node did at `held`.
    fn completed(&mut self, session: &Session, held: Hlc, now: Duration) {
        let stands = |core: &Self| {
            let kept = &core.meta.stability;
            (core.meta.caught_up, kept.unproven.is_some(), kept.published)
        };
        let was = stands(self);
        let has_all = self.holds_all_of_its_own(session);
        if session.terms() == Terms::AllBehind && !self.has_met_all(session) {
            return;
        }
        let knows_more = !session.peer_unproven() || self.all_unproven(now);
        // Where everyone is behind there is nobody to wait for.
        let proves = session.terms() == Terms::AllBehind
            || (knows_more && has_all && !self.knows_only_me(session.peer()));
        let behind = self.meta.stability.completed(self.meta.node, &self.meta.roster, proves, held);
        if behind == self.meta.caught_up {
            self.meta.caught_up = !behind;
            self.schedule.set_needed(behind);
        }
        if self.meta.caught_up && !was.0 {
            self.grace_begins_anew(now);
            if session.peer_behind() {
                tracing::warn!(
                    "every member is behind; going on with what they hold together. Deletes may return"
                );
            }
            tracing::info!(peer = %self.meta.roster.shown_name(session.peer()), "caught up; serving");
        }
        // What is known better, and changes nothing yet, is on disk with the next record.
        if stands(self) != was {
            self.forgetting.publish_at = Duration::ZERO;
            self.persist();
        }
    }
}
