//! Merging a batch is merging its entries one by one, whatever the batch, and a crash inside of it is harmless.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use model::{Entry, Key};
use proptest::prelude::*;
use storage::{MemoryEngine, Store, StoreError};

/// What is in the store before, and what comes: keys by number, each with a few versions.
#[derive(Debug, Clone)]
struct Case {
    held: Vec<(u16, u8)>,
    batch: Vec<(u16, u8)>,
    value_bytes: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let rows = |keys: u16, len| prop::collection::vec((0..keys, 0..6_u8), len);
    let small = (rows(30, 0..20), rows(30, 0..40), 0..20_usize);
    // Several sections: by rows, or by bytes. Many keys of few versions, so that whole stretches are empty.
    let large = (rows(9_000, 0..200), rows(9_000, 300..900), prop_oneof![Just(8_usize), Just(3_000)]);
    prop_oneof![4 => small, 1 => large].prop_map(|(held, batch, value_bytes)| Case {
        held,
        batch,
        value_bytes,
    })
}

/// One of several versions of a key's entry; 0 is the blank one, 4 and 5 are known to have replaced earlier ones.
fn version(number: u16, kind: u8, value_bytes: usize) -> (Key, Entry) {
    let mut value = vec![kind; value_bytes];
    value.extend_from_slice(&number.to_be_bytes());
    let entry = match kind {
        0 => Entry::default(),
        1..=3 => single(dot(u64::from(kind), u64::from(kind)), &value),
        4 => written(single(dot(1, 1), &value), dot(9, 4), None),
        _ => written(single(dot(2, 2), &value), dot(9, 5), Some(&value)),
    };
    (key(format!("{number}")), entry)
}

/// Merges one by one, without the code under test. Gives what changed, and what is there afterwards.
fn merge_into(map: &mut Map, batch: &[(Key, Entry)]) -> Vec<bool> {
    batch
        .iter()
        .map(|(key, theirs)| {
            let mut mine = map.get(key).cloned().unwrap_or_default();
            let changed = mine.merge(theirs).changed;
            if changed {
                map.insert(key.clone(), mine);
            }
            changed
        })
        .collect()
}

fn check(store: &Store, map: &Map) {
    assert_eq!((store.root(), store.counts()), (root_of(map), counts_of(map)));
    assert!(list_all(store, b"", 1_000).iter().map(|(k, e)| (k, e)).eq(live(map)));
    for (key, entry) in map {
        assert_eq!(store.get(key).unwrap().as_ref(), Some(entry));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_batch_comes_to_what_its_entries_come_to(case in cases()) {
        let of = |rows: &[(u16, u8)]| -> Vec<(Key, Entry)> {
            rows.iter().map(|(number, kind)| version(*number, *kind, case.value_bytes)).collect()
        };
        let engine = Arc::new(MemoryEngine::new());
        let store = open(engine.clone());
        let mut map = Map::new();
        for batch in [of(&case.held), of(&case.batch)] {
            let (view, _) = store.freeze().unwrap();
            let (then, before) = (root_of(&map), store.written());
            let known: BTreeMap<Key, Entry> = map.clone();
            let expected = merge_into(&mut map, &batch);
            let merged = store.merge(&batch).unwrap();
            prop_assert_eq!(&merged.changed, &expected);
            prop_assert_eq!((merged.clashes, merged.seq), (0, store.written()));
            let keys_changed = map.iter().filter(|(key, entry)| known.get(*key) != Some(*entry)).count();
            prop_assert!(merged.seq.0 - before.0 >= keys_changed as u64);
            check(&store, &map);
            prop_assert_eq!(merkle::Frozen::root(&store.view(view)).unwrap(), then);
            store.release(view);
            prop_assert!(store.merge(&batch).unwrap().changed.iter().all(|changed| !changed));
            prop_assert_eq!(store.written(), merged.seq);
        }
        drop(store);
        check(&open(engine), &map);
    }
}

/// Deletes, new keys, changed ones, known ones and several versions of one key.
fn mixed_batch() -> (Map, Vec<(Key, Entry)>) {
    let mut held = Map::new();
    let before: Vec<_> = (0..12).map(|n| version(n, 1, 3)).collect();
    merge_into(&mut held, &before);
    let kinds = [4, 4, 4, 2, 2, 1, 0, 5, 5, 3, 4, 2].into_iter().zip(0..);
    let mut batch: Vec<_> = kinds.map(|(kind, n)| version(n, kind, 3)).collect();
    batch.extend((20..32).map(|n| version(n, 1 + (n % 5) as u8, 3)));
    batch.extend([version(3, 4, 3), version(20, 2, 3), version(21, 4, 3), version(3, 3, 3)]);
    (held, batch)
}

#[test]
fn after_a_crash_a_batch_is_there_up_to_some_key_and_every_live_key_has_its_name() {
    let (held, batch) = mixed_batch();
    let mut whole = held.clone();
    merge_into(&mut whole, &batch);
    let mut changed: Vec<&Key> =
        whole.iter().filter(|(k, e)| held.get(*k) != Some(*e)).map(|(k, _)| k).collect();
    changed.sort_by_key(|key| (key.token(), (*key).clone()));
    // What is there once so many of the keys have been written.
    let states: Vec<Map> = (0..=changed.len())
        .map(|written| {
            let mut state = held.clone();
            state.extend(changed[..written].iter().map(|key| ((*key).clone(), whole[*key].clone())));
            state
        })
        .collect();
    let filled = || {
        let engine = Arc::new(MemoryEngine::new());
        let store = open(engine.clone());
        store.merge(&held.clone().into_iter().collect::<Vec<_>>()).unwrap();
        store.flush().unwrap();
        (engine, store)
    };
    let mut seen = 0;
    for kept in 0.. {
        let (engine, store) = filled();
        let applies = engine.calls().0;
        store.merge(&batch).unwrap();
        assert_eq!(engine.calls().0 - applies, 1, "one batch of the engine");
        let writes = engine.unflushed();
        engine.crash_keeping(kept);
        let store = open(engine);
        assert_eq!(store.opened().names_added, 0, "{kept} of {writes} writes kept");
        let root = store.root();
        let state = states.iter().position(|state| root_of(state) == root).expect("no prefix of the keys");
        assert!(state >= seen, "{state} after {seen}");
        seen = state;
        check(&store, &states[state]);
        if kept == writes {
            assert_eq!(state, states.len() - 1);
            break;
        }
    }
    // The same where the engine fails: the store stops, and a restart shows a prefix.
    for kept in 0..10 {
        let (engine, store) = filled();
        engine.fail_next_apply(kept * 5);
        assert!(matches!(store.merge(&batch), Err(StoreError::Stopped(_))));
        assert!(matches!(store.merge(&batch), Err(StoreError::Stopped(_))));
        drop(store);
        let store = open(engine);
        let root = store.root();
        check(&store, states.iter().find(|state| root_of(*state) == root).unwrap());
        assert!(store.merge(&batch).is_ok());
        check(&store, &whole);
    }
}

#[test]
fn sections_are_bounded_in_rows_and_bytes() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    let applies = |batch: &[(Key, Entry)]| {
        let before = engine.calls().0;
        store.merge(batch).unwrap();
        engine.calls().0 - before
    };
    let rows = |from: u16, count: u16, bytes| -> Vec<(Key, Entry)> {
        (from..from + count).map(|number| version(number, 1, bytes)).collect()
    };
    assert_eq!(applies(&rows(0, 128, 10)), 1);
    assert_eq!(applies(&rows(0, 128, 10)), 0, "nothing is written where nothing changes");
    assert_eq!(applies(&rows(1_000, 129, 10)), 2);
    assert_eq!(applies(&rows(2_000, 10, 100_000)), 4);
    assert_eq!(applies(&rows(3_000, 2, 1_000_000)), 2);
    assert_eq!(applies(&[]), 0);
}

#[test]
fn a_damaged_record_stops_a_merge_before_anything_is_written() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    let batch: Vec<_> = (0..50).map(|number| version(number, 1, 9)).collect();
    store.merge(&batch).unwrap();
    let victim = &batch[20].0;
    let at = [&victim.token().0.to_be_bytes()[..], victim.as_bytes()].concat();
    engine.damage(storage::Space::Entries, &at, Some(b"not a record".to_vec().into()));
    let (root, applies) = (store.root(), engine.calls().0);
    let newer: Vec<_> = (0..50).map(|number| version(number, 2, 9)).collect();
    assert!(matches!(store.merge(&newer), Err(StoreError::Corrupt { key, .. }) if key == *victim));
    assert_eq!((store.root(), engine.calls().0), (root, applies));
    assert!(store.failure().is_some());
}
