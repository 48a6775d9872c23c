//! Who belongs, who answers, and what this node may do for that.

use std::sync::Arc;

use model::NodeId;

use super::{Core, Env};
use crate::liveness::LivenessState;
use crate::roster::{Removal, Roster};
use crate::rules::Rule;

/// More other members than that are a large cluster.
const LARGE: usize = 64;

impl Core {
    pub(super) fn others(&self) -> impl Iterator<Item = NodeId> {
        let me = self.meta.node;
        self.meta.roster.members().filter(move |id| *id != me)
    }

    /// The other members that answer, ascending. Listed anew only once somebody came or went.
    pub(super) fn live(&self) -> Arc<[NodeId]> {
        let list = || self.others().filter(|id| self.liveness.state(*id) != LivenessState::Down).collect();
        Arc::clone(self.live.get_or_init(list))
    }

    /// Whether there are so many members that none may do with each of them what costs much.
    pub(super) fn is_large(&self) -> bool {
        self.peers.len() > LARGE
    }

    pub(super) fn is_member(&self) -> bool {
        self.meta.roster.contains(self.meta.node)
    }

    pub(super) fn both_members(&self, peer: NodeId) -> bool {
        self.is_member() && self.meta.roster.contains(peer)
    }

    pub(super) fn may_repair(&self) -> bool {
        self.is_member() && self.stopped.is_none() && !self.stopping
    }

    /// A node that is behind neither takes, sends nor passes rumors (H27).
    pub(super) fn may_spread(&self) -> bool {
        let knows = self.meta.caught_up || !self.config.rules.hold(Rule::H27);
        self.may_repair() && knows && self.config.fanout > 0
    }

    /// An add at or under this node's own watermark comes too late: what that member writes may lie under floors, and
    /// nobody could say what of it was replaced. It is removed at once (H32). Where this node let it in itself and does
    /// not remember, it is its own disk that is old: then it is behind, and removes nobody.
    pub(super) fn answer_late_adds(&mut self, before: &Roster, env: Env<'_>) {
        if !self.config.rules.hold(Rule::H32) {
            return;
        }
        let (me, watermark) = (self.meta.node, self.meta.stability.watermark);
        // Of two adds of one node the earlier stands: it may be the other one that this node has not heard of.
        let is_late = |id: &NodeId| {
            let was_late = before.added(*id).is_some_and(|add| add.at <= watermark);
            let is_late = self.meta.roster.added(*id).is_some_and(|add| add.at <= watermark);
            *id != me && is_late && !was_late
        };
        let late: Vec<NodeId> = self.meta.roster.members().filter(is_late).collect();
        let by_me = |id: &&NodeId| self.meta.roster.added(**id).is_some_and(|add| add.sponsor == me);
        if let Some(forgotten) = late.iter().find(by_me).copied() {
            tracing::error!(member = %self.meta.roster.shown_name(forgotten),
                "this node let it in, and does not remember: its disk is older than its watermark, as after a restored \
                 backup. It is behind until a session with a member that is not has completed");
            return self.be_restored();
        }
        for late in late {
            let at = env.time.tick(env.now.wall_ms).unwrap_or(watermark);
            tracing::warn!(member = %self.meta.roster.shown_name(late),
                "was let in by a member that was cut off for too long; it is removed, and must join anew");
            if let Err(error) = self.meta.roster.remove(late, Removal { at, by: me }) {
                tracing::warn!(%error, "not removed");
            }
        }
    }
}
