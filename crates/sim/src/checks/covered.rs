//! A dot that a context covers is a sibling, was replaced by a dot that the context covers too, or was lost with its only
//! disks. Otherwise the context claims what was never seen, and a merge with it drops an acknowledged write.

use model::{ClusterId, Entry, Hlc, Key};

use crate::host::{HostId, context};
use crate::ledger::Ledger;
use crate::world::World;

impl World {
    /// Looks at one key of one host, which a step may have changed. [`World::check_root`] comes after the last of them.
    pub(crate) fn check_key(&mut self, host: HostId, key: &Key) {
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
        let watermark = member.store.marks().watermark;
        let in_tree = |entry: &&Entry| !is_purged(entry, watermark);
        let (was, is) = (before.as_ref().filter(in_tree), now.as_ref().filter(in_tree));
        let digest = |entry: Option<&Entry>| entry.map(|entry| entry.digest(key, &member.digest_key));
        let change = merkle::RangeDigest::change(digest(was), digest(is));
        member.seen.root = member.seen.root.add(change);
        let tombstone = |entry: Option<&Entry>| u64::from(entry.is_some_and(Entry::is_tombstone));
        member.seen.tombstones += tombstone(is);
        member.seen.tombstones -= tombstone(was);
        let cluster = member.cluster;
        let may_forget = now.is_none() && before.as_ref().is_some_and(|entry| is_purged(entry, watermark));
        let forgot = !may_forget && !context(now.as_ref()).includes(&context(before.as_ref()));
        let forgot = forgot.then(|| format!("{host} forgot what it had seen of {key}"));
        let limits = self.limits;
        let found = forgot.map_or(Ok(()), Err).and_then(|()| match &now {
            Some(entry) => covered(&self.ledger, cluster, key, entry).map_err(|why| format!("{host} {why}")),
            None => Ok(()),
        });
        self.judge("covered", found);
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

/// Whether all that the entry's context covers can be accounted for.
pub(crate) fn covered(ledger: &Ledger, cluster: ClusterId, key: &Key, entry: &Entry) -> Result<(), String> {
    let context = entry.context();
    for (dot, written) in ledger.of_key(cluster, key) {
        let sibling = entry.siblings().iter().find(|sibling| sibling.dot() == dot);
        if let Some(sibling) = sibling {
            if written.hash != Some(*sibling.hash()) {
                return Err(format!("holds another content of {dot} for {key} than was written"));
            }
            continue;
        }
        let accounted = !context.covers(dot)
            || written.hash.is_none()
            || written.lost
            || written.quarantined
            || written.replaced_by.iter().any(|later| context.covers(*later));
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
