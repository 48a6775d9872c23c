//! What purging and expiry are for: deletes that stay deleted, and disks that do not fill up with them.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use merkle::Frozen;
use model::{Context, Dot, Entry, Expiry, Hlc, Key, Sibling};
use storage::{Counts, Engine, Marks, MemoryEngine, Space, Store, StoreError, Waiting};

fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0)
}

fn marks(watermark: u64, horizon: u64) -> Marks {
    Marks { watermark: at(watermark), horizon: at(horizon) }
}

fn memory() -> (Arc<MemoryEngine>, Store) {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    (engine, store)
}

fn open_at(engine: &Arc<MemoryEngine>, marks: Marks) -> Store {
    Store::open(engine.clone(), DIGEST_KEY, marks, &mut |_| {}).unwrap()
}

fn finish(store: &Store, marks: Marks) {
    while !store.advance(marks, 100).unwrap().done {}
}

fn expiring(dot: Dot, expires: u64) -> Sibling {
    Sibling::new(dot, Bytes::from_static(b"v"), None, Expiry::at(at(expires)))
}

/// `entry` after a write that replaces all of it by a value that expires.
fn with_ttl(mut entry: Entry, dot: Dot, expires: u64) -> Entry {
    let seen = entry.context().clone();
    entry.write(&seen, dot, Some(expiring(dot, expires)));
    entry
}

fn set(store: &Store, key: &Key, entry: &Entry) {
    store.update(key, |_| Ok::<_, ()>(Some(entry.clone()))).unwrap();
}

fn rows(engine: &MemoryEngine, space: Space) -> usize {
    let mut rows = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    let all = std::ops::Bound::Unbounded;
    engine.range(space, all, all, storage::Part::First(0), &mut visit).unwrap();
    rows
}

/// A delete is forgotten in two steps. In between the value that it replaced does not come back.
#[test]
fn what_is_deleted_stays_deleted_while_its_tombstone_is_forgotten() {
    let (engine, store) = memory();
    let name = key("k");
    let old = put(&store, &name, dot(50, 1), b"v").entry;
    let gone = delete(&store, &name, dot(70, 1)).entry;
    put(&store, &key("other"), dot(71, 1), b"v");
    let others = [(key("other"), store.get(&key("other")).unwrap().unwrap())];
    let root_without = root_of(others.iter().map(|(k, e)| (k, e)));

    let first = store.advance(marks(69, 0), 100).unwrap();
    assert_eq!((first.done, first.purged), (true, 0));
    assert_eq!(store.counts(), Counts { keys: 1, tombstones: 1 });
    let bytes = store.waiting().tombstone_bytes;
    assert_eq!(store.waiting(), Waiting { tombstones: 1, tombstone_bytes: bytes, ..Waiting::default() });

    let (view, _) = store.freeze().unwrap();
    let before = store.root();
    let second = store.advance(marks(70, 0), 100).unwrap();
    assert_eq!((second.done, second.purged, second.seq), (true, 1, store.written()));
    assert_eq!((store.root(), store.counts()), (root_without, Counts { keys: 1, tombstones: 0 }));
    assert_eq!(store.waiting(), Waiting { purged: 1, purged_bytes: bytes, ..Waiting::default() });
    assert_eq!(store.view(view).root().unwrap(), before, "an open view stands still");
    assert_eq!(store.view(view).entries(0, u64::MAX, None, 10).unwrap().len(), 2);
    store.release(view);

    // A session that began earlier brings the value: the tombstone is still seen.
    assert_eq!(store.get(&name).unwrap().as_ref(), Some(&gone));
    assert_eq!(store.merge(&[(name.clone(), old.clone())]).unwrap().changed, [false]);
    // It also comes again itself, and does not enter the tree.
    assert_eq!(store.merge(&[(name.clone(), gone)]).unwrap().changed, [false]);
    assert_eq!(store.root(), root_without);

    assert_eq!(store.forget(at(69), 100).unwrap().rows, 0, "only what left by a watermark up to there");
    let forgot = store.forget(at(1_000), 100).unwrap();
    assert_eq!((forgot.rows, forgot.done), (1, true));
    assert_eq!((store.get(&name).unwrap(), store.waiting()), (None, Waiting::default()));
    assert_eq!((rows(&engine, Space::Entries), rows(&engine, Space::Tombstones)), (1, 0));
    assert_eq!(store.root(), root_without);
    // This is why there is a grace: from here on nothing is known of the delete.
    assert_eq!(store.merge(&[(name, old)]).unwrap().changed, [true]);
}

#[test]
fn a_tombstone_that_the_watermark_has_passed_does_not_enter_the_tree() {
    let (_, store) = memory();
    finish(&store, marks(100, 0));
    let empty = store.root();
    let gone = |time| written(single(dot(time - 1, 1), b"v"), dot(time, 2), None);
    let merged = store.merge(&[(key("old"), gone(100)), (key("new"), gone(101))]).unwrap();
    assert_eq!(merged.changed, [true, true]);
    assert_eq!((store.counts().tombstones, store.waiting().purged), (1, 1));
    assert_ne!(store.root(), empty);
    // A write brings it back into the tree with all that it has seen.
    put(&store, &key("old"), dot(200, 1), b"again");
    assert_eq!((store.counts(), store.waiting().purged), (Counts { keys: 1, tombstones: 1 }, 0));
    finish(&store, marks(300, 0));
    assert_eq!(store.forget(at(300), 10).unwrap().rows, 1);
    assert!(store.get(&key("old")).unwrap().is_some());
}

#[test]
fn an_entry_leaves_with_its_last_expiry_and_not_before() {
    // (A,60) expires at 100 and is replaced by (A,70), which expires at 90.
    let (engine, store) = memory();
    let name = key("k");
    let first = with_ttl(Entry::default(), dot(60, 1), 100);
    let second = with_ttl(first.clone(), dot(70, 1), 90);
    set(&store, &name, &second);
    let advance = store.advance(marks(0, 95), 10).unwrap();
    assert_eq!((advance.done, advance.trimmed, advance.expired), (true, 1, 0));
    let left = store.get(&name).unwrap().unwrap();
    assert!(left.is_tombstone() && left.context() == second.context());
    assert_eq!(store.list(b"", None, 10).unwrap().keys.len(), 0);
    assert_eq!(store.merge(&[(name.clone(), first.clone())]).unwrap().changed, [false], "H35");
    let advance = store.advance(marks(0, 100), 10).unwrap();
    assert_eq!((advance.trimmed, advance.expired), (0, 1));
    assert_eq!((store.get(&name).unwrap(), store.root().count), (None, 0));
    assert_eq!(
        (rows(&engine, Space::Expiry), rows(&engine, Space::Entries), rows(&engine, Space::Names)),
        (0, 0, 0)
    );
    assert_eq!(store.merge(&[(name.clone(), first)]).unwrap().changed, [false], "it has expired itself");

    // A value without expiry is replaced by one that has one: the entry stays as a tombstone, and waits for all.
    let lasting = single(dot(50, 1), b"v");
    set(&store, &name, &with_ttl(lasting.clone(), dot(60, 1), 110));
    finish(&store, marks(0, 200));
    assert_eq!(store.counts(), Counts { keys: 0, tombstones: 1 });
    assert_eq!(store.merge(&[(name, lasting)]).unwrap().changed, [false], "H35");
}

/// A write with the token of a value that is not here: nobody here knows how long that one lasts.
#[test]
fn what_a_token_replaced_unseen_does_not_outlive_the_write() {
    let (_, store) = memory();
    let elsewhere = single(dot(50, 1), b"lasts");
    let mut here = Entry::default();
    here.write(elsewhere.context(), dot(60, 2), Some(expiring(dot(60, 2), 100)));
    set(&store, &key("k"), &here);
    finish(&store, marks(0, 100));
    assert_eq!(store.merge(&[(key("k"), elsewhere)]).unwrap().changed, [false]);
    assert_eq!(store.counts(), Counts { keys: 0, tombstones: 1 });
}

#[test]
fn an_expired_sibling_leaves_an_entry_that_goes_on() {
    let (engine, store) = memory();
    let mut entry = with_ttl(Entry::default(), dot(60, 1), 100);
    entry.merge(&single(dot(61, 2), b"stays"));
    set(&store, &key("k"), &entry);
    assert_eq!(rows(&engine, Space::Expiry), 1);
    finish(&store, marks(0, 100));
    let left = store.get(&key("k")).unwrap().unwrap();
    assert_eq!((left.siblings().len(), left.context()), (1, entry.context()));
    assert_eq!((store.counts().keys, rows(&engine, Space::Expiry)), (1, 0));
}

#[test]
fn what_has_expired_is_refused_on_receipt() {
    let (_, store) = memory();
    finish(&store, marks(0, 100));
    let root = store.root();
    let over = with_ttl(Entry::default(), dot(60, 1), 100);
    assert_eq!(store.merge(&[(key("k"), over.clone())]).unwrap().changed, [false]);
    assert_eq!((store.root(), store.get(&key("k")).unwrap()), (root, None));
    let mut half = over.clone();
    half.merge(&with_ttl(Entry::default(), dot(61, 2), 101));
    assert_eq!(store.merge(&[(key("k"), half.clone())]).unwrap().changed, [true]);
    let held = store.get(&key("k")).unwrap().unwrap();
    assert_eq!((held.siblings().len(), held.context()), (1, half.context()));
    assert_eq!(store.merge(&[(key("k"), half), (key("k"), over)]).unwrap().changed, [false, false]);
    // The marks count before the purge has come there.
    let (_, store) = memory();
    let lasting: Vec<_> = (0..20).map(|n| (key([n]), with_ttl(Entry::default(), dot(60, 1), 100))).collect();
    store.merge(&lasting).unwrap();
    assert!(!store.advance(marks(0, 100), 1).unwrap().done);
    assert_eq!(store.counts().keys, 19);
    let known: Vec<_> = (0..20).filter(|n| store.get(&key([*n])).unwrap().is_some()).collect();
    let again = store.merge(&lasting).unwrap();
    assert!(again.changed.iter().all(|changed| !changed));
    assert_eq!((known.len(), store.counts().keys), (19, 0), "and what a merge meets is settled at once");
}

#[test]
fn a_call_does_no_more_than_it_was_allowed() {
    let (_, store) = memory();
    for n in 0..30_u64 {
        let name = key(format!("{n}"));
        put(&store, &name, dot(n + 1, 1), b"v");
        if n % 2 == 0 {
            delete(&store, &name, dot(n + 1, 2));
        } else {
            set(&store, &name, &with_ttl(Entry::default(), dot(n + 1, 2), 500));
        }
    }
    let goal = marks(100, 500);
    let (mut expired, mut purged, mut calls) = (0, 0, 0);
    loop {
        let advance = store.advance(goal, 4).unwrap();
        assert!(advance.expired + advance.purged <= 4);
        (expired, purged, calls) = (expired + advance.expired, purged + advance.purged, calls + 1);
        if advance.done {
            break;
        }
    }
    assert_eq!((expired, purged, store.root().count), (15, 15, 0));
    assert!((8..=9).contains(&calls), "{calls}");
    assert!(store.advance(goal, 0).unwrap().done && store.advance(Marks::default(), 5).unwrap().done);
    assert_eq!(store.marks(), goal);
    assert_eq!((store.forget(at(100), 7).unwrap().rows, store.waiting().purged), (7, 8));
    while !store.forget(at(100), 7).unwrap().done {}
    assert_eq!(store.waiting(), Waiting::default());
}

#[test]
fn the_horizon_may_be_asked_for_within_a_write() {
    let (_, store) = memory();
    finish(&store, marks(5, 9));
    let updated = store.update(&key("k"), |entry| {
        let horizon = store.marks().horizon;
        Ok::<_, ()>(Some(with_ttl(entry, dot(1, 1), horizon.millis() + 30)))
    });
    assert_eq!(updated.unwrap().entry.last_expiry(), Expiry::at(at(39)));
}

/// A stop in the middle of a purge, noted or not, and marks that have risen since.
#[test]
fn a_restart_goes_on_from_where_the_purge_was() {
    for (noted, later) in
        [(true, marks(20, 0)), (true, marks(25, 1_000)), (false, marks(20, 0)), (true, marks(9, 0))]
    {
        let (engine, store) = memory();
        for n in 0..40_u64 {
            put(&store, &key([n as u8]), dot(n + 1, 1), b"v");
            delete(&store, &key([n as u8]), dot(n + 1, 2));
            set(&store, &key([n as u8, 0]), &with_ttl(Entry::default(), dot(n + 1, 3), 500 + n));
        }
        assert!(!store.advance(marks(20, 0), 12).unwrap().done);
        assert_eq!(store.waiting().purged, 12);
        if noted {
            store.note_clean_stop().unwrap();
        } else {
            store.flush().unwrap();
        }
        drop(store);
        let store = open_at(&engine, later);
        // A watermark older than the note's, as an older record of the node would have it: all is verified.
        assert_eq!(store.opened().verified, !noted || later.watermark < at(12));
        assert_eq!((store.marks(), store.failure()), (later, None));
        let kept = if later.horizon == at(0) { 40 } else { 0 };
        let waits = 40 - later.watermark.millis();
        assert_eq!(store.counts(), Counts { keys: kept, tombstones: waits });
        assert_eq!((store.waiting().purged, store.root().count), (40 - waits, kept + waits));
        assert_eq!((store.written(), engine.unflushed()), (storage::Seq(0), 0));
        while store.maintain().unwrap() {}
    }
}

fn row(time: u64, name: &Key) -> Vec<u8> {
    [&at(time).as_u64().to_be_bytes()[..], &name.token().0.to_be_bytes(), name.as_bytes()].concat()
}

/// A crash leaves rows that go with no entry, at worst; whatever else is wrong with them is put right, too.
#[test]
fn rows_are_checked_against_the_entries() {
    let (engine, store) = memory();
    delete(&store, &key("old"), dot(5, 1));
    put(&store, &key("live"), dot(6, 1), b"v");
    set(&store, &key("ttl"), &with_ttl(Entry::default(), dot(6, 1), 50));
    store.flush().unwrap();
    let empty = Some(Bytes::new());
    for (space, name, time) in [
        (Space::Tombstones, "live", 6),
        (Space::Tombstones, "never", 3),
        (Space::Tombstones, "old", 2),
        (Space::Expiry, "live", 7),
        (Space::Expiry, "never", 8),
        (Space::Expiry, "ttl", 49),
    ] {
        engine.damage(space, &row(time, &key(name)), empty.clone());
    }
    engine.damage(Space::Expiry, b"no row", empty.clone());
    engine.damage(Space::Tombstones, &[0; 20], empty);
    let before = (store.root(), store.counts());
    // While it runs: met, looked at, and removed.
    let advance = store.advance(marks(4, 49), 100).unwrap();
    assert_eq!((advance.done, advance.purged, advance.expired, advance.trimmed), (true, 0, 0, 0));
    assert_eq!((store.root(), store.counts()), before);
    assert_eq!(rows(&engine, Space::Expiry), 2, "that which begins with letters lies far ahead");
    drop(store);
    let store = open_at(&engine, marks(4, 49));
    // Among them that of time zero, which no tombstone that is in the tree has.
    assert_eq!((store.opened().rows_removed, store.opened().rows_added), (3, 0));
    assert_eq!((rows(&engine, Space::Expiry), rows(&engine, Space::Tombstones)), (1, 1));
    drop(store);
    // Exchanged times are no less wrong for having the same sum.
    for (space, name, right, wrong) in [(Space::Tombstones, "old", 5, 9), (Space::Expiry, "ttl", 50, 46)] {
        engine.damage(space, &row(right, &key(name)), None);
        engine.damage(space, &row(wrong, &key(name)), Some(Bytes::new()));
    }
    let store = open_at(&engine, marks(4, 45));
    assert_eq!((store.opened().rows_removed, store.opened().rows_added), (2, 2));
    assert_eq!((store.root(), store.counts()), before);
    let advance = store.advance(marks(5, 50), 100).unwrap();
    assert_eq!((advance.purged, advance.expired, store.counts().keys), (1, 1, 1));
}

/// A damaged record is not taken for one that has gone.
#[test]
fn a_damaged_record_or_engine_stops_the_purge() {
    for space in [Space::Tombstones, Space::Expiry] {
        let (engine, store) = memory();
        let name = key("k");
        match space {
            Space::Expiry => set(&store, &name, &with_ttl(Entry::default(), dot(6, 1), 50)),
            _ => drop(delete(&store, &name, dot(5, 1))),
        }
        store.flush().unwrap();
        let at = [&name.token().0.to_be_bytes()[..], name.as_bytes()].concat();
        let mut record = engine.get(Space::Entries, &at).unwrap().unwrap().to_vec();
        // Of the head, the time at which it leaves.
        record[20] ^= 1;
        engine.damage(Space::Entries, &at, Some(record.into()));
        assert!(matches!(store.advance(marks(99, 99), 9), Err(StoreError::Corrupt { .. })));
        assert!(store.failure().is_some());
        assert!(matches!(store.forget(Hlc::MAX, 9), Err(StoreError::Stopped(_))));
        assert_eq!(rows(&engine, Space::Entries), 1);
    }
    for kept in 0..3 {
        let (engine, store) = memory();
        set(&store, &key("k"), &with_ttl(Entry::default(), dot(6, 1), 50));
        store.flush().unwrap();
        engine.fail_next_apply(kept);
        assert!(matches!(store.advance(marks(0, 50), 9), Err(StoreError::Stopped(_))));
        drop(store);
        engine.crash_keeping(usize::MAX);
        let store = open_at(&engine, marks(0, 50));
        assert_eq!((store.counts().keys, store.opened().rows_added), (0, 0));
        assert_eq!((rows(&engine, Space::Entries), rows(&engine, Space::Expiry)), (0, 0));
    }
}

/// Many deletes: in steps, with open views, and with all memory of the tree and all rows given back.
#[test]
fn many_deletes_give_back_the_tree_and_the_disk() {
    const KEYS: u64 = 40_000;
    let (engine, store) = memory();
    let gone: Vec<(Key, Entry)> = (0..KEYS)
        .map(|n| {
            let mut entry = Entry::default();
            entry.write(&Context::default(), dot(n + 1, 1), None);
            (key(n.to_be_bytes()), entry)
        })
        .collect();
    store.merge(&gone).unwrap();
    put(&store, &key("stays"), dot(KEYS + 1, 1), b"v");
    let leaf_bits = || {
        let (id, _) = store.freeze().unwrap();
        let bits = store.view(id).opening().unwrap().leaf_bits;
        store.release(id);
        bits
    };
    assert_eq!((leaf_bits(), store.root().count), (12, KEYS + 1));
    let (view, _) = store.freeze().unwrap();
    let mut left = KEYS + 1;
    while !store.advance(marks(KEYS + 10, 0), 1_000).unwrap().done {
        assert!(store.root().count < left && left - store.root().count <= 1_000);
        left = store.root().count;
    }
    assert_eq!(store.root().count, 1);
    // A view of so many leaves is open: none goes before it does.
    assert_eq!(leaf_bits(), 12);
    assert_eq!(store.view(view).root().unwrap().count, KEYS + 1);
    assert!(store.view(view).cells(0, 3 << 12).is_ok());
    store.release(view);
    while !store.forget(Hlc::MAX, 1_000).unwrap().done {}
    while store.maintain().unwrap() {}
    assert_eq!(leaf_bits(), merkle::LEAF_BITS_MIN);
    assert_eq!((rows(&engine, Space::Entries), rows(&engine, Space::Tombstones)), (1, 0));
    assert_eq!(store.waiting(), Waiting::default());
    let map: Map = [(key("stays"), store.get(&key("stays")).unwrap().unwrap())].into();
    assert_holds(&store, &map);
}
