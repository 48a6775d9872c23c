//! Tombstones leave the tree at a watermark and the disk later, and until then merges see them.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{DIGEST_KEY, delete, dot, key, put, single};
use model::{Context, Entry, Hlc};
use storage::{Marks, MemoryEngine, Store};

fn open(engine: &Arc<MemoryEngine>) -> Store {
    Store::open(engine.clone(), DIGEST_KEY, &mut |_| {}).unwrap()
}

fn marks(watermark: u64) -> Marks {
    Marks { watermark: Hlc::new(watermark, 0), horizon: Hlc::ZERO }
}

fn tombstone(time: u64, writer: u64) -> Entry {
    let mut entry = Entry::default();
    entry.write(&Context::default(), dot(time, writer), None);
    entry
}

/// Ten keys, written at 1 to 10; the first six deleted at 11 to 16.
fn store(engine: &Arc<MemoryEngine>) -> Store {
    let store = open(engine);
    for n in 1..=10 {
        put(&store, &key(format!("k{n}")), dot(n, 1), b"v");
    }
    for n in 1..=6 {
        delete(&store, &key(format!("k{n}")), dot(10 + n, 1));
    }
    store
}

#[test]
fn a_tombstone_leaves_the_tree_by_its_state_and_the_watermark_alone() {
    let (one, other) = (Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new()));
    let (one, other) = (store(&one), store(&other));
    assert_eq!(one.counts().tombstones, 6);
    assert!(one.advance(marks(13), 100).unwrap().done);
    assert_eq!((one.counts().keys, one.counts().tombstones, one.root().count), (4, 3, 7));
    // In steps of one, and over a lower mark before: the same.
    for watermark in [11, 13] {
        while !other.advance(marks(watermark), 1).unwrap().done {}
    }
    assert_eq!((one.root(), one.counts()), (other.root(), other.counts()));
    assert_eq!(other.marks(), marks(13));
    assert!(other.advance(marks(5), 100).unwrap().done);
    assert_eq!(other.marks(), marks(13), "marks never fall");
    assert!(one.get(&key("k2")).unwrap().unwrap().is_tombstone(), "reads still see it");
}

#[test]
fn what_was_deleted_does_not_return_until_it_is_forgotten() {
    let store = store(&Arc::new(MemoryEngine::new()));
    while !store.advance(marks(20), 2).unwrap().done {}
    let root = store.root();
    let merged = store.merge(&[(key("k1"), single(dot(1, 1), b"v")), (key("k1"), tombstone(11, 1))]).unwrap();
    assert_eq!((merged.changed, store.root()), (vec![false, false], root));
    // A purged tombstone that comes where nothing is held any more does not enter the tree.
    while !store.forget(Hlc::new(13, 0), 1).unwrap().done {}
    assert_eq!(store.get(&key("k1")).unwrap(), None);
    assert!(store.get(&key("k4")).unwrap().is_some(), "its time has not come");
    store.merge(&[(key("k1"), tombstone(11, 1))]).unwrap();
    assert_eq!((store.root(), store.counts().tombstones), (root, 0));
    assert!(store.get(&key("k1")).unwrap().unwrap().is_tombstone());
}

#[test]
fn a_key_that_is_written_anew_is_in_the_tree_again() {
    let store = store(&Arc::new(MemoryEngine::new()));
    while !store.advance(marks(20), 100).unwrap().done {}
    put(&store, &key("k1"), dot(30, 2), b"new");
    store.merge(&[(key("k2"), tombstone(31, 2)), (key("k3"), single(dot(32, 2), b"other"))]).unwrap();
    assert_eq!((store.counts().keys, store.counts().tombstones, store.root().count), (6, 1, 7));
    assert!(store.get(&key("k1")).unwrap().unwrap().context().covers(dot(11, 1)), "over what it held");
    let listed = store.list(b"k", None, 100).unwrap();
    assert_eq!(listed.keys.len(), 6);
}

#[test]
fn a_crash_at_any_write_leaves_what_an_opening_makes_whole() {
    let writes = {
        let engine = Arc::new(MemoryEngine::new());
        let store = store(&engine);
        store.flush().unwrap();
        store.advance(marks(14), 100).unwrap();
        engine.unflushed()
    };
    assert_eq!(writes, 8, "each of four moves from one place to another");
    for kept in 0..=writes {
        let engine = Arc::new(MemoryEngine::new());
        let before = store(&engine);
        before.flush().unwrap();
        before.advance(marks(14), 100).unwrap();
        let expected = (before.root(), before.counts());
        engine.crash_keeping(kept);
        let after = open(&engine);
        after.advance(marks(14), 100).unwrap();
        assert_eq!((after.root(), after.counts()), expected, "{kept} of {writes}");
        assert!((1..=6).all(|n| after.get(&key(format!("k{n}"))).unwrap().unwrap().is_tombstone()));
        while !after.forget(Hlc::new(14, 0), 100).unwrap().done {}
        assert_eq!(after.get(&key("k3")).unwrap(), None, "{kept} of {writes}");
    }
}
