//! What is packed comes out again; anything else ends in an error and takes no memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Context, Delta, DeltaSibling, Dot, Entry, Expiry, Hlc, Key, Sibling, Summary, WriterId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

fn times() -> impl Strategy<Value = Hlc> {
    prop_oneof![
        (0u64..100_000, 0u16..3).prop_map(|(ms, counter)| Hlc::new(NOW_MS + ms, counter)),
        any::<u64>().prop_map(Hlc::from_u64),
    ]
}

fn dots() -> impl Strategy<Value = Dot> {
    (times(), prop_oneof![0u64..3, any::<u64>()]).prop_map(|(hlc, w)| Dot { hlc, writer: WriterId(w) })
}

fn siblings() -> impl Strategy<Value = Sibling> {
    let kinds = prop_oneof![Just(None), Just(Some(String::new())), Just(Some("text/plain".to_owned()))];
    let expiries = prop_oneof![3 => Just(Expiry::NEVER), 1 => times().prop_map(Expiry::at)];
    (dots(), vec(any::<u8>(), 0..200), kinds, expiries)
        .prop_map(|(dot, value, kind, expiry)| Sibling::new(dot, value.into(), kind, expiry))
}

/// Entries of all shapes, plain ones foremost.
fn entries() -> impl Strategy<Value = Entry> {
    let floors = prop_oneof![4 => Just(Hlc::ZERO), 1 => times()];
    let lasts = prop_oneof![4 => Just(Expiry::NEVER), 1 => times().prop_map(Expiry::at)];
    let extra = prop_oneof![2 => vec(dots(), 0..1), 1 => vec(dots(), 0..4)];
    (floors, extra, vec(siblings(), 0..5), lasts).prop_map(|(floor, extra, siblings, last)| {
        let mut context = Context::default();
        context.raise_floor(floor);
        extra.into_iter().for_each(|dot| context.insert(dot));
        let siblings: BTreeMap<Dot, Sibling> = siblings.into_iter().map(|s| (s.dot(), s)).collect();
        siblings.keys().for_each(|dot| context.insert(*dot));
        let last = siblings.values().map(Sibling::expiry).fold(last, Ord::max);
        Entry::from_parts(context, siblings.into_values().collect(), last).unwrap()
    })
}

fn keys() -> impl Strategy<Value = Key> {
    vec(any::<u8>(), 1..40).prop_map(|bytes| Key::new(bytes).unwrap())
}

fn summaries() -> impl Strategy<Value = Summary> {
    prop_oneof![4 => entries().prop_map(|entry| entry.summary()), 1 => Just(Summary::default())]
}

fn items() -> impl Strategy<Value = Item> {
    let places = prop_oneof![
        keys().prop_map(Place::Key),
        prop_oneof![0u64..5, any::<u64>()].prop_map(Place::Name),
        Just(Place::Next)
    ];
    (places, entries(), summaries(), 0..5u8).prop_map(|(place, entry, theirs, known)| {
        let delta = if known == 0 { entry.delta_for(&entry.summary()) } else { entry.delta_for(&theirs) };
        let mut delta = delta.unwrap_or_default();
        if known == 1 {
            let named = |s: DeltaSibling| DeltaSibling::Known(s.dot());
            delta.siblings = delta.siblings.into_iter().map(named).collect();
        }
        Item { place, delta, sibling_bytes: 0 }
    })
}

fn without_bytes(items: Vec<Item>) -> (Vec<Item>, usize) {
    let bytes = items.iter().map(|item| item.sibling_bytes).sum();
    (items.into_iter().map(|item| Item { sibling_bytes: 0, ..item }).collect(), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn names_and_wants_come_out_as_they_went_in(
        names in vec((keys(), summaries()).prop_map(|(key, summary)| Name { key, summary }), 0..20),
        wants in vec((any::<u64>(), summaries()).prop_map(|(skipped, held)| Want { skipped, held }), 0..20),
    ) {
        prop_assert_eq!(unpack_names(pack_names(&names)), Ok(names));
        prop_assert_eq!(unpack_wants(pack_wants(&wants)), Ok(wants));
    }

    #[test]
    fn data_comes_out_as_it_went_in(items in vec(items(), 0..20)) {
        let (packed, sibling_bytes) = pack_data(&items);
        let (unpacked, told) = without_bytes(unpack_data(packed).unwrap());
        prop_assert_eq!(unpacked, items);
        prop_assert_eq!(told, sibling_bytes);
    }

    #[test]
    fn any_bytes_end_in_an_error_or_in_no_more_than_they_can_hold(bytes in vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        prop_assert!(unpack_names(bytes.clone()).map_or(0, |names| names.len()) <= bytes.len());
        prop_assert!(unpack_wants(bytes.clone()).map_or(0, |wants| wants.len()) <= bytes.len());
        prop_assert!(unpack_data(bytes.clone()).map_or(0, |items| items.len()) <= bytes.len());
    }

    /// A changed byte gives an error or other items, never a panic; a changed value is noticed by its hash.
    #[test]
    fn a_changed_or_missing_byte_is_borne(items in vec(items(), 1..6), at in any::<prop::sample::Index>(), by in 1u8..) {
        let (packed, _) = pack_data(&items);
        let mut changed = packed.to_vec();
        let at = at.index(changed.len());
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= by;
        }
        let _ = unpack_data(changed.into());
        let (short, _) = without_bytes(unpack_data(packed.slice(..at)).unwrap_or_default());
        prop_assert!(short.len() <= items.len());
    }
}

#[test]
fn what_cannot_be_is_refused() {
    // A count of writers, of siblings, of components, and a length, each far beyond the frame.
    let far = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let frame = |parts: &[&[u8]]| Bytes::from(parts.concat());
    assert_eq!(unpack_names(frame(&[&[0], &far])), Err(Malformed::Short));
    assert_eq!(unpack_names(frame(&[&[0, 0, 0x31], &far])), Err(Malformed::Short));
    assert_eq!(unpack_names(frame(&[&[0, 0, 0, 1, b'k'], &far])), Err(Malformed::Short));
    assert_eq!(unpack_names(frame(&[&[0, 0, 1], &far])), Err(Malformed::Short));
    // A number of more than 64 bits, a time before 1970, a writer that is not in the table, no key, a place that is none.
    assert_eq!(unpack_names(frame(&[&[0xff; 10]])), Err(Malformed::Impossible));
    assert_eq!(unpack_names(frame(&[&[1, 1], &[0; 8], &[0x11, 1, b'k', 0, 4]])), Err(Malformed::Impossible));
    assert_eq!(unpack_names(frame(&[&[1, 0, 0x11, 1, b'k', 0, 0]])), Err(Malformed::Impossible));
    assert_eq!(unpack_names(frame(&[&[1, 0, 0x11, 0, 0, 0, 0]])), Err(Malformed::Impossible));
    assert_eq!(unpack_data(frame(&[&[1, 0, 0xc1]])), Err(Malformed::Impossible));
    // More items than a frame may have: a want of nothing takes two bytes.
    let wants = [vec![0, 0], [0, 8].repeat(NAMES_A_FRAME_MAX + 1)].concat();
    assert_eq!(unpack_wants(wants.into()), Err(Malformed::TooMany));
    let nothing = [vec![0, 0], vec![0x88; ITEMS_A_FRAME_MAX + 1]].concat();
    assert_eq!(unpack_data(nothing.into()), Err(Malformed::TooMany));
}

#[test]
fn a_value_that_is_not_its_hash_is_refused() {
    let dot = Dot { hlc: Hlc::new(NOW_MS, 0), writer: WriterId(1) };
    let entry = {
        let mut entry = Entry::default();
        let sibling = Sibling::new(dot, Bytes::from_static(b"value"), None, Expiry::NEVER);
        entry.write(&Context::default(), dot, Some(sibling));
        entry
    };
    let delta: Delta = entry.delta_for(&Summary::default()).unwrap();
    let (packed, _) = pack_data(&[Item { place: Place::Next, delta, sibling_bytes: 0 }]);
    let at = packed.windows(5).position(|w| w == b"value").unwrap();
    let mut changed = packed.to_vec();
    changed.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
    assert_eq!(unpack_data(changed.into()), Err(Malformed::Hash));
}

/// The most common row of all: 20 bytes of key, 64 of value, one writer, one hour.
#[test]
fn a_plain_row_costs_forty_bytes_beside_key_and_value() {
    let row = |n: u64| {
        let dot = Dot { hlc: Hlc::new(NOW_MS + n * 37_337 % 3_600_000, 0), writer: WriterId(1) };
        let mut entry = Entry::default();
        let sibling = Sibling::new(dot, Bytes::from(vec![7; 64]), None, Expiry::NEVER);
        entry.write(&Context::default(), dot, Some(sibling));
        let delta = entry.delta_for(&Summary::default()).unwrap();
        Item { place: Place::Key(Key::new(vec![1; 20]).unwrap()), delta, sibling_bytes: 0 }
    };
    let items: Vec<Item> = (0..1_000).map(row).collect();
    let (packed, _) = pack_data(&items);
    assert!(packed.len() <= 124_100, "{} bytes", packed.len());
}
