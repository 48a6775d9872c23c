//! A search by the sketch names every entry of every unit that differs, on both sides; where it cannot, the tree does.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;

use merkle::{
    Cells, Field, Frozen, FrozenEntry, Method, Opening, Prefer, Prefix, RangeDigest, Reason, ViewLost, Width,
};
use proptest::prelude::*;
use support::{Still, any_pair, difference, digest, search_by, token};

fn unit(token: u64) -> u64 {
    ((u128::from(token) * u128::from(Field::Small.prime())) >> 64) as u64
}

/// The entries of `mine` in units in which anything differs between the two.
fn in_differing_units(mine: &Still, theirs: &Still) -> Vec<FrozenEntry> {
    let apart = [difference(&mine.entries, &theirs.entries), difference(&theirs.entries, &mine.entries)];
    let units: BTreeSet<u64> = apart.iter().flatten().map(|(token, _, _)| unit(*token)).collect();
    mine.entries.iter().filter(|(token, _, _)| units.contains(&unit(*token))).cloned().collect()
}

fn assert_exact(a: &Still, b: &Still, prefer: Prefer) -> support::Outcome {
    let outcome = search_by(a, b, Width::Short, prefer).unwrap();
    match outcome.choice {
        Some(choice) if choice.method == Method::Sketch => {
            assert_eq!(outcome.initiator, in_differing_units(a, b));
            assert_eq!(outcome.responder, in_differing_units(b, a));
        }
        _ => {
            assert_eq!(outcome.initiator, difference(&a.entries, &b.entries));
            assert_eq!(outcome.responder, difference(&b.entries, &a.entries));
        }
    }
    outcome
}

fn still(keys: impl IntoIterator<Item = (u32, u64)>, expected: u64) -> Still {
    let entry = |(number, version): (u32, u64)| {
        let key: Box<[u8]> = number.to_le_bytes().into();
        ((token(&key), key.clone()), digest(&key, version))
    };
    Still::new(&keys.into_iter().map(entry).collect(), expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_two_stores(
        (a, b) in any_pair(400, 40),
        sizes in (0..3_000_u64, 0..3_000_u64),
        prefer in prop_oneof![Just(Prefer::Auto), Just(Prefer::Sketch)],
    ) {
        assert_exact(&Still::new(&a, sizes.0), &Still::new(&b, sizes.1), prefer);
    }
}

#[test]
fn one_key_takes_two_round_trips_and_four_cells() {
    let (a, b) = (still((0..5_000).map(|n| (n, 0)), 5_000), still((1..5_000).map(|n| (n, 0)), 5_000));
    for (a, b) in [(&a, &b), (&b, &a)] {
        let outcome = assert_exact(a, b, Prefer::Auto);
        assert_eq!(
            outcome.choice.unwrap().reason,
            Reason::Cheapest { estimate: outcome.choice.unwrap().estimate }
        );
        assert_eq!((outcome.round_trips(), outcome.turns.len()), (2, 2));
        assert!(outcome.bytes() <= 300, "{} bytes", outcome.bytes());
    }
}

#[test]
fn much_that_differs_goes_by_the_tree_unless_asked_for() {
    let (a, b) = (
        still((0..3_000).map(|n| (n, 0)), 3_000),
        still((0..3_000).map(|n| (n, u64::from(n % 3 != 0))), 3_000),
    );
    let chosen = assert_exact(&a, &b, Prefer::Auto).choice.unwrap();
    assert_eq!((chosen.method, chosen.reason), (Method::Tree, Reason::ManyDiffer));
    let asked = assert_exact(&a, &b, Prefer::Sketch).choice.unwrap();
    // Two thousand units and 768 cells: they do not decode.
    assert_eq!((asked.method, asked.reason), (Method::Tree, Reason::Undecoded));
    let few = still((0..3_000).map(|n| (n, u64::from(n % 9 == 0))), 3_000);
    let asked = assert_exact(&a, &few, Prefer::Sketch).choice.unwrap();
    assert_eq!((asked.method, asked.reason), (Method::Sketch, Reason::AskedFor));
}

#[test]
fn stores_of_different_sizes_share_the_cells_that_both_keep() {
    let (a, b) = (still((0..2_000).map(|n| (n, 0)), 20_000), still((5..2_000).map(|n| (n, 0)), 200));
    assert_exact(&a, &b, Prefer::Auto);
    assert_exact(&b, &a, Prefer::Auto);
    let large = Opening { leaf_bits: 19, ..a.opening().unwrap() };
    assert_ne!(Field::of_leaves(large.leaf_bits), Field::of_leaves(8));
}

/// H7: the sketch decodes to nothing though the roots differ. The search ends; the session's closing check is unequal,
/// and its second search, at full width, walks the tree.
#[test]
fn h7_what_the_field_cannot_see_is_found_at_full_width() {
    let mut a = still((0..1_000).map(|n| (n, 0)), 1_000);
    let mut b = a.clone();
    let (token, key, old) = a.entries[500].clone();
    // The value rests on the top bits of the low half alone.
    let new = old ^ 1 << 127;
    a.entries[500] = (token, key.clone(), old);
    b.entries[500] = (token, key, new);
    b.tree.change(token, Some(old), Some(new));
    let blind = search_by(&a, &b, Width::Short, Prefer::Auto).unwrap();
    assert_eq!(blind.choice.unwrap().method, Method::Sketch);
    assert_eq!((blind.initiator.len(), blind.responder.len()), (0, 0));
    let full = search_by(&a, &b, Width::Full, Prefer::Sketch).unwrap();
    assert_eq!(full.choice.unwrap().reason, Reason::FullWidth);
    assert_eq!(
        (full.initiator, full.responder),
        (vec![a.entries[500].clone()], vec![b.entries[500].clone()])
    );
}

/// A store that has outgrown the field of its view's sketch.
struct Outgrown(Still);

impl Frozen for Outgrown {
    fn opening(&self) -> Result<Opening, ViewLost> {
        self.0.opening()
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.0.range(prefix)
    }

    fn cells(&self, _from: usize, _to: usize) -> Result<Cells, ViewLost> {
        Err(ViewLost::FieldChanged)
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        self.0.entries(first, last, after, limit)
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        self.0.digest_of(token, key)
    }
}

#[test]
fn a_sketch_that_cannot_be_read_any_more_leaves_it_to_the_tree() {
    let (a, b) = (still((0..3_000).map(|n| (n, 0)), 3_000), still((7..3_000).map(|n| (n, 0)), 3_000));
    let gone = Outgrown(a.clone());
    for outcome in [
        search_by(&gone, &b, Width::Short, Prefer::Auto).unwrap(),
        search_by(&b, &gone, Width::Short, Prefer::Auto).unwrap(),
    ] {
        assert_eq!(outcome.choice.unwrap().method, Method::Tree);
        assert_eq!(outcome.initiator.len() + outcome.responder.len(), 7);
    }
}
