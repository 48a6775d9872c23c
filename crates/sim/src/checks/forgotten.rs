//! Once all are one, deletes are forgotten: within bounded time the watermark of every member passes what the slowest
//! clock among them showed then, no tombstone from under it is left in a tree, nor, after the grace, on a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gossip::core::Serving;
use gossip::stability::{STEP_MS, step};
use model::{ClusterId, Entry, Hlc, NodeId};

use crate::host::{Host, HostId, Member};
use crate::world::World;

/// A clock that is so far behind what its node has published before does not come to move it in time.
const STANDS_STILL_MS: u64 = 30_000;
/// A longer grace than this is not waited for.
const GRACE_MAX: Duration = Duration::from_secs(30);

/// How far the watermark of each cluster must rise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Goals {
    /// Who serves, when this was so.
    of: BTreeSet<(ClusterId, NodeId)>,
    watermarks: BTreeMap<ClusterId, Hlc>,
}

impl World {
    /// What watermarks must pass from now on: of each cluster the time of its slowest. A
    /// clock that was put back stands still until the true time has come to it, and its step with it.
    pub(super) fn goals(&self) -> Goals {
        let mut goals = BTreeMap::new();
        for (_, host, member) in self.serving() {
            let Some(next) = member.clock.next(host.wall.ms(self.now)) else { continue };
            let stands_still = next.millis() > host.wall.ms(self.now) + STANDS_STILL_MS;
            let upto = match (stands_still, self.ledger.ever_put_back.contains(&member.node)) {
                (false, _) => Hlc::new(step(next).millis() + STEP_MS, 0),
                (true, false) => Hlc::new(step(next).millis(), 0),
                // Others wait for what it had published before, at a time that does not come again in time.
                (true, true) => Hlc::ZERO,
            };
            let goal = goals.entry(member.cluster).or_insert(upto);
            *goal = upto.min(*goal);
        }
        Goals { of: self.who_serves(), watermarks: goals }
    }

    /// Whether others serve than when these goals were set: a node that comes late into a cluster may have a slower clock
    /// than all that were in it.
    pub(super) fn are_outdated(&self, goals: &Goals) -> bool {
        goals.of != self.who_serves()
    }

    fn who_serves(&self) -> BTreeSet<(ClusterId, NodeId)> {
        self.serving().map(|(_, _, member)| (member.cluster, member.node)).collect()
    }

    /// Clusters with a member that is gone for good, and is waited for until somebody evicts it; or that has founded a
    /// cluster of its own after it was let in, or was let into two at a time.
    fn waiting_for_ever(&self) -> BTreeSet<ClusterId> {
        let at_work = self.who_serves();
        let lacks = |member: &Member| {
            let meta = member.core.meta();
            // A node that began a life alone waits longer than this for a call of others.
            let waits_for_a_call = meta.stability.alone.is_some();
            waits_for_a_call || meta.roster.members().any(|id| !at_work.contains(&(member.cluster, id)))
        };
        let waiting = self.serving().filter(|(_, _, member)| lacks(member));
        waiting.map(|(_, _, member)| member.cluster).collect()
    }

    fn serving(&self) -> impl Iterator<Item = (HostId, &Host, &Member)> {
        let members = self.hosts.iter().filter_map(|(id, host)| Some((*id, host, host.member()?)));
        members.filter(|(_, _, member)| {
            member.status.as_ref().is_some_and(|status| status.serving == Serving::Yes)
        })
    }

    /// Whether all that could be forgotten when these goals were set is, or what is not.
    pub(super) fn is_forgotten_by_all(&self, goals: &Goals) -> Result<(), String> {
        let waiting = self.waiting_for_ever();
        for (id, _, member) in self.serving().filter(|(_, _, member)| !waiting.contains(&member.cluster)) {
            let Some(goal) = goals.watermarks.get(&member.cluster) else { continue };
            let stands = member.store.marks().watermark;
            if stands < *goal {
                let waits = member.status.as_ref().and_then(|status| status.forgetting.waits);
                let whom = waits
                    .map_or("nobody".to_owned(), |waits| member.core.meta().roster.shown_name(waits.member));
                return Err(format!("{id} has a watermark of {stands}, under {goal}, and waits for {whom}"));
            }
            let is_left = |entry: &Entry| entry.is_tombstone() && entry.context().newest() <= *goal;
            let left = member.seen.entries.iter().find(|(_, entry)| is_left(entry));
            if let Some((key, _)) = left.filter(|_| self.config.grace <= GRACE_MAX) {
                return Err(format!("{id} has a tombstone of {key} on its disk still"));
            }
        }
        Ok(())
    }
}
