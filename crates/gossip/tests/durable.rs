//! What a session tells leaves only once it is durable, and waits for nothing else.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use gossip::roster::RosterVersion;
use gossip::session::{Allowance, Begin, Ending, Session, SessionFrame, SessionId, Step, Turn};
use gossip::time::Now;
use merkle::Prefer;
use model::{DigestKey, Dot, Entry, Expiry, Hlc, Key, NodeId, Sibling, WriterId};
use storage::{Marks, MemoryEngine, Seq, Store};

fn key(n: u64) -> Key {
    Key::new(format!("key {n}")).unwrap()
}

/// Written so many times, each over the one before.
fn entry(n: u64, versions: u64) -> Entry {
    let mut entry = Entry::default();
    for version in 1..=versions {
        let dot = Dot { hlc: Hlc::new(10_000 * version + n, 0), writer: WriterId(1) };
        let value = Bytes::from(vec![version as u8; 40]);
        let over = entry.context().clone();
        entry.write(&over, dot, Some(Sibling::new(dot, value, None, Expiry::NEVER)));
    }
    entry
}

fn store(rows: impl Iterator<Item = (u64, u64)>) -> Store {
    let store = Store::open(Arc::new(MemoryEngine::new()), DigestKey([7; 32]), Marks::default(), &mut |_| {})
        .unwrap();
    let rows: Vec<(Key, Entry)> = rows.map(|(n, version)| (key(n), entry(n, version))).collect();
    store.merge(&rows).unwrap();
    store
}

fn begin(peer: u64) -> Begin {
    let roster = RosterVersion::default();
    let (stability, rules) = Default::default();
    Begin { peer: NodeId(peer), roster, behind: false, prefer: Prefer::Auto, stability, rules }
}

fn turn(store: &Store) -> Turn<'_> {
    let now = Now { mono: std::time::Duration::ZERO, wall_ms: 0 };
    Turn { now, store, allowed: Allowance::ALL }
}

/// The frames that each of two sides sent, and what they were to wait for; and which of them told of a write.
#[derive(Default)]
struct Sent([Vec<(&'static str, Seq)>; 2], Vec<(usize, usize)>);

fn kind(frame: &SessionFrame) -> &'static str {
    match frame {
        SessionFrame::Names(_) => "names",
        SessionFrame::Data(_) | SessionFrame::Piece { .. } => "data",
        SessionFrame::Wants(_) => "wants",
        SessionFrame::Done { .. } => "done",
        _ => "other",
    }
}

/// Runs a session between two stores; `between` is called once both views are frozen. Looks for who tells of `dot`.
fn run(stores: &[Store; 2], dot: Option<Dot>, between: impl FnOnce()) -> Sent {
    let id = SessionId { initiator: NodeId(0), number: 1 };
    let (first, opening) = Session::open(id, begin(1), turn(&stores[0])).unwrap();
    let Some(Step::Send { frame: SessionFrame::Open(open), .. }) = opening.first() else {
        panic!("{opening:?}");
    };
    let (second, steps) =
        Session::answer(id, begin(0), open, None, false, turn(&stores[1])).unwrap().unwrap();
    between();
    let mut sides = [first, second];
    let mut todo: VecDeque<(usize, Step)> = steps.into_iter().map(|step| (1, step)).collect();
    let (mut sent, mut ended) = (Sent::default(), 0);
    while let Some((at, step)) = todo.pop_front() {
        let more = match step {
            Step::Send { frame, after } => {
                sent.0[at].push((kind(&frame), after));
                let to = 1 - at;
                let steps = sides[to].frame(frame, turn(&stores[to]));
                let has = |(_, entry): &(Key, Entry)| entry.siblings().iter().any(|s| Some(s.dot()) == dot);
                if steps.iter().any(|step| matches!(step, Step::Merge(entries) if entries.iter().any(has))) {
                    let frame = sent.0[at].len() - 1;
                    sent.1.push((at, frame));
                }
                todo.extend(steps.into_iter().map(|step| (to, step)));
                continue;
            }
            Step::Merge(entries) => {
                stores[at].merge(&entries).unwrap();
                sides[at].stored(turn(&stores[at]))
            }
            Step::Quarantine(entries) => panic!("{entries:?}"),
            Step::Again => sides[at].resume(turn(&stores[at])),
            Step::Flush(seq) => {
                stores[at].flush().unwrap();
                sides[at].flushed(seq, turn(&stores[at]))
            }
            Step::End(ending) => {
                assert!(matches!(ending, Ending::Identical), "{ending:?}");
                ended += 1;
                continue;
            }
        };
        todo.extend(more.into_iter().map(|step| (at, step)));
    }
    assert_eq!(ended, 2);
    sent
}

/// Each side lacks some and is behind in some of the other's.
fn two() -> [Store; 2] {
    let one = store((0..3_000).filter(|n| n % 10 != 3).map(|n| (n, if n % 10 == 5 { 2 } else { 1 })));
    let two = store((0..3_000).filter(|n| n % 10 != 4).map(|n| (n, if n % 10 == 6 { 3 } else { 1 })));
    [one, two]
}

#[test]
fn what_the_frozen_view_held_waits_for_no_later_write() {
    let stores = two();
    let frozen = [stores[0].written(), stores[1].written()];
    let sent = run(&stores, None, || {});
    assert_eq!(stores[0].root(), stores[1].root());
    for side in 0..2 {
        assert!(stores[side].written() > frozen[side], "it took something in");
        assert!(sent.0[side].iter().any(|(kind, _)| *kind == "data"), "{:?}", sent.0[side]);
        assert!(sent.0[side].iter().all(|(_, after)| *after == frozen[side]), "{:?}", sent.0[side]);
    }
}

#[test]
fn what_was_written_since_is_told_once_it_is_durable() {
    // Keys that the side held already, differently or alone: those it tells of in this session.
    for (side, keys) in [(0, [5, 16, 24, 1_026, 2_995]), (1, [5, 16, 23, 1_026, 2_995])] {
        for n in keys {
            let stores = two();
            let frozen = stores[side].written();
            let newer = entry(n, 9);
            let dot = newer.siblings()[0].dot();
            let sent =
                run(&stores, Some(dot), || drop(stores[side].merge(&[(key(n), newer.clone())]).unwrap()));
            let [(told_by, frame)] = sent.1[..] else { panic!("side {side}, key {n}: {:?}", sent.1) };
            assert_eq!(told_by, side);
            let from = &sent.0[side][frame..];
            assert!(from.iter().all(|(_, after)| *after > frozen), "side {side}, key {n}: {from:?}");
        }
    }
}
