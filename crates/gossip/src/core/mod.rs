//! One member of a cluster as a state machine: events in, actions out.
//!
//! No clock, no socket, no task, no thread: [`Core::handle`] is the one entry point. It is handed the
//! instant, the store to read from and the clock to stamp with, mutates once, and returns all there is
//! to do, in order. The store is read here and written only by actions. The same code runs under a
//! driver on tokio and under a simulator.
//!
//! | file | what it holds |
//! |---|---|
//! | `event` | what comes in, what goes out |
//! | `membership` | rosters, heartbeats, lives, goodbyes |
//! | `news` | what has changed in the roster of a large cluster |
//! | `joining` | sponsoring a node that wants to join |
//! | `eviction` | removing a member that is down, by promises |
//! | `leaving` | leaving the cluster |
//! | `stranded` | what a removed member does with what only it may hold |
//! | `anti_entropy` | the sessions |
//! | `endings` | what becomes of their ends |
//! | `repairs` | what is remembered of ended ones |
//! | `publishing` | summary vectors: published, told on |
//! | `forgetting` | watermark and horizon: reckoned, used |
//! | `proving` | whether this node holds what the others count on |
//! | `standing` | who belongs, who answers, what this node may do |
//! | `rumors` | spreading and taking news |
//! | `status` | what people see |

mod anti_entropy;
mod endings;
mod event;
mod eviction;
mod forgetting;
mod joining;
mod leaving;
mod membership;
mod news;
mod proving;
mod publishing;
mod repairs;
mod rumors;
mod standing;
mod status;
mod stranded;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::{Hlc, NodeId, WriterId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use storage::{Seq, Store};

use crate::clock::Skew;
use crate::founding::WireVersions;
use crate::liveness::{Liveness, LivenessConfig};
use crate::meta::Meta;
use crate::pace::{Governor, GovernorConfig};
use crate::roster::{Contact, RosterVersion};
use crate::rules::Rules;
use crate::rumor::Rumors;
use crate::session::{Schedule, Session, SessionConfig, SessionId};
use crate::time::Now;
use crate::wire::{Frame, WIRE_VERSION};

pub use event::{Action, Answered, Event, Op, ReplyId};
pub use eviction::{EvictRefusal, Evicted};
pub use leaving::{LeaveRefusal, LeavingStatus};
pub use repairs::RepairTotals;
pub use status::{ForgettingStatus, MemberStatus, RemovedStatus, Serving, SessionStatus, Status, WaitsWhy};
pub use stranded::Known;

/// How the protocol is paced.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// Members a rumor is pushed to in a round, 1 to 64; 0 switches rumors off.
    pub fanout: usize,
    /// Anti-entropy.
    pub sessions: SessionConfig,
    /// Heartbeats.
    pub liveness: LivenessConfig,
    /// How fast repair may go.
    pub governor: GovernorConfig,
    /// Whether watermark and horizon rise by what members publish. Without, deletes are remembered for ever.
    pub forgets_deletes: bool,
    /// How long a purged tombstone stays on the disk after it has left the tree; longer than a session may last.
    pub grace: Duration,
    /// What this program speaks: a node that speaks nothing of it is not let in.
    pub wire: WireVersions,
    /// All of them, outside of the simulator.
    pub rules: Rules,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            fanout: 4,
            sessions: SessionConfig::default(),
            liveness: LivenessConfig::default(),
            governor: GovernorConfig::default(),
            forgets_deletes: true,
            grace: Duration::from_secs(600),
            wire: WireVersions { oldest: WIRE_VERSION, newest: WIRE_VERSION },
            rules: Rules::default(),
        }
    }
}

/// The hybrid logical clock, as the core needs it: shared with the coordinators of client writes.
pub trait Time {
    /// A new timestamp; none while no reservation for it is on disk.
    fn tick(&self, wall_ms: u64) -> Option<Hlc>;
    /// Learns of a timestamp made elsewhere.
    fn observe(&self, remote: Hlc, wall_ms: u64) -> Skew;
    /// Makes all later timestamps lie above one that an earlier life of this node may have published.
    fn start_above(&self, at: Hlc);
}

/// What is lent to the core while it handles one event.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The instant.
    pub now: Now,
    /// The store, to read from.
    pub store: &'a Store,
    /// The clock, to stamp with.
    pub time: &'a dyn Time,
}

/// What this node knows of another member beyond the roster; forgotten at a restart.
#[derive(Clone, Debug, Default)]
struct Peer {
    life: Option<WriterId>,
    /// The life before this one.
    left: Option<WriterId>,
    behind: Option<bool>,
    root: Option<merkle::RangeDigest>,
    skew_ms: u64,
    introduced: bool,
    up: bool,
    /// No session with it was completed since it came or returned.
    returned: bool,
    /// It said goodbye: that it is down is no news.
    leaving: bool,
}

/// One member.
pub struct Core {
    config: CoreConfig,
    meta: Meta,
    /// Where this node is reached in this life.
    here: Contact,
    rng: StdRng,
    liveness: Liveness,
    peers: BTreeMap<NodeId, Peer>,
    live: OnceLock<Arc<[NodeId]>>,
    /// The version of the roster's contacts, once it was needed.
    contacts: OnceLock<RosterVersion>,
    /// What the members are called, in the order in which they are shown.
    names: OnceLock<Vec<(NodeId, String)>>,
    sessions: BTreeMap<SessionId, Session>,
    schedule: Schedule,
    /// The store's last write when it was looked at last.
    noted: Seq,
    governor: Governor,
    repairs: repairs::Repairs,
    /// Members with which a session was asked for that is not over yet.
    asked_for: BTreeSet<NodeId>,
    /// What running sessions did since the last status.
    progress: bool,
    published: Duration,
    /// What was said last of whether this node serves.
    shown: Option<Serving>,
    rumors: Rumors,
    evictions: eviction::Evictions,
    leaving: leaving::Leaving,
    stranded: stranded::Stranded,
    forgetting: forgetting::Forgetting,
    news: news::News,
    ops: BTreeMap<u64, Op>,
    op_last: u64,
    evidence_unsaved_since: Option<Duration>,
    /// Sessions with more to do at once, or as soon as repair may go on.
    searching: BTreeSet<SessionId>,
    /// The session that is not open here whose frame came last.
    refused: Option<SessionId>,
    /// When peers are next told that repair is held back.
    beat_at: Duration,
    /// When members that are down are tried again.
    retry_down_at: Duration,
    /// Members that are tried for a while at an address that the roster does not name, and since when.
    tried_elsewhere: BTreeMap<NodeId, Duration>,
    stopped: Option<String>,
    stopping: bool,
    changed: bool,
    out: VecDeque<Action>,
}

impl Core {
    /// A member that starts a life. `contact` is where it is reached now, stamped with the first timestamp of that
    /// life; `seed` is its randomness.
    pub fn start(
        config: CoreConfig,
        meta: Meta,
        contact: Contact,
        seed: u64,
        env: Env<'_>,
    ) -> (Self, Vec<Action>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let epoch = contact.stamp.millis();
        let liveness = Liveness::new(meta.node, meta.cluster, epoch, seed ^ SWIM, config.liveness.clone());
        let mut schedule = Schedule::new(config.sessions, env.now.mono, &mut rng);
        schedule.set_needed(!meta.caught_up);
        let governor = Governor::new(config.governor, env.now.mono);
        let rumors = Rumors::new(meta.node, config.fanout);
        let here = stamped_at_founding(&meta, &contact).unwrap_or_else(|| contact.clone());
        let mut core = Self {
            config,
            meta,
            here,
            rng,
            liveness,
            peers: BTreeMap::new(),
            live: OnceLock::new(),
            contacts: OnceLock::new(),
            names: OnceLock::new(),
            sessions: BTreeMap::new(),
            schedule,
            noted: env.store.counted(),
            governor,
            repairs: repairs::Repairs::default(),
            asked_for: BTreeSet::new(),
            progress: false,
            published: env.now.mono,
            shown: None,
            rumors,
            evictions: eviction::Evictions::default(),
            leaving: leaving::Leaving::default(),
            stranded: stranded::Stranded::default(),
            forgetting: forgetting::Forgetting::default(),
            news: news::News::default(),
            ops: BTreeMap::new(),
            op_last: 0,
            evidence_unsaved_since: None,
            searching: BTreeSet::new(),
            refused: None,
            beat_at: Duration::ZERO,
            retry_down_at: env.now.mono + RETRY_DOWN,
            tried_elsewhere: BTreeMap::new(),
            stopped: None,
            stopping: false,
            changed: true,
            out: VecDeque::new(),
        };
        core.begin_forgetting(contact.stamp, env);
        core.begin_membership(env);
        core.begin_leaving(env);
        core.give_up_own_promises();
        core.begin_stranded();
        let actions = core.drain(env);
        (core, actions)
    }

    /// Takes in one event; returns what to do, in order.
    pub fn handle(&mut self, event: Event, env: Env<'_>) -> Vec<Action> {
        match event {
            Event::Wake => {}
            Event::Heartbeat { bytes } => self.heartbeat(&bytes, env),
            Event::Frame { from, life, frame } => self.frame(from, life, frame, env),
            Event::Connected { peer, life, address } => self.connected(peer, life, address, env),
            Event::Disconnected { peer } => self.disconnected(peer, env),
            Event::Wrote { keys } => {
                keys.into_iter().for_each(|key| self.rumors.learned(env.now.mono, key, []));
            }
            Event::Stored { op, changed } => self.stored(op, &changed, env),
            Event::Durable { op } => self.durable(op, env),
            Event::Advanced { op, done } => self.store_advanced(op, done, env),
            Event::Forgot { op, done } => self.store_forgot(op, done),
            Event::JoinAsked { reply, request } => self.join_asked(reply, &request, env),
            Event::StoreStopped { reason } => self.store_stopped(reason, env),
            Event::Foreground(window) => {
                self.governor.foreground(env.now.mono, window);
                // What people see of running sessions goes on as often.
                self.changed |= self.sessions.values().any(|session| !session.is_check());
            }
            Event::RosterHeard { roster } => self.roster_heard(&roster, env),
            Event::RepairWanted { peer } => self.repair_wanted(peer, env),
            Event::LeaveWanted { reply, force } => self.leave_wanted(reply, force, env),
            Event::EvictWanted { reply, target, force } => self.evict_wanted(reply, target, force, env),
            Event::WritesClosed => self.writes_closed(env),
            Event::Stop => self.stop(env),
        }
        self.drain(env)
    }

    /// When [`Event::Wake`] is due at the latest.
    pub fn next_wake(&self) -> Option<Duration> {
        let liveness = self.liveness.next_wake();
        let may_begin = self.may_repair() && self.has_advanced();
        let sessions = if may_begin { self.schedule.next_wake() } else { None };
        let timeouts = self.overdue_at();
        let rumors = if self.may_spread() { self.rumors.next_wake() } else { None };
        let evidence = self.evidence_unsaved_since.map(|since| since + EVIDENCE_SAVED_AFTER);
        let progress = self.publishes_at();
        let searching = self.going_on_at();
        let retry = (!self.stopping).then_some(self.retry_down_at);
        let (evictions, forgetting) = (self.evictions.next_wake(), self.forgetting_wakes());
        let gone = [self.leaving_wakes(), self.stranded.next_wake()].into_iter().flatten().min();
        let protocol = [liveness, sessions, timeouts, rumors, evictions, forgetting, gone];
        let keeping = [evidence, searching, retry, progress, self.news_wakes()];
        protocol.into_iter().chain(keeping).flatten().min()
    }

    /// The durable record as it stands.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// By which version this node calls its roster: publications count under one version only.
    pub fn roster_version(&self) -> RosterVersion {
        self.forgetting.version
    }

    /// Everything that time and what came before make due, then the latest status.
    fn drain(&mut self, env: Env<'_>) -> Vec<Action> {
        if !self.stopping {
            self.liveness_due(env);
            self.retry_down(env);
            self.roster_news_due(env);
            self.evictions_due(env);
            self.forgetting_due(env);
            self.note_writes(env);
            self.stranded_due(env);
            self.leaving_due(env);
            self.sessions_due(env);
            if self.rumors.next_wake().is_some_and(|at| at <= env.now.mono) {
                self.rumors_due(env);
            }
            self.save_evidence(env, EVIDENCE_SAVED_AFTER);
        }
        if self.publishes(env.now.mono) {
            (self.changed, self.progress, self.published) = (false, false, env.now.mono);
            let status = Box::new(self.status(env.now.mono));
            self.out.push_back(Action::Publish(status));
        }
        self.out.drain(..).collect()
    }

    fn frame(&mut self, from: NodeId, life: WriterId, frame: Frame, env: Env<'_>) {
        if self.stopping || from == self.meta.node {
            return;
        }
        if self.peers.get(&from).is_some_and(|known| known.left == Some(life)) {
            tracing::debug!(%from, "a frame of an earlier life is refused");
            return;
        }
        if let Frame::Roster(roster) = frame {
            return self.roster_came(from, &roster, env);
        }
        if let Frame::RosterIs { members, contacts } = frame {
            return self.roster_is(from, (members, contacts), env);
        }
        // Every frame is checked: data flows only between members of both rosters (H12, H13).
        if !self.both_members(from) {
            return self.stranger(from, &frame);
        }
        if self.peers.entry(from).or_default().life != Some(life) {
            self.new_life(from, life, env);
        }
        match frame {
            Frame::Roster(_) | Frame::RosterIs { .. } => {}
            Frame::RosterNews(news) => self.roster_news_came(&news, env),
            Frame::Rumor(rumor) => self.rumor_came(from, rumor, env),
            Frame::RumorAnswer { batch, known } => self.rumors.answered(batch, &known),
            Frame::PromiseAsk(ask) => self.promise_asked(from, ask, env),
            Frame::PromiseAnswer(answer) => self.promise_answered(from, &answer),
            Frame::Session { id, body } => self.session_frame(from, id, body, env),
            Frame::Goodbye => self.goodbye_came(from, env),
        }
    }

    fn stored(&mut self, op: u64, changed: &[bool], env: Env<'_>) {
        match self.ops.remove(&op) {
            Some(Op::Session(id)) => self.session_stored(id, env),
            Some(Op::Rumor { from, batch, answer, told, keys }) => {
                self.rumor_stored((from, batch, answer), told, keys, changed, env);
            }
            Some(Op::Stranded) => self.stranded_stored(op),
            Some(Op::Flush(..) | Op::Publish(_) | Op::Advance | Op::Forget) | None => {}
        }
    }

    fn op(&mut self, op: Op) -> u64 {
        self.op_last += 1;
        self.ops.insert(self.op_last, op);
        self.op_last
    }

    fn send(&mut self, to: NodeId, frame: Frame, after: Seq) {
        self.out.push_back(Action::Send { to, frame, after });
    }

    /// Sends what depends on nothing in the store.
    fn say(&mut self, to: NodeId, frame: Frame) {
        self.send(to, frame, Seq::default());
    }

    fn persist(&mut self) {
        self.evidence_unsaved_since = None;
        self.out.push_back(Action::Persist(Box::new(self.meta.clone())));
        self.changed = true;
    }

    fn store_stopped(&mut self, reason: String, env: Env<'_>) {
        if self.stopped.is_none() {
            tracing::error!(%reason, "the store stopped; this node takes no more writes");
            self.stopped = Some(reason);
            self.end_all_sessions(env);
            self.changed = true;
        }
    }

    fn stop(&mut self, env: Env<'_>) {
        self.save_evidence(env, Duration::ZERO);
        self.say_goodbye(env);
        self.end_all_sessions(env);
        self.stopping = true;
        self.changed = true;
    }
}

/// Proofs of identity are put on disk this long after the first unsaved one, at a stop, and whenever the record is
/// written anyway.
const EVIDENCE_SAVED_AFTER: Duration = Duration::from_secs(15);

/// Members that are down are told this node's roster, and so where it is, this often: heartbeats alone never reach one
/// that knows a former address.
const RETRY_DOWN: Duration = Duration::from_secs(5);

/// Keeps the heartbeats' random numbers apart from the rest's.
const SWIM: u64 = 0x5357_494d;

/// In a founder's first life what the founding stamped stands: nobody has to hear of another.
fn stamped_at_founding(meta: &Meta, contact: &Contact) -> Option<Contact> {
    let known = meta.roster.contact(meta.node).filter(|_| meta.stability.founded_now);
    known.filter(|known| known.is_same_place(contact)).cloned()
}
