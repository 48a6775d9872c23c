//! A scrub reads everything, and nothing that is damaged gets past it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::*;
use model::Key;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{
    Engine, Marks, MemoryEngine, Progress, Scrub, ScrubNext, SledEngine, SledOptions, Space, Store,
    StoreError,
};

fn fill(store: &Store, keys: u64) -> Map {
    let mut map = Map::new();
    for n in 0..keys {
        let key = key(format!("{n}"));
        let updated = match n % 5 {
            0 => delete(store, &key, dot(n + 1, 1)),
            1 => put(store, &key, dot(n + 1, 1), &vec![n as u8; 20_000]),
            _ => put(store, &key, dot(n + 1, 1), format!("value {n}").as_bytes()),
        };
        map.insert(key, updated.entry);
    }
    map
}

fn in_token_order(map: &Map) -> Vec<Key> {
    let mut keys: Vec<Key> = map.keys().cloned().collect();
    keys.sort_by_key(|key| (key.token(), key.clone()));
    keys
}

/// A whole pass, in steps of so many bytes: how many entries and steps.
fn pass(store: &Store, bytes_max: u64) -> Result<(u64, usize), StoreError> {
    let (mut entries, mut steps, mut after) = (0, 0, None);
    loop {
        let read = store.scrub(after.as_ref(), bytes_max)?;
        (entries, steps) = (entries + read.entries, steps + 1);
        let place = |key: &Option<Key>| key.as_ref().map(|key| (key.token(), key.clone()));
        assert!(place(&read.last) > place(&after) || read.last.is_none());
        match read.last {
            Some(last) => after = Some(last),
            None => return Ok((entries, steps)),
        }
    }
}

#[test]
fn a_pass_reads_each_entry_once_in_bounded_steps() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    assert_eq!(pass(&store, 100).unwrap(), (0, 1));
    let map = fill(&store, 60);
    assert_eq!(pass(&store, u64::MAX).unwrap(), (60, 1));
    assert_eq!(pass(&store, 1).unwrap(), (60, 61), "one entry a step at least");
    let keys = in_token_order(&map);
    let mut after = None;
    for key in &keys {
        let read = store.scrub(after.as_ref(), 1).unwrap();
        assert_eq!((read.entries, read.last.as_ref()), (1, Some(key)));
        after = read.last;
    }
    // Tombstones that have left the tree are read, too: merges rest on them.
    while !store.advance(Marks { watermark: dot(900, 1).hlc, ..Marks::default() }, 100).unwrap().done {}
    assert!(store.waiting().purged > 0);
    assert_eq!(pass(&store, 5_000).unwrap().0, 60);
}

#[test]
fn each_damaged_byte_is_found_and_stops_the_store() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    let victim = key("victim");
    put(&store, &victim, dot(1, 1), b"value");
    store.flush().unwrap();
    drop(store);
    let at = [&victim.token().0.to_be_bytes()[..], victim.as_bytes()].concat();
    let good = engine.get(Space::Entries, &at).unwrap().unwrap();
    for byte in 0..good.len() {
        let store = open(engine.clone());
        let mut bad = good.to_vec();
        bad[byte] ^= 4;
        engine.damage(Space::Entries, &at, Some(bad.into()));
        assert!(matches!(store.scrub(None, 1_000), Err(StoreError::Corrupt { .. })), "byte {byte}");
        assert!(store.failure().is_some_and(|reason| reason.contains("victim")));
        assert!(matches!(store.scrub(None, 1_000), Err(StoreError::Stopped(_))));
        assert!(store.note_scrub(&Progress::default()).is_err());
        engine.damage(Space::Entries, &at, Some(good.clone()));
    }
    let store = open(engine.clone());
    engine.fail_reads();
    assert!(matches!(store.scrub(None, 1_000), Err(StoreError::Engine(_))));
    assert!(store.failure().is_some());
}

#[test]
fn the_progress_outlives_a_restart() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine.clone());
    fill(&store, 40);
    assert_eq!(store.scrub_noted(), Progress::default());
    let mut scrub = Scrub::new(std::num::NonZeroU64::new(1_000).unwrap(), store.scrub_noted(), None);
    let ScrubNext::Read { after: None, bytes_max } = scrub.next(5_000_000) else { panic!("it is due") };
    let read = store.scrub(None, bytes_max).unwrap();
    let last = read.last.clone();
    assert!(last.is_some());
    scrub.has_read(5_000_000, read);
    store.note_scrub(&scrub.to_note(5_000_000).unwrap().clone()).unwrap();
    let root = store.root();
    store.note_clean_stop().unwrap();
    drop(store);
    let store = open(engine);
    assert_eq!((store.opened().verified, store.root()), (false, root), "the note is none of the data");
    let noted = store.scrub_noted();
    assert_eq!(noted, Progress { whole_since_ms: None, pass: Some((5_000_000, last.clone())) });
    let mut scrub = Scrub::new(std::num::NonZeroU64::new(1_000).unwrap(), noted, None);
    assert!(matches!(scrub.next(6_000_000), ScrubNext::Read { after, .. } if after == last));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to)
        } else {
            drop(fs::copy(file.path(), to))
        }
    }
}

/// After a clean stop an opening reads digests only: what lies under them is for the scrub to find.
#[test]
fn bytes_flipped_at_rest_in_a_real_file_are_found() {
    let home = tempfile::tempdir().unwrap();
    let (good, dir) = (home.path().join("good"), home.path().join("bad").join("engine"));
    let store = open(Arc::new(SledEngine::open(&good, &SledOptions::default()).unwrap().engine));
    let map = fill(&store, 200);
    store.note_clean_stop().unwrap();
    drop(store);
    // Released by threads of the engine, a moment later.
    drop(SledEngine::open(&good, &SledOptions::default()).unwrap());
    let len = fs::metadata(good.join("db")).unwrap().len();
    let mut rng = StdRng::seed_from_u64(11);
    let (mut found, mut said, mut harmless) = (0, 0, 0);
    for _ in 0..80 {
        copy(&good, &dir);
        let (at, run) = (rng.random_range(0..len) as usize, [1, 1, 64][rng.random_range(0..3_usize)]);
        let mut bytes = fs::read(dir.join("db")).unwrap();
        bytes.iter_mut().skip(at).take(run).for_each(|byte| *byte ^= 1 << (at % 8));
        fs::write(dir.join("db"), bytes).unwrap();
        let opened = SledEngine::open(&dir, &SledOptions::default()).unwrap();
        let store = open(Arc::new(opened.engine));
        if opened.losses.is_some() || store.failure().is_some() {
            said += 1;
        } else if pass(&store, 50_000).is_err() {
            assert!(store.failure().is_some(), "{run} bytes at {at}");
            found += 1;
        } else {
            assert_holds(&store, &map);
            harmless += 1;
        }
        drop(store);
        fs::remove_dir_all(home.path().join("bad")).unwrap();
    }
    println!("found {found}, said while opening {said}, harmless {harmless}");
    assert!(said + found > 0);
}
