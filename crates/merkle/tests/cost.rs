//! What a search costs: round trips, messages and bytes, both directions, openings included, until both sides know
//! every key of theirs that differs. Seeds are fixed, so a change in cost is a visible diff.
//!
//! The workload is the one of the design's table: keys of 16 bytes, of those that differ half are updated and a
//! quarter is missing on each side.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeSet, fmt::Write};

use merkle::{Frozen, FrozenEntry, Method, Prefer, Width};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use support::{Outcome, Still, difference, digest, search, search_by, token};

fn base(keys: u64) -> Still {
    let entry = |number: u64| {
        let key: Box<[u8]> = [number.to_be_bytes(), (!number).to_be_bytes()].concat().into();
        (token(&key), key.clone(), digest(&key, 0))
    };
    let mut entries: Vec<FrozenEntry> = (0..keys).map(entry).collect();
    entries.sort_unstable();
    Still::of(entries, keys)
}

/// Two stores made from `base` that differ in `differ` keys, chosen by `seed`.
fn pair(base: &Still, differ: u64, seed: u64) -> (Still, Still) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut chosen = BTreeSet::new();
    while (chosen.len() as u64) < differ {
        chosen.insert(rng.random_range(0..base.entries.len()));
    }
    let (mut a, mut b) = (base.clone(), base.clone());
    let (mut gone_from_a, mut gone_from_b) = (BTreeSet::new(), BTreeSet::new());
    for place in chosen {
        let (token, key, old) = &base.entries[place];
        match rng.random_range(0..4) {
            0 => {
                a.tree.change(*token, Some(*old), None);
                gone_from_a.insert(place);
            }
            1 => {
                b.tree.change(*token, Some(*old), None);
                gone_from_b.insert(place);
            }
            _ => {
                let new = digest(key, 1);
                b.tree.change(*token, Some(*old), Some(new));
                b.entries[place].2 = new;
            }
        }
    }
    remove(&mut a, &gone_from_a);
    remove(&mut b, &gone_from_b);
    (a, b)
}

fn remove(still: &mut Still, places: &BTreeSet<usize>) {
    let mut place = 0..;
    still.entries.retain(|_| !places.contains(&place.next().unwrap()));
}

/// By the way that the responder chooses: the names are those that differ, and few that share a unit with one.
fn run_by(base: &Still, differ: u64, seed: u64, prefer: Prefer) -> Outcome {
    let (a, b) = pair(base, differ, seed);
    let outcome = search_by(&a, &b, Width::Short, prefer).unwrap();
    for (named, wanted) in [
        (&outcome.initiator, difference(&a.entries, &b.entries)),
        (&outcome.responder, difference(&b.entries, &a.entries)),
    ] {
        let named: BTreeSet<_> = named.iter().collect();
        assert!(wanted.iter().all(|entry| named.contains(entry)), "of {differ} with seed {seed}");
        assert!(named.len() <= wanted.len() + wanted.len() / 8 + 1, "{} for {}", named.len(), wanted.len());
    }
    outcome
}

fn run(base: &Still, differ: u64, seed: u64, width: Width) -> Outcome {
    let (a, b) = pair(base, differ, seed);
    let outcome = search(&a, &b, width).unwrap();
    assert_eq!(outcome.initiator, difference(&a.entries, &b.entries), "of {differ} with seed {seed}");
    assert_eq!(outcome.responder, difference(&b.entries, &a.entries), "of {differ} with seed {seed}");
    outcome
}

fn table(base: &Still, differs: &[u64], seeds: u64, width: Width) -> String {
    table_of(differs, seeds, |differ, seed| run(base, differ, seed, width))
}

fn table_by(base: &Still, differs: &[u64], seeds: u64, prefer: Prefer) -> String {
    table_of(differs, seeds, |differ, seed| run_by(base, differ, seed, prefer))
}

/// A line for each number of differing keys: means, and the most round trips, over the seeds.
fn table_of(differs: &[u64], seeds: u64, run: impl Fn(u64, u64) -> Outcome) -> String {
    let mut table = String::new();
    for differ in differs {
        let runs: Vec<Outcome> = (0..seeds).map(|seed| run(*differ, seed)).collect();
        let mean = |of: fn(&Outcome) -> usize| runs.iter().map(of).sum::<usize>() as f64 / seeds as f64;
        let worst = runs.iter().map(Outcome::round_trips).max().unwrap();
        let bytes = mean(Outcome::bytes);
        let (trips, messages) = (mean(Outcome::round_trips), mean(Outcome::messages));
        let per_key = bytes / (*differ).max(1) as f64;
        let most = runs.iter().map(Outcome::bytes).max().unwrap();
        let sketched = |run: &&Outcome| run.choice.is_some_and(|choice| choice.method == Method::Sketch);
        let ways = match runs.iter().filter(sketched).count() as u64 {
            0 => String::new(),
            count if count == seeds => format!(", by sketch, at most {most}"),
            count => format!(", {count} of {seeds} by sketch, at most {most}"),
        };
        writeln!(
            table,
            "{differ:>6} differ: {trips:.1} round trips (at most {worst}), {messages:>4.1} messages, {bytes:>7.0} bytes, {per_key:.1} a key{ways}"
        )
        .unwrap();
    }
    table
}

#[test]
fn a_thousand_keys() {
    insta::assert_snapshot!(table(&base(1_000), &[0, 1, 10, 100, 1_000], 10, Width::Short));
}

#[test]
fn ten_thousand_keys() {
    insta::assert_snapshot!(table(&base(10_000), &[1, 10, 100, 1_000, 10_000], 10, Width::Short));
}

#[test]
fn a_hundred_thousand_keys() {
    insta::assert_snapshot!(table(&base(100_000), &[1, 10, 100, 1_000, 10_000], 5, Width::Short));
}

#[test]
fn a_hundred_thousand_keys_at_full_width() {
    insta::assert_snapshot!(table(&base(100_000), &[1, 100, 10_000], 2, Width::Full));
}

/// The design's table has 283 bytes in 6 round trips for one key, then 140 a key in 5, 100 in 4, 60 in 3, 33 in 2.
#[test]
fn a_million_keys() {
    let base = base(1_000_000);
    let table =
        [table(&base, &[1], 4, Width::Short), table(&base, &[100, 1_000, 10_000, 100_000], 1, Width::Short)];
    insta::assert_snapshot!(table.concat());
}

/// The rows of the design's table of targets, at a size that is quick to run: at most 300 bytes in 2 round trips for
/// one key, 2,500 in 3 for a hundred, 18,000 in 4 for a thousand.
#[test]
fn twenty_thousand_keys_either_way() {
    let base = base(20_000);
    let auto = table_by(&base, &[0, 1, 10, 100, 1_000, 10_000], 20, Prefer::Auto);
    let sketch = table_by(&base, &[1, 100, 1_000, 4_000, 10_000], 5, Prefer::Sketch);
    let tree = table_by(&base, &[1, 100, 1_000, 10_000], 5, Prefer::Tree);
    insta::assert_snapshot!(format!("auto\n{auto}sketch\n{sketch}tree\n{tree}"));
}

/// The targets: 16 bytes a key in 4 round trips at ten thousand, in 5 at a hundred thousand; 22 in 3 at half a million.
#[test]
fn a_million_keys_as_the_responder_chooses() {
    let base = base(1_000_000);
    let table = [
        table_by(&base, &[0, 1], 3, Prefer::Auto),
        table_by(&base, &[100, 1_000, 10_000], 6, Prefer::Auto),
        table_by(&base, &[100_000], 2, Prefer::Auto),
        table_by(&base, &[500_000], 1, Prefer::Auto),
    ];
    insta::assert_snapshot!(table.concat());
}

/// Two stores of the size for a million keys, which hold only what differs between them: what a search by the sketch
/// says does not depend on the rest.
fn only_what_differs(differ: u64, seed: u64) -> (Still, Still) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut a, mut b) = (vec![(0, [].into(), 0)], vec![(0, [].into(), 0)]);
    for number in 0..differ {
        let key: Box<[u8]> = number.to_le_bytes().into();
        let (token, digests): (u64, [u128; 2]) = (rng.random(), rng.random());
        match rng.random_range(0..4) {
            0 => a.push((token, key, digests[0])),
            1 => b.push((token, key, digests[1])),
            _ => {
                a.push((token, key.clone(), digests[0]));
                b.push((token, key, digests[1]));
            }
        }
    }
    a.sort_unstable();
    b.sort_unstable();
    (Still::of(a, 1_000_000), Still::of(b, 1_000_000))
}

/// The means say little about the worst: of a hundred seeds each, how many take how many round trips, and the bytes.
#[test]
fn a_hundred_seeds_by_the_sketch() {
    let mut table = String::new();
    for differ in [1, 3, 10, 30, 100, 300, 1_000, 10_000] {
        let runs: Vec<Outcome> = (0..100)
            .map(|seed| {
                let (a, b) = only_what_differs(differ, seed);
                search_by(&a, &b, Width::Short, Prefer::Sketch).unwrap()
            })
            .collect();
        let mut bytes: Vec<usize> = runs.iter().map(Outcome::bytes).collect();
        bytes.sort_unstable();
        let mean = bytes.iter().sum::<usize>() / 100;
        let of_trips = |trips| runs.iter().filter(|run| run.round_trips() == trips).count();
        let [two, three, four] = [2, 3, 4].map(of_trips);
        writeln!(
            table,
            "{differ:>5} differ: {two:>3} in 2 round trips, {three:>3} in 3, {four:>3} in 4, {:>2} in more; {mean} bytes, 90 of 100 under {}, at most {}",
            100 - two - three - four,
            bytes[90],
            bytes[99]
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

/// A small case, message by message.
#[test]
fn one_key_of_a_hundred() {
    let outcome = run(&base(100), 1, 0, Width::Short);
    insta::assert_debug_snapshot!(outcome.turns);
}

#[test]
fn openings_of_equal_stores_leave_room_for_the_rest_of_the_exchange() {
    let (a, b) = pair(&base(100_000), 0, 0);
    assert_eq!(a.opening(), b.opening());
    let outcome = search(&a, &b, Width::Short).unwrap();
    assert_eq!((outcome.messages(), outcome.round_trips()), (0, 1));
    assert!(outcome.bytes() <= 110, "{} bytes", outcome.bytes());
}
