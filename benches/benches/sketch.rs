//! The sketch: what a write adds to it, decoding, and whole searches by it beside those by the tree.
//!
//! Searches read two stores on the memory engine through frozen views, both sides in one thread: the CPU of both.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mangrove_benches::{Lazy, Pair, StorePair};
use merkle::{Cells, Decoder, Field, Prefer, Progress};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const KEYS: u64 = 1_000_000;
/// Kept beside a million keys.
const CELLS: usize = 3 << 17;
const DIFFERING: [u64; 7] = [0, 1, 100, 1_000, 10_000, 100_000, 500_000];

/// The sketch alone: `tree` has tree and sketch together.
fn change(c: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(1);
    let changes: Vec<(u64, u128, u128)> =
        (0..10_000).map(|_| (rng.random(), rng.random(), rng.random())).collect();
    let mut group = c.benchmark_group("sketch/change/1M");
    group.throughput(Throughput::Elements(changes.len() as u64));
    for field in [Field::Small, Field::Large] {
        let mut cells = Cells::empty(field, 0, CELLS);
        group.bench_function(format!("modulo {field}"), |b| {
            b.iter(|| {
                changes.iter().for_each(|(token, old, new)| cells.change(*token, Some(*old), Some(*new)))
            });
        });
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("sketch/decode");
    for differing in [1, 100, 1_000, 10_000, 100_000] {
        let mut rng = StdRng::seed_from_u64(differing);
        let mut cells = Cells::empty(Field::Small, 0, differing as usize * 6 / 5 + 100);
        (0..differing).for_each(|_| cells.change(rng.random(), None, Some(rng.random())));
        group.throughput(Throughput::Elements(differing));
        group.bench_function(differing.to_string(), |b| {
            b.iter_batched(
                || cells.as_slice(),
                |cells| {
                    let mut decoder = Decoder::new(Field::Small);
                    decoder.push(cells);
                    while decoder.step(1_024) == Progress::Working {}
                    decoder.units()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn search(c: &mut Criterion) {
    let pair = RefCell::new(Lazy::<StorePair>::new(KEYS));
    let mut group = c.benchmark_group("search/store/1M");
    for differing in DIFFERING {
        for (way, prefer) in [("tree", Prefer::Tree), ("auto", Prefer::Auto)] {
            group.throughput(Throughput::Elements(differing));
            group.bench_function(format!("{way}/{differing}"), |b| {
                let mut pair = pair.borrow_mut();
                let pair = pair.apart(way, differing, prefer);
                b.iter(|| pair.search(prefer));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = change, decode, search
}
criterion_main!(benches);
