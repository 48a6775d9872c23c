//! After a clean stop a store opens without verifying each record, and only then: whatever else has happened to the
//! engine, every record is verified and the tree is that of the data.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use common::*;
use model::{Entry, Key};
use storage::{Batch, Engine, Marks, MemoryEngine, Part, SledEngine, SledOptions, Space, Store};

const AT: &[u8] = b"clean stop";

fn rows() -> Vec<(Key, Entry)> {
    let mut rows: Vec<_> =
        (0..3_000_u64).map(|n| (key(format!("{n}")), single(dot(n + 1, 1), b"v"))).collect();
    for row in rows.iter_mut().step_by(9) {
        row.1 = written(row.1.clone(), dot(10_000, 1), None);
    }
    rows
}

fn map_of(rows: &[(Key, Entry)]) -> Map {
    rows.iter().cloned().collect()
}

fn check(store: &Store, map: &Map, verified: bool) {
    let report = store.opened();
    assert_eq!((report.verified, report.entries), (verified, map.len() as u64));
    assert_eq!((report.corrupt_count, report.names_added, store.failure()), (0, 0, None));
    assert_eq!((store.root(), store.counts()), (root_of(map), counts_of(map)));
    // Grows the tree to its end: every leaf is compared with the entries.
    while store.maintain().unwrap() {}
}

/// Filled and cleanly stopped, on the engine in memory.
fn stopped() -> (Arc<MemoryEngine>, Map) {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    store.merge(&rows()).unwrap();
    store.note_clean_stop().unwrap();
    assert_eq!((engine.unflushed(), store.durable()), (0, store.written()));
    (engine, map_of(&rows()))
}

fn entry_at(key: &Key) -> Vec<u8> {
    [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat()
}

fn note(engine: &MemoryEngine) -> Option<Bytes> {
    engine.get(Space::Notes, AT).unwrap()
}

#[test]
fn a_clean_stop_spares_the_verification_once() {
    let (engine, map) = stopped();
    let mut told = Vec::new();
    let store =
        Store::open(engine.clone(), DIGEST_KEY, Marks::default(), &mut |entries| told.push(entries)).unwrap();
    check(&store, &map, false);
    assert!(told.is_sorted() && told.last() == Some(&3_000));
    // Gone before anything can be written, durably.
    assert_eq!((note(&engine), engine.unflushed()), (None, 0));
    drop(store);
    engine.crash();
    check(&open(engine.clone()), &map, true);
    // Nobody noted a stop: the same again.
    check(&open(engine), &map, true);
}

#[test]
fn a_crash_after_a_clean_stop_is_noticed() {
    let (engine, mut map) = stopped();
    let store = open(engine.clone());
    put(&store, &key("new"), dot(1, 2), b"v");
    map.insert(key("new"), store.get(&key("new")).unwrap().unwrap());
    engine.crash_keeping(usize::MAX);
    check(&open(engine.clone()), &map, true);

    // As if the removal of the note had not been durable, with writes behind it that were.
    let (engine, mut map) = stopped();
    let left = note(&engine).unwrap();
    let store = open(engine.clone());
    delete(&store, &key("7"), dot(20_000, 1));
    store.flush().unwrap();
    map.insert(key("7"), store.get(&key("7")).unwrap().unwrap());
    engine.damage(Space::Notes, AT, Some(left.clone()));
    check(&open(engine.clone()), &map, true);
    // And with the writes taken back, it is true again.
    let (again, map) = stopped();
    again.damage(Space::Notes, AT, Some(left));
    check(&open(again), &map, false);
}

#[test]
fn writes_after_the_note_make_it_worthless() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    store.merge(&rows()).unwrap();
    store.note_clean_stop().unwrap();
    put(&store, &key("late"), dot(1, 2), b"v");
    store.flush().unwrap();
    let mut map = map_of(&rows());
    map.insert(key("late"), store.get(&key("late")).unwrap().unwrap());
    drop(store);
    check(&open(engine), &map, true);
}

#[test]
fn a_changed_note_is_not_believed() {
    let (engine, map) = stopped();
    let good = note(&engine).unwrap();
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        engine.damage(Space::Notes, AT, Some(bad.into()));
        check(&open(engine.clone()), &map, true);
    }
    for len in [0, 8, good.len() - 1] {
        engine.damage(Space::Notes, AT, Some(good.slice(..len)));
        check(&open(engine.clone()), &map, true);
    }
    // Of another cluster's store: checked with another key.
    engine.damage(Space::Notes, AT, Some(good));
    let other = Store::open(engine, model::DigestKey([8; 32]), Marks::default(), &mut |_| {}).unwrap();
    assert!(other.opened().verified && other.failure().is_some());
}

#[test]
fn records_that_are_not_those_of_the_note_are_verified() {
    type Change = fn(&MemoryEngine);
    let lost: Change = |engine| engine.damage(Space::Entries, &entry_at(&key("70")), None);
    let digest: Change = |engine| {
        let at = entry_at(&key("70"));
        let mut record = engine.get(Space::Entries, &at).unwrap().unwrap().to_vec();
        record[5] ^= 1;
        engine.damage(Space::Entries, &at, Some(record.into()));
    };
    let short: Change =
        |engine| engine.damage(Space::Entries, &entry_at(&key("70")), Some(Bytes::from_static(b"x")));
    let odd: Change = |engine| engine.damage(Space::Entries, b"odd", Some(Bytes::from_static(b"x")));
    for (change, corrupt) in [(lost, 0), (digest, 1), (short, 1), (odd, 1)] {
        let (engine, mut map) = stopped();
        change(&engine);
        let store = open(engine);
        assert!(store.opened().verified);
        assert_eq!((store.opened().corrupt_count, store.failure().is_some()), (corrupt, corrupt > 0));
        if corrupt == 0 {
            map.remove(&key("70"));
            assert_eq!((store.root(), store.counts()), (root_of(&map), counts_of(&map)));
        }
    }
    // What the digests do not show is found when it is read.
    let (engine, map) = stopped();
    let at = entry_at(&key("70"));
    let mut record = engine.get(Space::Entries, &at).unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    engine.damage(Space::Entries, &at, Some(record.into()));
    let store = open(engine);
    check(&store, &map, false);
    assert!(store.get(&key("70")).is_err() && store.failure().is_some());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// On disk: an older copy of the engine's folder under a newer note, and the other way round.
#[test]
fn an_engine_put_back_to_an_earlier_state_is_read_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let (dir, early, late) =
        (home.path().join("engine"), home.path().join("early"), home.path().join("late"));
    let opened = || Arc::new(SledEngine::open(&dir, &SledOptions::default()).unwrap().engine);
    let rows = rows();
    let mut notes = Vec::new();
    for (part, saved) in [(&rows[..2_000], &early), (&rows[2_000..], &late)] {
        let store = open(opened());
        store.merge(part).unwrap();
        store.note_clean_stop().unwrap();
        drop(store);
        let engine = opened();
        notes.push(engine.get(Space::Notes, AT).unwrap().unwrap());
        drop(engine);
        copy(&dir, saved);
    }
    check(&open(opened()), &map_of(&rows), false);
    for (saved, map, own, other) in [(&early, map_of(&rows[..2_000]), 0, 1), (&late, map_of(&rows), 1, 0)] {
        for (note, verified) in [(own, false), (other, true)] {
            std::fs::remove_dir_all(&dir).unwrap();
            copy(saved, &dir);
            let engine = opened();
            let mut batch = Batch::new();
            batch.put(Space::Notes, AT, notes[note].clone());
            engine.apply(&batch).unwrap();
            check(&open(engine), &map, verified);
        }
    }
}

/// Each thread reads slices; nothing is read twice or left out, wherever the keys lie.
#[test]
fn entries_at_the_edges_of_the_token_space_are_read() {
    let (engine, map) = stopped();
    let mut first_and_last = Vec::new();
    let mut visit = |at: &[u8], _: &[u8]| {
        first_and_last.push(at.to_vec());
        ControlFlow::Continue(())
    };
    engine.range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut visit).unwrap();
    assert_eq!(first_and_last.len(), map.len());
    for at in [vec![], vec![0], vec![0xff; 9], vec![0x80], vec![0x7f, 0xff]] {
        engine.damage(Space::Entries, &at, Some(Bytes::from_static(b"x")));
    }
    let store = open(engine);
    assert_eq!((store.opened().corrupt_count, store.opened().entries), (5, map.len() as u64));
    let places: Vec<&str> = store.opened().corrupt.iter().map(|corrupt| &*corrupt.at).collect();
    assert_eq!(places, ["", "00", "7fff", "80", "ffffffffffffffffff"]);
}
