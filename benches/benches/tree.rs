//! The range tree with its sketch: what a write adds to both, the root, frozen views.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use merkle::{FrozenView, Tree};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SIZES: [(&str, u64); 3] = [("1k", 1_000), ("100k", 100_000), ("1M", 1_000_000)];
/// Spread over the tree, and more than a small cache holds of it.
const CHANGES_MAX: u64 = 10_000;
const RECORDED: usize = 1_000;

/// Updates of entries that go back and forth between two digests, so that the tree never drifts.
#[derive(Clone)]
struct Update {
    token: u64,
    is: u128,
    next: u128,
}

impl Update {
    fn apply(&mut self, tree: &mut Tree) {
        tree.change(self.token, Some(self.is), Some(self.next));
        std::mem::swap(&mut self.is, &mut self.next);
    }
}

/// A tree of this many keys, and updates of some of them.
fn filled(keys: u64) -> (Tree, Vec<Update>) {
    let mut rng = StdRng::seed_from_u64(keys);
    let mut tree = Tree::with_keys(keys);
    let mut updates = Vec::new();
    for number in 0..keys {
        let update = Update { token: rng.random(), is: rng.random(), next: rng.random() };
        tree.change(update.token, None, Some(update.is));
        if number < CHANGES_MAX {
            updates.push(update);
        }
    }
    (tree, updates)
}

fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("tree/change");
    for (name, keys) in SIZES {
        let (mut tree, mut updates) = filled(keys);
        group.throughput(Throughput::Elements(updates.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| updates.iter_mut().for_each(|update| update.apply(&mut tree)));
        });
        tree.check().unwrap();
    }
    group.finish();
}

fn root(c: &mut Criterion) {
    let (tree, _) = filled(1_000_000);
    c.bench_function("tree/root of 1M", |b| b.iter(|| std::hint::black_box(&tree).root()));
}

/// What a write costs while a session is open.
fn view(c: &mut Criterion) {
    let (tree, mut updates) = filled(1_000_000);
    updates.truncate(RECORDED);
    let keys: Vec<[u8; 16]> = (0..RECORDED as u128).map(u128::to_be_bytes).collect();
    let (tree, updates) = (RefCell::new(tree), RefCell::new(updates));
    let mut group = c.benchmark_group("tree/view/1M");
    group.bench_function("freeze", |b| b.iter(|| FrozenView::freeze(&tree.borrow(), 262_144)));
    group.throughput(Throughput::Elements(RECORDED as u64));
    group.bench_function("change_and_record", |b| {
        b.iter_batched_ref(
            || FrozenView::freeze(&tree.borrow(), 262_144),
            |view| {
                let (tree, updates) = (&mut *tree.borrow_mut(), &mut *updates.borrow_mut());
                for (update, key) in updates.iter_mut().zip(&keys) {
                    view.record(update.token, key, Some(update.is), Some(update.next));
                    update.apply(tree);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = change, root, view
}
criterion_main!(benches);
