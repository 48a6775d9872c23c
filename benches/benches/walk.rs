//! The search for what differs down the tree, both sides of it in one thread, nothing written meanwhile.
//!
//! Entries are read from a sorted array with an index: next to nothing, so it shows the finder. What a session pays is
//! in `sketch`, beside the other way.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mangrove_benches::{Lazy, Pair, SortedPair};
use merkle::Prefer;

const DIFFERING: [u64; 4] = [1, 100, 1_000, 10_000];

fn walk(c: &mut Criterion, name: &str, keys: u64) {
    let pair = RefCell::new(Lazy::<SortedPair>::new(keys));
    let mut group = c.benchmark_group(name);
    for differing in DIFFERING {
        group.throughput(Throughput::Elements(differing));
        group.bench_function(differing.to_string(), |b| {
            let mut pair = pair.borrow_mut();
            let pair = pair.apart(name, differing, Prefer::Tree);
            b.iter(|| pair.search(Prefer::Tree));
        });
    }
    group.finish();
}

fn sorted(c: &mut Criterion) {
    walk(c, "walk/sorted/100k", 100_000);
    walk(c, "walk/sorted/1M", 1_000_000);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = sorted
}
criterion_main!(benches);
