//! A member that breaks the rules of a session: the session ends with a reason that is counted, the member is left
//! alone for a while, the store is as it was, and others are repaired with.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::Status;
use gossip::session::packed::{Item, Name, Place, Want, pack_data, pack_names, pack_wants};
use gossip::session::{AbortReason, Close, Names, Open, Opened, Outcome, SessionFrame, SessionId, Stability};
use gossip::wire::Frame;
use merkle::{Opening, RangeDigest};
use model::{Context, Delta, Dot, Entry, Expiry, Hlc, Key, Sibling, Summary, WriterId};
use support::{Cluster, id, key, sessions_only};

const LIAR: u64 = 2;

/// Member 1, which is tested, and member 2, for which the test speaks.
struct Stage {
    cluster: Cluster,
    session: u64,
}

/// A row that nobody holds, the n-th in token order.
fn strange(n: usize) -> (Key, Entry) {
    let mut keys: Vec<Key> = (0..300).map(|i| key(&format!("strange/{i}"))).collect();
    keys.sort_by_key(|key| (key.token(), key.clone()));
    let dot = Dot { hlc: Hlc::new(1_700_000_000_000, 0), writer: WriterId(99) };
    let mut entry = Entry::default();
    let sibling = Sibling::new(dot, Bytes::from_static(b"strange"), None, Expiry::NEVER);
    entry.write(&Context::default(), dot, Some(sibling));
    (keys[n].clone(), entry)
}

fn item(place: Place) -> Item {
    let delta = strange(0).1.delta_for(&Summary::default()).unwrap();
    Item { place, delta, sibling_bytes: 0 }
}

fn data(items: &[Item]) -> SessionFrame {
    SessionFrame::Data(pack_data(items).0)
}

fn keyed(rows: impl IntoIterator<Item = usize>) -> SessionFrame {
    let items: Vec<Item> = rows.into_iter().map(|n| item(Place::Key(strange(n).0))).collect();
    data(&items)
}

fn names(rows: &[usize], last: bool) -> SessionFrame {
    let name = |n: &usize| Name { key: strange(*n).0, summary: strange(*n).1.summary() };
    let packed = pack_names(&rows.iter().map(name).collect::<Vec<_>>());
    SessionFrame::Names(Names { packed, last, cut: false })
}

fn wants(skipped: u64) -> SessionFrame {
    SessionFrame::Wants(pack_wants(&[Want { skipped, held: Summary::default() }]))
}

fn close() -> SessionFrame {
    SessionFrame::Close(Close { remainder: RangeDigest::ZERO, cut: false })
}

impl Stage {
    fn new(rows: usize) -> Self {
        Self::with(rows, 2, |_| {})
    }

    fn with(rows: usize, members: u64, change: impl FnOnce(&mut gossip::core::CoreConfig)) -> Self {
        let mut config = sessions_only();
        config.sessions.enabled = false;
        change(&mut config);
        let mut cluster = Cluster::new(members, 11, config);
        cluster.run(Duration::from_secs(4));
        for i in 0..rows {
            cluster.put(id(1), &key(&format!("held/{i}")), "v", None);
        }
        cluster.hijacked = Some(id(LIAR));
        cluster.run(Duration::from_secs(2));
        cluster.intercepted.clear();
        Self { cluster, session: 0 }
    }

    fn status(&self) -> Status {
        self.cluster.nodes[&id(1)].status.clone().unwrap()
    }

    fn failures(&self, reason: &str) -> u64 {
        self.status().session_failures.get(reason).copied().unwrap_or(0)
    }

    fn say(&mut self, body: SessionFrame) {
        let id_of = SessionId { initiator: id(LIAR), number: self.session };
        self.cluster.inject(id(LIAR), id(1), Frame::Session { id: id_of, body });
        self.cluster.run(Duration::from_millis(5));
    }

    /// Opens a session, saying that it holds so many entries.
    fn open(&mut self, count: u64) {
        self.session += 1;
        let roster = self.cluster.nodes[&id(1)].meta.roster.lives_version();
        let tree = Opening { root: RangeDigest { count, sum: 77 }, ..Opening::default() };
        let open = Open { roster, behind: false, tree, stability: Stability::default() };
        self.say(SessionFrame::Open(Box::new(open)));
    }

    /// What member 1 has said in sessions since.
    fn heard(&mut self) -> Vec<SessionFrame> {
        let body = |(_, frame)| match frame {
            Frame::Session { body, .. } => Some(body),
            _ => None,
        };
        self.cluster.intercepted.drain(..).filter_map(body).collect()
    }

    fn is_over(&self) -> bool {
        self.status().repairs.iter().all(|report| report.outcome.is_some())
    }
}

/// The roots of the store, before and after.
fn unchanged(rows: usize, count: u64, what: &str, frames: Vec<SessionFrame>) {
    let mut stage = Stage::new(rows);
    let before = stage.cluster.nodes[&id(1)].store.root();
    stage.open(count);
    assert!(!stage.is_over(), "{what}: the session has begun");
    for frame in frames {
        assert!(!stage.is_over(), "{what}: over too early, {:?}", stage.status().session_failures);
        stage.say(frame);
    }
    assert!(stage.is_over(), "{what}: not over");
    assert_eq!(stage.failures("protocol"), 1, "{what}: {:?}", stage.status().session_failures);
    assert_eq!(stage.cluster.nodes[&id(1)].store.root(), before, "{what}");
    assert!(stage.heard().contains(&SessionFrame::Abort(AbortReason::Protocol)), "{what}: it is told");
    let report = stage.status().repairs[0].clone();
    assert!(matches!(report.outcome, Some(Outcome::Failed(_))), "{what}: {report:?}");
    // It is left alone: its next opening is not answered with a session.
    stage.open(count);
    assert!(stage.heard().contains(&SessionFrame::Opened(Opened::Busy)), "{what}: backed off");
    stage.cluster.run(Duration::from_millis(1_100));
    stage.open(count);
    assert!(!stage.heard().contains(&SessionFrame::Opened(Opened::Busy)), "{what}: tried again");
}

/// Member 1 holds two rows and names them; the liar says that it holds 128.
#[test]
fn a_joiner_that_breaks_the_rules_is_stopped() {
    let wrong_hash = {
        let SessionFrame::Data(bytes) = keyed([0]) else { unreachable!() };
        let mut bytes = bytes.to_vec();
        let at = bytes.windows(7).rposition(|w| w == b"strange").unwrap();
        bytes[at] ^= 1;
        SessionFrame::Data(bytes.into())
    };
    let cases: Vec<(&str, Vec<SessionFrame>)> = vec![
        ("a want that names nothing", vec![wants(2)]),
        ("a want far beyond", vec![wants(u64::MAX)]),
        ("a want twice", vec![wants(1), wants(0)]),
        ("data of a name that was not said", vec![data(&[item(Place::Name(2))])]),
        ("data that nobody wanted", vec![data(&[item(Place::Next)])]),
        ("data out of order", vec![keyed([5, 4])]),
        ("names from a joiner", vec![names(&[1], true)]),
        ("more entries than it holds", vec![keyed(0..129)]),
        ("a value that is not its hash", vec![wrong_hash]),
        ("bytes that are no data", vec![SessionFrame::Data(Bytes::from_static(&[7; 40]))]),
        ("bytes that are no wants", vec![SessionFrame::Wants(Bytes::from_static(&[0xff; 40]))]),
        ("credit for what was not sent", vec![SessionFrame::Taken { names: 9, data: 0 }]),
        ("credit beyond the window", vec![SessionFrame::Taken { names: 0, data: 4 << 20 }]),
        (
            "a piece beyond all bounds",
            vec![SessionFrame::Piece { left: u64::MAX, bytes: Bytes::from_static(b"x") }],
        ),
        (
            "pieces that never end",
            vec![
                SessionFrame::Piece { left: 100, bytes: Bytes::from_static(b"x") },
                SessionFrame::Piece { left: 100, bytes: Bytes::from_static(b"x") },
            ],
        ),
        ("an empty piece", vec![SessionFrame::Piece { left: 100, bytes: Bytes::new() }]),
        (
            "data between pieces",
            vec![SessionFrame::Piece { left: 9, bytes: Bytes::from_static(b"x") }, keyed([0])],
        ),
        (
            "a close between pieces",
            vec![SessionFrame::Piece { left: 9, bytes: Bytes::from_static(b"x") }, close()],
        ),
        (
            "wants beyond the last name",
            vec![SessionFrame::Taken { names: 0, data: 0 }, wants(0), wants(0), wants(0)],
        ),
        ("done before the close", vec![SessionFrame::Done { left_out: false, withheld: false }]),
        ("an answer to no opening", vec![SessionFrame::Opened(Opened::Busy)]),
    ];
    for (what, frames) in cases {
        unchanged(2, 128, what, frames);
    }
}

/// Member 1 holds 200 rows; the liar says that it holds two, and names.
#[test]
fn a_namer_that_breaks_the_rules_is_stopped() {
    let nameless = SessionFrame::Names(Names { packed: pack_names(&[]), last: false, cut: false });
    let cases: Vec<(&str, Vec<SessionFrame>)> = vec![
        ("names out of order", vec![names(&[7, 3], true)]),
        ("names out of order over frames", vec![names(&[7], false), names(&[3], true)]),
        ("the same names again", vec![names(&[3], false), names(&[3], false)]),
        ("names after the last", vec![names(&[3], true), names(&[4], true)]),
        ("a frame of no names", vec![nameless]),
        ("wants from a namer", vec![wants(0)]),
        ("an answer to what was not wanted", vec![data(&[item(Place::Next)])]),
        ("an entry that was not asked for", vec![keyed([0])]),
        ("data of a name", vec![data(&[item(Place::Name(0))])]),
        ("closed with wants unanswered", vec![names(&[3, 4], true), close()]),
        ("closed before all was sent", vec![close()]),
        (
            "bytes that are no names",
            vec![SessionFrame::Names(Names {
                packed: Bytes::from_static(&[0xff; 60]),
                last: true,
                cut: false,
            })],
        ),
    ];
    for (what, frames) in cases {
        unchanged(200, 2, what, frames);
    }
}

#[test]
fn the_same_opening_again_ends_the_session() {
    let mut stage = Stage::new(2);
    stage.open(128);
    stage.session -= 1;
    stage.open(128);
    assert!(stage.is_over());
    assert_eq!(stage.failures("protocol"), 1);
}

#[test]
fn the_same_data_again_ends_the_session() {
    let mut stage = Stage::new(2);
    stage.open(128);
    stage.say(keyed([3, 4]));
    assert!(!stage.is_over());
    assert_eq!(stage.cluster.nodes[&id(1)].store.counts().keys, 4, "a member's entries are taken");
    stage.say(keyed([3, 4]));
    assert!(stage.is_over());
    assert_eq!((stage.failures("protocol"), stage.cluster.nodes[&id(1)].store.counts().keys), (1, 4));
}

/// Credit is not given while repair is held back: nobody can fill the memory by sending on.
#[test]
fn data_beyond_the_credit_ends_the_session() {
    let mut stage = Stage::with(2, 2, |config| {
        config.governor.max_bytes_per_second = NonZeroU64::new(1);
    });
    stage.open(10_000_000);
    let mut sent = 0;
    while !stage.is_over() {
        stage.say(SessionFrame::Piece {
            left: (1 << 30) - sent * (512 << 10),
            bytes: vec![0; 512 << 10].into(),
        });
        sent += 1;
        assert!(sent <= 14, "{sent} frames of 512 KiB were taken in without credit");
    }
    assert_eq!(stage.failures("protocol"), 1);
}

#[test]
fn a_lie_about_counts_and_cells_that_are_none_end_in_nothing() {
    for count in [199, 200, 201, 1_000, u64::MAX] {
        let mut stage = Stage::new(200);
        let before = stage.cluster.nodes[&id(1)].store.root();
        stage.open(count);
        let shown = stage.heard();
        // Whatever member 1 showed it is shown its own messages, again and again.
        for frame in shown.into_iter().cycle().take(50) {
            stage.say(frame);
        }
        stage.cluster.run(Duration::from_secs(16));
        assert!(stage.is_over(), "{count}");
        let failed: u64 = stage.status().session_failures.values().sum();
        assert!(failed > 0, "{count}: {:?}", stage.status().session_failures);
        assert_eq!(stage.cluster.nodes[&id(1)].store.root(), before, "{count}");
    }
}

/// A peer that has fallen silent is waited for 15 s; meanwhile nobody else is repaired with, afterwards they are.
#[test]
fn a_stalled_peer_frees_its_place() {
    let mut stage = Stage::with(2, 3, |_| {});
    stage.open(128);
    assert!(!stage.is_over());
    stage.cluster.event(id(3), gossip::core::Event::RepairWanted { peer: id(1) });
    stage.cluster.run(Duration::from_secs(10));
    assert!(!stage.is_over(), "waited for");
    assert_eq!(stage.cluster.nodes[&id(3)].store.counts().keys, 0);
    stage.cluster.run(Duration::from_secs(9));
    assert_eq!(stage.failures("timed_out"), 1);
    assert_eq!(stage.cluster.nodes[&id(3)].store.counts().keys, 2, "the other one is repaired with");
}

/// Saying for ever that one is still there does not hold the place for ever.
#[test]
fn a_peer_that_only_says_that_it_is_there_is_dropped() {
    let mut stage = Stage::new(2);
    stage.open(128);
    let mut seconds = 0;
    while !stage.is_over() {
        stage.say(SessionFrame::Taken { names: 0, data: 0 });
        stage.cluster.run(Duration::from_secs(5));
        seconds += 5;
        assert!(seconds < 130);
    }
    assert_eq!(stage.failures("timed_out"), 1);
    assert!(seconds > 110);
}

/// Openings go round in a circle, and each waits for the next one's answer: the smallest id's neighbour gives way.
#[test]
fn openings_in_a_circle_end_with_everybody_repaired() {
    let mut config = sessions_only();
    config.sessions.enabled = false;
    let mut cluster = Cluster::new(3, 13, config);
    cluster.run(Duration::from_secs(4));
    // They have met before: a life that is new would end what was opened.
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        cluster.event(id(from), gossip::core::Event::RepairWanted { peer: id(to) });
        cluster.run(Duration::from_secs(1));
    }
    for member in 1..=3 {
        for i in 0..50 {
            cluster.put(id(member), &key(&format!("{member}/{i}")), "v", None);
        }
    }
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        cluster.event(id(from), gossip::core::Event::RepairWanted { peer: id(to) });
    }
    cluster.run(Duration::from_secs(5));
    cluster.assert_equal();
    for member in 1..=3 {
        let status = cluster.nodes[&id(member)].status.clone().unwrap();
        assert!(
            status.session_failures.keys().all(|kind| kind.contains("gone")),
            "{:?}",
            status.session_failures
        );
        let received: u64 = status.repairs.iter().map(|report| report.received).sum();
        assert_eq!(received, 100, "no entry is fetched twice");
    }
}

/// Bytes changed on their way, in any frame of any session: nothing breaks, and once it stops all is repaired.
#[test]
fn changed_bytes_do_no_harm() {
    for seed in 0..12 {
        let mut cluster = Cluster::new(2, 100 + seed, sessions_only());
        cluster.run(Duration::from_secs(4));
        for i in 0..400 {
            let at = id(1 + i % 2);
            cluster.put(at, &key(&format!("k{i}")), &"v".repeat(i as usize % 90), None);
        }
        cluster.mangled = Some((id(1 + seed % 2), 0.3));
        cluster.run(Duration::from_secs(60));
        cluster.mangled = None;
        // The peers have come to leave each other alone for minutes.
        cluster.run(Duration::from_secs(330));
        cluster.assert_equal();
        // A key is bound to its value by the entry's digest alone, which does not travel: one that was changed on its
        // way is another key. That it does not change there is what the connection is for.
        assert!(cluster.nodes[&id(1)].store.counts().keys >= 400, "seed {seed}: something is gone");
    }
}

#[test]
fn a_blank_delta_is_nothing() {
    assert_eq!(Delta::default().resolve(&Entry::default()), Ok(Entry::default()));
}
