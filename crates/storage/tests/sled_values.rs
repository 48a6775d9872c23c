//! The engine on disk with values and keys of every size: all come back after a restart, and no page outgrows
//! the log.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use model::Key;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{Batch, Engine, OpenedSled, SledEngine, SledOptions, Space, Store};

fn engine(dir: &Path) -> Arc<SledEngine> {
    let OpenedSled { engine, losses, .. } = SledEngine::open(dir, &SledOptions::default()).unwrap();
    assert_eq!(losses, None);
    Arc::new(engine)
}

fn assert_no_blobs(dir: &Path) {
    let blobs: Vec<_> =
        std::fs::read_dir(dir.join("blobs")).unwrap().map(|blob| blob.unwrap().path()).collect();
    assert!(blobs.is_empty(), "{blobs:?}");
}

/// Bytes that no compression or repetition could hide a mix-up in.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut noise = vec![0; len];
    StdRng::seed_from_u64(seed).fill(&mut noise[..]);
    noise
}

#[test]
fn values_of_a_mebibyte_and_of_sixteen_come_back() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("engine");
    let mut map = Map::new();
    let sizes = [1 << 20, 16 << 20, (1 << 20) - 1, (1 << 20) + 1, 0, 100];
    {
        let store = open(engine(&dir));
        for (i, size) in sizes.into_iter().enumerate() {
            // Each is written twice: the second one stays.
            for seed in [1, 2] {
                let key = key([i as u8]);
                let updated = put(&store, &key, dot(seed, 1), &noise(size, seed + i as u64));
                map.insert(key, updated.entry);
            }
        }
        store.flush().unwrap();
        assert_holds(&store, &map);
        assert_no_blobs(&dir);
    }
    let store = open(engine(&dir));
    assert_holds(&store, &map);
    assert_eq!(store.get(&key([1])).unwrap().unwrap().siblings()[0].value(), &noise(16 << 20, 3));
    for i in 0..sizes.len() {
        map.insert(key([i as u8]), delete(&store, &key([i as u8]), dot(9, 1)).entry);
    }
    assert_holds(&store, &map);
    assert_no_blobs(&dir);
}

/// A leaf holds some 20 values and an inner page some 300 keys, however long: the worst of both.
#[test]
fn pages_stay_in_the_log_whatever_the_keys() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("engine");
    let engine = engine(&dir);
    // Long keys that differ in their last bytes alone: nothing can be cut from a page's separators.
    let key = |i: u32| [&[b'x'; 1020][..], &i.to_be_bytes()].concat();
    for i in (0..12_000_u32).rev() {
        let mut batch = Batch::new();
        batch.put(Space::Names, key(i.wrapping_mul(7919) % 12_000), &b""[..]);
        if i % 40 == 0 {
            batch.put(Space::Entries, key(i), noise(16 << 10, u64::from(i)));
            batch.put(Space::Entries, key(i / 80), noise(15 << 10, u64::from(i)));
        }
        engine.apply(&batch).unwrap();
    }
    // Emptied leaves are merged, and filled again.
    for i in (0..12_000_u32).filter(|i| i % 9 != 0) {
        let mut batch = Batch::new();
        batch.remove(Space::Names, key(i)).remove(Space::Entries, key(i));
        engine.apply(&batch).unwrap();
    }
    engine.flush().unwrap();
    assert_no_blobs(&dir);
}

#[test]
fn random_writes_survive_reopening_and_no_space_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("engine");
    let mut rng = StdRng::seed_from_u64(11);
    let mut map = Map::new();
    for round in 0..6_u64 {
        let store: Store = open(engine(&dir));
        assert_holds(&store, &map);
        for i in 0..150_u64 {
            let key: Key = key(format!("key {}", rng.random_range(0..60_u8)));
            let dot = dot(round * 1000 + i + 1, 1);
            let size = [0, 200, 16_300, 16_400, 70_000, 400_000][rng.random_range(0..6_usize)];
            let updated = match rng.random_range(0..4) {
                0 => delete(&store, &key, dot),
                _ => put(&store, &key, dot, &noise(size, i)),
            };
            map.insert(key, updated.entry);
        }
        // Half of the rounds end without a flush, as the drop does one.
        if round % 2 == 0 {
            store.flush().unwrap();
        }
    }
    assert_no_blobs(&dir);
    let held: u64 = map.values().map(|entry| entry.weight() as u64).sum();
    let on_disk = std::fs::metadata(dir.join("db")).unwrap().len();
    assert!(on_disk < 8 * held + (64 << 20), "{on_disk} bytes on disk for {held}");
}
