//! The store, on each engine: 100,000 keys with values of 128 bytes. Nothing is flushed inside what is timed.
//!
//! `refill` is another measurement, on the engine on disk and with every batch flushed while the next is written: an
//! empty store is filled in token order, as a wiped node is, beside the engine alone that gets the same batches,
//! names included; and 20,000 keys of a full store are updated, spread over all of it, as in a repair.
//!
//! `opening`, only if asked for by that name, fills a store with a million keys (or as many as `MANGROVE_BENCH_KEYS`
//! says; ten million take 6 GB and some minutes) and opens it after a clean stop and after a kill.
#![allow(missing_docs, clippy::unwrap_used)]

mod opening;
mod refill;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use mangrove_benches::{Disk, EngineUnderTest, dot, fill, key, open_store, overwrite, overwritten, value};
use model::{Entry, Key};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::Store;

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 128;
/// Calls timed together, and entries of a merged batch.
const CALLS: u64 = 256;
const PAGE_KEYS: u64 = 100;

struct Filled {
    store: Store,
    value: Bytes,
    rng: RefCell<StdRng>,
    /// The time of the next writes: each is newer than all before it.
    millis: RefCell<u64>,
    /// Goes after the store.
    _disk: Disk,
}

impl Filled {
    fn new(kind: EngineUnderTest) -> Filled {
        let (disk, value) = (kind.open(), value(VALUE_BYTES));
        let store = open_store(Arc::clone(&disk.engine));
        fill(&store, KEYS, &value);
        let rng = RefCell::new(StdRng::seed_from_u64(1));
        Filled { store, value, rng, millis: RefCell::new(10), _disk: disk }
    }

    fn number(&self) -> u64 {
        self.rng.borrow_mut().random_range(0..KEYS)
    }

    fn some_keys(&self) -> Vec<Key> {
        (0..CALLS).map(|_| key(self.number())).collect()
    }

    fn next_millis(&self) -> u64 {
        self.millis.replace_with(|millis| *millis + 1)
    }

    /// Keys to be written, all that came before flushed.
    fn keys_to_write(&self) -> (u64, Vec<Key>) {
        self.store.flush().unwrap();
        (self.next_millis(), self.some_keys())
    }

    /// What another replica made of some keys: newer than what is held.
    fn newer_entries(&self) -> Vec<(Key, Entry)> {
        let (millis, keys) = self.keys_to_write();
        let newer = |key: Key| {
            let held = self.store.get(&key).unwrap().unwrap();
            (key, overwritten(held, dot(millis, 3), self.value.clone()))
        };
        keys.into_iter().map(newer).collect()
    }
}

fn reads(c: &mut Criterion, kind: EngineUnderTest, filled: &Filled) {
    let store = &filled.store;
    let mut group = c.benchmark_group(format!("store/{}", kind.name()));
    group.throughput(Throughput::Elements(CALLS));
    group.bench_function("get", |b| {
        b.iter_batched_ref(
            || filled.some_keys(),
            |keys| keys.iter().filter(|key| store.get(key).unwrap().is_some()).count(),
            BatchSize::PerIteration,
        );
    });
    group.throughput(Throughput::Elements(PAGE_KEYS));
    group.bench_function("list/100", |b| {
        b.iter_batched_ref(
            || key(filled.rng.borrow_mut().random_range(0..KEYS - PAGE_KEYS)),
            |start| store.list(b"", Some(start.as_bytes()), PAGE_KEYS as usize).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn writes(c: &mut Criterion, kind: EngineUnderTest, filled: &Filled) {
    let store = &filled.store;
    let mut group = c.benchmark_group(format!("store/{}", kind.name()));
    group.throughput(Throughput::Elements(CALLS));
    group.bench_function("update", |b| {
        b.iter_batched_ref(
            || filled.keys_to_write(),
            |(millis, keys)| keys.iter().for_each(|key| overwrite(store, key, *millis, &filled.value)),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("merge/256", |b| {
        b.iter_batched_ref(
            || filled.newer_entries(),
            |batch| store.merge(batch).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn stores(c: &mut Criterion) {
    for kind in EngineUnderTest::ALL {
        let filled = Filled::new(kind);
        reads(c, kind, &filled);
        writes(c, kind, &filled);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = stores
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.as_ref().is_none_or(|wanted| "refill".contains(&**wanted)) {
        refill::print();
    }
    if wanted.as_deref() == Some("opening") {
        opening::print();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
