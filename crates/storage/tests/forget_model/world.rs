//! A store and what it should hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Context, Entry, Expiry, Hlc, Key, Sibling};
use storage::{Engine, Marks, MemoryEngine, SledEngine, SledOptions, Store, ViewId};

use crate::common::*;

/// Key, how long ago, when it expires (from now), what it is and replaced.
pub type Theirs = (u8, u64, Option<i64>, u8);

pub fn name(i: u8) -> Key {
    key(format!("{}/{i}", i % 3))
}

pub fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0)
}

pub fn place(key: &Key) -> Vec<u8> {
    [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat()
}

/// What is left of an entry under the horizon.
pub fn settled(mut entry: Entry, horizon: Hlc) -> Option<Entry> {
    if entry.is_over(horizon) {
        return None;
    }
    entry.remove_expired(horizon);
    Some(entry)
}

pub fn is_in_tree(entry: &Entry, watermark: Hlc) -> bool {
    !entry.siblings().is_empty() || entry.context().newest() > watermark
}

pub enum Disk {
    Memory(Arc<MemoryEngine>),
    Sled(tempfile::TempDir),
}

impl Disk {
    pub fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Disk::Memory(engine) => engine.clone(),
            Disk::Sled(home) => {
                let opened = SledEngine::open(&home.path().join("engine"), &SledOptions::default()).unwrap();
                assert_eq!(opened.losses, None);
                Arc::new(opened.engine)
            }
        }
    }
}

pub struct World {
    pub disk: Disk,
    pub engine: Arc<dyn Engine>,
    pub store: Option<Store>,
    pub map: Map,
    /// What each key has held since the last flush.
    pub since_flush: BTreeMap<Key, Vec<Option<Entry>>>,
    pub marks: Marks,
    /// Whether all has been done for the marks: until then an entry may or may not be settled.
    pub is_done: bool,
    pub view: Option<(ViewId, Map)>,
    pub time: u64,
}

pub fn open_with(engine: &Arc<dyn Engine>, marks: Marks) -> Store {
    let store = Store::open(Arc::clone(engine), DIGEST_KEY, marks, &mut |_| {}).unwrap();
    assert_eq!(store.opened().rows_added, 0, "no row is ever missing");
    assert_eq!((store.opened().names_added, store.failure()), (0, None));
    store
}

impl World {
    pub fn new(disk: Disk) -> World {
        let engine = disk.engine();
        let store = Some(open_with(&engine, Marks::default()));
        let marks = Marks::default();
        World {
            disk,
            engine,
            store,
            map: Map::new(),
            since_flush: BTreeMap::new(),
            marks,
            is_done: true,
            view: None,
            time: 100,
        }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    pub fn set(&mut self, key: Key, entry: Option<Entry>) {
        let before = self.map.get(&key).cloned();
        self.since_flush.entry(key.clone()).or_insert_with(|| vec![before]).push(entry.clone());
        match entry {
            Some(entry) => self.map.insert(key, entry),
            None => self.map.remove(&key),
        };
    }

    /// What the store holds of a key, which is what the map does, or that settled while not all is done.
    pub fn held(&self, key: &Key) -> Option<Entry> {
        let held = self.store().get(key).unwrap();
        let raw = self.map.get(key).cloned();
        if held != raw {
            assert!(!self.is_done, "{key}");
            assert_eq!(held, raw.and_then(|entry| settled(entry, self.marks.horizon)), "{key}");
        }
        held
    }

    pub fn write(&mut self, key: Key, value: Option<Option<u64>>) {
        let now = self.tick().max(self.marks.watermark.millis() + 1).max(self.marks.horizon.millis() + 1);
        self.time = now;
        let dot = dot(now, 1);
        let mut next = self.held(&key).unwrap_or_default();
        let sibling = value.map(|ttl| {
            let expiry = ttl.map_or(Expiry::NEVER, |ttl| Expiry::at(at(now + ttl)));
            Sibling::new(dot, now.to_be_bytes().to_vec().into(), None, expiry)
        });
        let seen = next.context().clone();
        next.write(&seen, dot, sibling);
        let updated = self.store().update(&key, |_| Ok::<_, ()>(Some(next.clone()))).unwrap();
        assert!(updated.changed);
        self.set(key, Some(next));
    }

    pub fn merge(&mut self, theirs: Vec<Theirs>) {
        let batch: Vec<(Key, Entry)> = theirs
            .into_iter()
            .map(|(i, ago, expires, kind)| {
                // A writer of its own, so that no dot is made twice.
                let writer = 10 + self.tick();
                let time = self.time.saturating_sub(ago);
                let dot = dot(time, writer);
                let expiry = expires.map_or(Expiry::NEVER, |millis| {
                    Expiry::at(at(self.time.saturating_add_signed(millis).max(1)))
                });
                let sibling =
                    (kind != 0).then(|| Sibling::new(dot, time.to_be_bytes().to_vec().into(), None, expiry));
                let known = self.map.get(&name(i)).cloned().unwrap_or_default();
                let mut entry = if kind == 1 { known } else { Entry::default() };
                let seen = if kind < 2 { entry.context().clone() } else { Context::default() };
                entry.write(&seen, dot, sibling);
                (name(i), entry)
            })
            .collect();
        let merged = self.store().merge(&batch).unwrap();
        assert_eq!(merged.clashes, 0);
        let horizon = self.marks.horizon;
        let mut in_order: Vec<_> = batch.into_iter().zip(merged.changed).collect();
        in_order.sort_by_key(|((key, _), _)| place(key));
        for ((key, mut theirs), changed) in in_order {
            let before = self.map.get(&key).cloned().and_then(|entry| settled(entry, horizon));
            theirs.remove_expired(horizon);
            let after = match before.clone() {
                Some(mut entry) => {
                    entry.merge(&theirs);
                    Some(entry)
                }
                None => Some(theirs).filter(|entry| !entry.is_over(horizon)),
            };
            assert_eq!(changed, before != after, "{key}");
            self.set(key, after);
        }
    }

    pub fn raise(&mut self, watermark: u64, horizon: u64, steps: usize) {
        self.marks.watermark = self.marks.watermark.max(at(self.time.saturating_sub(watermark)));
        self.marks.horizon = self.marks.horizon.max(at((self.time + 20).saturating_sub(horizon)));
        let advance = self.store().advance(self.marks, steps).unwrap();
        let did = advance.expired + advance.trimmed + advance.purged;
        assert!(did <= steps as u64);
        self.is_done = false;
        if advance.done {
            self.finished();
        }
    }

    pub fn finish(&mut self) {
        let mut left = 1_000;
        while !self.store().advance(self.marks, 3).unwrap().done {
            left -= 1;
            assert!(left > 0, "it never ends");
        }
        // Lower ones than before change nothing.
        assert!(self.store().advance(Marks::default(), 1).unwrap().done);
        self.finished();
    }

    pub fn finished(&mut self) {
        self.is_done = true;
        let horizon = self.marks.horizon;
        for (key, entry) in self.map.clone() {
            let now = settled(entry.clone(), horizon);
            if now.as_ref() != Some(&entry) {
                self.set(key, now);
            }
        }
        self.check();
    }

    pub fn forget(&mut self, ago: u64, limit: usize) {
        self.finish();
        let upto = at(self.time.saturating_sub(ago));
        let last = upto.min(self.marks.watermark);
        let mut gone: Vec<(Hlc, Vec<u8>, Key)> = self
            .map
            .iter()
            .filter(|(_, entry)| entry.is_tombstone() && entry.context().newest() <= last)
            .map(|(key, entry)| (entry.context().newest(), place(key), key.clone()))
            .collect();
        gone.sort();
        let forgot = self.store().forget(upto, limit).unwrap();
        assert_eq!(forgot.rows, gone.len().min(limit) as u64);
        assert!(forgot.done || gone.len() >= limit);
        gone.into_iter().take(limit).for_each(|(_, _, key)| self.set(key, None));
        self.check();
    }

    pub fn flush(&mut self) {
        self.store().flush().unwrap();
        self.since_flush.clear();
    }

    pub fn reopen(&mut self, noted: bool) {
        if noted {
            self.store().note_clean_stop().unwrap();
        }
        (self.view, self.store) = (None, None);
        if let Disk::Sled(_) = self.disk {
            self.engine = Arc::new(MemoryEngine::new());
            self.engine = self.disk.engine();
        }
        self.store = Some(open_with(&self.engine, self.marks));
        assert_eq!(self.store().opened().verified, !noted);
        self.since_flush.clear();
        self.finished();
    }

    /// Each key is as it was after some write since the last flush.
    pub fn crash(&mut self, kept: f64) {
        let Disk::Memory(engine) = &self.disk else { return };
        engine.crash_keeping((engine.unflushed() as f64 * kept) as usize);
        (self.view, self.store) = (None, None);
        self.store = Some(open_with(&self.engine, self.marks));
        let found: BTreeMap<Key, Entry> = self
            .store()
            .read_range(None, 0, u64::MAX, usize::MAX, usize::MAX)
            .unwrap()
            .rows
            .into_iter()
            .map(|(key, stored)| (key, stored.entry))
            .collect();
        for i in 0..12 {
            let key = name(i);
            let mut could = self.since_flush.remove(&key).unwrap_or_default();
            could.push(self.map.get(&key).cloned());
            let settled = |entry: Option<Entry>| entry.and_then(|entry| settled(entry, self.marks.horizon));
            let now = found.get(&key).cloned();
            assert!(
                could.into_iter().any(|entry| settled(entry) == now),
                "{key} is what it never was: {now:?}"
            );
        }
        (self.map, self.is_done) = (found, true);
        self.since_flush.clear();
        self.check();
    }

    pub fn freeze(&mut self) {
        self.finish();
        if self.view.is_none() {
            self.view = Some((self.store().freeze().unwrap().0, self.visible()));
        }
    }
}
