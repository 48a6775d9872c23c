//! A dot that a context covers is a sibling, was replaced by a dot that the context covers too, or was lost with its only
//! disks. Otherwise the context claims what was never seen, and a merge with it drops an acknowledged write.

use gossip::roster::Roster;
use model::{ClusterId, Dot, Entry, Hlc, Key, NodeId};

use storage::Marks;

use super::acknowledged::on_disk;
use crate::host::{HostId, context};
use crate::ledger::{Ledger, Written};
use crate::world::World;

impl World {
    /// Looks at one key of one host, which a step may have changed. [`World::check_root`] comes after the last of them.
    pub(crate) fn check_key(&mut self, host: HostId, key: &Key) {
        if self.is_rotten(host, Some(key)) {
            return;
        }
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        // A store that cannot be read has stopped; nobody is answered from it.
        let Ok(now) = member.store.get(key) else { return };
        let before = match &now {
            Some(entry) => member.seen.entries.insert(key.clone(), entry.clone()),
            None => member.seen.entries.remove(key),
        };
        if before == now {
            return;
        }
        if let Some(watch) = self.watch.as_mut().filter(|_| before.is_none()) {
            watch.got(self.now, host, key);
        }
        let Marks { watermark, horizon } = member.store.marks();
        let in_tree = |entry: &&Entry| !is_purged(entry, watermark);
        let (was, is) = (before.as_ref().filter(in_tree), now.as_ref().filter(in_tree));
        let digest = |entry: Option<&Entry>| entry.map(|entry| entry.digest(key, &member.digest_key));
        let change = merkle::RangeDigest::change(digest(was), digest(is));
        member.seen.root = member.seen.root.add(change);
        let tombstone = |entry: Option<&Entry>| u64::from(entry.is_some_and(Entry::is_tombstone));
        member.seen.tombstones += tombstone(is);
        member.seen.tombstones -= tombstone(was);
        let cluster = member.cluster;
        let is_over =
            |entry: &Entry| entry.is_over(horizon) || (now.is_none() && is_purged(entry, watermark));
        let may_forget = before.as_ref().is_some_and(is_over);
        let forgot = !may_forget && !context(now.as_ref()).includes(&context(before.as_ref()));
        let forgot = forgot.then(|| format!("{host} forgot what it had seen of {key}"));
        let limits = self.limits;
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        let roster = &member.core.meta().roster;
        let found = forgot.map_or(Ok(()), Err).and_then(|()| match &now {
            Some(entry) => {
                let stranded = |dot, written: &Written| self.is_stranded(roster, dot, written);
                covered(&self.ledger, cluster, key, entry, watermark, &stranded)
                    .map_err(|why| format!("{host} {why}"))
            }
            None => Ok(()),
        });
        self.judge("covered", found);
        self.note_held(host, key, &context(before.as_ref()), &context(now.as_ref()));
        self.check_purged(host, key, before.as_ref(), now.as_ref());
        let components = now.as_ref().map_or(0, |entry| entry.context().components());
        if components > limits.components_max * 2 {
            self.judge("dots", Err(format!("{host} holds a context of {components} components for {key}")));
        }
    }
}

/// Whether an entry is a tombstone that is in no tree at this watermark.
pub(crate) fn is_purged(entry: &Entry, watermark: Hlc) -> bool {
    entry.is_tombstone() && entry.context().newest() <= watermark
}

impl World {
    /// Whether a write was taken by a member that was removed, or all others have lost what they had of it, and it is with
    /// no member: the removed one's disk is kept for people to look at, and the others go on without it. Or whether its
    /// member's disk was lost, and the only one left that has it is a node which that member had let in, and nobody else has
    /// heard of: it must join anew (H32).
    pub(crate) fn is_stranded(&self, roster: &Roster, dot: Dot, written: &Written) -> bool {
        let removed = |of: NodeId| roster.removed().any(|(id, _)| id == of);
        let any = |is: &dyn Fn(NodeId) -> bool, holds: &dyn Fn(&Entry) -> bool| {
            self.hosts.values().any(|host| match host.member() {
                Some(member) => is(member.node) && member.seen.entries.get(&written.key).is_some_and(holds),
                None => {
                    let counts = host.record().is_some_and(|record| is(record.node));
                    counts
                        && matches!(on_disk(host), Ok(Some((_, rows))) if rows.get(&written.key).is_some_and(holds))
                }
            })
        };
        let holds = |entry: &Entry| entry.sibling(dot).is_some();
        let covers = |entry: &Entry| entry.context().covers(dot);
        let elsewhere = removed(written.node)
            || any(&|id| roster.added(id).is_none(), &covers)
            || (written.hurt && any(&removed, &covers));
        elsewhere && !any(&|id| roster.contains(id), &holds)
    }
}

/// Whether all that the entry's context covers can be accounted for.
pub(crate) fn covered(
    ledger: &Ledger,
    cluster: ClusterId,
    key: &Key,
    entry: &Entry,
    watermark: Hlc,
    stranded: &dyn Fn(Dot, &Written) -> bool,
) -> Result<(), String> {
    let context = entry.context();
    let covers = |dot| context.covers(dot);
    for (dot, written) in ledger.of_key(cluster, key) {
        if let Some(sibling) = entry.sibling(dot) {
            if written.hash != Some(*sibling.hash()) {
                return Err(format!("holds another content of {dot} for {key} than was written"));
            }
            continue;
        }
        let accounted = !context.covers(dot)
            || written.hash.is_none()
            || written.is_excused()
            || ledger.is_expired(written)
            || written.replaced_by.iter().any(|later| context.covers(*later))
            || ledger.is_forgotten(dot, watermark, &covers)
            || stranded(dot, written);
        if !accounted {
            return Err(format!(
                "claims to have seen {dot} of {key}, written at {}: it is no sibling and nothing that was seen replaced it",
                written.host
            ));
        }
    }
    let strange = entry.siblings().iter().find(|sibling| !ledger.dots.contains_key(&sibling.dot()));
    strange.map_or(Ok(()), |sibling| Err(format!("holds {} for {key}, which nobody wrote", sibling.dot())))
}
