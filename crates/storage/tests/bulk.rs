//! Reading many entries at once gives what reading them one by one gives, within its bounds.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use model::{Entry, Key};
use proptest::prelude::*;
use storage::{Engine, MemoryEngine, RangeRows, SledEngine, SledOptions, Space, Store, StoreError};

/// Both engines with the same 200 keys: tombstones among them, and values of many sizes.
fn stores() -> (tempfile::TempDir, Vec<Store>, Vec<(Key, Entry)>) {
    let home = tempfile::tempdir().unwrap();
    let sled = SledEngine::open(&home.path().join("engine"), &SledOptions::default()).unwrap().engine;
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(MemoryEngine::new()), Arc::new(sled)];
    let mut all: Vec<(Key, Entry)> = Vec::new();
    for i in 0..200_u64 {
        let size = [3, 90, 900, 40_000][(i % 61 % 4) as usize];
        let mut entry = single(dot(i + 1, 1), &vec![i as u8; size]);
        if i % 7 == 0 {
            entry = written(entry, dot(i + 2, 1), None);
        }
        all.push((key(format!("key {i}")), entry));
    }
    all.sort_by_key(|(key, _)| (key.token(), key.clone()));
    let stores = engines.into_iter().map(|engine| {
        let store = open(engine);
        assert!(store.merge(&all).unwrap().changed.iter().all(|changed| *changed));
        store
    });
    (home, stores.collect(), all)
}

fn entries(read: RangeRows) -> Vec<(Key, Entry)> {
    read.rows.into_iter().map(|(key, stored)| (key, stored.entry)).collect()
}

fn read_all(store: &Store, first: u64, last: u64, bytes_max: usize, rows_max: usize) -> Vec<(Key, Entry)> {
    let mut all: Vec<(Key, Entry)> = Vec::new();
    loop {
        let read =
            store.read_range(all.last().map(|(key, _)| key), first, last, bytes_max, rows_max).unwrap();
        assert!(read.rows.len() <= rows_max.max(1));
        let over = read.rows.split_last().map_or(&[][..], |(_, rest)| rest);
        assert!(
            over.iter()
                .map(|(_, e)| e.entry.siblings().iter().map(|s| s.value().len()).sum::<usize>())
                .sum::<usize>()
                < bytes_max.max(1)
        );
        assert!(!read.rows.is_empty() || !read.more);
        let more = read.more;
        all.extend(entries(read));
        if !more {
            return all;
        }
    }
}

#[test]
fn ranges_hold_what_lies_in_them_whatever_the_bounds() {
    let (_home, stores, all) = stores();
    let tokens: Vec<u64> = all.iter().map(|(key, _)| key.token().0).collect();
    for store in &stores {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
        let bounds = (0..200_usize, 0..200_usize, 0..100_000_usize, 0..50_usize, -1..=1_i64);
        runner
            .run(&bounds, |(a, b, bytes_max, rows_max, off)| {
                let (first, last) = (tokens[a.min(b)].saturating_add_signed(off), tokens[a.max(b)]);
                let expected = all.iter().filter(|(key, _)| (first..=last).contains(&key.token().0));
                prop_assert!(read_all(store, first, last, bytes_max, rows_max).iter().eq(expected));
                Ok(())
            })
            .unwrap();
        assert_eq!(read_all(store, 0, u64::MAX, usize::MAX, usize::MAX), all);
        assert_eq!(read_all(store, 9, 3, usize::MAX, usize::MAX), vec![]);
        // A place that lies outside of the range: in front of it, and behind it.
        let (first, last) = (&all[0].0, &all[199].0);
        let read =
            |after, first, last| store.read_range(Some(after), first, last, usize::MAX, usize::MAX).unwrap();
        assert_eq!(entries(read(first, tokens[5], tokens[9])), all[5..10]);
        assert_eq!(read(last, tokens[5], tokens[9]).rows, vec![]);
        assert!(!read(last, 0, u64::MAX).more);
    }
}

#[test]
fn many_keys_are_answered_in_their_order_until_the_bytes_are_used_up() {
    let (_home, stores, all) = stores();
    for store in &stores {
        let mut keys: Vec<Key> = all.iter().map(|(key, _)| key.clone()).collect();
        keys.insert(100, key("not there"));
        let expected: Vec<Option<Entry>> = keys.iter().map(|key| store.get(key).unwrap()).collect();
        assert_eq!(expected[100], None);
        let get_many = |bytes_max| -> Vec<Option<Entry>> {
            let read = store.get_many(&keys, bytes_max).unwrap();
            for (key, stored) in keys.iter().zip(&read) {
                let digest = stored.as_ref().map(|stored| stored.entry.digest(key, &DIGEST_KEY));
                assert_eq!(digest, stored.as_ref().map(|stored| stored.digest));
            }
            read.into_iter().map(|stored| stored.map(|stored| stored.entry)).collect()
        };
        assert_eq!(get_many(usize::MAX), expected);
        for bytes_max in [0, 1, 1_000, 100_000] {
            let some = get_many(bytes_max);
            assert!(some.len() < keys.len() && some == expected[..some.len()]);
            let all_but_last = some.split_last().unwrap().1;
            assert!(all_but_last.iter().flatten().map(Entry::weight).sum::<usize>() < bytes_max.max(1));
        }
        assert_eq!(store.get_many(&[], 0).unwrap(), vec![]);
    }
}

#[test]
fn a_damaged_record_in_a_range_stops_the_store() {
    for damage in ["digest", "key", "form"] {
        let engine = Arc::new(MemoryEngine::new());
        let store = open(engine.clone());
        let batch: Vec<(Key, Entry)> =
            (0..9_u64).map(|i| (key(format!("{i}")), single(dot(i + 1, 1), b"value"))).collect();
        store.merge(&batch).unwrap();
        let victim = &batch[4].0;
        let mut at = [&victim.token().0.to_be_bytes()[..], victim.as_bytes()].concat();
        let mut record = engine.get(Space::Entries, &at).unwrap().unwrap().to_vec();
        match damage {
            "digest" => record[3] ^= 1,
            "form" => record.truncate(20),
            _ => {
                engine.damage(Space::Entries, &at, None);
                at.push(b'x');
            }
        }
        engine.damage(Space::Entries, &at, Some(Bytes::from(record)));
        let error = store.read_range(None, 0, u64::MAX, usize::MAX, usize::MAX).unwrap_err();
        assert_eq!(matches!(error, StoreError::Corrupt { .. }), damage != "key", "{error}");
        assert!(store.failure().unwrap().contains("damaged"));
        assert!(store.merge(&batch).is_err());
    }
}
