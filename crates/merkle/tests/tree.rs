//! The tree is at all times what adding up the data gives, whatever is written and however it grows.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use merkle::{Cells, Field, GrowthError, KEYS_PER_LEAF_MAX, LEAF_BITS_MIN, Prefix, RangeDigest, Tree};
use proptest::{collection::vec, prelude::*};
use support::{Data, digest, token};

fn assert_holds(tree: &Tree, data: &Data, prefixes: &[Prefix]) {
    tree.check().unwrap();
    let mut anew = Tree::with_keys(data.len() as u64);
    for ((token, _), digest) in data {
        anew.change(*token, None, Some(*digest));
    }
    assert_eq!(tree.root(), anew.root());
    assert_eq!(tree.opening().hint, anew.opening().hint, "the hint depends on the data alone");
    let mut cells = Cells::empty(Field::of_leaves(tree.leaf_bits()), 0, 3 << tree.leaf_bits());
    for ((token, _), digest) in data {
        cells.change(*token, None, Some(*digest));
    }
    assert_eq!(tree.cells(0, usize::MAX), cells, "the cells depend on the data alone");
    for prefix in prefixes.iter().filter(|prefix| prefix.bits() <= tree.leaf_bits()) {
        let inside = data
            .range((prefix.first_token(), Box::default())..)
            .take_while(|((token, _), _)| *token <= prefix.last_token());
        let sum = inside.fold(RangeDigest::ZERO, |sum, (_, digest)| sum.add(RangeDigest::of(*digest)));
        assert_eq!(tree.range(*prefix).unwrap(), sum);
    }
}

/// One step of growth over the data as it is: up to `len` entries, whole tokens.
fn grow_step(tree: &mut Tree, data: &Data, len: usize) -> Result<bool, GrowthError> {
    let cursor = tree.growth_cursor().unwrap();
    let rest = data.range((cursor, Box::default())..);
    let next = rest.clone().nth(len).map(|((token, _), _)| *token).filter(|token| *token > cursor);
    let batch = rest.take_while(|((token, _), _)| next.is_none_or(|next| *token < next));
    tree.grow_step(batch.map(|((token, _), digest)| (*token, *digest)), next)
}

fn change(tree: &mut Tree, data: &mut Data, at: u64, key: u8, new: Option<u64>) {
    let key: Box<[u8]> = [key].into();
    let new = new.map(|version| digest(&key, version));
    let old = match new {
        Some(new) => data.insert((at, key), new),
        None => data.remove(&(at, key)),
    };
    tree.change(at, old, new);
}

/// Tokens all over, close together, and at the ends of the token space.
fn any_token() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..20_u64,
        (0..20_u64).prop_map(|low| u64::MAX - low),
        (0..16_u64).prop_map(|top| top << 60)
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Change { token: u64, key: u8, new: Option<u64> },
    BeginGrowth,
    BeginShrinking,
    GrowStep { len: usize },
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any_token(), 0..3_u8, proptest::option::weighted(0.7, 0..5_u64))
            .prop_map(|(token, key, new)| Op::Change { token, key, new }),
        1 => Just(Op::BeginGrowth),
        1 => Just(Op::BeginShrinking),
        3 => (1..12_usize).prop_map(|len| Op::GrowStep { len }),
    ]
}

proptest! {
    #[test]
    fn random_changes_and_growth(ops in vec(any_op(), 1..200), picks in vec((any_token(), 0..9_u8), 20)) {
        let (mut tree, mut data) = (Tree::new(), Data::new());
        let prefixes: Vec<Prefix> = picks.iter().map(|(token, bits)| Prefix::of(*token, *bits)).collect();
        let mut bits = tree.leaf_bits();
        for op in ops {
            match op {
                Op::Change { token, key, new } => change(&mut tree, &mut data, token, key, new),
                Op::BeginGrowth if tree.leaf_bits() < 9 => tree.begin_growth(),
                Op::BeginShrinking => tree.begin_shrinking(),
                Op::GrowStep { len } if tree.growth_cursor().is_some() => {
                    let next = if tree.is_shrinking() { bits - 1 } else { bits + 1 };
                    if grow_step(&mut tree, &data, len).unwrap() {
                        bits = next;
                    }
                }
                _ => {}
            }
            assert_holds(&tree, &data, &prefixes);
        }
        prop_assert_eq!(tree.leaf_bits(), bits);
    }
}

#[test]
fn a_filling_store_grows_and_keeps_leaves_small() {
    let (mut tree, mut data) = (Tree::new(), Data::new());
    for number in 0..20_000_u32 {
        let key: Box<[u8]> = number.to_le_bytes().into();
        let digest = digest(&key, 0);
        tree.change(token(&key), None, Some(digest));
        data.insert((token(&key), key), digest);
        if tree.growth_wanted() {
            tree.begin_growth();
        }
        // Ten entries read for each written: growth ends long before the next is wanted.
        if tree.growth_cursor().is_some() {
            grow_step(&mut tree, &data, 10).unwrap();
        }
    }
    assert!(tree.root().count <= KEYS_PER_LEAF_MAX << tree.leaf_bits());
    assert_eq!(tree.leaf_bits(), 11);
    assert_eq!(tree.leaf_bits(), Tree::with_keys(20_000).leaf_bits());
    let prefixes: Vec<Prefix> = (0..=11).flat_map(|bits| Prefix::ROOT.children(bits)).collect();
    assert_holds(&tree, &data, &prefixes[..600]);
    assert_holds(&tree, &data, &prefixes[3_900..]);
}

/// Step by step as it was filled, over kept levels, and between them; then it grows again.
#[test]
fn an_emptied_store_shrinks_and_gives_its_memory_back() {
    let mut data = Data::new();
    for number in 0..30_000_u32 {
        let key: Box<[u8]> = number.to_le_bytes().into();
        let digest = digest(&key, 0);
        data.insert((token(&key), key), digest);
    }
    let mut tree = Tree::with_keys(data.len() as u64);
    data.iter().for_each(|((token, _), digest)| tree.change(*token, None, Some(*digest)));
    let (full, full_bits) = (tree.bytes(), tree.leaf_bits());
    assert!(!tree.shrinking_wanted(), "not where it was made for so many keys");
    let gone: Vec<_> = data.keys().skip(40).cloned().collect();
    for (removed, place) in gone.into_iter().enumerate() {
        let digest = data.remove(&place);
        tree.change(place.0, digest, None);
        if tree.shrinking_wanted() {
            tree.begin_shrinking();
        }
        if tree.growth_cursor().is_some() {
            grow_step(&mut tree, &data, 10).unwrap();
        }
        if removed % 3_000 == 0 {
            assert_holds(&tree, &data, &[Prefix::ROOT]);
        }
    }
    while tree.growth_cursor().is_some() {
        grow_step(&mut tree, &data, 10).unwrap();
        if tree.shrinking_wanted() {
            tree.begin_shrinking();
        }
    }
    assert_eq!((full_bits, tree.leaf_bits()), (12, LEAF_BITS_MIN));
    assert!(tree.bytes() * 100 < full, "{} of {full}", tree.bytes());
    assert_eq!(tree.bytes(), Tree::new().bytes());
    let prefixes: Vec<Prefix> = (0..=4).flat_map(|bits| Prefix::ROOT.children(bits)).collect();
    assert_holds(&tree, &data, &prefixes);
    assert!(!tree.shrinking_wanted(), "there are no fewer leaves");
    tree.begin_shrinking();
    assert_eq!(tree.growth_cursor(), None);
    for _ in 0..5 {
        tree.begin_growth();
        while !grow_step(&mut tree, &data, 7).unwrap() {}
        assert_holds(&tree, &data, &prefixes);
    }
}

/// The sketch of leaves of 19 bits is in another field than that of 18.
#[test]
fn a_tree_shrinks_from_one_field_into_the_other() {
    let mut tree = Tree::with_keys((KEYS_PER_LEAF_MAX << 18) + 1);
    let mut data = Data::new();
    (0..50).for_each(|n| change(&mut tree, &mut data, u64::from(n) << 58, n, Some(1)));
    tree.begin_shrinking();
    assert!(tree.is_shrinking());
    for n in 50..100 {
        grow_step(&mut tree, &data, 3).unwrap();
        change(&mut tree, &mut data, u64::from(n) << 57, n, Some(2));
        change(&mut tree, &mut data, u64::from(n - 50) << 58, n - 50, None);
        if tree.growth_cursor().is_none() {
            break;
        }
    }
    while tree.growth_cursor().is_some() {
        grow_step(&mut tree, &data, 3).unwrap();
    }
    assert_eq!(tree.leaf_bits(), 18);
    assert_holds(&tree, &data, &[Prefix::ROOT]);
}

#[test]
fn shrinking_finds_a_tree_that_has_drifted() {
    let mut tree = Tree::with_keys(KEYS_PER_LEAF_MAX << 5);
    tree.change(5 << 60, None, Some(1));
    tree.begin_shrinking();
    assert_eq!(tree.clone().grow_step([], None), Err(GrowthError::Drifted { bits: 4, value: 5 }));
    assert!(!tree.grow_step([], Some(5 << 60)).unwrap());
    assert!(tree.grow_step([(5 << 60, 1)], None).unwrap());
    assert_eq!(tree.leaf_bits(), 4);
    tree.check().unwrap();
}

#[test]
fn growth_refuses_what_does_not_follow() {
    let mut tree = Tree::new();
    assert_eq!(tree.grow_step([], None), Err(GrowthError::NotGrowing));
    tree.change(5 << 60, None, Some(1));
    let growing = || {
        let mut tree = tree.clone();
        tree.begin_growth();
        tree
    };
    assert_eq!(growing().grow_step([(9, 1), (8, 1)], None), Err(GrowthError::OutOfOrder { token: 8 }));
    assert_eq!(growing().grow_step([(9, 1)], Some(9)), Err(GrowthError::OutOfOrder { token: 9 }));
    assert_eq!(growing().grow_step([], Some(0)), Err(GrowthError::OutOfOrder { token: 0 }));
    // The entry is missing from the batch, or is another than the tree was told.
    assert_eq!(growing().grow_step([], None), Err(GrowthError::Drifted { bits: 4, value: 5 }));
    let error = growing().grow_step([(5 << 60, 2)], None).unwrap_err();
    assert_eq!(Tree::drifted_range(&error), Prefix::new(4, 5));
    let mut grown = growing();
    assert!(!grown.grow_step([], Some(1)).unwrap());
    assert_eq!(grown.growth_cursor(), Some(1));
    assert_eq!(grown.grow_step([(0, 1)], None), Err(GrowthError::OutOfOrder { token: 0 }));
    assert_eq!(
        (grown.growth_cursor(), grown.leaf_bits(), grown.root()),
        (None, 4, tree.root()),
        "given up, unhurt"
    );
    grown.begin_growth();
    assert!(grown.grow_step([(5 << 60, 1)], None).unwrap());
    assert_eq!(grown.leaf_bits(), 5);
    grown.check().unwrap();
}
