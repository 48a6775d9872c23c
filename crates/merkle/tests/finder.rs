//! A search finds exactly what comparing everything finds.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use merkle::{FindError, Finder, Frozen, FrozenEntry, Next, Prefer, Width};
use proptest::prelude::*;
use support::{Still, any_pair, difference, digest, search, token};

fn assert_exact(a: &Still, b: &Still, width: Width) -> support::Outcome {
    let outcome = search(a, b, width).unwrap();
    assert_eq!(outcome.initiator, difference(&a.entries, &b.entries));
    assert_eq!(outcome.responder, difference(&b.entries, &a.entries));
    outcome
}

fn still(keys: impl IntoIterator<Item = (u32, u64)>, expected: u64) -> Still {
    let entry = |(number, version): (u32, u64)| {
        let key: Box<[u8]> = number.to_le_bytes().into();
        ((token(&key), key.clone()), digest(&key, version))
    };
    Still::new(&keys.into_iter().map(entry).collect(), expected)
}

/// `len` entries with tokens of the top four bits `top`, at even distances.
fn crowd(top: u64, len: u64) -> Vec<FrozenEntry> {
    let entry = |place: u64| {
        let token = (top << 60) + place * ((1 << 60) / len);
        (token, Box::from(place.to_le_bytes()), digest(&place.to_le_bytes(), 0))
    };
    (0..len).map(entry).collect()
}

/// Sizes that give leaves of 4 to 12 bits.
fn any_size() -> impl Strategy<Value = u64> {
    (0..9_u32).prop_map(|doubled| 192 << doubled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn full_width_finds_everything((a, b) in any_pair(300, 6), sizes in (any_size(), any_size())) {
        assert_exact(&Still::new(&a, sizes.0), &Still::new(&b, sizes.1), Width::Full);
    }

    #[test]
    fn short_width_names_nothing_that_is_equal((a, b) in any_pair(300, 6), sizes in (any_size(), any_size())) {
        let (a, b) = (Still::new(&a, sizes.0), Still::new(&b, sizes.1));
        let outcome = search(&a, &b, Width::Short).unwrap();
        for (named, differing) in [
            (outcome.initiator, difference(&a.entries, &b.entries)),
            (outcome.responder, difference(&b.entries, &a.entries)),
        ] {
            prop_assert!(named.iter().all(|entry| differing.contains(entry)));
            // One range in 16 million goes unseen; the cases are always the same ones unless one fails.
            prop_assert_eq!(named.len(), differing.len());
        }
    }
}

#[test]
fn equal_and_empty_sides_need_no_message() {
    let full = still((0..3_000).map(|number| (number, 0)), 3_000);
    let empty = still([], 0);
    for width in [Width::Short, Width::Full] {
        for (a, b) in [(&full, &full), (&full, &empty), (&empty, &full), (&empty, &empty)] {
            assert_eq!(assert_exact(a, b, width).messages(), 0);
        }
    }
}

#[test]
fn equal_data_in_trees_of_any_depth_is_equal() {
    let shallow = still((0..500).map(|number| (number, 0)), 10);
    let deep = still((0..500).map(|number| (number, 0)), 1 << 20);
    assert_ne!(shallow.tree.leaf_bits(), deep.tree.leaf_bits());
    assert_eq!(assert_exact(&shallow, &deep, Width::Short).messages(), 0);
}

#[test]
fn few_against_many() {
    let many = still((0..50_000).map(|number| (number, 0)), 50_000);
    for few in [1_u32, 10, 1_000] {
        let few = still((0..few).map(|number| (number, u64::from(number % 2))), u64::from(few));
        for width in [Width::Short, Width::Full] {
            for outcome in [assert_exact(&few, &many, width), assert_exact(&many, &few, width)] {
                // The side with few shows its tags; the many are never shown.
                assert!(outcome.bytes() < 1_000 + 80 * few.entries.len(), "{}", outcome.bytes());
            }
        }
    }
}

#[test]
fn a_leaf_that_takes_many_messages() {
    let mut mine = crowd(5, 300_000);
    let mut theirs = mine.clone();
    mine.retain(|(token, ..)| token % 7 != 0 || token % 64 != 0);
    theirs.retain(|(token, ..)| token % 1_001 != 1);
    theirs[200_000].2 += 1 << 64;
    let (a, b) = (Still::of(mine, 0), Still::of(theirs, 0));
    assert_eq!(a.tree.leaf_bits(), 4);
    let outcome = assert_exact(&a, &b, Width::Short);
    assert!(outcome.turns.iter().any(|turn| turn.len() > 1));
    assert_exact(&b, &a, Width::Full);
}

#[test]
fn everything_differs() {
    let a = still((0..60_000).map(|number| (number, 1)), 60_000);
    let b = still((0..60_000).map(|number| (number, 2)), 60_000);
    assert_exact(&a, &b, Width::Short);
    assert_exact(&a, &b, Width::Full);
}

#[test]
fn a_crowded_token_is_shown_or_refused() {
    let crowd = |len: u32, version| {
        let entry =
            |number: u32| (77, Box::from(number.to_be_bytes()), digest(&number.to_be_bytes(), version));
        (0..len).map(entry).collect::<Vec<_>>()
    };
    let (a, b) = (Still::of(crowd(9_000, 0), 0), Still::of(crowd(8_500, 0), 0));
    assert_exact(&a, &b, Width::Full);
    let (a, b) = (Still::of(crowd(40_000, 0), 0), Still::of(crowd(39_999, 0), 0));
    assert_exact(&a, &b, Width::Short);
    assert_eq!(search(&a, &b, Width::Full).unwrap_err(), FindError::Crowded { token: 77 });
}

#[test]
fn a_message_before_the_work_is_done_changes_nothing() {
    let a = still((0..5_000).map(|number| (number, 0)), 5_000);
    let b = still([(1, 0), (9_999, 0)], 0);
    let (mine, theirs) = (a.opening().unwrap(), b.opening().unwrap());
    let mut responder = Finder::responder(&theirs, &mine, Width::Short, Prefer::Tree);
    let message = responder.start(&b).unwrap().message.unwrap();
    let mut early = Finder::responder(&mine, &theirs, Width::Short, Prefer::Tree);
    assert_eq!(early.handle(&a, message.clone()).unwrap_err(), FindError::Busy);
    assert!(early.start(&a).unwrap().message.is_some());
    let mut initiator = Finder::initiator(&mine, &theirs, Width::Short);
    assert_eq!(initiator.start(&a).unwrap().next, Next::Wait);
    assert!(initiator.handle(&a, message).unwrap().message.is_some());
}

#[test]
fn the_same_search_twice_gives_the_same_bytes() {
    let run = || {
        let a = still((0..9_000).map(|number| (number, 0)), 9_000);
        let b = still((50..9_050).map(|number| (number, u64::from(number % 500 == 0))), 9_000);
        let (mine, theirs) = (a.opening().unwrap(), b.opening().unwrap());
        let mut initiator = support::Side::new(&a, Finder::initiator(&mine, &theirs, Width::Short));
        let mut responder =
            support::Side::new(&b, Finder::responder(&theirs, &mine, Width::Short, Prefer::Tree));
        initiator.step(None).unwrap();
        responder.step(None).unwrap();
        let mut sent = Vec::new();
        while !(initiator.done && responder.done) {
            for bytes in std::mem::take(&mut responder.sent) {
                initiator.step(support::decode(&bytes)).unwrap();
                sent.push(bytes);
            }
            for bytes in std::mem::take(&mut initiator.sent) {
                responder.step(support::decode(&bytes)).unwrap();
                sent.push(bytes);
            }
        }
        sent
    };
    assert_eq!(run(), run());
}
