//! Entries: merge, the bytes that are hashed and stored, context tokens.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mangrove_benches::{DIGEST_KEY, dot, entry, key, overwritten, value, written};
use model::{ClusterId, Context, Entry, Expiry, Seen, TokenKey, canonical, context_token, stored};

const SIZES: [(&str, usize); 2] = [("128B", 128), ("1MiB", 1 << 20)];

fn merge(c: &mut Criterion) {
    let first = entry(dot(1, 1), value(128));
    let concurrent = entry(dot(2, 2), value(128));
    let newer = overwritten(first.clone(), dot(3, 2), value(128));
    let cases: [(&str, &Entry, &Entry); 3] =
        [("equal", &first, &first), ("disjoint_siblings", &first, &concurrent), ("replaced", &first, &newer)];
    let mut group = c.benchmark_group("model/merge");
    for (name, mine, theirs) in cases {
        group.bench_function(name, |b| {
            b.iter_batched_ref(|| mine.clone(), |mine| mine.merge(black_box(theirs)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn canonical_bytes(c: &mut Criterion) {
    let mut group = c.benchmark_group("model/canonical");
    for (name, bytes) in SIZES {
        let value = value(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("sibling_hash/{name}"), |b| {
            b.iter(|| canonical::sibling_hash(dot(1, 1), black_box(&value), None, Expiry::NEVER));
        });
    }
    group.finish();
    // Covers the siblings by their hashes, so the size of the values does not count.
    let (key, entry) = (key(1), entry(dot(1, 1), value(128)));
    c.bench_function("model/canonical/digest", |b| {
        b.iter(|| black_box(&entry).digest(black_box(&key), &DIGEST_KEY));
    });
}

fn stored_form(c: &mut Criterion) {
    let mut group = c.benchmark_group("model/stored");
    for (name, bytes) in SIZES {
        let entry = entry(dot(1, 1), value(bytes));
        let form = stored::encode(&entry);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("encode/{name}"), |b| b.iter(|| stored::encode(black_box(&entry))));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| stored::decode(black_box(&form)).unwrap());
        });
    }
    group.finish();
}

fn tokens(c: &mut Criterion) {
    let (token_key, cluster, key) = (TokenKey::derive(&DIGEST_KEY), ClusterId([9; 16]), key(1));
    let mut entry = Entry::default();
    for writer in 1..=3 {
        entry = written(entry, &Context::default(), dot(writer, writer), value(16));
    }
    let token = context_token::mint(&token_key, &cluster, &key, &Seen::of(&entry, 1));
    let mut group = c.benchmark_group("model/context_token/3_writers");
    group.bench_function("mint", |b| {
        b.iter(|| context_token::mint(&token_key, &cluster, &key, &Seen::of(black_box(&entry), 1)));
    });
    group.bench_function("open", |b| {
        b.iter(|| context_token::open(&token_key, &cluster, &key, black_box(&token)).unwrap());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    targets = merge, canonical_bytes, stored_form, tokens
}
criterion_main!(benches);
