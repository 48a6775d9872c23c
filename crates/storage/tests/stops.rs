//! What fails stops all writing, with a reason, and is never answered as if it had not happened.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use merkle::{Frozen, ViewLost};
use storage::{Engine, Marks, MemoryEngine, Space, Store, StoreError, UpdateError};

fn filled() -> (Arc<MemoryEngine>, Store) {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    for i in 0..50 {
        put(&store, &key(format!("k{i:02}")), dot(i + 1, 1), b"value");
    }
    store.flush().unwrap();
    (engine, store)
}

/// The engine's key and record of an entry.
fn record(engine: &MemoryEngine, of: &model::Key) -> (Vec<u8>, Bytes) {
    let at = [&of.token().0.to_be_bytes()[..], of.as_bytes()].concat();
    let record = engine.get(Space::Entries, &at).unwrap().unwrap();
    (at, record)
}

fn assert_stopped(store: &Store, why: &str) {
    let reason = store.failure().expect("not stopped");
    assert!(reason.contains(why), "{reason}");
    let any = key("any");
    let update = store.update(&any, |entry| Ok::<_, ()>(Some(written(entry, dot(99, 1), Some(b"x")))));
    assert!(matches!(update, Err(UpdateError::Store(StoreError::Stopped(_)))), "{update:?}");
    assert!(matches!(store.merge(&[(any.clone(), single(dot(99, 2), b"x"))]), Err(StoreError::Stopped(_))));
    assert!(matches!(store.flush(), Err(StoreError::Stopped(_))));
    assert!(matches!(store.freeze(), Err(StoreError::Stopped(_))));
    assert!(matches!(store.maintain(), Err(StoreError::Stopped(_))));
    assert_eq!(store.failure(), Some(reason), "the first reason stays");
}

#[test]
fn a_failed_write_stops_the_store() {
    for kept in 0..2 {
        let (engine, store) = filled();
        let (view, _) = store.freeze().unwrap();
        let before = (store.root(), store.counts(), store.written());
        engine.fail_next_apply(kept);
        let new = key("new");
        let failed = store.update(&new, |entry| Ok::<_, ()>(Some(written(entry, dot(90, 1), Some(b"x")))));
        assert!(matches!(failed, Err(UpdateError::Store(StoreError::Stopped(_)))));
        assert_eq!((store.root(), store.counts(), store.written()), before);
        assert_stopped(&store, "a write failed");
        assert!(matches!(store.view(view).root(), Err(ViewLost::Unreadable(_))));
        assert_eq!(store.get(&key("k07")).unwrap().unwrap().siblings().len(), 1, "reads go on");
        // A restart is what it takes.
        engine.crash();
        let store = open(engine);
        assert_eq!((store.root(), store.counts()), (before.0, before.1));
        put(&store, &new, dot(91, 1), b"x");
    }
}

#[test]
fn a_failed_flush_stops_the_store() {
    let (engine, store) = filled();
    let durable = store.durable();
    put(&store, &key("new"), dot(90, 1), b"x");
    engine.fail_next_flush();
    assert!(matches!(store.flush(), Err(StoreError::Stopped(_))));
    assert_eq!(store.durable(), durable);
    assert_stopped(&store, "a flush failed");
}

#[test]
fn a_damaged_record_is_an_error_and_stops_the_store() {
    let of = key("k07");
    let (_, good) = record(&filled().0, &of);
    for at in 0..good.len() {
        let (engine, store) = filled();
        let (engine_key, good) = record(&engine, &of);
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        engine.damage(Space::Entries, &engine_key, Some(bad.into()));
        assert!(matches!(store.get(&of), Err(StoreError::Corrupt { .. })), "byte {at}");
        assert_stopped(&store, "k07");
        assert!(store.get(&key("k08")).unwrap().is_some());

        // Opening reports it, and nothing else is lost from sight.
        let reopened = open(engine);
        let report = reopened.opened();
        assert_eq!((report.entries, report.corrupt_count, report.corrupt[0].at.as_str()), (49, 1, "k07"));
        assert_stopped(&reopened, "k07");
        assert!(matches!(reopened.get(&of), Err(StoreError::Corrupt { .. })));
        assert!(reopened.get(&key("k08")).unwrap().is_some());
        let failed = reopened.list(b"", None, 100);
        assert!(matches!(failed, Err(StoreError::Corrupt { .. })), "{failed:?}");
    }
}

#[test]
fn a_record_cut_short_or_at_the_wrong_key_is_reported() {
    let of = key("k07");
    let (_, good) = record(&filled().0, &of);
    for len in 0..good.len() {
        let (engine, _) = filled();
        let (at, good) = record(&engine, &of);
        engine.damage(Space::Entries, &at, Some(good.slice(..len)));
        assert_eq!(open(engine).opened().corrupt_count, 1, "cut to {len}");
    }
    let (engine, _) = filled();
    let (mut at, good) = record(&engine, &of);
    engine.damage(Space::Entries, &at, None);
    at[3] ^= 1;
    engine.damage(Space::Entries, &at, Some(good.clone()));
    engine.damage(Space::Entries, b"short", Some(good));
    assert_eq!(open(engine).opened().corrupt_count, 2);
}

#[test]
fn an_engine_that_cannot_be_read_is_an_error() {
    let (engine, store) = filled();
    engine.fail_reads();
    assert!(matches!(store.get(&key("k07")), Err(StoreError::Engine(_))));
    assert_stopped(&store, "cannot be read");
    // Opening what cannot be read gives an empty store that says so, and takes nothing.
    let store = open(engine);
    assert_eq!((store.opened().entries, store.opened().corrupt_count), (0, 1));
    assert_stopped(&store, "damaged");
}

#[test]
fn a_view_over_an_unreadable_entry_is_lost() {
    let (engine, store) = filled();
    let (view, _) = store.freeze().unwrap();
    let (at, _) = record(&engine, &key("k07"));
    engine.damage(Space::Entries, &at, Some(Bytes::from_static(b"short")));
    assert!(matches!(store.view(view).entries(0, u64::MAX, None, 100), Err(ViewLost::Unreadable(_))));
    assert_stopped(&store, "cut short");
}

#[test]
fn a_panic_in_a_decision_stops_the_store() {
    let (_, store) = filled();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.update(&key("k07"), |_| -> Result<_, ()> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    assert!(store.flush().is_ok(), "nobody has met it yet");
    assert_eq!(store.counts().keys, 50);
    assert_stopped(&store, "panic");
}

#[test]
fn a_record_of_another_digest_key_is_damaged() {
    let (engine, _) = filled();
    let store = Store::open(engine, model::DigestKey([8; 32]), Marks::default(), &mut |_| {}).unwrap();
    assert_eq!(store.opened().corrupt_count, 50);
    assert_eq!(store.opened().corrupt.len(), 50);
    assert_stopped(&store, "50 records are damaged");
}

/// A tree that grows reads what it is made of, within writes. One that finds damage so has been written by then: it counts, and
/// whoever waits until it is durable is told that the store has stopped.
#[test]
fn a_write_within_which_damage_is_found_is_written() {
    let (engine, store) = filled();
    let (at, good) = record(&engine, &key("k07"));
    // The digest at a record's head, of which the leaves to come are made; nobody reads this one otherwise.
    let mut bad = good.to_vec();
    bad[0] ^= 1;
    engine.damage(Space::Entries, &at, Some(bad.into()));
    let mut last = None;
    for number in 0..2_000_u64 {
        let new = key(format!("n{number:04}"));
        let dot = dot(100 + number, 1);
        let updated = store.update(&new, |entry| Ok::<_, ()>(Some(written(entry, dot, Some(b"x")))));
        let updated = updated.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert!(updated.changed && updated.seq == store.written());
        last = Some((new, dot));
        if store.failure().is_some() {
            break;
        }
    }
    let (new, dot) = last.unwrap();
    assert_stopped(&store, "the tree cannot grow");
    assert!(store.get(&new).unwrap().unwrap().sibling(dot).is_some());
}
