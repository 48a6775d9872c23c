//! A member asks its seeds, at its start and now and then, whether they are of its cluster: so that two
//! halves of a cluster find each other whatever addresses have changed, and so that two clusters that
//! were meant to be one say so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::{Event, Serving};
use gossip::founding::{ClusterFacts, JoinAnswer, JoinRefusal, JoinRequest, SeedResult, should_dissolve};
use gossip::liveness::LivenessState;
use gossip::meta::Meta;
use model::ClusterId;
use storage::Counts;
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

/// At a start with data: a data directory of one cluster and seeds of another are a mistake, unless one of the two
/// clusters has nothing to lose and gives way.
///
/// # Errors
/// [`Fatal::OtherCluster`].
pub(super) async fn refuse_other_cluster(node: &Node, meta: &Meta, counts: Counts) -> Result<(), Fatal> {
    let own = facts(meta.cluster, meta.roster.len(), counts);
    for (_, result) in node.ask_seeds(meta.cluster).await {
        let Some(theirs) = other_cluster(&result) else { continue };
        if !should_dissolve(own, theirs) && !should_dissolve(theirs, own) {
            return Err(Fatal::OtherCluster {
                path: node.files.path(),
                ours: own.cluster.to_string(),
                theirs: theirs.cluster.to_string(),
            });
        }
    }
    Ok(())
}

fn facts(cluster: ClusterId, members: usize, counts: Counts) -> ClusterFacts {
    ClusterFacts { cluster, members, entries: counts.keys + counts.tombstones }
}

/// Greets the seeds for as long as the node lives; returns when the node's cluster is to give way to theirs (H16).
pub(super) async fn until_dissolved(node: &Node, member: &Arc<Member>) {
    loop {
        if wants_seeds(member) {
            for (seed, result) in node.ask_seeds(member.cluster).await {
                if let Some(theirs) = other_cluster(&result) {
                    let members = member.status.borrow().members.len();
                    let own = facts(member.cluster, members, member.store.counts());
                    if should_dissolve(own, theirs) {
                        tracing::warn!(%seed, ours = %own.cluster, theirs = %theirs.cluster, "this cluster of one without keys gives way to the seed's");
                        return;
                    }
                    tracing::error!(%seed, ours = %own.cluster, theirs = %theirs.cluster, "the seed is of another cluster; the two never merge: correct --join on one of them");
                } else if let SeedResult::Answered(JoinAnswer::Joined { cluster, roster, .. }) = result
                    && cluster == member.cluster
                {
                    let _ = member.events.try_send(Event::RosterHeard { roster });
                }
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn wants_seeds(member: &Member) -> bool {
    let status = member.status.borrow();
    let removed = status.serving == Serving::Removed;
    let alone = status.members.len() <= 1;
    !removed && (alone || status.members.iter().any(|m| m.state == LivenessState::Down))
}
