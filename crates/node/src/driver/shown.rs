//! What people see of this node and its cluster: made of what the protocol published last, at each request.

use gossip::core::{MemberStatus, RemovedStatus, Status};
use gossip::liveness::LivenessState;
use http_api::{
    ClusterView, ForgettingView, Liveness, MemberView, NodeView, RemovedView, RepairView, WaitingView,
    WaitsView, WaitsWhy,
};
use model::{Hlc, NodeId};
use storage::Waiting;

use super::clock::wall_ms;
use super::member::Present;
use super::refusals::Refusals;
use crate::hex::hex;

impl Present {
    /// What this node knows of itself and its cluster.
    pub(super) fn cluster_view(&self) -> ClusterView {
        let reason = self.why_not();
        let node = |id, name: &str| NodeView {
            ready: reason.is_none(),
            reason: reason.clone(),
            id,
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            http: self.http.clone(),
            gossip: self.gossip.clone(),
        };
        let Some(member) = self.member() else {
            return ClusterView {
                cluster: None,
                node: node(self.node, &self.name),
                root: String::new(),
                keys: 0,
                tombstones: 0,
                tree_bytes: 0,
                forgetting: ForgettingView::default(),
                scrub: None,
                damage: self.damage.view(),
                quarantine_bytes: 0,
                members: Vec::new(),
                removed: Vec::new(),
            };
        };
        let status: Status = member.status.borrow().clone();
        let root = hex(&member.store.root().root_hash(&member.digest_key.0));
        let counts = member.store.counts();
        let members =
            status.members.iter().map(|m| member_view(m, &status, &root, &member.refusals)).collect();
        ClusterView {
            cluster: Some(status.cluster),
            node: node(status.node, &status.name),
            root,
            keys: counts.keys,
            tombstones: counts.tombstones,
            tree_bytes: member.store.tree_bytes() as u64,
            forgetting: forgetting_view(&status, member.store.waiting(), wall_ms(), &member.refusals),
            scrub: Some(member.scrubbing.view(wall_ms())),
            damage: self.damage.view(),
            quarantine_bytes: member.files.quarantine_bytes(),
            members,
            removed: status.removed.iter().map(removed_view).collect(),
        }
    }
}

fn removed_view(removed: &RemovedStatus) -> RemovedView {
    let RemovedStatus { id, name, at, by } = removed.clone();
    RemovedView { id, name, at: Some(at.millis()), by }
}

fn forgetting_view(status: &Status, waiting: Waiting, now_ms: u64, refusals: &Refusals) -> ForgettingView {
    let forgetting = &status.forgetting;
    let known = |at: Hlc| (at != Hlc::ZERO).then(|| at.millis());
    let name = |id: NodeId| status.members.iter().find(|member| member.id == id).map(|m| m.name.clone());
    let waits_for = forgetting.waits.map(|waits| WaitsView {
        id: waits.member,
        name: name(waits.member).unwrap_or_else(|| waits.member.to_string()),
        since: known(waits.since),
        why: match forgetting.why {
            _ if refusals.of(waits.member).is_some() => WaitsWhy::Wire,
            Some(gossip::core::WaitsWhy::Down) => WaitsWhy::Down,
            Some(gossip::core::WaitsWhy::Behind) => WaitsWhy::Behind,
            Some(gossip::core::WaitsWhy::Silent) => WaitsWhy::Silent,
            Some(gossip::core::WaitsWhy::Started) => WaitsWhy::Started,
            Some(gossip::core::WaitsWhy::Slow) => WaitsWhy::Slow,
            Some(gossip::core::WaitsWhy::Apart) | None => WaitsWhy::Apart,
        },
    });
    // Where this node does not forget, a watermark that it has heard of holds nothing up.
    let lags = known(forgetting.watermark).filter(|_| forgetting.on);
    ForgettingView {
        on: forgetting.on,
        watermark: known(forgetting.watermark),
        watermark_lag_ms: lags.map(|at| now_ms.saturating_sub(at)),
        waits_for,
        horizon: known(forgetting.horizon),
        behind: forgetting.behind.map(|cause| cause.to_string()),
        resurrections_blocked: forgetting.resurrections_blocked,
        quarantined: forgetting.quarantined,
        waiting: WaitingView {
            tombstones: waiting.tombstones,
            tombstone_bytes: waiting.tombstone_bytes,
            purged: waiting.purged,
            purged_bytes: waiting.purged_bytes,
        },
    }
}

fn member_view(member: &MemberStatus, status: &Status, own_root: &str, refusals: &Refusals) -> MemberView {
    let own = member.id == status.node;
    MemberView {
        id: member.id,
        name: member.name.clone(),
        liveness: match member.state {
            LivenessState::Alive => Liveness::Alive,
            LivenessState::Suspect => Liveness::Suspect,
            LivenessState::Down => Liveness::Down,
        },
        leaving: member.leaving,
        root: if own { Some(own_root.to_owned()) } else { member.root.as_ref().map(|root| hex(root)) },
        // A node is identical to itself as of the moment it is asked.
        last_identical: if own { Some(wall_ms()) } else { member.last_identical_ms },
        clock_ahead_ms: member.skew_ms,
        repair: member.session.map(|_| RepairView::Running),
        refused: refusals.of(member.id),
        http: member.http.clone(),
        gossip: member.gossip.clone(),
    }
}

#[cfg(test)]
mod tests {
    use gossip::stability::Waits;

    use super::*;
    use crate::driver::member::status_of_nobody;

    /// What others have said goes on rising, or not, whatever this node makes of it: no alarm is to go off for that.
    #[test]
    fn where_deletes_are_not_forgotten_a_watermark_that_was_heard_lags_behind_nothing() {
        let mut status = status_of_nobody();
        status.forgetting.watermark = Hlc::new(4_000, 0);
        let view = |status: &Status| forgetting_view(status, Waiting::default(), 9_000, &Refusals::default());
        assert_eq!((view(&status).watermark, view(&status).watermark_lag_ms), (Some(4_000), None));
        status.forgetting.on = true;
        status.forgetting.waits = Some(Waits { member: NodeId(2), since: Hlc::ZERO });
        status.forgetting.why = Some(gossip::core::WaitsWhy::Silent);
        let told = view(&status);
        assert_eq!(told.watermark_lag_ms, Some(5_000));
        assert_eq!(told.waits_for.map(|waits| (waits.since, waits.why)), Some((None, WaitsWhy::Silent)));
    }
}
