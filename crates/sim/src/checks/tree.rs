//! Root, counts and cells are those of the data: after each write by adding up what changed, and recomputed from what is
//! stored at each opening and at the end.

use merkle::{Frozen, KEYS_PER_LEAF_MAX, LEAF_BITS_MIN, Tree, kept_cells};
use model::Entry;
use storage::{Marks, View, read_all};

use super::acknowledged::on_disk;
use super::covered::is_purged;
use crate::host::{HostId, Member};
use crate::ledger::Written;
use crate::world::World;

impl World {
    /// Compares what the store says with the sum of what the checkers saw.
    pub(crate) fn check_root(&mut self, host: HostId) {
        if self.is_rotten(host, None) {
            return;
        }
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        let found = if member.store.failure().is_some() { Ok(()) } else { adds_up(member) };
        self.judge("tree", found.map_err(|why| format!("{host}: {why}")));
    }

    /// Reads everything anew and compares.
    pub(crate) fn check_store(&mut self, host: HostId) {
        if self.is_rotten(host, None) {
            return;
        }
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        if member.store.failure().is_some() {
            return;
        }
        let found = recomputed(member);
        self.judge("tree", found.map_err(|why| format!("{host}: {why}")));
    }

    /// A store was opened: its entries are taken for seen, its tree must be theirs.
    pub(crate) fn check_opened(&mut self, host: HostId, behind: bool) {
        let must_know = if behind { self.what_everyone_knows(host) } else { Default::default() };
        let Some(Ok(Some((_, rows)))) = self.hosts.get(&host).map(on_disk) else { return };
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        member.seen.entries = rows;
        member.seen.must_know = must_know;
        add_up(member);
        let entries: Vec<_> =
            member.seen.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let (cluster, roster) = (member.cluster, member.core.meta().roster.clone());
        let watermark = member.store.marks().watermark;
        self.check_store(host);
        self.note_held_no_more(host);
        self.check_whole_vector(host);
        self.check_all_returned(host);
        for (key, entry) in entries {
            let stranded = |dot, written: &Written| self.is_stranded(&roster, dot, written);
            let found = super::covered::covered(&self.ledger, cluster, &key, &entry, watermark, &stranded);
            self.judge("covered", found.map_err(|why| format!("{host}, opened, {why}")));
        }
    }
}

impl World {
    /// Marks have moved, or what was purged has left the disk.
    pub(crate) fn see_forgotten(&mut self, host: HostId) {
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        add_up(member);
        let Marks { watermark, horizon } = member.store.marks();
        let expires = |entry: &Entry| entry.next_expiry().is_over(horizon);
        let moved = |entry: &Entry| is_purged(entry, watermark) || expires(entry);
        let purged = member.seen.entries.iter().filter(|(_, entry)| moved(entry));
        let purged: Vec<_> = purged.map(|(key, _)| key.clone()).collect();
        purged.iter().for_each(|key| self.check_key(host, key));
        self.check_root(host);
    }
}

/// Adds up what was seen anew: what is in the tree follows from the entries and the marks.
fn add_up(member: &mut Member) {
    let watermark = member.store.marks().watermark;
    member.seen.root = merkle::RangeDigest::default();
    member.seen.tombstones = 0;
    for (key, entry) in member.seen.entries.iter().filter(|(_, entry)| !is_purged(entry, watermark)) {
        let digest = entry.digest(key, &member.digest_key);
        member.seen.root = member.seen.root.add(merkle::RangeDigest::of(digest));
        member.seen.tombstones += u64::from(entry.is_tombstone());
    }
}

fn adds_up(member: &Member) -> Result<(), String> {
    let (root, seen) = (member.store.root(), member.seen.root);
    if root != seen {
        return Err(format!(
            "the root counts {} entries, what was written adds up to another one of {}",
            root.count, seen.count
        ));
    }
    let counts = member.store.counts();
    let tombstones = member.seen.tombstones;
    if counts.tombstones != tombstones || counts.keys + tombstones != seen.count {
        return Err(format!("{counts:?} is counted where {tombstones} of {} are tombstones", seen.count));
    }
    Ok(())
}

fn recomputed(member: &Member) -> Result<(), String> {
    // No more views are open than sessions are; where they are used up the cells are looked at another time.
    let view = member.store.freeze().ok().map(|(view, _)| view);
    let found = compared(member, view.map(|view| member.store.view(view)));
    view.into_iter().for_each(|view| member.store.release(view));
    found
}

/// Compares the store with a tree of as many leaves, made of what lies on the disk.
fn compared(member: &Member, view: Option<View<'_>>) -> Result<(), String> {
    let rows = read_all(&*member.engine, &member.digest_key).map_err(|error| error.to_string())?;
    let opening = view.as_ref().map(View::opening).transpose().map_err(|error| error.to_string())?;
    let mut tree = Tree::with_keys(KEYS_PER_LEAF_MAX << opening.map_or(LEAF_BITS_MIN, |it| it.leaf_bits));
    let watermark = member.store.marks().watermark;
    for (key, entry) in &rows {
        if !is_purged(entry, watermark) {
            tree.change(key.token().0, None, Some(entry.digest(key, &member.digest_key)));
        }
        if member.seen.entries.get(key) != Some(entry) {
            return Err(format!("{key} was changed in a way that nobody told of"));
        }
    }
    if member.store.root() != tree.root() {
        return Err("the root is not that of the data".into());
    }
    let all = kept_cells(tree.leaf_bits());
    let cells = view.map(|view| view.cells(0, all)).transpose().map_err(|error| error.to_string())?;
    if cells.is_some_and(|cells| cells != tree.cells(0, all)) {
        return Err("the cells of the sketch are not those of the data".into());
    }
    adds_up(member)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::key;
    use crate::world::Setting;

    #[test]
    fn a_root_that_is_not_that_of_the_data_is_noticed() {
        let mut world = World::new(&Setting::default());
        world.form(2).unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        world.put(HostId(1), &key(1), "value".into(), None);
        world.check_root(HostId(1));
        assert_eq!(world.broken, None);
        // As if the tree had not learned of it.
        let member = world.hosts.get_mut(&HostId(1)).and_then(|host| host.member_mut()).unwrap();
        let entry = member.store.get(&key(1)).unwrap().unwrap();
        member.store.merge(&[(key(2), entry)]).unwrap();
        world.check_root(HostId(1));
        assert!(world.broken.is_some_and(|found| found.check == "tree"));
    }
}
