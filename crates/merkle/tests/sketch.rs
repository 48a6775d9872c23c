//! The sketch: whatever differs between two stores is what decoding the difference of their cells names.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeSet, fmt::Write};

use merkle::{Cells, Decoder, Field, Progress, Tree, pack_cells, unpack_cells};
use proptest::{collection::vec, prelude::*};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const FIELDS: [Field; 2] = [Field::Small, Field::Large];

fn unit(token: u64, field: Field) -> u32 {
    ((u128::from(token) * u128::from(field.prime())) >> 64) as u32
}

fn run(decoder: &mut Decoder) -> Progress {
    loop {
        match decoder.step(100) {
            Progress::Working => {}
            progress => return progress,
        }
    }
}

/// What differs: a token, and the digests on both sides.
type Change = (u64, Option<u128>, Option<u128>);

/// Cells of the difference, cell by cell as two peers would get it, through the wire form.
fn apart(field: Field, changes: &[Change], len: usize) -> Vec<[u32; 3]> {
    let (mut mine, mut theirs) = (Cells::empty(field, 0, len), Cells::empty(field, 0, len));
    for (token, one, other) in changes {
        mine.change(*token, None, *one);
        theirs.change(*token, None, *other);
    }
    let mut bytes = Vec::new();
    pack_cells(field, theirs.as_slice(), &mut bytes);
    mine.less(&unpack_cells(field, &bytes).unwrap())
}

/// The fewest cells from which the changes are decoded, looked for in steps of `step`; and the units found.
fn cells_needed(cells: &[[u32; 3]], field: Field, step: usize) -> (usize, Vec<u32>) {
    let mut decoder = Decoder::new(field);
    for some in cells.chunks(step) {
        decoder.push(some);
        if run(&mut decoder) == Progress::Decoded {
            return (decoder.cells(), decoder.units());
        }
    }
    panic!("{} units peeled from {} cells", decoder.peeled(), cells.len());
}

/// A change of every kind: an update, a key missing on one side, a key missing on the other.
fn any_change() -> impl Strategy<Value = Change> {
    let token = prop_oneof![3 => any::<u64>(), 1 => (0..16_u64).prop_map(|top| top << 60)];
    (token, 0..4_u8, any::<u128>(), any::<u128>()).prop_map(|(token, kind, one, other)| match kind {
        0 => (token, Some(one), None),
        1 => (token, None, Some(other)),
        _ => (token, Some(one), Some(other)),
    })
}

proptest! {
    #[test]
    fn decoding_names_what_differs(
        changes in vec(any_change(), 0..200),
        equal in vec((any::<u64>(), any::<u128>()), 0..50),
        large in any::<bool>(),
    ) {
        let field = FIELDS[usize::from(large)];
        let same = equal.iter().map(|(token, digest)| (*token, Some(*digest), Some(*digest)));
        let all: Vec<Change> = changes.iter().copied().chain(same).collect();
        let cells = apart(field, &all, 1_200);
        let (needed, units) = cells_needed(&cells, field, 20);
        let differing: BTreeSet<u32> = changes.iter().map(|(token, _, _)| unit(*token, field)).collect();
        prop_assert_eq!(units, differing.into_iter().collect::<Vec<_>>(), "from {} cells", needed);
    }

    /// Whatever the cells are: the work and the memory are bounded by their number, and what is decoded explains them.
    #[test]
    fn cells_that_no_store_makes_come_to_an_end(
        numbers in vec([0..40_u32, 0..40_u32, 0..40_u32], 1..300),
        large in any::<bool>(),
        spoil in any::<bool>(),
        pieces in 1..50_usize,
    ) {
        let field = FIELDS[usize::from(large)];
        // Some look as if they held one unit, of which most do not belong there.
        let cells: Vec<[u32; 3]> = numbers
            .iter()
            .map(|[a, b, c]| if spoil { [*a, *b, *c] } else { [*a, a * b, a * b * b] })
            .collect();
        let mut decoder = Decoder::new(field);
        for some in cells.chunks(pieces) {
            decoder.push(some);
            let mut steps = 0;
            while decoder.step(1) == Progress::Working {
                steps += 1;
                prop_assert!(steps < 100_000);
            }
            prop_assert!(decoder.peeled() <= decoder.cells() + 65);
        }
        let ascends = decoder.units().windows(2).all(|pair| pair[0] < pair[1]);
        prop_assert!(ascends && decoder.units().iter().all(|unit| u64::from(*unit) < field.prime()));
    }
}

/// H7: an update whose two digests give the same value in the field. The sketch sees nothing, the sums do; the closing
/// check of a session then has both sides search the tree.
#[test]
fn h7_a_difference_of_zero_in_the_field_is_invisible_to_cells_but_not_to_sums() {
    let (old, new) = (1_u128, 1_u128 | 1 << 64);
    let (mut mine, mut theirs) = (Tree::new(), Tree::new());
    mine.change(77, None, Some(old));
    theirs.change(77, None, Some(new));
    assert_eq!(mine.cells(0, 48), theirs.cells(0, 48));
    assert_ne!(mine.root(), theirs.root());
    // The low bits of a digest decide about its value, but not all of them.
    theirs.change(77, Some(new), Some(old | 1 << 63));
    assert_ne!(mine.cells(0, 48), theirs.cells(0, 48));
}

#[test]
fn an_empty_difference_is_decoded_from_any_number_of_cells() {
    let mut decoder = Decoder::new(Field::Small);
    decoder.push(&[[0; 3]; 4]);
    assert_eq!((run(&mut decoder), decoder.units()), (Progress::Decoded, vec![]));
}

/// Three hundred cells that each look like unit 0, so that to peel one spoils all others of its sequence.
#[test]
fn a_decode_without_end_ends() {
    // A cell of unit 0 is (v, 0, 0) for any v. A cell is peeled twice at most, or this would go on for ever.
    let mut decoder = Decoder::new(Field::Small);
    let cells: Vec<[u32; 3]> = (0..300_u32).map(|value| [value + 1, 0, 0]).collect();
    decoder.push(&cells);
    assert!(matches!(run(&mut decoder), Progress::Stuck | Progress::Endless));
    assert!(decoder.peeled() <= 365);
}

#[test]
fn work_is_done_in_pieces() {
    let mut rng = StdRng::seed_from_u64(5);
    let changes: Vec<Change> = (0..5_000).map(|_| (rng.random(), Some(rng.random()), None)).collect();
    let mut decoder = Decoder::new(Field::Large);
    decoder.push(&apart(Field::Large, &changes, 7_000));
    let mut before = 0;
    while decoder.step(10) == Progress::Working {
        assert!(decoder.peeled() <= before + 10);
        before = decoder.peeled();
    }
    assert_eq!(decoder.units().len(), 5_000);
}

fn random_changes(rng: &mut StdRng, differ: usize) -> Vec<Change> {
    let change = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => (rng.random(), Some(rng.random()), None),
        1 => (rng.random(), None, Some(rng.random())),
        _ => (rng.random(), Some(rng.random()), Some(rng.random())),
    };
    (0..differ).map(|_| change(rng)).collect()
}

/// How many cells it takes, and how well the number is told beforehand from two cells for three units.
#[test]
fn overhead() {
    let mut table = String::new();
    for (differ, seeds, step) in [
        (1, 400, 1),
        (3, 400, 1),
        (10, 400, 1),
        (30, 400, 1),
        (100, 400, 1),
        (1_000, 100, 5),
        (10_000, 20, 50),
    ] {
        let mut needed = Vec::new();
        let mut told = Vec::new();
        for seed in 0..seeds {
            let mut rng = StdRng::seed_from_u64(seed);
            let changes = random_changes(&mut rng, differ);
            let cells = apart(Field::Small, &changes, 3 * differ + 60);
            let (cells_needed, units) = cells_needed(&cells, Field::Small, step);
            assert!(units.len() <= differ);
            needed.push(cells_needed as f64 / differ as f64);
            let mut decoder = Decoder::new(Field::Small);
            decoder.push(&cells[..(differ * 2 / 3).max(1)]);
            told.push(decoder.estimate() as f64 / differ as f64);
        }
        needed.sort_unstable_by(f64::total_cmp);
        told.sort_unstable_by(f64::total_cmp);
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let percent = |of: &[f64], percent: usize| of[(of.len() * percent).div_ceil(100).min(of.len()) - 1];
        writeln!(
            table,
            "{differ:>5} differ: {:.2} cells a unit, {:.2} at most in 90 of 100, {:.2} in 99; told {:.2}, from {:.2} to {:.2} in 90 of 100",
            mean(&needed), percent(&needed, 90), percent(&needed, 99),
            mean(&told), percent(&told, 5), percent(&told, 95),
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}
