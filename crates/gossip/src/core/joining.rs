//! Sponsoring a node that wants to join.

use bytes::Bytes;
use model::NodeId;

use super::{Action, Core, Env, ReplyId};
use crate::founding::{ClusterFacts, JoinAnswer, JoinRefusal, JoinRequest, SponsorDecision, admit, sponsor};
use crate::liveness::LivenessState;
use crate::roster::{Roster, check_address};
use crate::rules::Rule;

impl Core {
    pub(super) fn join_asked(&mut self, reply: ReplyId, request: &Bytes, env: Env<'_>) {
        let answer = match JoinRequest::decode(request) {
            Ok(request) => self.consider(&request, env),
            Err(error) => JoinAnswer::Refused(JoinRefusal::BadRequest(error.to_string())),
        };
        if let JoinAnswer::Refused(refusal) = &answer {
            tracing::debug!(%refusal, "a request to join is refused");
        }
        self.out.push_back(Action::Reply { reply, answer: answer.encode().into() });
    }

    fn consider(&mut self, request: &JoinRequest, env: Env<'_>) -> JoinAnswer {
        if let Some(theirs) = request.cluster.filter(|theirs| *theirs != self.meta.cluster) {
            tracing::warn!(node = %request.name, %theirs, "a node of another cluster has this one as a seed");
            return JoinAnswer::Refused(JoinRefusal::OtherCluster(self.facts(env)));
        }
        // A member that does not know yet that it was removed learns it from the roster.
        let removed = self.meta.roster.removal(request.node).is_some();
        if removed && request.cluster.is_some() {
            return self.joined();
        }
        // A member that asks where the others are merges what it is told. Were it told nothing by those that are behind, two
        // of them that have moved at one time would never find each other; nor would one that is behind, was put back and has
        // moved be found by whom it has forgotten. Nor by one whose disk may be an old one.
        let is_known = self.meta.roster.contains(request.node);
        if self.may_repair()
            && request.cluster.is_some()
            && (is_known || !self.meta.caught_up || self.meta.stability.unproven.is_some())
        {
            self.try_where_asked_from(request, env);
            return self.joined();
        }
        // Whoever is behind does not know yet whether its roster is the newest.
        // Where all leave at one time somebody must come, for them to hand over to. So must one that was let in before, and
        // has ended before it noted that.
        let stays = |id: NodeId| !self.meta.roster.is_leaving(id);
        let leaves = self.is_leaving() && !is_known && self.others().any(stays);
        if !self.may_repair() || !self.meta.caught_up || leaves {
            return JoinAnswer::Refused(JoinRefusal::NotReady);
        }
        let wire = self.config.wire;
        let decision = sponsor(&self.meta.roster, self.meta.node, |id| self.surely(id, env), wire, request);
        match decision {
            SponsorDecision::Refuse(refusal) => JoinAnswer::Refused(refusal),
            SponsorDecision::Add | SponsorDecision::AlreadyMember => self.let_in(request, env),
            SponsorDecision::ReplaceFirst { .. } if !self.config.rules.hold(Rule::H23) => {
                self.let_in(request, env)
            }
            SponsorDecision::ReplaceFirst { old } if !self.config.rules.hold(Rule::H34) => {
                self.remove(old, env);
                self.let_in(request, env)
            }
            SponsorDecision::ReplaceFirst { old } => {
                // Why not, if not, is in the log; the asker hears how far it has come.
                let _ = self.evict(old, env);
                let tally = self.eviction_tally(old);
                let (promised, needed) = tally.map_or((0, 0), |t| (t.promised as u32, t.needed as u32));
                JoinAnswer::Refused(JoinRefusal::NoMajority { old, promised, needed })
            }
        }
    }

    /// A member that is down at the address known here, and asks from another one, is tried there: it may know that this node
    /// was removed, and tells such a one nothing of itself.
    fn try_where_asked_from(&mut self, request: &JoinRequest, env: Env<'_>) {
        if self.tried_elsewhere.contains_key(&request.node) {
            return;
        }
        let known = self.meta.roster.contact(request.node).is_some_and(|at| at.gossip == request.gossip);
        let is_down = self.liveness.state(request.node) == LivenessState::Down;
        if !known && is_down && check_address(&request.gossip).is_ok() {
            let address = request.gossip.clone();
            self.out.push_back(Action::Contact { peer: request.node, address });
            self.tried_elsewhere.insert(request.node, env.now.mono);
            self.tell_or_name_roster(request.node);
        }
    }

    /// The add carries this node's time and is on its disk before the joiner hears of it (H11).
    fn let_in(&mut self, request: &JoinRequest, env: Env<'_>) -> JoinAnswer {
        self.forgetting.let_in |= self.meta.stability.unproven.is_some();
        let Some(at) = env.time.tick(env.now.wall_ms) else {
            return JoinAnswer::Refused(JoinRefusal::NotReady);
        };
        let before = self.meta.roster.clone();
        match admit(&mut self.meta.roster, self.meta.node, at, request) {
            Ok(change) => {
                if change.any() {
                    self.roster_changed(&before, env);
                }
                self.joined()
            }
            Err(error) => {
                self.meta.roster = before;
                JoinAnswer::Refused(JoinRefusal::BadRequest(error.to_string()))
            }
        }
    }

    fn joined(&self) -> JoinAnswer {
        JoinAnswer::Joined {
            cluster: self.meta.cluster,
            digest_key: self.meta.digest_key.clone(),
            roster: Box::new(self.meta.roster.clone()),
        }
    }

    fn facts(&self, env: Env<'_>) -> ClusterFacts {
        let counts = env.store.counts();
        ClusterFacts {
            cluster: self.meta.cluster,
            members: self.meta.roster.len(),
            entries: counts.keys + counts.tombstones,
        }
    }

    /// A member that this node asked as a seed told its roster.
    pub(super) fn roster_heard(&mut self, roster: &Roster, env: Env<'_>) {
        self.merge_roster(roster, env);
        self.heard_of_leaving(roster);
    }
}
