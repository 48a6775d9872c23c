//! Names and entries are writes of their own: whatever prefix of them survives, no live key lacks its name.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use common::*;
use storage::{Engine, MemoryEngine, Part, Space};

fn names(engine: &MemoryEngine) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    engine
        .range(Space::Names, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut |name, _| {
            names.push(name.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    names
}

/// Creates, deletes, creates again; crashes after every single write.
#[test]
fn a_crash_between_name_and_entry_is_harmless() {
    let keys = ["a", "b", "c"].map(key);
    for kept in 0..=15 {
        let engine = Arc::new(MemoryEngine::new());
        let store = open(engine.clone());
        put(&store, &keys[0], dot(1, 1), b"1");
        put(&store, &keys[1], dot(2, 1), b"1");
        delete(&store, &keys[0], dot(3, 1));
        put(&store, &keys[2], dot(4, 1), b"1");
        put(&store, &keys[0], dot(5, 1), b"2");
        delete(&store, &keys[1], dot(6, 1));
        // Six records, five writes of names, and the tombstones' rows: two come, one goes.
        assert_eq!(engine.unflushed(), 15);
        drop(store);
        engine.crash_keeping(kept);

        let names_before = names(&engine);
        let live_before: Vec<Vec<u8>> = keys
            .iter()
            .filter(|key| {
                let at = [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat();
                let record = engine.get(Space::Entries, &at).unwrap();
                record.is_some_and(|r| !model::stored::decode(&r[24..]).unwrap().siblings().is_empty())
            })
            .map(|key| key.as_bytes().to_vec())
            .collect();
        assert!(live_before.iter().all(|live| names_before.contains(live)), "after {kept} writes");

        let store = open(engine.clone());
        let stale = names_before.len() - live_before.len();
        assert_eq!((store.opened().names_removed, store.opened().names_added), (stale as u64, 0));
        let listed: Vec<Vec<u8>> =
            list_all(&store, b"", 9).into_iter().map(|(k, _)| k.as_bytes().to_vec()).collect();
        assert_eq!(listed, live_before);
        assert_eq!(names(&engine), live_before);
    }
}

#[test]
fn a_stale_name_is_skipped_and_forgotten() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    put(&store, &key("b"), dot(1, 1), b"1");
    put(&store, &key("c"), dot(2, 1), b"1");
    delete(&store, &key("c"), dot(3, 1));
    for stale in ["a", "c", "d"] {
        engine.damage(Space::Names, stale.as_bytes(), Some(Default::default()));
    }
    let page = store.list(b"", None, 1).unwrap();
    assert_eq!((page.keys.len(), page.keys[0].0.clone(), page.next), (1, key("b"), None));
    assert_eq!(names(&engine), [b"b"]);
}

#[test]
fn lost_and_odd_names_are_put_right_on_opening() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    for i in 0..1500_u64 {
        put(&store, &key(format!("k{i}")), dot(i + 1, 1), b"1");
    }
    engine.damage(Space::Names, b"k3", None);
    engine.damage(Space::Names, b"k1499", None);
    engine.damage(Space::Names, b"", Some(Default::default()));
    engine.damage(Space::Names, &[b'x'; 2000], Some(Default::default()));
    let store = open(engine.clone());
    assert_eq!((store.opened().names_removed, store.opened().names_added), (2, 2));
    assert_eq!(list_all(&store, b"k", 400).len(), 1500);
    let again = open(engine);
    assert_eq!((again.opened().names_removed, again.opened().names_added), (0, 0));
}
