//! A machine and the node on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::{Core, ReplyId, Status};
use gossip::founding::{Founding, WireVersions};
use gossip::meta::Meta;
use gossip::time::Now;
use model::{ClusterId, Context, DigestKey, Dot, Entry, Key, NodeId, TokenKey, WriterId};
use rand::rngs::StdRng;
use storage::{MemoryEngine, Seq, Store};

use crate::disk::{Disk, Kept, Record};
use crate::links::LinkId;
use crate::wall::{NodeClock, Wall};

/// A machine, by its number from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u16);

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

/// What a node is told on its command line.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// The node's name.
    pub name: String,
    /// Whom it asks to be let in: addresses, or names that are resolved each time.
    pub seeds: Vec<String>,
    /// Whether it may found a cluster although it has seeds.
    pub may_found: bool,
}

/// A process is to be killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// How many things it does before.
    pub(crate) after: u16,
    pub(crate) kept: Kept,
    /// How long it is off then.
    pub(crate) off: Duration,
}

/// A machine.
pub(crate) struct Host {
    pub(crate) settings: HostSettings,
    pub(crate) address: String,
    pub(crate) moves: u32,
    pub(crate) disk: Disk,
    pub(crate) wall: Wall,
    pub(crate) state: State,
    /// Goes up with each start of a process and each life: what was meant for an earlier one finds nobody.
    pub(crate) run: u64,
    /// Handles nothing before this.
    pub(crate) paused_until: Duration,
    /// It is killed soon.
    pub(crate) dies: Option<Death>,
    /// Its node ended by itself and an operator would have to look.
    pub(crate) given_up: Option<String>,
    /// It has left its cluster, and others hold all that it held.
    pub(crate) handed_over: bool,
    pub(crate) rng: StdRng,
    /// The wire versions that its program speaks.
    pub(crate) speaks: WireVersions,
    /// The life that goes on although a record was lost: where that rule is switched off.
    pub(crate) same_life: Option<WriterId>,
    /// Its cluster was formed with it as a member, and it has not started yet: its disk is not an old one.
    pub(crate) formed: bool,
}

/// What the node on a machine is.
pub(crate) enum State {
    Down,
    Looking(Box<Looking>),
    Member(Box<Member>),
}

/// A node without a cluster.
pub(crate) struct Looking {
    pub(crate) founding: Founding,
    pub(crate) since: Duration,
    pub(crate) wake: Option<Duration>,
}

/// A member at work.
pub(crate) struct Member {
    pub(crate) core: Core,
    pub(crate) store: Store,
    pub(crate) engine: Arc<MemoryEngine>,
    pub(crate) clock: NodeClock,
    pub(crate) node: NodeId,
    pub(crate) life: WriterId,
    pub(crate) cluster: ClusterId,
    pub(crate) digest_key: DigestKey,
    pub(crate) token_key: TokenKey,
    pub(crate) status: Option<Status>,
    /// The zero of its own time.
    pub(crate) since: Duration,
    pub(crate) wake: Option<Duration>,
    pub(crate) flusher: Flusher,
    pub(crate) outs: BTreeMap<NodeId, Out>,
    pub(crate) accepted: BTreeMap<NodeId, LinkId>,
    pub(crate) news: Vec<Key>,
    pub(crate) news_last: Duration,
    pub(crate) replies: BTreeMap<ReplyId, u64>,
    pub(crate) replies_made: u64,
    pub(crate) started_on_data: bool,
    pub(crate) seen: Seen,
}

/// Group commit: one flush at a time, which serves all that wait.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    /// Everything up to here is durable.
    pub(crate) durable: Seq,
    /// The flush under way: up to where, and how many single writes.
    pub(crate) running: Option<(Seq, usize)>,
    pub(crate) wanted: Seq,
    pub(crate) waiting: Vec<(Seq, Waiter)>,
    /// A flush that nobody waits for is on its way.
    pub(crate) idle: bool,
}

/// Who waits for something to be durable.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    /// The core.
    Core(u64),
    /// A client's write: the dot to acknowledge, if it made one, and its key.
    Client { write: u64, dot: Option<Dot>, key: Key, changed: bool },
}

/// What goes out to one peer.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) address: String,
    pub(crate) queue: VecDeque<(Bytes, Seq)>,
    pub(crate) queued: usize,
    pub(crate) waits_since: Option<Duration>,
    pub(crate) link: Option<LinkId>,
    /// The link is welcomed.
    pub(crate) open: bool,
    pub(crate) dialing: bool,
    pub(crate) pause: Duration,
    pub(crate) not_before: Duration,
    /// The address has changed since the attempt under way began.
    pub(crate) moved: bool,
}

/// What the checkers last saw in this member's store.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) entries: BTreeMap<Key, Entry>,
    pub(crate) root: merkle::RangeDigest,
    pub(crate) tombstones: u64,
    /// What every member held when this node came without its data: it must hold that before it answers.
    pub(crate) must_know: BTreeMap<Key, BTreeSet<Dot>>,
    /// What tombstones had seen that this life took off its disk.
    pub(crate) forgotten: BTreeMap<Key, Context>,
}

impl Host {
    pub(crate) fn member(&self) -> Option<&Member> {
        match &self.state {
            State::Member(member) => Some(member),
            _ => None,
        }
    }

    pub(crate) fn member_mut(&mut self) -> Option<&mut Member> {
        match &mut self.state {
            State::Member(member) => Some(member),
            _ => None,
        }
    }

    /// The member's record on disk.
    pub(crate) fn record(&self) -> Option<Rc<Meta>> {
        self.disk.small.borrow().member.as_ref().map(Record::says)
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.state, State::Down)
    }
}

impl Member {
    pub(crate) fn now(&self, now: Duration, wall: &Wall) -> Now {
        Now { mono: now.saturating_sub(self.since), wall_ms: wall.ms(now) }
    }

    /// Whether something may leave that rests on this write.
    pub(crate) fn is_durable(&self, seq: Seq) -> bool {
        seq <= self.flusher.durable
    }
}

/// The context of an entry that may be none.
pub(crate) fn context(entry: Option<&Entry>) -> Context {
    entry.map(|entry| entry.context().clone()).unwrap_or_default()
}
