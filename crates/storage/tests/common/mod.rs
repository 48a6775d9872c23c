//! What the tests of the store share.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use merkle::RangeDigest;
use model::{Context, DigestKey, Dot, Entry, Expiry, Hlc, Key, Sibling, WriterId};
use storage::{Counts, Engine, Marks, Store};

pub const DIGEST_KEY: DigestKey = DigestKey([7; 32]);

/// What a store should hold.
pub type Map = BTreeMap<Key, Entry>;

pub fn key(text: impl AsRef<[u8]>) -> Key {
    Key::new(text.as_ref().to_vec()).unwrap()
}

pub fn open(engine: Arc<dyn Engine>) -> Store {
    Store::open(engine, DIGEST_KEY, Marks::default(), &mut |_| {}).unwrap()
}

pub fn dot(time: u64, writer: u64) -> Dot {
    Dot { hlc: Hlc::new(time, 0), writer: WriterId(writer) }
}

/// `entry` after a client's write that replaces all it holds: with a value, or by nothing.
pub fn written(mut entry: Entry, dot: Dot, value: Option<&[u8]>) -> Entry {
    let sibling =
        value.map(|v| Sibling::new(dot, v.to_vec().into(), Some("text/plain".into()), Expiry::NEVER));
    let seen = entry.context().clone();
    entry.write(&seen, dot, sibling);
    entry
}

/// An entry of one sibling, as another replica would hold it.
pub fn single(dot: Dot, value: &[u8]) -> Entry {
    let mut entry = Entry::default();
    let sibling = Sibling::new(dot, value.to_vec().into(), None, Expiry::NEVER);
    entry.write(&Context::default(), dot, Some(sibling));
    entry
}

/// Puts a value, replacing what is there.
pub fn put(store: &Store, key: &Key, dot: Dot, value: &[u8]) -> storage::Updated {
    store.update(key, |entry| Ok::<_, ()>(Some(written(entry, dot, Some(value))))).unwrap()
}

pub fn delete(store: &Store, key: &Key, dot: Dot) -> storage::Updated {
    store.update(key, |entry| Ok::<_, ()>(Some(written(entry, dot, None)))).unwrap()
}

pub fn root_of<'a>(entries: impl IntoIterator<Item = (&'a Key, &'a Entry)>) -> RangeDigest {
    entries
        .into_iter()
        .fold(RangeDigest::ZERO, |sum, (key, entry)| sum.add(RangeDigest::of(entry.digest(key, &DIGEST_KEY))))
}

pub fn counts_of(map: &Map) -> Counts {
    let keys = map.values().filter(|entry| !entry.siblings().is_empty()).count() as u64;
    Counts { keys, tombstones: map.len() as u64 - keys }
}

pub fn live(map: &Map) -> impl Iterator<Item = (&Key, &Entry)> {
    map.iter().filter(|(_, entry)| !entry.siblings().is_empty())
}

/// Every page of a listing.
pub fn list_all(store: &Store, prefix: &[u8], limit: usize) -> Vec<(Key, Entry)> {
    let mut all = Vec::new();
    let mut start: Option<Key> = None;
    loop {
        let page = store.list(prefix, start.as_ref().map(Key::as_bytes), limit).unwrap();
        assert!(page.keys.len() <= limit);
        all.extend(page.keys);
        match page.next {
            Some(next) => start = Some(next),
            None => return all,
        }
    }
}

/// The store holds exactly this, whichever way it is asked.
pub fn assert_holds(store: &Store, map: &Map) {
    assert_eq!(store.root(), root_of(map));
    assert_eq!(store.counts(), counts_of(map));
    let listed = list_all(store, b"", 64);
    assert!(listed.iter().map(|(k, e)| (k, e)).eq(live(map)), "listing differs");
    for (key, entry) in map {
        assert_eq!(store.get(key).unwrap().as_ref(), Some(entry), "{key}");
    }
    assert_eq!(store.failure(), None);
}
