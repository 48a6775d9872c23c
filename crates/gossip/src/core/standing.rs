//! Who belongs, who answers, and what this node may do for that.

use std::sync::Arc;

use model::NodeId;

use super::Core;
use crate::liveness::LivenessState;
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
}
