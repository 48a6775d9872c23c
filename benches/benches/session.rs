//! A whole anti-entropy session: both sides in one thread, every frame through its wire form, stores of 20,000 keys
//! on the memory engine. What a core adds to it (the roster's check, the pacing) is left out.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gossip::roster::RosterVersion;
use gossip::session::{Allowance, Begin, Ending, Session, SessionFrame, SessionId, Stability, Step, Turn};
use gossip::time::Now;
use gossip::wire::{self, Frame};
use mangrove_benches::{fill, key, open_store, overwrite, value};
use model::NodeId;
use storage::{MemoryEngine, Store};

const KEYS: u64 = 20_000;
const VALUE_BYTES: usize = 128;
const NOW: Now = Now { mono: Duration::ZERO, wall_ms: 0 };
const ID: SessionId = SessionId { initiator: NodeId(1), number: 1 };

/// Frames and bytes of both sides.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    frames: usize,
    bytes: usize,
}

struct Side<'a> {
    store: &'a Store,
    peer: NodeId,
    session: Option<Session>,
    identical: bool,
}

impl<'a> Side<'a> {
    fn new(store: &'a Store, peer: u64) -> Side<'a> {
        Side { store, peer: NodeId(peer), session: None, identical: false }
    }

    fn turn(&self) -> Turn<'a> {
        Turn { now: NOW, store: self.store, allowed: Allowance::ALL }
    }

    fn begin(&self) -> Begin {
        Begin {
            peer: self.peer,
            roster: RosterVersion([0; 16]),
            behind: false,
            prefer: merkle::Prefer::Auto,
            stability: Stability::default(),
            rules: Default::default(),
        }
    }

    /// Begins the session, or takes in one frame, and does all that follows; what is said goes to `sent`.
    fn handle(&mut self, bytes: Option<&Bytes>, sent: &mut VecDeque<Bytes>) {
        let steps = match (bytes.map(|bytes| wire::decode(bytes).unwrap()), &mut self.session) {
            (None, _) => {
                let (session, steps) = Session::open(ID, self.begin(), self.turn()).unwrap();
                self.session = Some(session);
                steps
            }
            (Some(Frame::Session { body: SessionFrame::Open(open), .. }), None) => {
                let (session, steps) =
                    Session::answer(ID, self.begin(), &open, None, false, self.turn()).unwrap().unwrap();
                self.session = Some(session);
                steps
            }
            (Some(Frame::Session { body, .. }), Some(session)) => {
                session.frame(body, Turn { now: NOW, store: self.store, allowed: Allowance::ALL })
            }
            (frame, _) => panic!("{frame:?} out of place"),
        };
        self.act(steps, sent);
    }

    fn act(&mut self, steps: Vec<Step>, sent: &mut VecDeque<Bytes>) {
        let mut steps = VecDeque::from(steps);
        let turn = self.turn();
        while let Some(step) = steps.pop_front() {
            let more = match step {
                Step::Send { frame, after } => {
                    // It may leave only once what it rests on is durable.
                    if after > self.store.durable() {
                        self.store.flush().unwrap();
                    }
                    sent.push_back(wire::encode(&Frame::Session { id: ID, body: frame }).unwrap());
                    Vec::new()
                }
                Step::Merge(entries) => {
                    self.store.merge(&entries).unwrap();
                    self.session.as_mut().unwrap().stored(turn)
                }
                Step::Quarantine(entries) => panic!("{} entries", entries.len()),
                Step::Again => self.session.as_mut().unwrap().resume(turn),
                Step::Flush(seq) => {
                    self.store.flush().unwrap();
                    self.session.as_mut().unwrap().flushed(seq, turn)
                }
                Step::End(ending) => {
                    assert!(matches!(ending, Ending::Identical), "{ending:?}");
                    self.identical = true;
                    self.session.as_ref().unwrap().release(self.store);
                    Vec::new()
                }
            };
            steps.extend(more);
        }
    }
}

/// One session, from the opening until both sides have proof that they are identical.
fn session(stores: &[Store; 2]) -> Traffic {
    let [first, second] = stores;
    let (mut initiator, mut responder) = (Side::new(first, 2), Side::new(second, 1));
    let (mut to_initiator, mut to_responder) = (VecDeque::new(), VecDeque::new());
    initiator.handle(None, &mut to_responder);
    let mut traffic = Traffic::default();
    loop {
        if let Some(bytes) = to_responder.pop_front() {
            traffic.count(&bytes);
            responder.handle(Some(&bytes), &mut to_initiator);
        } else if let Some(bytes) = to_initiator.pop_front() {
            traffic.count(&bytes);
            initiator.handle(Some(&bytes), &mut to_responder);
        } else {
            break;
        }
    }
    assert!(initiator.identical && responder.identical, "the session came to no end");
    traffic
}

impl Traffic {
    fn count(&mut self, bytes: &Bytes) {
        self.frames += 1;
        self.bytes += bytes.len();
    }
}

/// Overwrites so many keys, half of them on each side, all of it durable.
fn diverge(stores: &[Store; 2], differing: u64, millis: u64, value: &Bytes) {
    let [first, second] = stores;
    for number in 0..differing {
        let store = if number % 2 == 0 { first } else { second };
        overwrite(store, &key(number * (KEYS / differing)), millis, value);
    }
    stores.iter().for_each(|store| _ = store.flush().unwrap());
}

fn sessions(c: &mut Criterion) {
    let value = value(VALUE_BYTES);
    let stores = [(); 2].map(|()| open_store(Arc::new(MemoryEngine::new())));
    stores.iter().for_each(|store| fill(store, KEYS, &value));
    let millis = Cell::new(10);
    let diverge = |differing| {
        millis.set(millis.get() + 1);
        diverge(&stores, differing, millis.get(), &value);
    };
    let mut group = c.benchmark_group("session/20k");
    for differing in [0, 1_000] {
        diverge(differing);
        eprintln!("session/20k: {differing} differ: {:?}", session(&stores));
        if differing > 0 {
            group.throughput(Throughput::Elements(differing));
        }
        group.bench_function(format!("{differing}_differ"), |b| {
            b.iter_batched(|| diverge(differing), |()| session(&stores), BatchSize::PerIteration);
        });
    }
    group.finish();
    assert_eq!(stores.each_ref().map(Store::root)[0], stores.each_ref().map(Store::root)[1]);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4));
    targets = sessions
}
criterion_main!(benches);
