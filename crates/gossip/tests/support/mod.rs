//! A cluster in one thread: cores over memory engines, a network and a disk that can be told to fail, virtual time.
#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

mod clients;
mod clock;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::coordinator::{self, NewValue, WriteLimits};
use gossip::core::{Action, Answered, Core, CoreConfig, Env, Event, Status, Time};
use gossip::meta::Meta;
use gossip::roster::{Add, Contact, Roster};
use gossip::stability::{Kept, take_out};
use gossip::time::Now;
use gossip::wire::{self, Frame};
use model::{ClusterId, Context, DigestKey, Dot, Entry, Hlc, Key, NodeId, WriterId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{MemoryEngine, Seq, Store};

pub use clock::TestClock;

pub const DIGEST_KEY: DigestKey = DigestKey([7; 32]);
const START_MS: u64 = 1_700_000_000_000;

pub struct Node {
    pub core: Core,
    pub store: Store,
    pub engine: Arc<MemoryEngine>,
    pub clock: TestClock,
    pub life: WriterId,
    pub status: Option<Status>,
    pub meta: Meta,
    pub up: bool,
    /// What went into quarantine.
    pub quarantine: Vec<(Key, Entry)>,
    /// What operators were answered.
    pub answers: Vec<Answered>,
    /// Whether it has left, and its process might end.
    pub left: bool,
    /// Frames that wait until something is durable.
    gated: VecDeque<(NodeId, Frame, Seq)>,
    awaited: Vec<(u64, Seq)>,
}

#[derive(Clone, Debug)]
enum Packet {
    Frame { from: NodeId, life: WriterId, bytes: Bytes },
    Heartbeat(Bytes),
}

/// What went over the wire between members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub frames: u64,
    pub bytes: u64,
    pub session_frames: u64,
    pub session_bytes: u64,
    pub heartbeats: u64,
    pub heartbeat_bytes: u64,
}

pub struct Cluster {
    pub now: Duration,
    pub nodes: BTreeMap<NodeId, Node>,
    pub rng: StdRng,
    pub config: CoreConfig,
    pub loss: f64,
    pub cut: BTreeSet<NodeId>,
    /// A member that is to be killed before anything is in its quarantine file.
    pub doomed: Option<NodeId>,
    /// A member that a test speaks for: its core sends heartbeats alone, and what is sent to it is kept here.
    pub hijacked: Option<NodeId>,
    pub intercepted: VecDeque<(NodeId, Frame)>,
    /// Changes the bytes of session frames that this member sends.
    pub mangled: Option<(NodeId, f64)>,
    pub traffic: Traffic,
    /// What the cores were told.
    pub events: u64,
    pub trace: Vec<String>,
    pub tracing: bool,
    packets: BTreeMap<(Duration, u64), (NodeId, Packet)>,
    sent: u64,
    lives: u64,
}

pub fn id(n: u64) -> NodeId {
    NodeId(n)
}

pub fn key(text: &str) -> Key {
    Key::new(text.to_owned()).unwrap()
}

impl Cluster {
    /// Members 1 to `n`, one roster, empty stores, started.
    pub fn new(n: u64, seed: u64, config: CoreConfig) -> Self {
        let mut cluster = Self {
            now: Duration::ZERO,
            nodes: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            config,
            loss: 0.0,
            cut: BTreeSet::new(),
            doomed: None,
            hijacked: None,
            intercepted: VecDeque::new(),
            mangled: None,
            traffic: Traffic::default(),
            events: 0,
            trace: Vec::new(),
            tracing: false,
            packets: BTreeMap::new(),
            sent: 0,
            lives: seed << 16,
        };
        let mut roster = Roster::default();
        for i in 1..=n {
            let add = Add { at: Hlc::new(i, 0), sponsor: id(1), name: format!("n{i}") };
            roster.add(id(i), add).unwrap();
            let contact =
                Contact { stamp: Hlc::new(i, 0), gossip: format!("n{i}:7711"), http: format!("n{i}:7710") };
            roster.set_contact(id(i), contact).unwrap();
        }
        for i in 1..=n {
            let meta = Meta {
                node: id(i),
                name: format!("n{i}"),
                cluster: ClusterId([9; 16]),
                digest_key: DIGEST_KEY,
                roster: roster.clone(),
                promises: Default::default(),
                caught_up: true,
                stability: Kept { founded_now: true, ..Kept::default() },
                identical: BTreeMap::new(),
                unsearched: false,
            };
            cluster.start(meta, Arc::new(MemoryEngine::new()));
        }
        cluster
    }

    fn now(&self) -> Now {
        Now { mono: self.now, wall_ms: START_MS + self.now.as_millis() as u64 }
    }

    /// Starts a life of the member on what its disk holds.
    pub fn start(&mut self, meta: Meta, engine: Arc<MemoryEngine>) {
        self.lives += 1;
        let life = WriterId(self.lives);
        let store = Store::open(engine.clone(), DIGEST_KEY, meta.stability.marks(), &mut |_| {}).unwrap();
        let clock = TestClock::new(Hlc::new(self.now().wall_ms, 0));
        let node = meta.node;
        let stamp = clock.tick(self.now().wall_ms).unwrap();
        let contact =
            Contact { stamp, gossip: format!("n{}:7711", node.0), http: format!("n{}:7710", node.0) };
        let env = Env { now: self.now(), store: &store, time: &clock };
        let (core, actions) = Core::start(self.config.clone(), meta.clone(), contact, self.lives, env);
        let made = Node {
            core,
            store,
            engine,
            clock,
            life,
            status: None,
            meta,
            up: true,
            quarantine: Vec::new(),
            answers: Vec::new(),
            left: false,
            gated: VecDeque::new(),
            awaited: Vec::new(),
        };
        self.nodes.insert(node, made);
        self.act(node, actions);
    }

    pub fn kill(&mut self, node: NodeId) {
        let node = self.nodes.get_mut(&node).unwrap();
        node.up = false;
        node.engine.crash();
        node.gated.clear();
        node.awaited.clear();
    }

    pub fn restart(&mut self, node: NodeId) {
        let old = self.nodes.remove(&node).unwrap();
        self.start(old.meta, old.engine);
    }

    /// A connection of the two stands, before any frame: each learns the other's life.
    pub fn meet(&mut self, one: NodeId, other: NodeId) {
        for (at, peer) in [(one, other), (other, one)] {
            let life = self.nodes[&peer].life;
            self.event(at, Event::Connected { peer, life, address: None });
        }
    }

    pub fn stop(&mut self, node: NodeId) {
        self.event(node, Event::Stop);
        self.nodes.get_mut(&node).unwrap().up = false;
    }

    pub fn event(&mut self, to: NodeId, event: Event) {
        let now = self.now();
        self.events += 1;
        let node = self.nodes.get_mut(&to).unwrap();
        if node.up {
            let env = Env { now, store: &node.store, time: &node.clock };
            let actions = node.core.handle(event, env);
            self.act(to, actions);
        }
    }

    fn act(&mut self, at: NodeId, actions: Vec<Action>) {
        let mut later = Vec::new();
        for action in actions {
            let node = self.nodes.get_mut(&at).unwrap();
            match action {
                Action::SendHeartbeat { to, bytes, .. } => self.post(at, to, Packet::Heartbeat(bytes)),
                Action::Send { to, frame, after } => node.gated.push_back((to, frame, after)),
                Action::Merge { op, entries } => {
                    let merged = node.store.merge(&entries).unwrap();
                    later.push(Event::Stored { op, changed: merged.changed });
                }
                Action::Quarantine { .. } if self.doomed == Some(at) => {}
                Action::Quarantine { op, entries } => {
                    take_out(&node.store, &entries).unwrap();
                    let changed = vec![true; entries.len()];
                    node.quarantine.extend(entries);
                    later.push(Event::Stored { op, changed });
                }
                Action::Advance { op, marks, rows } => {
                    let done = node.store.advance(marks, rows).unwrap().done;
                    later.push(Event::Advanced { op, done });
                }
                Action::Forget { op, upto, rows } => {
                    let done = node.store.forget(upto, rows).unwrap().done;
                    later.push(Event::Forgot { op, done });
                }
                Action::AwaitDurable { op, seq } => node.awaited.push((op, seq)),
                Action::Persist(meta) | Action::Keep(meta) => node.meta = *meta,
                Action::Publish(status) => node.status = Some(*status),
                Action::Answer { answer, .. } => node.answers.push(answer),
                Action::CloseWrites => later.push(Event::WritesClosed),
                Action::Left => node.left = true,
                Action::Reply { .. } | Action::Contact { .. } | Action::Disconnect { .. } => {}
            }
        }
        for event in later {
            self.event(at, event);
        }
        self.open_gates(at);
    }

    /// Group commit: now and then everything written becomes durable, and what waited goes on.
    fn open_gates(&mut self, at: NodeId) {
        let node = self.nodes.get_mut(&at).unwrap();
        if !node.gated.is_empty() || !node.awaited.is_empty() {
            node.store.flush().unwrap();
        }
        let (life, gated, awaited) =
            (node.life, std::mem::take(&mut node.gated), std::mem::take(&mut node.awaited));
        for (to, frame, after) in gated {
            assert!(after <= self.nodes[&at].store.durable());
            if self.hijacked == Some(to) {
                self.intercepted.push_back((at, frame));
                continue;
            }
            if self.hijacked == Some(at) {
                continue;
            }
            let mut bytes = wire::encode(&frame).unwrap();
            if matches!(frame, Frame::Session { .. }) && self.mangled.is_some_and(|(from, _)| from == at) {
                bytes = self.mangle(&bytes);
            }
            self.traffic.frames += 1;
            self.traffic.bytes += bytes.len() as u64;
            if matches!(frame, Frame::Session { .. }) {
                self.traffic.session_frames += 1;
                self.traffic.session_bytes += bytes.len() as u64;
            }
            if self.tracing {
                self.trace.push(format!("{at} -> {to}: {} bytes {:.160}", bytes.len(), format!("{frame:?}")));
            }
            self.post(at, to, Packet::Frame { from: at, life, bytes });
        }
        for (op, _) in awaited {
            self.event(at, Event::Durable { op });
        }
    }

    /// A frame of the hijacked member.
    pub fn inject(&mut self, from: NodeId, to: NodeId, frame: Frame) {
        let bytes = wire::encode(&frame).unwrap();
        let (life, frame) = (self.nodes[&from].life, wire::decode(&bytes).unwrap());
        self.event(to, Event::Frame { from, life, frame });
    }

    fn mangle(&mut self, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        let often = self.mangled.map_or(0.0, |(_, often)| often);
        // The version and the id of the session stay: what is changed is what is said in it.
        if bytes.len() > 24 && self.rng.random_bool(often) {
            let at = self.rng.random_range(22..bytes.len());
            match self.rng.random_range(0..4) {
                0 => bytes[at] ^= 1 << self.rng.random_range(0..8),
                1 => bytes[at] = self.rng.random(),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, self.rng.random()),
            }
        }
        bytes.into()
    }

    fn post(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        if let Packet::Heartbeat(bytes) = &packet {
            self.traffic.heartbeats += 1;
            self.traffic.heartbeat_bytes += bytes.len() as u64;
        }
        if self.cut.contains(&from) != self.cut.contains(&to) {
            return;
        }
        // Frames of one pair arrive in order; heartbeats may be lost.
        if matches!(packet, Packet::Heartbeat(_)) && self.rng.random_bool(self.loss) {
            return;
        }
        self.sent += 1;
        let at = self.now + Duration::from_micros(500);
        self.packets.insert((at, self.sent), (to, packet));
    }

    /// Runs virtual time on by this much.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = self
                .nodes
                .iter()
                .filter(|(_, n)| n.up)
                .filter_map(|(i, n)| Some((n.core.next_wake()?, *i)))
                .min();
            let packet = self.packets.keys().next().copied();
            let next = [wake.map(|w| w.0), packet.map(|p| p.0)].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if let Some(place) = packet.filter(|p| p.0 <= at) {
                let (to, packet) = self.packets.remove(&place).unwrap();
                if self.nodes.get(&to).is_none_or(|n| !n.up) {
                    continue;
                }
                match packet {
                    Packet::Heartbeat(bytes) => self.event(to, Event::Heartbeat { bytes }),
                    Packet::Frame { from, life, bytes } => {
                        match wire::decode(&bytes) {
                            Ok(frame) => self.event(to, Event::Frame { from, life, frame }),
                            // As the driver does it: the connection ends, on both sides.
                            Err(_) => {
                                self.event(to, Event::Disconnected { peer: from });
                                self.event(from, Event::Disconnected { peer: to });
                            }
                        }
                    }
                }
            } else if let Some((_, node)) = wake {
                self.event(node, Event::Wake);
            }
        }
        self.now = end;
    }

    fn watermark(&self, at: NodeId) -> Hlc {
        self.nodes[&at].status.as_ref().unwrap().forgetting.watermark
    }

    fn dot(&self, at: NodeId) -> Dot {
        let node = &self.nodes[&at];
        Dot { hlc: node.clock.tick(self.now().wall_ms).unwrap(), writer: node.life }
    }
}

/// Sessions alone, begun often.
pub fn sessions_only() -> CoreConfig {
    CoreConfig { fanout: 0, ..CoreConfig::default() }
}

/// Rumors alone.
pub fn rumors_only() -> CoreConfig {
    let mut config = CoreConfig::default();
    config.sessions.enabled = false;
    config
}
