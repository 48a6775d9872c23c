//! A peer that breaks every rule there is: the search ends with the name of the rule, and nothing else happens.

use proptest::{collection::vec, prelude::*};

use super::{
    FindError, FindMessage, FindStep, Finder, MESSAGE_BYTES_MAX, Next, Prefer, Width,
    blob::Blob,
    frontier::Front,
    limits::TURN_PARTS_MAX,
    message::{Body, Depth},
};
use crate::{
    Frozen, Opening, RangeDigest,
    support::{Still, digest, token},
};

fn still(keys: u64, version: u64) -> Still {
    let entry = |number: u64| {
        let key: Box<[u8]> = number.to_be_bytes().into();
        ((token(&key), key.clone()), digest(&key, version))
    };
    Still::new(&(0..keys).map(entry).collect(), keys)
}

/// A store of 3,000 keys, with leaves of 8 bits, and what a peer with about as many says of itself.
fn mine() -> Still {
    let mine = still(3_000, 0);
    assert_eq!(mine.tree.leaf_bits(), 8);
    mine
}

fn theirs(count: u64) -> Opening {
    Opening { root: RangeDigest { count, sum: 1 }, leaf_bits: 8, ..Opening::default() }
}

/// A finder that waits for the first message of a peer that claims to hold `count` entries.
fn waiting(mine: &Still, count: u64) -> Finder {
    let mut finder = Finder::initiator(&mine.opening().unwrap(), &theirs(count), Width::Short);
    assert_eq!(finder.start(mine).unwrap().next, Next::Wait);
    finder
}

fn digests(bits: u8, more: bool, answers: usize, digests: usize) -> FindMessage {
    let (answers, digests) = (Blob(vec![0; answers]), Blob(vec![0; digests]));
    FindMessage(Body::Digests { depth: Depth::new(bits, more), answers, digests })
}

fn tags(counts: &[u32], upto: Option<u64>, tags: usize) -> FindMessage {
    let (answers, tags) = (Blob(Vec::new()), Blob(vec![0; tags]));
    FindMessage(Body::Tags { more: false, answers, upto, counts: counts.to_vec(), tags })
}

fn silence(answers: usize) -> FindMessage {
    FindMessage(Body::Answers { answers: Blob(vec![0; answers]) })
}

/// Passes a message and goes on until there is no work left.
fn pass(finder: &mut Finder, mine: &Still, message: FindMessage) -> Result<Vec<FindStep>, FindError> {
    let mut steps = vec![finder.handle(mine, message)?];
    while steps.last().unwrap().next == Next::Work {
        steps.push(finder.resume(mine)?);
    }
    Ok(steps)
}

/// Answers that say of everything that was asked that it differs.
fn all_differ(finder: &Finder) -> Blob {
    let mut bytes = vec![0xFF; finder.asked_bits.div_ceil(8)];
    if let Some(last) = bytes.last_mut().filter(|_| !finder.asked_bits.is_multiple_of(8)) {
        *last >>= 8 - finder.asked_bits % 8;
    }
    Blob(bytes)
}

/// A finder that waits with all leaves open and nothing owed to it.
fn at_leaves(mine: &Still, count: u64) -> Finder {
    let mut finder = waiting(mine, count);
    pass(&mut finder, mine, digests(8, false, 0, 3 * 256)).unwrap();
    finder
}

#[test]
fn each_broken_rule_is_named() {
    let first_messages = [
        (digests(8, false, 0, MESSAGE_BYTES_MAX), FindError::MessageTooLong { bytes: MESSAGE_BYTES_MAX + 8 }),
        (digests(8, false, 1, 3), FindError::WrongAnswers { bytes: 1, asked: 0 }),
        (digests(0, false, 0, 3), FindError::WrongDepth { bits: 0 }),
        (digests(9, false, 0, 3), FindError::WrongDepth { bits: 9 }),
        (digests(127, true, 0, 3), FindError::WrongDepth { bits: 127 }),
        (digests(4, false, 0, 0), FindError::WrongDigests { bytes: 0 }),
        (digests(4, false, 0, 4), FindError::WrongDigests { bytes: 4 }),
        (digests(4, false, 0, 51), FindError::WrongDigests { bytes: 51 }),
        (tags(&[1], None, 4), FindError::WrongTags { bytes: 4, ranges: 1 }),
        (silence(0), FindError::EndedEarly),
    ];
    for (message, error) in first_messages {
        let mine = mine();
        let mut finder = waiting(&mine, 3_000);
        assert_eq!(pass(&mut finder, &mine, message.clone()).unwrap_err(), error);
        assert_eq!(pass(&mut finder, &mine, message).unwrap_err(), FindError::Over);
        assert_eq!(finder.resume(&mine).unwrap_err(), FindError::Over);
    }
}

#[test]
fn a_turn_may_not_go_deeper_again_nor_too_long() {
    let mine = mine();
    let mut finder = waiting(&mine, 3_000);
    pass(&mut finder, &mine, digests(4, true, 0, 3)).unwrap();
    assert_eq!(
        pass(&mut finder, &mine, digests(5, true, 0, 3)).unwrap_err(),
        FindError::WrongDepth { bits: 5 }
    );

    let mut finder = waiting(&mine, 3_000);
    pass(&mut finder, &mine, digests(8, true, 0, 3)).unwrap();
    let unaligned = pass(&mut finder, &mine, digests(4, true, 0, 3)).unwrap_err();
    assert_eq!(unaligned, FindError::WrongDigests { bytes: 3 });

    let mut finder = waiting(&mine, 3_000);
    pass(&mut finder, &mine, digests(4, true, 0, 3)).unwrap();
    assert_eq!(pass(&mut finder, &mine, silence(0)).unwrap_err(), FindError::EndedEarly);

    let mut finder = waiting(&mine, 3_000);
    for _ in 0..TURN_PARTS_MAX {
        assert_eq!(
            pass(&mut finder, &mine, digests(8, true, 0, 3)).unwrap().last().unwrap().next,
            Next::Wait
        );
    }
    assert_eq!(pass(&mut finder, &mine, digests(8, true, 0, 3)).unwrap_err(), FindError::TurnTooLong);
}

#[test]
fn tags_must_fit_the_open_leaves() {
    let mine = mine();
    // The peer claims few entries, so it is to show tags, and this side only answers.
    let cases = [
        (tags(&[], None, 0), FindError::WrongTags { bytes: 0, ranges: 0 }),
        (tags(&[2], None, 4), FindError::WrongTags { bytes: 4, ranges: 1 }),
        (tags(&[1; 257], None, 4 * 257), FindError::WrongTags { bytes: 4 * 257, ranges: 257 }),
        (tags(&[u32::MAX; 200], None, 4), FindError::WrongTags { bytes: 4, ranges: 200 }),
        (tags(&[101], None, 404), FindError::TooManyTags { count: 100 }),
        (tags(&[1], Some(u64::MAX), 4), FindError::WrongTags { bytes: 4, ranges: 1 }),
        (tags(&[1, 1], Some(0), 8), FindError::WrongTags { bytes: 8, ranges: 2 }),
        (digests(8, false, 0, 3), FindError::WrongDepth { bits: 8 }),
        (silence(0), FindError::EndedEarly),
    ];
    for (message, error) in cases {
        let mut finder = at_leaves(&mine, 100);
        assert_eq!(finder.frontier.front(), Front::Ranges { bits: 8, len: 256 });
        assert_eq!(pass(&mut finder, &mine, message).unwrap_err(), error);
    }
    // Here this side has far fewer entries: the peer may not show tags, it has answers to give.
    let few = still(100, 0);
    let mut opening = theirs(1_000_000);
    opening.leaf_bits = 4;
    let mut finder = Finder::initiator(&few.opening().unwrap(), &opening, Width::Short);
    finder.start(&few).unwrap();
    let shown = pass(&mut finder, &few, digests(4, false, 0, 3 * 16)).unwrap();
    assert!(matches!(shown[0].message, Some(FindMessage(Body::Tags { .. }))));
    let wrong = FindError::WrongAnswers { bytes: 0, asked: 100 };
    assert_eq!(pass(&mut finder, &few, tags(&[1], None, 4)).unwrap_err(), wrong);
}

#[test]
fn spare_bits_of_answers_must_be_clear() {
    let few = still(100, 0);
    let mut finder = Finder::responder(&few.opening().unwrap(), &theirs(100), Width::Short, Prefer::Tree);
    finder.start(&few).unwrap();
    finder.asked_bits = 15;
    let message = FindMessage(Body::Answers { answers: Blob(vec![0xFF, 0xFF]) });
    assert_eq!(
        pass(&mut finder, &few, message).unwrap_err(),
        FindError::WrongAnswers { bytes: 2, asked: 15 }
    );
}

/// The peer names one token at a time, so that the search would take for ever.
#[test]
fn a_slow_drip_is_cut_off() {
    let mine = mine();
    let mut finder = at_leaves(&mine, 1_000);
    let mut messages = 1;
    let error = loop {
        messages += 1;
        match pass(&mut finder, &mine, tags(&[0], Some(messages), 0)) {
            Ok(steps) => assert!(matches!(&steps[0].message, Some(FindMessage(Body::Answers { .. })))),
            Err(error) => break error,
        }
    };
    assert_eq!(error, FindError::TooManyMessages { allowed: 64 });
    assert_eq!(messages, 65);
}

/// A peer that says of everything that it differs gets all there is, once, in order, and the search ends.
#[test]
fn a_peer_that_denies_everything_ends_with_everything_named() {
    let mine = mine();
    let mut finder = Finder::responder(&mine.opening().unwrap(), &theirs(3_000), Width::Short, Prefer::Tree);
    let mut named = Vec::new();
    let mut steps = vec![finder.start(&mine).unwrap()];
    loop {
        named.extend(steps.iter().flat_map(|step| step.differing.clone()));
        if steps.last().unwrap().next == Next::Done {
            break;
        }
        // It asks nothing where it may, and shows empty digests where it must.
        let answers = all_differ(&finder);
        let tagged = matches!(steps.last().unwrap().message, Some(FindMessage(Body::Tags { .. })));
        let body = match steps.last().unwrap().message {
            _ if tagged => Body::Answers { answers },
            Some(FindMessage(Body::Digests { depth, .. })) if depth.bits() < 8 => {
                let shown = finder.asked_bits << (8 - depth.bits());
                Body::Digests { depth: Depth::new(8, false), answers, digests: Blob(vec![0; 3 * shown]) }
            }
            _ => Body::Tags {
                more: false,
                answers,
                upto: None,
                counts: vec![0; finder.asked_bits],
                tags: Blob::default(),
            },
        };
        steps = pass(&mut finder, &mine, FindMessage(body)).unwrap();
    }
    assert_eq!(named, mine.entries);
}

/// What a peer may put into a message; answers are as long as they must be, most of the time.
#[derive(Clone, Debug)]
struct Move {
    body: u8,
    bits: u8,
    more: bool,
    answers: Option<Vec<u8>>,
    upto: Option<u64>,
    counts: Vec<u32>,
    bytes: Vec<u8>,
}

impl Move {
    fn message(self, finder: &Finder) -> FindMessage {
        let answers = self.answers.map_or_else(|| all_differ(finder), Blob);
        FindMessage(match self.body {
            0 => Body::Answers { answers },
            1 | 2 => {
                // Tags in the number that was counted.
                let counted = self.counts.iter().map(|count| *count as usize).sum::<usize>().min(500);
                let tags = Blob(self.bytes.iter().copied().cycle().take(4 * counted).collect());
                Body::Tags { more: self.more, answers, upto: self.upto, counts: self.counts, tags }
            }
            3 => {
                let spread = match finder.frontier.front() {
                    Front::Ranges { bits, len } => len << (self.bits.saturating_sub(bits)),
                    _ => 1 << self.bits,
                };
                let digests = Blob(self.bytes.iter().copied().cycle().take(3 * spread.min(2_000)).collect());
                Body::Digests { depth: Depth::new(self.bits, self.more), answers, digests }
            }
            _ => {
                Body::Digests { depth: Depth::new(self.bits, self.more), answers, digests: Blob(self.bytes) }
            }
        })
    }
}

fn any_move() -> impl Strategy<Value = Move> {
    let answers = proptest::option::weighted(0.1, vec(any::<u8>(), 0..40));
    let upto = proptest::option::weighted(0.3, prop_oneof![any::<u64>(), 0..3_u64]);
    let counts = vec(prop_oneof![9 => 0..4_u32, 1 => any::<u32>()], 0..300);
    let bytes = vec(any::<u8>(), 1..64);
    (0..5_u8, 0..10_u8, any::<bool>(), answers, upto, counts, bytes).prop_map(
        |(body, bits, more, answers, upto, counts, bytes)| Move {
            body,
            bits,
            more,
            answers,
            upto,
            counts,
            bytes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_moves_end_in_bounds(
        moves in vec(any_move(), 1..30),
        count in prop_oneof![Just(0), Just(100), Just(3_000), Just(u64::MAX)],
        leaf_bits in prop_oneof![Just(8_u8), any::<u8>()],
        speaks_first in any::<bool>(),
    ) {
        let mine = still(300, 0);
        let mut opening = theirs(count);
        opening.leaf_bits = leaf_bits;
        let own = mine.opening().unwrap();
        let mut finder = if speaks_first {
            Finder::responder(&own, &opening, Width::Short, Prefer::Tree)
        } else {
            Finder::initiator(&own, &opening, Width::Short)
        };
        let mut step = finder.start(&mine);
        let mut named = Vec::new();
        let mut moves = moves.into_iter();
        let mut steps = 0;
        while let Ok(done) = step {
            steps += 1;
            prop_assert!(steps < 2_000);
            prop_assert!(done.message.is_none_or(|message| message.bytes() <= MESSAGE_BYTES_MAX));
            named.extend(done.differing);
            step = match done.next {
                Next::Work => finder.resume(&mine),
                Next::Wait => match moves.next() {
                    Some(next) => {
                        let message = next.message(&finder);
                        finder.handle(&mine, message)
                    }
                    None => break,
                },
                Next::Done => break,
            };
        }
        // Whatever the peer says: entries of one's own, each at most once, in order.
        prop_assert!(named.windows(2).all(|pair| (pair[0].0, &pair[0].1) < (pair[1].0, &pair[1].1)));
        prop_assert!(named.iter().all(|entry| mine.entries.contains(entry)));
    }
}
