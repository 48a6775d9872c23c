//! A store that meets a damaged record stops, and is opened anew without it: what is left is in step, what is gone is
//! kept for people, and nothing of it happens behind anybody's back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::*;
use model::Key;
use storage::{DAMAGED_TAKEN_OUT_MAX, DamagedRecord, Engine, Marks, MemoryEngine, Space, Store, StoreError};

const KEYS: u64 = 60;

/// A store of live keys, tombstones, values that expire and large values.
fn filled() -> (Arc<MemoryEngine>, Store, Map) {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    let mut map = Map::new();
    for n in 0..KEYS {
        let key = key(format!("k{n}"));
        let updated = match n % 5 {
            0 => delete(&store, &key, dot(n + 1, 1)),
            1 => put(&store, &key, dot(n + 1, 1), &vec![n as u8; 20_000]),
            _ => put(&store, &key, dot(n + 1, 1), format!("value {n}").as_bytes()),
        };
        map.insert(key, updated.entry);
    }
    store.flush().unwrap();
    (engine, store, map)
}

fn at(of: &Key) -> Vec<u8> {
    [&of.token().0.to_be_bytes()[..], of.as_bytes()].concat()
}

/// Flips one bit of a record, at this byte of it or its last.
fn flip(engine: &MemoryEngine, of: &Key, byte: usize) -> Bytes {
    let mut bytes = engine.get(Space::Entries, &at(of)).unwrap().unwrap().to_vec();
    let byte = byte.min(bytes.len() - 1);
    bytes[byte] ^= 1;
    engine.damage(Space::Entries, &at(of), Some(bytes.clone().into()));
    bytes.into()
}

fn heal(engine: Arc<dyn Engine>) -> (Store, Vec<DamagedRecord>) {
    let mut aside = Vec::new();
    let mut keep = |records: &[DamagedRecord]| {
        aside.extend_from_slice(records);
        Ok(())
    };
    let healed = Store::open_healing(engine, DIGEST_KEY, Marks::default(), &mut |_| {}, &mut keep).unwrap();
    (healed, aside)
}

#[test]
fn wherever_a_record_is_damaged_the_rest_goes_on_without_it() {
    for (n, byte) in [(0, 0), (0, 20), (1, 5_000), (2, 0), (2, 17), (2, 23), (2, 24), (2, 30), (3, 9_999)] {
        let (engine, store, mut map) = filled();
        let of = key(format!("k{n}"));
        let bad = flip(&engine, &of, byte);
        assert!(store.give_up().is_none(), "nobody has met it");
        assert!(matches!(store.get(&of), Err(StoreError::Corrupt { .. })), "{n} {byte}");
        let engine = store.give_up().unwrap();
        let (healed, aside) = heal(engine.clone());
        let [record] = &aside[..] else { panic!("{aside:?}") };
        assert_eq!((record.key.as_ref(), &record.bytes, &record.at[..]), (Some(&of), &bad, &at(&of)[..]));
        assert!(!record.why.is_empty());
        let report = healed.opened();
        assert_eq!((report.corrupt_count, report.taken_out, report.corrupt.len()), (1, 1, 1));
        assert_eq!(healed.failure(), None);
        // The old one is over, whoever still has it.
        assert!(matches!(store.merge(&[(of.clone(), map[&of].clone())]), Err(StoreError::Stopped(_))));
        let whole = map.remove(&of).unwrap();
        assert_holds(&healed, &map);
        assert_eq!(healed.list(b"", None, 100).unwrap().keys.len(), healed.counts().keys as usize);
        // It comes back from a peer, and all is as it was.
        assert_eq!(healed.merge(&[(of.clone(), whole.clone())]).unwrap().changed, [true]);
        map.insert(of.clone(), whole);
        healed.flush().unwrap();
        assert_holds(&healed, &map);
        drop(healed);
        let again = Store::open(engine, DIGEST_KEY, Marks::default(), &mut |_| {}).unwrap();
        let (_, other, _) = filled();
        assert_eq!((again.root(), again.counts(), again.failure()), (other.root(), other.counts(), None));
        assert_eq!(again.opened().rows_added + again.opened().names_added, 0);
    }
}

#[test]
fn many_at_once_and_records_of_no_key_are_taken_out() {
    let (engine, store, mut map) = filled();
    let lost: Vec<Key> = (0..KEYS).filter(|n| n % 3 == 0).map(|n| key(format!("k{n}"))).collect();
    lost.iter().for_each(|of| drop(flip(&engine, of, 40)));
    engine.damage(Space::Entries, b"short", Some(Bytes::from_static(b"x")));
    store.scrub(None, u64::MAX).unwrap_err();
    let (healed, aside) = heal(store.give_up().unwrap());
    assert_eq!(aside.len(), lost.len() + 1);
    assert_eq!(aside.iter().filter(|record| record.key.is_none()).count(), 1);
    lost.iter().for_each(|of| drop(map.remove(of)));
    assert_holds(&healed, &map);
    assert!(engine.get(Space::Entries, b"short").unwrap().is_none());
}

#[test]
fn nothing_is_removed_that_could_not_be_set_aside() {
    let (engine, store, _) = filled();
    let of = key("k2");
    let bad = flip(&engine, &of, 30);
    store.get(&of).unwrap_err();
    let engine = store.give_up().unwrap();
    let refuse = &mut |_: &[DamagedRecord]| Err("the disk is full".to_owned());
    let failed = Store::open_healing(engine.clone(), DIGEST_KEY, Marks::default(), &mut |_| {}, refuse);
    assert!(matches!(failed, Err(StoreError::NotSetAside(why)) if why.contains("full")));
    assert_eq!(engine.get(Space::Entries, &at(&of)).unwrap(), Some(bad));
    // A crash right after it was set aside: it is met, and set aside, again.
    let (_, aside) = heal(engine);
    assert_eq!(aside.len(), 1);
}

#[test]
fn an_engine_that_failed_is_not_given_up() {
    let of = key("k2");
    let (engine, store, _) = filled();
    flip(&engine, &of, 30);
    store.get(&of).unwrap_err();
    engine.fail_reads();
    store.get(&key("k3")).unwrap_err();
    assert!(store.give_up().is_none(), "the record was not all");
    let (engine, store, _) = filled();
    put(&store, &key("new"), dot(900, 1), b"x");
    engine.fail_next_flush();
    store.flush().unwrap_err();
    flip(&engine, &of, 30);
    store.get(&of).unwrap_err();
    assert!(store.give_up().is_none());
    // What cannot be read stays, and so does what is too much to be single records.
    engine.fail_reads();
    let (store, aside) = heal(engine);
    assert!(aside.is_empty() && store.failure().is_some());
    assert!(store.opened().unreadable.as_ref().is_some_and(|what| !what.is_damage));
    let engine = Arc::new(MemoryEngine::new());
    for n in 0..=DAMAGED_TAKEN_OUT_MAX {
        engine.damage(Space::Entries, &at(&key(format!("{n}"))), Some(Bytes::from_static(b"x")));
    }
    let (store, aside) = heal(engine);
    assert!(aside.is_empty() && store.failure().is_some() && store.opened().unreadable.is_none());
}

#[test]
fn whoever_waits_for_the_stop_is_told_once() {
    let (engine, store, _) = filled();
    let told = Arc::new(AtomicUsize::new(0));
    let count = || {
        let told = Arc::clone(&told);
        Box::new(move || {
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    store.on_stop(count());
    flip(&engine, &key("k2"), 30);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    store.get(&key("k2")).unwrap_err();
    store.get(&key("k2")).unwrap_err();
    assert_eq!(told.load(Ordering::SeqCst), 1);
    store.on_stop(count());
    assert_eq!(told.load(Ordering::SeqCst), 2, "at once where it has stopped");
}
