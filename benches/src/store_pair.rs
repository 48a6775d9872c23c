//! Replicas as a node has them: stores, on the memory engine.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use merkle::Prefer;
use model::{Entry, Key};
use storage::{Engine, Marks, MemoryEngine, Store, ViewId};

use crate::{Cost, DIGEST_KEY, Differs, Pair, dot, entry, key, overwritten, search, value};

/// An empty store on an engine that holds nothing.
///
/// # Panics
/// When the engine fails.
pub fn open_store(engine: Arc<dyn Engine>) -> Store {
    Store::open(engine, DIGEST_KEY, Marks::default(), &mut |_| {}).unwrap()
}

/// Fills a store with keys numbered from 0 on and one value, which is durable afterwards.
///
/// # Panics
/// When the engine fails.
pub fn fill(store: &Store, keys: u64, value: &Bytes) {
    let mut batch = Vec::new();
    for number in 0..keys {
        batch.push((key(number), entry(dot(1, 1), value.clone())));
        if batch.len() == 10_000 || number + 1 == keys {
            store.merge(&batch).unwrap();
            store.flush().unwrap();
            batch.clear();
        }
    }
}

/// A client's write that replaces what is held.
///
/// # Panics
/// When the engine fails.
pub fn overwrite(store: &Store, key: &Key, millis: u64, value: &Bytes) {
    let write = |held| Ok::<_, Infallible>(Some(overwritten(held, dot(millis, 2), value.clone())));
    store.update(key, write).unwrap();
}

/// Two stores, each with a frozen view.
pub struct StorePair {
    first: Store,
    second: Store,
    views: (ViewId, ViewId),
    differing: u64,
}

impl Pair for StorePair {
    fn new(keys: u64) -> StorePair {
        let filled = || {
            let store = open_store(Arc::new(MemoryEngine::new()));
            fill(&store, keys, &value(16));
            store
        };
        let (first, second) = (filled(), filled());
        let views = (first.freeze().unwrap().0, second.freeze().unwrap().0);
        StorePair { first, second, views, differing: 0 }
    }

    fn diverge_to(&mut self, differing: u64) {
        let value = value(16);
        for number in self.differing..differing {
            let key = key(number);
            match Differs::of(number) {
                Differs::Updated => overwrite(&self.second, &key, 2, &value),
                Differs::MissingInFirst => remove(&self.first, &key),
                Differs::MissingInSecond => remove(&self.second, &key),
            }
        }
        self.differing = self.differing.max(differing);
        for (store, view) in [(&self.first, &mut self.views.0), (&self.second, &mut self.views.1)] {
            store.flush().unwrap();
            store.release(*view);
            *view = store.freeze().unwrap().0;
        }
    }

    fn search(&self, prefer: Prefer) -> Cost {
        search(&self.first.view(self.views.0), &self.second.view(self.views.1), prefer).unwrap()
    }
}

/// A blank entry is none at all.
fn remove(store: &Store, key: &Key) {
    store.update(key, |_| Ok::<_, Infallible>(Some(Entry::default()))).unwrap();
}
