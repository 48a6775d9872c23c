//! A peer that breaks the rules of a search by the sketch.

use super::{
    FindError, FindMessage, FindStep, Finder, MESSAGE_BYTES_MAX, Method, Next, Prefer, Reason, Width,
    blob::Blob, limits::ASKS_MAX, message::Body,
};
use crate::{
    Frozen, Opening, RangeDigest,
    support::{Still, digest, token},
};

/// A store of 3,000 keys: leaves of 8 bits, so 768 cells.
fn mine() -> Still {
    let entry = |number: u64| {
        let key: Box<[u8]> = number.to_be_bytes().into();
        ((token(&key), key.clone()), digest(&key, 0))
    };
    Still::new(&(0..3_000).map(entry).collect(), 3_000)
}

/// What a peer says of which next to nothing differs.
fn theirs(mine: &Still) -> Opening {
    Opening { root: RangeDigest { count: 3_000, sum: 1 }, ..mine.opening().unwrap() }
}

fn initiator(mine: &Still) -> Finder {
    let mut finder = Finder::initiator(&mine.opening().unwrap(), &theirs(mine), Width::Short);
    assert_eq!(finder.start(mine).unwrap().next, Next::Wait);
    finder
}

/// A finder that has given its first cells, with what it has said.
fn responder(mine: &Still) -> (Finder, usize) {
    let mut finder = Finder::responder(&mine.opening().unwrap(), &theirs(mine), Width::Short, Prefer::Sketch);
    let step = finder.start(mine).unwrap();
    assert_eq!(step.next, Next::Wait);
    let Some(FindMessage(Body::Cells { more: false, cells })) = step.message else { panic!() };
    (finder, cells.0.len() / 9)
}

fn pass(finder: &mut Finder, mine: &Still, body: Body) -> Result<Vec<FindStep>, FindError> {
    let mut steps = vec![finder.handle(mine, FindMessage(body))?];
    while steps.last().unwrap().next == Next::Work {
        steps.push(finder.resume(mine)?);
    }
    Ok(steps)
}

fn cells(more: bool, bytes: Vec<u8>) -> Body {
    Body::Cells { more, cells: Blob(bytes) }
}

fn units(more: bool, bytes: Vec<u8>) -> Body {
    Body::Units { more, units: Blob(bytes) }
}

fn said(steps: &[FindStep]) -> Option<Body> {
    steps.iter().find_map(|step| step.message.clone()).map(|message| message.0)
}

#[test]
fn an_initiator_holds_its_peer_to_the_rules_of_cells() {
    let wrong = |bytes| FindError::WrongCells { bytes };
    let cases = [
        (cells(false, vec![0; 8]), wrong(8)),
        (cells(false, vec![]), wrong(0)),
        (cells(false, vec![0xFF; 9]), wrong(9)),
        (cells(false, vec![0; 769 * 9]), wrong(769 * 9)),
        (cells(true, vec![0; 18]), wrong(18)),
        (Body::More { upto: 9 }, FindError::OutOfPlace),
        (units(false, vec![]), FindError::OutOfPlace),
        (Body::Walk, FindError::OutOfPlace),
        (
            cells(false, vec![0; MESSAGE_BYTES_MAX]),
            FindError::MessageTooLong { bytes: MESSAGE_BYTES_MAX + 7 },
        ),
    ];
    for (body, error) in cases {
        let mine = mine();
        let mut finder = initiator(&mine);
        assert_eq!(pass(&mut finder, &mine, body.clone()).unwrap_err(), error);
        assert_eq!(pass(&mut finder, &mine, body).unwrap_err(), FindError::Over);
    }
}

#[test]
fn a_responder_holds_its_peer_to_the_rules_of_asking_and_telling() {
    let mine = mine();
    let given = responder(&mine).1;
    let cases = [
        (Body::More { upto: given as u64 }, FindError::WrongAsk { cells: given as u64 }),
        (Body::More { upto: 769 }, FindError::WrongAsk { cells: 769 }),
        (Body::More { upto: u64::MAX }, FindError::WrongAsk { cells: u64::MAX }),
        (cells(false, vec![0; 9]), FindError::OutOfPlace),
        (Body::Answers { answers: Blob(vec![]) }, FindError::OutOfPlace),
        (units(true, vec![1; 10]), FindError::WrongUnits { bytes: 10 }),
        (units(false, vec![0x80]), FindError::WrongUnits { bytes: 1 }),
        (units(false, vec![0xFF, 0xFF, 0xFF, 0x7F]), FindError::WrongUnits { bytes: 4 }),
        (units(false, vec![0; given + 65]), FindError::WrongUnits { bytes: given + 65 }),
    ];
    for (body, error) in cases {
        let mut finder = responder(&mine).0;
        assert_eq!(pass(&mut finder, &mine, body.clone()).unwrap_err(), error, "{body:?}");
        assert_eq!(pass(&mut finder, &mine, body).unwrap_err(), FindError::Over);
    }
}

#[test]
fn one_cell_at_a_time_is_cut_off() {
    let mine = mine();
    let (mut finder, given) = responder(&mine);
    for ask in 1..=u64::from(ASKS_MAX) {
        let steps = pass(&mut finder, &mine, Body::More { upto: given as u64 + ask }).unwrap();
        assert!(matches!(said(&steps), Some(Body::Cells { cells, .. }) if cells.0.len() == 9));
    }
    let upto = given as u64 + u64::from(ASKS_MAX) + 1;
    assert_eq!(
        pass(&mut finder, &mine, Body::More { upto }).unwrap_err(),
        FindError::WrongAsk { cells: upto }
    );
}

#[test]
fn fewer_cells_than_asked_for_are_refused() {
    let mine = mine();
    let mut finder = initiator(&mine);
    let steps = pass(&mut finder, &mine, cells(false, vec![3; 90])).unwrap();
    let Some(Body::More { upto }) = said(&steps) else { panic!("{steps:?}") };
    assert!((11..=768).contains(&upto));
    let bytes = 9 * (upto as usize - 10) - 9;
    assert_eq!(
        pass(&mut finder, &mine, cells(false, vec![3; bytes])).unwrap_err(),
        FindError::WrongCells { bytes }
    );
}

/// Cells that are none of any store: asked for until they are used up or plainly too many differ, then the tree.
#[test]
fn cells_that_never_decode_lead_to_the_tree() {
    let mine = mine();
    for byte in [1, 0x5A, 0xEE] {
        let mut finder = initiator(&mine);
        let mut have = 4;
        let mut steps = pass(&mut finder, &mine, cells(false, vec![byte; 36])).unwrap();
        let mut asks = 0;
        while let Some(Body::More { upto }) = said(&steps) {
            asks += 1;
            let more = (upto as usize - have) * 9;
            have = upto as usize;
            steps = pass(&mut finder, &mine, cells(false, vec![byte; more])).unwrap();
        }
        assert_eq!(said(&steps), Some(Body::Walk));
        assert!(asks < ASKS_MAX && have <= 768);
        let choice = finder.choice().unwrap();
        assert_eq!((choice.method, choice.reason), (Method::Tree, Reason::Undecoded));
        assert!(steps.iter().all(|step| step.differing.is_empty()));
        // Cells once more are out of place, digests are not.
        let digests = Body::Digests {
            depth: super::message::Depth::new(8, false),
            answers: Blob(Vec::new()),
            digests: Blob(vec![0; 3 * 256]),
        };
        let steps = pass(&mut finder, &mine, digests).unwrap();
        assert!(matches!(said(&steps), Some(Body::Tags { .. })));
    }
}

/// The other side gives up: this one walks, and says why.
#[test]
fn a_responder_walks_when_told_so() {
    let mine = mine();
    let (mut finder, _) = responder(&mine);
    let steps = pass(&mut finder, &mine, Body::Walk).unwrap();
    assert!(matches!(said(&steps), Some(Body::Digests { .. })));
    assert_eq!(finder.choice().unwrap().reason, Reason::Undecoded);
    assert_eq!(pass(&mut finder, &mine, Body::Walk).unwrap_err(), FindError::OutOfPlace);
}

/// Units that were never decoded from anything name own entries, in order, and no more of them than there are.
#[test]
fn any_units_name_own_entries_once() {
    let mine = mine();
    let (mut finder, given) = responder(&mine);
    let bytes = std::iter::repeat_n([0xFF, 0xFF, 0x03], given + 60).flatten().collect();
    let steps = pass(&mut finder, &mine, units(false, bytes)).unwrap();
    assert_eq!(steps.last().unwrap().next, Next::Done);
    let named: Vec<_> = steps.into_iter().flat_map(|step| step.differing).collect();
    assert!(named.iter().all(|entry| mine.entries.contains(entry)));
    assert!(named.windows(2).all(|pair| pair[0] < pair[1]));
}
