//! The search for what differs, both sides of it in one thread, nothing written meanwhile.
//!
//! `sorted` reads entries from a sorted array with an index: next to nothing, so it shows the finder. `store`
//! reads them through a store's frozen views on the memory engine: what a session pays.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mangrove_benches::{Cost, Differs, Pair, SortedPair, StorePair};

const DIFFERING: [u64; 4] = [1, 100, 1_000, 10_000];

/// A pair that is made when first needed, and diverges further from one bench to the next.
struct Lazy<P: Pair> {
    keys: u64,
    pair: Option<P>,
    told: u64,
}

impl<P: Pair> Lazy<P> {
    fn new(keys: u64) -> RefCell<Lazy<P>> {
        RefCell::new(Lazy { keys, pair: None, told: 0 })
    }

    /// The pair with exactly `differing` keys apart, provided that it is asked for rising numbers only.
    fn apart(&mut self, name: &str, differing: u64) -> &P {
        let keys = self.keys;
        let pair = self.pair.get_or_insert_with(|| P::new(keys));
        pair.diverge_to(differing);
        if self.told < differing {
            self.told = differing;
            report(name, differing, pair.search());
        }
        pair
    }
}

fn report(name: &str, differing: u64, cost: Cost) {
    let named = (0..differing).map(|number| Differs::of(number).holders()).sum::<usize>();
    assert_eq!(cost.named, named, "not all was found that differs: {cost:?}");
    let Cost { bytes, messages, turns, .. } = cost;
    let per_key = bytes as f64 / differing as f64;
    eprintln!(
        "{name}: {differing} differ: {bytes} bytes ({per_key:.1} a key), {messages} messages in {turns} turns, \
         without the openings"
    );
}

fn walk<P: Pair>(c: &mut Criterion, name: &str, keys: u64) {
    let pair = Lazy::<P>::new(keys);
    let mut group = c.benchmark_group(name);
    for differing in DIFFERING {
        group.throughput(Throughput::Elements(differing));
        group.bench_function(differing.to_string(), |b| {
            let mut pair = pair.borrow_mut();
            let pair = pair.apart(name, differing);
            b.iter(|| pair.search());
        });
    }
    group.finish();
}

fn sorted(c: &mut Criterion) {
    walk::<SortedPair>(c, "walk/sorted/100k", 100_000);
    walk::<SortedPair>(c, "walk/sorted/1M", 1_000_000);
}

fn store(c: &mut Criterion) {
    walk::<StorePair>(c, "walk/store/1M", 1_000_000);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = sorted, store
}
criterion_main!(benches);
