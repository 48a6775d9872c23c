//! A member asks its seeds, at its start and now and then, whether they are of its cluster: so that two
//! halves of a cluster find each other whatever addresses have changed, and so that two clusters that
//! were meant to be one say so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::{Event, Serving};
use gossip::founding::{ClusterFacts, JoinAnswer, JoinRefusal, JoinRequest, SeedResult, should_dissolve};
use gossip::liveness::LivenessState;
use model::ClusterId;
use tokio::task::JoinSet;

use super::Node;
use super::looking::ask;
use super::member::Member;
use crate::exit::Fatal;

/// How often seeds are asked while a member is down or the node is alone.
const PERIOD: Duration = Duration::from_secs(5);

impl Node {
    fn greeting(&self, cluster: ClusterId) -> Bytes {
        JoinRequest { cluster: Some(cluster), ..self.request.clone() }.encode().into()
    }

    async fn ask_seeds(&self, cluster: ClusterId) -> Vec<(String, SeedResult)> {
        let mut asked = JoinSet::new();
        for seed in &self.settings.join {
            let (transport, seed, request) = (self.transport.clone(), seed.clone(), self.greeting(cluster));
            asked.spawn(async move {
                let result = ask(&transport, &seed, request).await;
                (seed, result)
            });
        }
        asked.join_all().await
    }
}

fn other_cluster(result: &SeedResult) -> Option<ClusterFacts> {
    match result {
        SeedResult::Answered(JoinAnswer::Refused(JoinRefusal::OtherCluster(facts))) => Some(*facts),
        _ => None,
    }
}

fn facts(member: &Member) -> ClusterFacts {
    let (counts, members) = (member.store.counts(), member.status.borrow().members.len());
    ClusterFacts { cluster: member.cluster, members, entries: counts.keys + counts.tombstones }
}

/// Greets the seeds for as long as the node lives; returns when the node's cluster has given way to theirs (H16): it
/// then takes no more writes.
///
/// `with_data` is whether the node started on the record of a former life: a data directory of one cluster and seeds of
/// another are then a mistake, unless one of the two clusters has nothing to lose and gives way, or some seed is not of
/// another cluster or does not answer.
///
/// # Errors
/// [`Fatal::OtherCluster`], by the first round only.
pub(super) async fn until_dissolved(node: &Node, member: &Arc<Member>, with_data: bool) -> Result<(), Fatal> {
    let mut may_refuse = with_data;
    // Before the protocol has spoken it is not known how many members there are.
    if member.status.clone().wait_for(|status| !status.members.is_empty()).await.is_err() {
        return std::future::pending().await;
    }
    loop {
        if may_refuse || wants_seeds(member) {
            let results = node.ask_seeds(member.cluster).await;
            // One seed alone may be the stray, wiped and founded anew while the others were down.
            may_refuse &= results.iter().all(|(_, result)| other_cluster(result).is_some());
            for (seed, result) in results {
                if heard(node, member, &seed, result, may_refuse).await? {
                    return Ok(());
                }
            }
        }
        may_refuse = false;
        tokio::time::sleep(PERIOD).await;
    }
}

/// Takes in a seed's answer; whether the node's cluster has given way.
async fn heard(
    node: &Node,
    member: &Arc<Member>,
    seed: &str,
    result: SeedResult,
    may_refuse: bool,
) -> Result<bool, Fatal> {
    let Some(theirs) = other_cluster(&result) else {
        if let SeedResult::Answered(JoinAnswer::Joined { cluster, roster, .. }) = result
            && cluster == member.cluster
        {
            let _ = member.events.try_send(Event::RosterHeard { roster });
        }
        return Ok(false);
    };
    let own = facts(member);
    if should_dissolve(own, theirs) {
        return Ok(give_way(node, member, theirs).await);
    }
    if may_refuse && !should_dissolve(theirs, own) {
        return Err(Fatal::OtherCluster {
            path: node.files.path(),
            ours: own.cluster.to_string(),
            theirs: theirs.cluster.to_string(),
        });
    }
    tracing::error!(%seed, ours = %own.cluster, theirs = %theirs.cluster, "the seed is of another cluster; the two never merge: correct --join on one of them");
    Ok(false)
}

/// Closes the door to clients' writes, and gives way if none came through it before.
async fn give_way(node: &Node, member: &Arc<Member>, theirs: ClusterFacts) -> bool {
    member.writes.close().await;
    let own = facts(member);
    if !should_dissolve(own, theirs) {
        member.writes.open();
        return false;
    }
    tracing::warn!(ours = %own.cluster, theirs = %theirs.cluster, "this cluster of one without keys gives way to the seed's");
    node.present.set_looking("giving way to the cluster of the seeds".into());
    true
}

fn wants_seeds(member: &Member) -> bool {
    let status = member.status.borrow();
    let removed = status.serving == Serving::Removed;
    let alone = status.members.len() <= 1;
    !removed && (alone || status.members.iter().any(|m| m.state == LivenessState::Down))
}
