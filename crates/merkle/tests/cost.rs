//! What a search costs: round trips, messages and bytes, both directions, openings included, until both sides know
//! every key of theirs that differs. Seeds are fixed, so a change in cost is a visible diff.
//!
//! The workload is the one of the design's table: keys of 16 bytes, of those that differ half are updated and a
//! quarter is missing on each side.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fmt::Write;

use merkle::{Frozen, FrozenEntry, Width};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use support::{Outcome, Still, difference, digest, search, token};

fn entries(keys: u64) -> Vec<FrozenEntry> {
    let entry = |number: u64| {
        let key: Box<[u8]> = [number.to_be_bytes(), (!number).to_be_bytes()].concat().into();
        (token(&key), key.clone(), digest(&key, 0))
    };
    let mut entries: Vec<FrozenEntry> = (0..keys).map(entry).collect();
    entries.sort_unstable();
    entries
}

/// Two stores of `entries` that differ in `differ` keys, chosen by `seed`.
fn pair(entries: &[FrozenEntry], differ: u64, seed: u64) -> (Still, Still) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut chosen = std::collections::BTreeSet::new();
    while (chosen.len() as u64) < differ {
        chosen.insert(rng.random_range(0..entries.len()));
    }
    let (mut a, mut b) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    let mut chosen = chosen.into_iter().peekable();
    for (place, entry) in entries.iter().enumerate() {
        let fate = if chosen.next_if_eq(&place).is_some() { rng.random_range(0..4) } else { 4 };
        if fate != 0 {
            a.push(entry.clone());
        }
        match fate {
            1 => {}
            2 | 3 => b.push((entry.0, entry.1.clone(), digest(&entry.1, 1))),
            _ => b.push(entry.clone()),
        }
    }
    let expected = entries.len() as u64;
    (Still::of(a, expected), Still::of(b, expected))
}

fn run(entries: &[FrozenEntry], differ: u64, seed: u64, width: Width) -> Outcome {
    let (a, b) = pair(entries, differ, seed);
    let outcome = search(&a, &b, width).unwrap();
    assert_eq!(outcome.initiator, difference(&a.entries, &b.entries), "of {differ} with seed {seed}");
    assert_eq!(outcome.responder, difference(&b.entries, &a.entries), "of {differ} with seed {seed}");
    outcome
}

/// A line for each number of differing keys: means and the worst over the seeds.
fn table(keys: u64, differs: &[u64], seeds: u64, width: Width) -> String {
    let entries = entries(keys);
    let mut table = String::from("differ  round trips   messages     bytes  per key\n");
    for differ in differs {
        let runs: Vec<Outcome> = (0..seeds).map(|seed| run(&entries, *differ, seed, width)).collect();
        let mean = |of: fn(&Outcome) -> usize| runs.iter().map(of).sum::<usize>() as f64 / seeds as f64;
        let worst = runs.iter().map(Outcome::round_trips).max().unwrap();
        let bytes = mean(Outcome::bytes);
        let (trips, messages) = (mean(Outcome::round_trips), mean(Outcome::messages));
        let per_key = bytes / (*differ).max(1) as f64;
        writeln!(table, "{differ:>6}  {trips:>4.1} max {worst:>2} {messages:>10.1} {bytes:>9.0} {per_key:>8.1}").unwrap();
    }
    table
}

#[test]
fn a_thousand_keys() {
    insta::assert_snapshot!(table(1_000, &[0, 1, 10, 100, 1_000], 10, Width::Short), @"");
}

#[test]
fn ten_thousand_keys() {
    insta::assert_snapshot!(table(10_000, &[1, 10, 100, 1_000, 10_000], 10, Width::Short), @"");
}

#[test]
fn a_hundred_thousand_keys() {
    insta::assert_snapshot!(table(100_000, &[1, 10, 100, 1_000, 10_000], 5, Width::Short), @"");
}

#[test]
fn a_hundred_thousand_keys_at_full_width() {
    insta::assert_snapshot!(table(100_000, &[1, 100, 10_000], 2, Width::Full), @"");
}

#[test]
fn a_million_keys() {
    insta::assert_snapshot!(table(1_000_000, &[1, 100, 1_000, 10_000, 100_000], 1, Width::Short), @"");
}

/// The table of a small hand-made case, message by message.
#[test]
fn one_key_of_a_hundred() {
    let outcome = run(&entries(100), 1, 0, Width::Short);
    insta::assert_debug_snapshot!(outcome.turns, @"");
}

#[test]
fn openings_of_equal_stores_leave_room_for_the_rest_of_the_exchange() {
    let (a, b) = pair(&entries(100_000), 0, 0);
    assert_eq!(a.opening(), b.opening());
    let outcome = search(&a, &b, Width::Short).unwrap();
    assert_eq!((outcome.messages(), outcome.round_trips()), (0, 1));
    assert!(outcome.bytes() <= 90, "{} bytes", outcome.bytes());
}
