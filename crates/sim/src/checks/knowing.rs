//! Who answers clients knows: a node that came without its data holds what every member held then, before it says that
//! there is nothing or that something is deleted. And what a client was told is deleted is so, where it was told.

use std::collections::{BTreeMap, BTreeSet};

use model::{Dot, Key};

use super::acknowledged::on_disk;
use crate::host::{HostId, context};
use crate::ledger::{Claim, Written};
use crate::world::World;

impl World {
    /// What every member that is not behind has on its disk, of the cluster that this host is a member of.
    pub(crate) fn what_everyone_knows(&self, host: HostId) -> BTreeMap<Key, BTreeSet<Dot>> {
        let mut everyone: Option<BTreeMap<Key, BTreeSet<Dot>>> = None;
        let Some(own) = self.hosts.get(&host).and_then(|h| h.record()) else { return BTreeMap::new() };
        // Its own roster may be an old one: who belongs is what all records together say.
        let mut roster = own.roster.clone();
        for record in self.hosts.values().filter_map(|host| host.record()) {
            if record.cluster == own.cluster && roster.merge(&record.roster).is_err() {
                return BTreeMap::new();
            }
        }
        let others: BTreeSet<_> = roster.members().filter(|id| *id != own.node).collect();
        let mut found = BTreeSet::new();
        for (_, other) in self.hosts.iter().filter(|(id, _)| **id != host) {
            let Some(meta) = other.record() else { continue };
            // One that was removed may tell this node all it knows, where neither has heard of that.
            let may_tell = others.contains(&meta.node) || own.roster.contains(meta.node);
            if meta.cluster != own.cluster || !may_tell || !meta.caught_up {
                continue;
            }
            found.insert(meta.node);
            let Ok(Some((cluster, rows))) = on_disk(other) else { return BTreeMap::new() };
            let mut knows = BTreeMap::new();
            for (key, entry) in rows {
                let dots = self.ledger.of_key(cluster, &key).map(|(dot, _)| dot);
                let dots: BTreeSet<Dot> = dots.filter(|dot| entry.context().covers(*dot)).collect();
                knows.insert(key, dots);
            }
            if let Some(all) = &mut everyone {
                all.retain(|key, _| knows.contains_key(key));
                for (key, dots) in all.iter_mut() {
                    dots.retain(|dot| knows.get(key).is_some_and(|known| known.contains(dot)));
                }
            } else {
                everyone = Some(knows);
            }
        }
        // A member whose disk cannot be looked at may know less.
        if found.is_superset(&others) { everyone.unwrap_or_default() } else { BTreeMap::new() }
    }

    /// A client is about to be answered.
    pub(crate) fn check_knows(&mut self, host: HostId, key: &Key) {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        // The only member has nobody left to wait for.
        if self.refuses(host, false).is_some() || member.core.meta().roster.len() == 1 {
            return;
        }
        let Some(must) = member.seen.must_know.get(key) else { return };
        let Ok(entry) = member.store.get(key) else { return };
        let context = context(entry.as_ref());
        let covers = |dot| context.covers(dot);
        let forgotten = |dot| self.ledger.is_forgotten(dot, self.watermark_of(member.cluster), &covers);
        // A floor covers what was lost with its only disk, too.
        let excused = |dot| self.ledger.dots.get(dot).is_some_and(Written::is_excused);
        let unknown = must.iter().find(|dot| !covers(**dot) && !forgotten(**dot) && !excused(dot));
        let found = unknown.map_or(Ok(()), |dot| {
            Err(format!("{host} answers for {key} without {dot}, which every member held when it came"))
        });
        self.judge("knowing", found);
    }

    /// A client is told that something is deleted.
    pub(crate) fn check_claim(&mut self, claim: &Claim) {
        let Some(member) = self.hosts.get(&claim.host).and_then(|h| h.member()) else { return };
        let Ok(entry) = member.store.get(&claim.key) else { return };
        let context = context(entry.as_ref());
        let (host, key) = (claim.host, &claim.key);
        let left = claim.gone.iter().find(|dot| !context.covers(**dot));
        let found = left.map_or(Ok(()), |dot| {
            Err(format!("{host} answered that {dot} of {key} is deleted, and does not remember it"))
        });
        self.judge("knowing", found);
    }
}
