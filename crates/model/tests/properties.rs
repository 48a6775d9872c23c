//! The rules that everything else stands on, on random entries of a few writers and times.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use bytes::Bytes;
use model::{
    ClusterId, Context, DigestKey, Dot, Entry, Expiry, Hlc, Key, Seen, Sibling, TokenError, TokenKey,
    WriterId, context_token, stored,
};
use proptest::prelude::*;

/// A dot has one content for ever, as in life: value, type and expiry follow from it.
fn sibling(dot: Dot) -> Sibling {
    let n = dot.hlc.as_u64() * 31 + dot.writer.0;
    let kind = n.is_multiple_of(3).then(|| format!("text/{n}"));
    let expiry = if n.is_multiple_of(4) { Expiry::at(Hlc::new(n, 0)) } else { Expiry::NEVER };
    Sibling::new(dot, Bytes::from(format!("value {n}")), kind, expiry)
}

fn dots() -> impl Strategy<Value = Dot> {
    (1u64..12, 1u64..4).prop_map(|(t, w)| Dot { hlc: Hlc::new(t, 0), writer: WriterId(w) })
}

fn entries() -> impl Strategy<Value = Entry> {
    (0u64..8, proptest::collection::vec((dots(), any::<bool>()), 0..6)).prop_map(|(floor, dots)| {
        let mut context = Context::default();
        context.raise_floor(Hlc::new(floor, 0));
        let mut live = BTreeSet::new();
        let mut last = Expiry::NONE_YET;
        for (dot, keep) in dots {
            context.insert(dot);
            last = last.max(sibling(dot).expiry());
            if keep {
                live.insert(dot);
            }
        }
        Entry::from_parts(context, live.into_iter().map(sibling).collect(), last).unwrap()
    })
}

fn merged(a: &Entry, b: &Entry) -> Entry {
    let mut all = a.clone();
    let outcome = all.merge(b);
    assert_eq!(outcome.changed, all != *a, "merge must say truly whether it changed anything");
    assert_eq!(outcome.clashes, 0);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn merge_is_commutative_associative_idempotent(a in entries(), b in entries(), c in entries()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        let ab = merged(&a, &b);
        prop_assert_eq!(merged(&ab, &b), ab);
    }

    #[test]
    fn merge_drops_no_sibling_that_the_other_side_has_not_seen(a in entries(), b in entries()) {
        let all = merged(&a, &b);
        for s in a.siblings().iter().filter(|s| !b.context().covers(s.dot())) {
            prop_assert!(all.siblings().contains(s));
        }
        for s in all.siblings() {
            let (in_a, in_b) = (a.siblings().contains(s), b.siblings().contains(s));
            prop_assert!(in_a && (in_b || !b.context().covers(s.dot())) || in_b && (in_a || !a.context().covers(s.dot())));
        }
    }

    #[test]
    fn a_merged_context_covers_exactly_what_either_covered(a in entries(), b in entries(), dot in dots()) {
        let all = merged(&a, &b);
        prop_assert_eq!(all.context().covers(dot), a.context().covers(dot) || b.context().covers(dot));
        prop_assert_eq!(all.last_expiry(), a.last_expiry().max(b.last_expiry()));
    }

    #[test]
    fn of_one_dot_with_two_contents_the_same_one_stays_whichever_side_merges(dot in dots()) {
        let of = |text: &'static str| {
            let mut entry = Entry::default();
            entry.write(&Context::default(), dot, Some(Sibling::new(dot, Bytes::from(text), None, Expiry::NEVER)));
            entry
        };
        let (mut a, mut b) = (of("one"), of("two"));
        let (was_a, was_b) = (a.clone(), b.clone());
        prop_assert_eq!(a.merge(&was_b).clashes, 1);
        prop_assert_eq!(b.merge(&was_a).clashes, 1);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn a_delta_does_what_the_whole_entry_would(a in entries(), b in entries()) {
        let whole = merged(&a, &b);
        prop_assert_eq!(b.summary().has_for(&a.summary()), b.delta_for(&a.summary()).is_some());
        match b.delta_for(&a.summary()) {
            None => prop_assert_eq!(whole, a),
            Some(delta) => {
                prop_assert_ne!(&whole, &a);
                prop_assert_eq!(merged(&a, &delta.resolve(&a).unwrap()), whole);
            }
        }
    }

    #[test]
    fn a_delta_still_holds_after_the_receiver_wrote(a in entries(), b in entries(), naive in any::<bool>()) {
        if let Some(delta) = b.delta_for(&a.summary()) {
            let mut later = a.clone();
            let dot = Dot { hlc: Hlc::new(50, 0), writer: WriterId(9) };
            let seen = if naive { later.context().clone() } else { Context::default() };
            later.write(&seen, dot, naive.then(|| sibling(dot)));
            prop_assert_eq!(merged(&later, &delta.resolve(&later).unwrap()), merged(&later, &b));
        }
    }

    #[test]
    fn a_stored_entry_reads_back_and_damage_is_noticed(a in entries(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = stored::encode(&a);
        prop_assert_eq!(stored::decode(&bytes), Ok(a.clone()));
        let mut damaged = bytes.clone();
        *damaged.get_mut(at.index(bytes.len())).unwrap() ^= 1 << bit;
        if let Ok(other) = stored::decode(&damaged) {
            // A flipped bit may still be an entry (a context's timestamp), but never the same value as before.
            prop_assert_ne!(&other, &a);
            for s in other.siblings() {
                prop_assert_eq!(s, &Sibling::new(s.dot(), s.value().clone(), s.content_type().map(str::to_owned), s.expiry()));
            }
        }
        prop_assert!(stored::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn random_bytes_are_never_an_entry_that_does_not_hold_together(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = stored::decode(&bytes) {
            prop_assert!(entry.siblings().iter().all(|s| entry.context().covers(s.dot())));
        }
    }

    #[test]
    fn equal_digests_mean_equal_entries(a in entries(), b in entries()) {
        let (key, other) = (Key::new("k").unwrap(), Key::new("l").unwrap());
        let with = DigestKey([3; 32]);
        prop_assert_eq!(a.digest(&key, &with) == b.digest(&key, &with), a == b);
        prop_assert_ne!(a.digest(&key, &with), a.digest(&other, &with));
        prop_assert_ne!(a.digest(&key, &with), a.digest(&key, &DigestKey([4; 32])));
    }

    #[test]
    fn a_context_token_opens_for_its_key_and_cluster_only(a in entries(), at in any::<prop::sample::Index>()) {
        let with = TokenKey::derive(&DigestKey([3; 32]));
        let (cluster, key) = (ClusterId([1; 16]), Key::new("k").unwrap());
        let seen = Seen::of(&a, 5);
        let token = context_token::mint(&with, &cluster, &key, &seen);
        prop_assert_eq!(context_token::open(&with, &cluster, &key, &token), Ok(seen));
        prop_assert_eq!(context_token::open(&with, &ClusterId([2; 16]), &key, &token), Err(TokenError::Foreign));
        prop_assert_eq!(context_token::open(&with, &cluster, &Key::new("l").unwrap(), &token), Err(TokenError::Foreign));
        let other = TokenKey::derive(&DigestKey([4; 32]));
        prop_assert_eq!(context_token::open(&other, &cluster, &key, &token), Err(TokenError::Foreign));
        let mut forged = token.clone().into_bytes();
        let i = at.index(forged.len());
        forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
        prop_assert!(context_token::open(&with, &cluster, &key, std::str::from_utf8(&forged).unwrap()).is_err());
    }
}

#[test]
fn a_write_replaces_exactly_what_was_seen() {
    let dot = |t, w| Dot { hlc: Hlc::new(t, 0), writer: WriterId(w) };
    let mut entry = Entry::default();
    entry.write(&Context::default(), dot(1, 1), Some(sibling(dot(1, 1))));
    let seen = entry.context().clone();
    entry.write(&Context::default(), dot(2, 2), Some(sibling(dot(2, 2))));
    assert_eq!(entry.siblings().len(), 2, "a write that has seen nothing replaces nothing");
    entry.write(&seen, dot(3, 1), Some(sibling(dot(3, 1))));
    let left: Vec<_> = entry.siblings().iter().map(Sibling::dot).collect();
    assert_eq!(left, [dot(2, 2), dot(3, 1)]);
    entry.write(&entry.context().clone(), dot(4, 1), None);
    assert!(entry.is_tombstone());
    assert_eq!(entry.last_expiry(), Expiry::NEVER);
}

#[test]
fn garbage_is_no_context_token() {
    let with = TokenKey::derive(&DigestKey([3; 32]));
    let (cluster, key) = (ClusterId([1; 16]), Key::new("k").unwrap());
    for text in
        ["", "A", "AQ", "not base64!", &"A".repeat(30_000), "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
    {
        assert_eq!(
            context_token::open(&with, &cluster, &key, text),
            Err(TokenError::Malformed),
            "{text:.20}"
        );
    }
}
