//! Bytes from a peer that are not what a peer would send: the search ends with an error or goes on, and that is all.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use merkle::{FindError, Finder, Frozen, Next, Prefer, Width};
use proptest::{collection::vec, prelude::*, sample::Index};
use support::{Data, Side, Still, decode, digest, token};

fn still(keys: std::ops::Range<u32>, version_of: impl Fn(u32) -> u64) -> Still {
    let entry = |number: u32| {
        let key: Box<[u8]> = number.to_le_bytes().into();
        ((token(&key), key.clone()), digest(&key, version_of(number)))
    };
    let expected = keys.len() as u64;
    Still::new(&keys.map(entry).collect::<Data>(), expected)
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Drop,
    Twice,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(place, bit)| Damage::Flip(place, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Damage::Set(place, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(place, bytes)| Damage::Insert(place, bytes)),
        1 => Just(Damage::Drop),
        1 => Just(Damage::Twice),
    ]
}

/// What arrives in place of a message.
fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<Vec<u8>> {
    match damage {
        Damage::Flip(place, bit) => *place.get_mut(&mut bytes) ^= 1 << bit,
        Damage::Set(place, byte) => *place.get_mut(&mut bytes) = *byte,
        Damage::Cut(place) => bytes.truncate(place.index(bytes.len())),
        Damage::Insert(place, more) => {
            let place = place.index(bytes.len());
            bytes.splice(place..place, more.iter().copied());
        }
        Damage::Drop => return Vec::new(),
        Damage::Twice => return vec![bytes.clone(), bytes],
    }
    vec![bytes]
}

/// Delivers what one side has sent; each message whose turn it is is damaged. Gives the number delivered.
fn deliver(
    from: &mut Side<'_, Still>,
    to: &mut Side<'_, Still>,
    at: &mut usize,
    damages: &[(usize, Damage)],
) -> Result<usize, FindError> {
    let sent = std::mem::take(&mut from.sent);
    let mut delivered = 0;
    for bytes in sent {
        let damage = damages.iter().find(|(place, _)| place == at);
        *at += 1;
        let arrived = match damage {
            Some((_, damage)) => damaged(bytes, damage),
            None => vec![bytes],
        };
        for message in arrived.iter().filter_map(|bytes| decode(bytes)) {
            if to.done {
                return Ok(0);
            }
            delivered += 1;
            to.step(Some(message))?;
        }
    }
    Ok(delivered)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_messages(
        damages in vec((0..9_usize, any_damage()), 1..4),
        few in any::<bool>(),
        width in prop_oneof![Just(Width::Short), Just(Width::Full)],
    ) {
        let a = still(0..400, |number| u64::from(number % 50 == 0));
        let b = if few { still(0..90, |_| 0) } else { still(20..420, |_| 0) };
        let (mine, theirs) = (a.opening().unwrap(), b.opening().unwrap());
        let mut initiator = Side::new(&a, Finder::initiator(&mine, &theirs, width));
        let mut responder = Side::new(&b, Finder::responder(&theirs, &mine, width, Prefer::Tree));
        initiator.step(None).unwrap();
        responder.step(None).unwrap();
        let mut at = 0;
        let mut rounds = 0;
        let mut there = deliver(&mut responder, &mut initiator, &mut at, &damages);
        let mut back = Ok(1);
        while matches!((&there, &back), (Ok(_), Ok(_))) && (there != Ok(0) || back != Ok(0)) {
            rounds += 1;
            prop_assert!(rounds < 200);
            back = deliver(&mut initiator, &mut responder, &mut at, &damages);
            if back.is_ok() {
                there = deliver(&mut responder, &mut initiator, &mut at, &damages);
            }
        }
        for (side, all) in [(&initiator, &a), (&responder, &b)] {
            prop_assert!(side.differing.windows(2).all(|pair| (pair[0].0, &pair[0].1) < (pair[1].0, &pair[1].1)));
            prop_assert!(side.differing.iter().all(|entry| all.entries.contains(entry)));
        }
    }

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200), kind in 0..3_u8) {
        let a = still(0..400, |_| 0);
        let b = still(20..420, |_| 0);
        let (mine, theirs) = (a.opening().unwrap(), b.opening().unwrap());
        // As they are, and behind the number of a kind of message.
        for bytes in [bytes.clone(), [&[kind][..], &bytes].concat()] {
            let Some(message) = decode(&bytes) else { continue };
            let mut finder = Finder::initiator(&mine, &theirs, Width::Short);
            prop_assert_eq!(finder.start(&a).unwrap().next, Next::Wait);
            let _ = finder.handle(&a, message);
        }
    }
}

#[test]
fn lengths_that_are_not_there_are_refused_before_memory_is_taken() {
    for kind in 0..3_u8 {
        // Lengths of 2^63 bytes in each place where a length can stand.
        for place in 1..6 {
            let mut bytes = vec![kind];
            bytes.resize(place, 0);
            bytes.push(253);
            bytes.extend((1_u64 << 63).to_le_bytes());
            assert!(decode(&bytes).is_none());
        }
    }
}
