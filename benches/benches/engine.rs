//! Engines by themselves: 100,000 records of 200 bytes under keys of 24, as a store lays them out.
//!
//! A flush is a real one. Its figures are the disk's under the system's place for temporary files.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mangrove_benches::{Disk, EngineUnderTest, key, value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{Batch, Engine, Part, Space};

const KEYS: u64 = 100_000;
const RECORD_BYTES: usize = 200;
/// Calls timed together.
const CALLS: u64 = 256;
/// Of a record, what a search reads.
const DIGEST_BYTES: usize = 16;

fn at(number: u64) -> Box<[u8]> {
    let key = key(number);
    [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat().into()
}

fn put(number: u64, value: &Bytes) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Entries, at(number), value.clone());
    batch
}

/// An engine with all keys in it, and the same random numbers in each run.
struct Filled {
    disk: Disk,
    value: Bytes,
    rng: RefCell<StdRng>,
}

impl Filled {
    fn new(kind: EngineUnderTest) -> Filled {
        let (disk, value) = (kind.open(), value(RECORD_BYTES));
        for number in 0..KEYS {
            disk.engine.apply(&put(number, &value)).unwrap();
        }
        disk.engine.flush().unwrap();
        Filled { disk, value, rng: RefCell::new(StdRng::seed_from_u64(1)) }
    }

    fn some(&self, count: u64) -> Vec<u64> {
        let mut rng = self.rng.borrow_mut();
        (0..count).map(|_| rng.random_range(0..KEYS)).collect()
    }

    /// Overwrites of random keys, all that came before flushed.
    fn puts(&self, count: u64) -> Vec<Batch> {
        self.disk.engine.flush().unwrap();
        self.some(count).into_iter().map(|number| put(number, &self.value)).collect()
    }

    fn apply(&self, batches: &[Batch]) {
        batches.iter().for_each(|batch| self.disk.engine.apply(batch).unwrap());
    }
}

fn single(c: &mut Criterion, kind: EngineUnderTest, filled: &Filled) {
    let engine = &filled.disk.engine;
    let mut group = c.benchmark_group(format!("engine/{}", kind.name()));
    group.throughput(Throughput::Elements(CALLS));
    group.bench_function("get", |b| {
        b.iter_batched_ref(
            || filled.some(CALLS).into_iter().map(at).collect::<Vec<_>>(),
            |keys| keys.iter().filter(|key| engine.get(Space::Entries, key).unwrap().is_some()).count(),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("put", |b| {
        b.iter_batched_ref(|| filled.puts(CALLS), |batches| filled.apply(batches), BatchSize::PerIteration);
    });
    group.finish();
}

/// The digests of so many neighbours in token order: ten are about a leaf.
fn scan(c: &mut Criterion, kind: EngineUnderTest, filled: &Filled) {
    let mut group = c.benchmark_group(format!("engine/{}/scan", kind.name()));
    for rows in [10, 1_000] {
        group.throughput(Throughput::Elements(rows));
        group.bench_function(rows.to_string(), |b| {
            b.iter_batched_ref(
                || at(filled.rng.borrow_mut().random_range(0..KEYS)),
                |from| digests(&*filled.disk.engine, from, rows),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn digests(engine: &dyn Engine, from: &[u8], rows: u64) -> usize {
    let (mut left, mut bytes) = (rows, 0);
    let mut visit = |_: &[u8], record: &[u8]| {
        bytes += record.len();
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (from, part) = (Bound::Included(from), Part::First(DIGEST_BYTES));
    engine.range(Space::Entries, from, Bound::Unbounded, part, &mut visit).unwrap();
    bytes
}

fn flush(c: &mut Criterion, kind: EngineUnderTest, filled: &Filled) {
    let mut group = c.benchmark_group(format!("engine/{}/flush_after_puts", kind.name()));
    for puts in [1, 100, 1_000] {
        group.bench_function(puts.to_string(), |b| {
            b.iter_batched(
                || filled.apply(&filled.puts(puts)),
                |()| filled.disk.engine.flush().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn engines(c: &mut Criterion) {
    for kind in EngineUnderTest::ALL {
        let filled = Filled::new(kind);
        single(c, kind, &filled);
        scan(c, kind, &filled);
        flush(c, kind, &filled);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = engines
}
criterion_main!(benches);
