//! The store against a map: after any writes, crashes and reopenings, root, counts, listings and frozen views
//! are those of the data.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use merkle::{Frozen, Prefix, RangeDigest};
use model::{Entry, Key};
use proptest::prelude::*;
use storage::{MemoryEngine, Seq, Store, ViewId};

#[derive(Debug, Clone)]
enum Step {
    Put(u16),
    Delete(u16),
    /// Entries of another replica: concurrent ones, and ones that are known here.
    Merge(Vec<(u16, u8)>),
    /// A caller that changes its mind, and one that fails.
    Leave(u16),
    Remove(u16),
    /// Many keys at once, so that the tree grows.
    Burst(u16, u16),
    Maintain,
    Flush,
    Reopen,
    /// Keeps about this share of the unflushed writes.
    Crash(f64),
    Freeze,
    Release(prop::sample::Index),
    CheckView(prop::sample::Index, u64, u64, usize),
    List(Vec<u8>, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..40_u16;
    let one = prop_oneof![
        8 => key.clone().prop_map(Step::Put),
        4 => key.clone().prop_map(Step::Delete),
        4 => prop::collection::vec((key.clone(), 0..5_u8), 0..12).prop_map(Step::Merge),
        1 => key.clone().prop_map(Step::Leave),
        1 => key.prop_map(Step::Remove),
        1 => (0..2000_u16, 50..250_u16).prop_map(|(from, count)| Step::Burst(from, count)),
        1 => Just(Step::Maintain),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        2 => (0.0..1.0_f64).prop_map(Step::Crash),
        2 => Just(Step::Freeze),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
        3 => (any::<prop::sample::Index>(), any::<u64>(), any::<u64>(), 1..70_usize)
            .prop_map(|(i, a, b, limit)| Step::CheckView(i, a, b, limit)),
        1 => (prop::collection::vec(b'0'..=b'3', 0..2), 1..10_usize).prop_map(|(p, n)| Step::List(p, n)),
    ];
    prop::collection::vec(one, 1..60)
}

fn name(i: u16) -> Key {
    key(format!("{}/{i}", i % 4))
}

struct World {
    engine: Arc<MemoryEngine>,
    store: Store,
    map: Map,
    /// The states after each write since the last flush, the flushed one first.
    since_flush: Vec<Map>,
    views: BTreeMap<ViewId, Map>,
    time: u64,
}

impl World {
    fn new() -> World {
        let engine = Arc::new(MemoryEngine::new());
        let store = open(engine.clone());
        World {
            engine,
            store,
            map: Map::new(),
            since_flush: vec![Map::new()],
            views: BTreeMap::new(),
            time: 0,
        }
    }

    fn wrote(&mut self, key: Key, entry: Entry, changed: bool) {
        if changed {
            self.map.insert(key, entry);
            self.since_flush.push(self.map.clone());
        }
    }

    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    fn write(&mut self, key: Key, value: Option<Vec<u8>>) {
        let dot = dot(self.tick(), 1);
        let before = self.store.written();
        let expected = written(self.map.get(&key).cloned().unwrap_or_default(), dot, value.as_deref());
        let updated = match value {
            Some(value) => put(&self.store, &key, dot, &value),
            None => delete(&self.store, &key, dot),
        };
        assert_eq!((updated.entry.clone(), updated.changed), (expected, true));
        assert_eq!(updated.seq, Seq(before.0 + 1));
        self.wrote(key, updated.entry, true);
    }

    fn merge(&mut self, from: Vec<(u16, u8)>) {
        let batch: Vec<(Key, Entry)> = from
            .into_iter()
            .map(|(i, kind)| {
                let known = self.map.get(&name(i)).cloned().unwrap_or_default();
                let time = self.tick();
                let theirs = match kind {
                    0 => known,
                    1 => written(known, dot(time, 2), None),
                    4 => Entry::default(),
                    _ => single(dot(time, u64::from(kind)), &time.to_be_bytes()),
                };
                (name(i), theirs)
            })
            .collect();
        let merged = self.store.merge(&batch).unwrap();
        assert_eq!((merged.clashes, merged.seq), (0, self.store.written()));
        // In the order in which they are written: of one key, in that of the batch.
        let mut in_order: Vec<_> = batch.into_iter().zip(merged.changed).collect();
        in_order.sort_by_key(|((key, _), _)| (key.token(), key.clone()));
        for ((key, theirs), changed) in in_order {
            let mut mine = self.map.get(&key).cloned().unwrap_or_default();
            assert_eq!(mine.merge(&theirs).changed, changed);
            self.wrote(key, mine, changed);
        }
    }

    fn leave(&mut self, key: &Key) {
        let before = self.store.written();
        let left = self.store.update(key, |_| Ok::<_, ()>(None)).unwrap();
        assert_eq!((left.changed, left.seq), (false, before));
        assert_eq!(left.entry, self.map.get(key).cloned().unwrap_or_default());
        let same = self.store.update(key, |entry| Ok::<_, ()>(Some(entry))).unwrap();
        assert_eq!(same, left);
        assert!(self.store.update(key, |_| Err("no")).is_err());
        assert_eq!(self.store.written(), before);
    }

    fn remove(&mut self, key: &Key) {
        let removed = self.store.update(key, |_| Ok::<_, ()>(Some(Entry::default()))).unwrap();
        assert_eq!(removed.changed, self.map.remove(key).is_some());
        self.since_flush.push(self.map.clone());
    }

    fn flush(&mut self) {
        self.store.flush().unwrap();
        assert_eq!(self.store.durable(), self.store.written());
        self.since_flush = vec![self.map.clone()];
    }

    fn reopen(&mut self) {
        self.store = open(self.engine.clone());
        self.views.clear();
        let report = self.store.opened();
        assert_eq!((report.entries, report.corrupt_count, report.names_added), (self.map.len() as u64, 0, 0));
        self.since_flush = vec![self.map.clone()];
        assert_eq!(self.engine.unflushed(), 0, "what opening shows is durable");
    }

    /// What is there after a crash is the state after some write since the last flush.
    fn crash(&mut self, kept: f64) {
        self.engine.crash_keeping((self.engine.unflushed() as f64 * kept) as usize);
        self.store = open(self.engine.clone());
        self.views.clear();
        let root = self.store.root();
        let found = self.since_flush.iter().rposition(|map| root_of(map) == root);
        self.map = self.since_flush[found.expect("no state since the last flush")].clone();
        self.since_flush = vec![self.map.clone()];
        assert_eq!(self.store.opened().names_added, 0);
    }

    fn freeze(&mut self) {
        match self.store.freeze() {
            Ok((id, seq)) => {
                assert_eq!(seq, self.store.written());
                self.views.insert(id, self.map.clone());
            }
            Err(error) => assert_eq!(self.views.len(), storage::VIEWS_MAX, "{error}"),
        }
    }

    fn pick(&self, index: prop::sample::Index) -> Option<(ViewId, &Map)> {
        let views: Vec<_> = self.views.iter().collect();
        (!views.is_empty()).then(|| *index.get(&views)).map(|(id, map)| (*id, map))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(i) => self.write(name(i), Some(i.to_be_bytes().to_vec())),
            Step::Delete(i) => self.write(name(i), None),
            Step::Merge(from) => self.merge(from),
            Step::Leave(i) => self.leave(&name(i)),
            Step::Remove(i) => self.remove(&name(i)),
            Step::Burst(from, count) => (from..from + count).for_each(|i| self.write(name(i), Some(vec![1]))),
            Step::Maintain => drop(self.store.maintain().unwrap()),
            Step::Flush => self.flush(),
            Step::Reopen => self.reopen(),
            Step::Crash(kept) => self.crash(kept),
            Step::Freeze => self.freeze(),
            Step::Release(index) => {
                if let Some((id, _)) = self.pick(index) {
                    self.store.release(id);
                    assert!(self.store.view(id).root().is_err());
                    self.views.remove(&id);
                }
            }
            Step::CheckView(index, a, b, limit) => {
                if let Some((id, map)) = self.pick(index) {
                    check_view(&self.store, id, map, a, b, limit);
                }
            }
            Step::List(prefix, limit) => {
                let listed = list_all(&self.store, &prefix, limit);
                let expected = live(&self.map).filter(|(key, _)| key.as_bytes().starts_with(&prefix));
                assert!(listed.iter().map(|(k, e)| (k, e)).eq(expected));
            }
        }
    }
}

/// A view is the map it was frozen over: whole, in any range, page by page, and key by key.
fn check_view(store: &Store, id: ViewId, map: &Map, a: u64, b: u64, limit: usize) {
    let view = store.view(id);
    let mut expected: Vec<(u64, Box<[u8]>, u128)> =
        map.iter().map(|(k, e)| (k.token().0, k.as_bytes().into(), e.digest(k, &DIGEST_KEY))).collect();
    expected.sort();
    let sum = |prefix: Prefix| {
        expected
            .iter()
            .filter(|(token, ..)| prefix.contains(*token))
            .fold(RangeDigest::ZERO, |sum, (.., digest)| sum.add(RangeDigest::of(*digest)))
    };
    let opening = view.opening().unwrap();
    assert_eq!(opening.root, root_of(map));
    let prefixes: Vec<Prefix> =
        (0..=opening.leaf_bits).flat_map(|bits| [Prefix::of(a, bits), Prefix::of(b, bits)]).collect();
    assert_eq!(view.ranges(&prefixes).unwrap(), prefixes.iter().map(|p| sum(*p)).collect::<Vec<_>>());

    for (first, last) in [(0, u64::MAX), (a.min(b), a.max(b)), (a, a), (b.saturating_add(1), b)] {
        let mut seen: Vec<(u64, Box<[u8]>, u128)> = Vec::new();
        loop {
            let after = seen.last().map(|(token, key, _)| (*token, key.clone()));
            let page = view.entries(first, last, after.as_ref().map(|(t, k)| (*t, &**k)), limit).unwrap();
            assert!(page.len() <= limit);
            let mut scanned = Vec::new();
            let mut visit = |token, key: &[u8], digest| scanned.push((token, key.into(), digest));
            view.scan(first, last, after.as_ref().map(|(t, k)| (*t, &**k)), limit, &mut visit).unwrap();
            assert_eq!(scanned, page);
            let more = page.len() == limit;
            seen.extend(page);
            if !more {
                break;
            }
        }
        let inside: Vec<_> =
            expected.iter().filter(|(token, ..)| (first..=last).contains(token)).cloned().collect();
        assert_eq!(seen, inside);
    }
    for i in 0..60 {
        let key = name(i);
        let expected = map.get(&key).map(|entry| entry.digest(&key, &DIGEST_KEY));
        assert_eq!(view.digest_of(key.token().0, key.as_bytes()).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_was_written(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            assert_eq!(world.store.root(), root_of(&world.map));
            assert_eq!(world.store.counts(), counts_of(&world.map));
        }
        assert_holds(&world.store, &world.map);
        for (id, map) in &world.views {
            check_view(&world.store, *id, map, 1 << 62, 3 << 62, 7);
        }
        world.reopen();
        assert_holds(&world.store, &world.map);
    }
}

#[test]
fn the_tree_grows_under_writes_and_an_open_view() {
    let mut world = World::new();
    (0..100).for_each(|i| world.write(name(i), Some(vec![0])));
    world.freeze();
    let (id, frozen) = world.views.iter().next().map(|(id, map)| (*id, map.clone())).unwrap();
    let before = world.store.view(id).opening().unwrap().leaf_bits;
    for i in 100..6000 {
        world.map.clear();
        world.since_flush.clear();
        world.write(name(i), Some(vec![0]));
        if i % 997 == 0 {
            check_view(&world.store, id, &frozen, u64::from(i) << 48, u64::from(i) << 50, 64);
        }
    }
    while world.store.maintain().unwrap() {}
    let (later, _) = world.store.freeze().unwrap();
    assert!(world.store.view(later).opening().unwrap().leaf_bits >= before + 4);
    check_view(&world.store, id, &frozen, 5, u64::MAX - 5, 64);
    let grown = world.store.root();
    world.store = open(world.engine.clone());
    assert_eq!(world.store.root(), grown);
    assert_eq!(world.store.counts().keys, 6000);
}

#[test]
fn views_are_bounded_and_released() {
    let store = World::new().store;
    let ids: Vec<ViewId> = (0..storage::VIEWS_MAX).map(|_| store.freeze().unwrap().0).collect();
    assert!(store.freeze().is_err());
    store.release(ids[3]);
    store.release(ids[3]);
    let (id, _) = store.freeze().unwrap();
    assert!(!ids.contains(&id));
    assert!(store.view(ids[3]).root().is_err());
    assert!(store.view(id).root().is_ok());
}

#[test]
fn a_view_stands_still_while_threads_write() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open(engine);
    let mut map = Map::new();
    for i in 0..400 {
        map.insert(name(i), put(&store, &name(i), dot(u64::from(i) + 1, 1), b"before").entry);
    }
    let (id, _) = store.freeze().unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u16)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..1500_u16 {
                        let (key, dot) =
                            (name((i * 7 + writer) % 900), dot(u64::from(i) + 1000, u64::from(writer) + 2));
                        if i % 3 == 0 {
                            delete(store, &key, dot)
                        } else {
                            put(store, &key, dot, b"after")
                        };
                    }
                })
            })
            .collect();
        let mut checks = 0_u64;
        while checks < 3 || !writers.iter().all(|writer| writer.is_finished()) {
            check_view(&store, id, &map, checks << 57, checks << 59, 50);
            checks += 1;
        }
    });
    check_view(&store, id, &map, 0, u64::MAX, 1000);
}

#[test]
fn a_page_of_a_listing_is_bounded_in_bytes() {
    let store = World::new().store;
    let value = vec![1; storage::LIST_BYTES_MAX / 3];
    for i in 0..7 {
        put(&store, &key([i]), dot(u64::from(i) + 1, 1), &value);
    }
    let page = store.list(b"", None, 100).unwrap();
    assert_eq!((page.keys.len(), page.next), (3, Some(key([3]))));
    assert_eq!(list_all(&store, b"", 100).len(), 7);
    assert_eq!(store.list(b"", Some(&[5]), 0).unwrap().keys.len(), 1);
    assert_eq!(store.list(&[9], None, 5).unwrap().keys.len(), 0);
    assert_eq!(store.list(&[2], Some(&[0]), 5).unwrap().keys.len(), 1);
    assert_eq!(store.list(&[2], Some(&[3]), 5).unwrap().keys.len(), 0);
}
