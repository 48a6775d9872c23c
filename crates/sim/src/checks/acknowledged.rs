//! Every acknowledged write is on some disk, or was replaced by one that is, unless every disk that held it was lost by a
//! fault. The disk of a member that was removed counts: it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gossip::meta::Meta;
use model::{ClusterId, Context, Dot, Entry, Hlc, Key};
use storage::{Marks, Space, read_all};

use crate::host::{Host, HostId};
use crate::ledger::Written;
use crate::world::World;

/// What is on one disk.
pub(crate) type OnDisk = BTreeMap<Key, Entry>;

/// What would be there after a crash now.
pub(crate) fn on_disk(host: &Host) -> Result<Option<(ClusterId, OnDisk)>, String> {
    let (Some(meta), Some(engine)) = (host.record(), &host.disk.engine) else { return Ok(None) };
    let durable = engine.durable();
    // What is damaged and was not found yet is lost already; so is what the next flush, or a crash that keeps it, puts in
    // the place of a sound record.
    let rotten = host.disk.rotten_in(&durable).into_iter().chain(host.disk.rotten_in(engine));
    rotten.for_each(|at| durable.damage(Space::Entries, &at, None));
    let rows = read_all(&durable, &meta.digest_key).map_err(|error| error.to_string())?;
    Ok(Some((meta.cluster, rows.into_iter().collect())))
}

/// The entries of all disks but one, by cluster and key.
type Known = BTreeMap<(ClusterId, Key), Vec<Entry>>;

/// Whether one of these disks has seen a write.
fn covers(known: &Known, cluster: ClusterId, key: &Key, dot: Dot) -> bool {
    let entries = known.get(&(cluster, key.clone()));
    entries.is_some_and(|all| all.iter().any(|entry| entry.context().covers(dot)))
}

/// Whether one of these disks holds a write's value.
fn holds(known: &Known, cluster: ClusterId, key: &Key, dot: Dot) -> bool {
    let entries = known.get(&(cluster, key.clone()));
    entries.is_some_and(|all| all.iter().any(|entry| entry.sibling(dot).is_some()))
}

impl World {
    fn known(&self, but: Option<HostId>) -> Result<Known, String> {
        let mut known = Known::new();
        for (_, host) in self.hosts.iter().filter(|(id, host)| Some(**id) != but && !host.handed_over) {
            let Some((cluster, rows)) = on_disk(host)? else { continue };
            for (key, entry) in rows {
                known.entry((cluster, key)).or_default().push(entry);
            }
        }
        Ok(known)
    }

    /// The greatest watermark that this cluster ever had on a disk: what was forgotten by it stays so, whatever becomes of
    /// that disk.
    pub(crate) fn watermark_of(&self, cluster: ClusterId) -> Hlc {
        self.ledger.watermarks.get(&cluster).copied().unwrap_or(Hlc::ZERO)
    }

    /// The greatest watermark and horizon of a cluster that are on any disk now, but for one host's and those of removed
    /// members, who tell nobody.
    pub(crate) fn marks_on_disks(&self, cluster: ClusterId, but: Option<HostId>) -> Marks {
        let others = self.hosts.iter().filter(|(id, _)| Some(**id) != but);
        let counts =
            |record: &Rc<Meta>| record.cluster == cluster && !self.ledger.removed.contains(&record.node);
        let records = others.filter_map(|(_, host)| host.record()).filter(counts);
        records.map(|record| record.stability.marks()).fold(Marks::default(), |most, of| Marks {
            watermark: most.watermark.max(of.watermark),
            horizon: most.horizon.max(of.horizon),
        })
    }

    /// Looks at all disks.
    pub(crate) fn check_acknowledged(&mut self) {
        let found = self.known(None).and_then(|known| {
            let must = |written: &Written| written.acknowledged && !written.is_excused();
            for (dot, written) in self.ledger.dots.iter().filter(|(_, written)| must(written)) {
                let covers = |dot| covers(&known, written.cluster, &written.key, dot);
                let forgotten =
                    || self.ledger.is_forgotten(*dot, self.watermark_of(written.cluster), &covers);
                if !covers(*dot) && !forgotten() {
                    let (host, key) = (written.host, &written.key);
                    return Err(format!(
                        "{dot} of {key} was acknowledged at {host} and is on no disk any more"
                    ));
                }
            }
            Ok(())
        });
        self.judge("acknowledged", found);
    }

    /// A node has handed over all that it holds, and leaves: nobody counts on its disk any more. That it was handed to a
    /// record that rots, or to a disk that was lost right then, nobody could know.
    pub(crate) fn note_handed_over(&mut self, host: HostId) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.handed_over = true;
        }
        let Ok(known) = self.known(None) else { return };
        let is_held = |dot: &Dot, of: &Written| covers(&known, of.cluster, &of.key, *dot);
        let rots = |of: &Written| {
            self.hosts.iter().any(|(id, host)| !host.handed_over && self.is_rotten(*id, Some(&of.key)))
        };
        let dots = self.ledger.dots.iter().filter(|(dot, of)| !is_held(dot, of) && (of.hurt || rots(of)));
        let lost: Vec<Dot> = dots.map(|(dot, _)| *dot).collect();
        for dot in lost {
            if let Some(written) = self.ledger.dots.get_mut(&dot) {
                written.lost = true;
            }
        }
        self.check_acknowledged();
    }

    /// A host has crashed: writes of its clients that no disk has are gone. A later watermark may cover their dots.
    pub(crate) fn note_unflushed_lost(&mut self, host: HostId) {
        let Ok(known) = self.known(None) else { return };
        for (dot, written) in self.ledger.dots.iter_mut().filter(|(_, w)| w.host == host && !w.acknowledged) {
            written.lost |= !covers(&known, written.cluster, &written.key, *dot);
        }
    }

    /// One record of a host is about to be lost: so is what it alone holds.
    pub(crate) fn note_record_lost(&mut self, host: HostId, key: &Key) {
        let (Some(h), Ok(others)) = (self.hosts.get(&host), self.known(Some(host))) else { return };
        let Some((cluster, node)) = h.record().map(|meta| (meta.cluster, meta.node)) else { return };
        // The others' floor may cover by now what a removed member alone has taken.
        let alone = self.ledger.removed.contains(&node);
        let mut context = Context::default();
        let rows = on_disk(h).ok().flatten().map(|(_, rows)| rows).unwrap_or_default();
        let seen = h.member().and_then(|member| member.seen.entries.get(key));
        for entry in rows.get(key).into_iter().chain(seen) {
            context.merge(entry.context());
        }
        let dots: Vec<Dot> = self.ledger.of_key(cluster, key).map(|(dot, _)| dot).collect();
        for dot in dots {
            // What it took and never flushed was in that record, too.
            let was_there = |of: &Written| context.covers(dot) || (of.host == host && !of.acknowledged);
            if let Some(written) = self.ledger.dots.get_mut(&dot).filter(|written| was_there(written)) {
                written.hurt = true;
                let is_with_others = match alone && written.node == node {
                    true => holds(&others, cluster, key, dot),
                    false => covers(&others, cluster, key, dot),
                };
                written.lost |= !is_with_others;
            }
        }
        for member in self.hosts.values_mut().filter_map(Host::member_mut) {
            member.seen.must_know.remove(key);
        }
    }

    /// Whether a host has a record that is damaged and was not found yet: this key's, or any.
    pub(crate) fn is_rotten(&self, host: HostId, key: Option<&Key>) -> bool {
        let Some(disk) = self.hosts.get(&host).map(|host| &host.disk) else { return false };
        let Some(engine) = &disk.engine else { return false };
        let rotten = disk.rotten_in(engine);
        key.map_or(!rotten.is_empty(), |key| rotten.iter().any(|at| at.get(8..) == Some(key.as_bytes())))
    }

    /// The disk of a host is about to be lost. That a write was forgotten only a watermark tells, or the horizon: where the
    /// greatest is lost with its last disk, what comes back from before is nobody's fault, and what no disk remembers is lost.
    fn note_forgotten_lost(&mut self, host: HostId, others: &Known) {
        let Some(cluster) = self.hosts.get(&host).and_then(Host::record).map(|record| record.cluster) else {
            return;
        };
        let left = self.marks_on_disks(cluster, Some(host));
        let horizon = self.ledger.horizons.get(&cluster).copied().unwrap_or_default();
        let forgot_deletes = left.watermark < self.watermark_of(cluster);
        if !forgot_deletes && left.horizon >= horizon {
            return;
        }
        if forgot_deletes {
            self.ledger.deletes_may_return(cluster);
            self.ledger.purged.retain(|(of, _), _| *of != cluster);
        }
        for (dot, written) in self.ledger.dots.iter_mut().filter(|(_, written)| written.cluster == cluster) {
            let is_over = written.expiry.is_over(horizon) && !written.expiry.is_over(left.horizon);
            let is_forgotten = is_over || (forgot_deletes && dot.hlc > left.watermark);
            written.lost |= is_forgotten && !covers(others, cluster, &written.key, *dot);
        }
    }

    /// The machine of a node that has left is put to another use: what others had of it, and have lost by a fault since, is lost.
    pub(crate) fn note_left(&mut self, host: HostId) {
        let Ok(others) = self.known(Some(host)) else { return };
        for dot in self.held_by(host) {
            let Some(written) = self.ledger.dots.get_mut(&dot).filter(|written| written.hurt) else {
                continue;
            };
            written.lost |= !covers(&others, written.cluster, &written.key, dot);
        }
    }

    /// What a host has on its disk.
    fn held_by(&self, host: HostId) -> BTreeSet<Dot> {
        match self.hosts.get(&host).map(on_disk) {
            Some(Ok(Some((cluster, rows)))) => {
                let of_key = |(key, entry): (&Key, &Entry)| {
                    let context = entry.context().clone();
                    let dots = self.ledger.of_key(cluster, key).map(|(dot, _)| dot);
                    dots.filter(|dot| context.covers(*dot)).collect::<Vec<_>>()
                };
                rows.iter().flat_map(of_key).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// The disk of a host is about to be lost: what it alone holds is lost with it.
    pub(crate) fn note_disk_lost(&mut self, host: HostId) {
        let Ok(others) = self.known(Some(host)) else { return };
        for dot in self.held_by(host) {
            // A client's token may name it still, at a disk that knows nothing of what it had replaced.
            let entries = |of: &Written| others.get(&(of.cluster, of.key.clone()));
            let seen = |entries: &Vec<Entry>| entries.iter().any(|entry| self.has_seen(entry, dot));
            let is_seen = self.ledger.dots.get(&dot).and_then(entries).is_some_and(seen);
            let Some(written) = self.ledger.dots.get_mut(&dot) else { continue };
            written.hurt = true;
            written.lost |= !is_seen;
        }
        self.note_forgotten_lost(host, &others);
        // What everyone knew may be known by nobody now.
        for host in self.hosts.values_mut() {
            if let Some(member) = host.member_mut() {
                member.seen.must_know.clear();
            }
        }
    }
}
