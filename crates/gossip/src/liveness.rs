//! Who answers: SWIM heartbeats among the members (Das, Gupta, Motivala, "SWIM", 2002), through foca. The
//! only file that names it.
//!
//! Foca keeps the member list of everyone it hears of; here it is held to the roster: packets from, and
//! news about, ids that are no members are dropped before foca sees them. What is added to it:
//!
//! * A member that is down is announced to again and again, for ever, also by a node that sees nobody
//!   alive: so the halves of a healed network find each other.
//! * A node is known by its id and an epoch that rises. Told that it is down, it comes back by itself under
//!   the next epoch; shown that it was known under a later epoch than its own (its disk was restored), it
//!   goes past that one.
//! * Time in which this process did not run is not held against the others ([`Liveness::wake`]).
//! * While nothing happens next to nothing is sent, and no timer wakes for nothing: see `calm`.
//!
//! Nothing here is a secret or proven: whoever can send packets with the start of the cluster's id can
//! claim anything. Liveness decides who is tried first, never what is stored or who belongs.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::{
    AccumulatingRuntime, Codec, Foca, Header, Member, Message, NoCustomBroadcast, PostcardCodec, Timer,
};
use model::{ClusterId, NodeId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::time::Now;

mod calm;
mod config;
mod packet;
mod sift;
#[cfg(test)]
mod tests;

pub use config::LivenessConfig;
pub use packet::{HEARTBEAT_VERSION, PACKET_BYTES_MAX, PacketRefused};

/// Whether a member answers, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LivenessState {
    /// It answers.
    Alive,
    /// It left a probe unanswered and has a short time to say otherwise. Still treated as alive.
    Suspect,
    /// It does not answer, said goodbye, or has not been heard of yet.
    Down,
}

/// What this node knows of a member's liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it answers.
    pub state: LivenessState,
    /// Since when, by this node's [`Now::mono`].
    pub since: Duration,
    /// The epoch it was last known by; 0 before it was first heard of.
    pub epoch: u64,
}

/// What came out of the calls since the last [`Liveness::drain`].
#[derive(Clone, Debug, Default)]
pub struct LivenessOutput {
    /// Datagrams to send, in order; any may be lost.
    pub packets: Vec<(NodeId, Vec<u8>)>,
    /// State changes, in order, never two equal ones in a row for one member.
    pub changes: Vec<(NodeId, LivenessState)>,
}

/// A member as the heartbeats know it: longer would mean fewer news a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// Ids are random: in a fixed form they take two bytes less.
    #[serde(with = "packet::fixed")]
    node: NodeId,
    epoch: u64,
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        self.epoch.checked_add(1).map(|epoch| Self { epoch, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.epoch > adversary.epoch
    }
}

enum Due {
    Probing(Timer<Identity>),
    Announce,
    Beat,
}

/// The heartbeats of one node. Mutate once, then [`Liveness::drain`]; call [`Liveness::wake`] at
/// [`Liveness::next_wake`].
pub struct Liveness {
    me: NodeId,
    cluster: ClusterId,
    config: LivenessConfig,
    inner: Foca<Identity, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Identity>,
    /// The other members of the roster.
    members: BTreeMap<NodeId, Seen>,
    /// How many of them are down.
    down: usize,
    /// What foca held at the last look, in its order: id, epoch, state.
    looked: Vec<(Identity, foca::State)>,
    /// By when they are due, then in the order they were set.
    timers: BTreeMap<(Duration, u64), Due>,
    timers_set: u64,
    calm: calm::Calm,
    /// Where the next round of announcing starts.
    announced_upto: NodeId,
    stopped: bool,
    output: LivenessOutput,
}

impl Liveness {
    /// A node that knows nobody yet; add the members of the roster next.
    ///
    /// `epoch` must rise with each start of the node: the others may still hold its last one for down. The
    /// milliseconds of its clock leave room for the renewals of one run and are short to send; if it does not
    /// rise, the node finds out and catches up at the cost of a second or two.
    pub fn new(me: NodeId, cluster: ClusterId, epoch: u64, seed: u64, config: LivenessConfig) -> Self {
        let identity = Identity { node: me, epoch };
        let rng = StdRng::seed_from_u64(seed);
        let mut liveness = Self {
            me,
            cluster,
            inner: Foca::new(identity, foca_config(&config), rng, PostcardCodec),
            config,
            runtime: AccumulatingRuntime::new(),
            members: BTreeMap::new(),
            down: 0,
            looked: Vec::new(),
            timers: BTreeMap::new(),
            timers_set: 0,
            calm: calm::Calm::default(),
            announced_upto: NodeId(0),
            stopped: false,
            output: LivenessOutput::default(),
        };
        liveness.set_timer(Duration::ZERO, Due::Announce);
        liveness.set_timer(Duration::ZERO, Due::Beat);
        liveness
    }

    /// A member of the roster: from now on it is probed, and announced to while it is down, as it is until
    /// it answers: at once in a cluster that is not large, in turn in one that is. Known ones and this node itself
    /// change nothing.
    pub fn add_member(&mut self, now: Now, node: NodeId) {
        if node == self.me || self.members.contains_key(&node) {
            return;
        }
        let seen = Seen { state: LivenessState::Down, since: now.mono, epoch: 0 };
        self.members.insert(node, seen);
        self.down += 1;
        if self.members.len() <= self.config.met_at_once {
            self.introduce(now, node);
        }
    }

    /// Announces this node to a member at once: something shows that it may have come (back).
    pub fn introduce(&mut self, now: Now, node: NodeId) {
        let Some(seen) = self.members.get(&node) else { return };
        if !self.stopped {
            let result = self.inner.announce(Identity { node, epoch: seen.epoch }, &mut self.runtime);
            self.settle(now, result);
        }
    }

    /// No member any more: its packets are refused and it is forgotten. No change is put out for it.
    pub fn remove_member(&mut self, now: Now, node: NodeId) {
        let Some(seen) = self.members.remove(&node) else { return };
        self.down -= usize::from(seen.state == LivenessState::Down);
        self.calm.forget(node);
        let known = self.inner.iter_membership_state().find(|member| member.id().node == node).cloned();
        if let Some(identity) = known.map(|member| *member.id()) {
            let down = std::iter::once(Member::down(identity));
            let told = self.inner.apply_many(down, false, &mut self.runtime);
            self.settle(now, told);
            let forgotten = self.inner.handle_timer(Timer::RemoveDown(identity), &mut self.runtime);
            self.settle(now, forgotten);
        }
        self.stir(now);
    }

    /// A member said on a connection that it stops: it is down at once, and the others are told. If that
    /// was old news, it hears of it and comes back by itself.
    pub fn said_goodbye(&mut self, now: Now, node: NodeId) {
        if let Some(seen) = self.members.get(&node).filter(|seen| seen.state != LivenessState::Down) {
            let down = std::iter::once(Member::down(Identity { node, epoch: seen.epoch }));
            let result = self.inner.apply_many(down, true, &mut self.runtime);
            self.settle(now, result);
        }
    }

    /// Takes in a datagram.
    ///
    /// # Errors
    /// Why it was refused; count it. Nothing has changed, except for [`PacketRefused::Conflicting`], which
    /// may have taught something first.
    pub fn heartbeat(&mut self, now: Now, bytes: &[u8]) -> Result<(), PacketRefused> {
        let body = packet::open(bytes, self.cluster)?;
        if self.stopped {
            return Err(PacketRefused::Stopped);
        }
        if let Some(beat) = packet::beat_from(body) {
            return self.beat_came(now, beat);
        }
        let sifted = self.sift(body)?;
        self.forgive_pause(now);
        if sifted.epoch_shown > self.inner.identity().epoch {
            self.go_past(now, sifted.epoch_shown);
        }
        let result = self.inner.handle_data(&sifted.bytes, &mut self.runtime);
        let refused = result.is_err();
        self.settle(now, result);
        self.packet_came(now, &sifted.header);
        if refused { Err(PacketRefused::Conflicting) } else { Ok(()) }
    }

    /// Does what is due. When it comes late by more than [`LivenessConfig::pause`], this process (or the
    /// whole machine) has not been running, and the answers of the others wait unread: all timers are then
    /// put off by as much, so that nobody is taken for down because of it.
    pub fn wake(&mut self, now: Now) {
        self.forgive_pause(now);
        self.stir(now);
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now.mono) {
            let due = entry.remove();
            match self.unless_resting(now, due) {
                None => {}
                Some(Due::Announce) => self.announce_to_down(now),
                Some(Due::Beat) => self.beat(now),
                Some(Due::Probing(timer)) => {
                    let result = self.inner.handle_timer(timer, &mut self.runtime);
                    self.settle(now, result);
                }
            }
        }
    }

    /// Tells the others that this node stops, so that it is down there at once. From now on it only
    /// refuses; the packets in the last [`Liveness::drain`] should still be sent, and may be lost.
    pub fn goodbye(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        let active = self.inner.num_members();
        let result = self.inner.leave_cluster(&mut self.runtime);
        self.settle(now, result);
        // Each round reaches a few, at random; after these nearly all have heard it from this node itself.
        let rounds = (2 * active / self.config.indirect_probes.max(1) + 1).min(12);
        for _ in 0..rounds {
            let result = self.inner.gossip(&mut self.runtime);
            self.settle(now, result);
        }
        self.stopped = true;
        self.timers.clear();
        self.calm.end();
    }

    /// When to call [`Liveness::wake`] next, by [`Now::mono`]; never after a goodbye.
    pub fn next_wake(&self) -> Option<Duration> {
        let timer = self.timers.first_key_value().map(|((due, _), _)| *due);
        timer.into_iter().chain(self.stirs_at()).min()
    }

    /// What is to be sent and what changed since the last call.
    pub fn drain(&mut self) -> LivenessOutput {
        std::mem::take(&mut self.output)
    }

    /// Whether the member answers. [`LivenessState::Down`] for an id that is no member.
    pub fn state(&self, node: NodeId) -> LivenessState {
        self.members.get(&node).map_or(LivenessState::Down, |seen| seen.state)
    }

    /// All other members and what is known of them, ascending by id.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, Seen)> {
        self.members.iter().map(|(node, seen)| (*node, *seen))
    }

    /// The epoch this node is known by now.
    pub fn epoch(&self) -> u64 {
        self.inner.identity().epoch
    }

    fn announce_to_down(&mut self, now: Now) {
        if self.announced_upto == NodeId(0) && self.members.len() > self.config.met_at_once {
            // Ids are random: so not everyone begins with the same members.
            self.announced_upto = self.me;
        }
        let is_down = |entry: &(&NodeId, &Seen)| entry.1.state == LivenessState::Down;
        let after =
            self.members.range(self.announced_upto..).skip_while(|(node, _)| **node == self.announced_upto);
        let upto = self.members.range(..=self.announced_upto);
        let chosen: Vec<NodeId> = after
            .chain(upto)
            .filter(is_down)
            .map(|(node, _)| *node)
            .take(self.config.announce_members_max)
            .collect();
        self.announced_upto = chosen.last().copied().unwrap_or(self.announced_upto);
        for node in chosen {
            self.introduce(now, node);
        }
        self.set_timer(now.mono.saturating_add(self.config.announce_period), Due::Announce);
    }

    /// This node was known by a later epoch than it has: it goes past it, or nobody would listen to it.
    fn go_past(&mut self, now: Now, epoch: u64) {
        if let Some(epoch) = epoch.checked_add(1) {
            let identity = Identity { node: self.me, epoch };
            let result = self.inner.change_identity(identity, &mut self.runtime);
            self.settle(now, result);
        }
    }

    fn forgive_pause(&mut self, now: Now) {
        let Some(due) = self.next_wake() else { return };
        let late = now.mono.saturating_sub(due);
        if late > self.config.pause {
            let timers = std::mem::take(&mut self.timers);
            let put_off =
                |((due, number), timer): ((Duration, u64), Due)| ((due.saturating_add(late), number), timer);
            self.timers = timers.into_iter().map(put_off).collect();
            self.calm.put_off(late);
        }
    }

    fn set_timer(&mut self, due: Duration, timer: Due) {
        self.timers_set += 1;
        self.timers.insert((due, self.timers_set), timer);
    }

    /// After every call into foca: collects what it wants and looks at what changed.
    fn settle(&mut self, now: Now, result: Result<(), foca::Error>) {
        if let Err(error) = result {
            tracing::debug!(%error, "heartbeat");
        }
        // A renewed identity leaves foca idle until something arrives; nobody may be left to send it.
        let reconnected = self.inner.apply_many(std::iter::empty(), false, &mut self.runtime);
        debug_assert!(reconnected.is_ok(), "nothing was applied");
        while let Some((to, body)) = self.runtime.to_send() {
            if let Ok(header) = PostcardCodec.decode_header(&mut &body[..]) {
                self.calm.sent(to.node, &header.message);
            }
            self.output.packets.push((to.node, packet::seal(self.cluster, &body)));
        }
        self.note_changes(now);
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.set_timer(now.mono.saturating_add(after), Due::Probing(timer));
        }
        while let Some(notification) = self.runtime.to_notify() {
            tracing::trace!(?notification, "heartbeat");
        }
        self.stir(now);
    }

    fn note_changes(&mut self, now: Now) {
        let known = self.inner.iter_membership_state();
        self.looked.truncate(known.len());
        for (place, member) in known.enumerate() {
            // Nearly always nothing is new, and in a large cluster this is all that is done for a packet.
            let now_shown = (*member.id(), member.state());
            match self.looked.get_mut(place) {
                Some(shown) if *shown == now_shown => continue,
                Some(shown) => *shown = now_shown,
                None => self.looked.push(now_shown),
            }
            let Some(seen) = self.members.get_mut(&member.id().node) else { continue };
            let state = match member.state() {
                foca::State::Alive => LivenessState::Alive,
                foca::State::Suspect => LivenessState::Suspect,
                foca::State::Down => LivenessState::Down,
            };
            seen.epoch = member.id().epoch;
            if seen.state != state {
                self.down -= usize::from(seen.state == LivenessState::Down);
                self.down += usize::from(state == LivenessState::Down);
                (seen.state, seen.since) = (state, now.mono);
                self.output.changes.push((member.id().node, state));
            }
        }
    }
}

fn foca_config(config: &LivenessConfig) -> foca::Config {
    use std::num::{NonZeroU8, NonZeroUsize};
    let at_least_one = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    foca::Config {
        probe_period: config.probe_period,
        probe_rtt: config.probe_rtt,
        num_indirect_probes: at_least_one(config.indirect_probes),
        max_transmissions: NonZeroU8::new(config.transmissions).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: config.suspect_to_down_after,
        // Members are forgotten when they leave the roster, and come back under a later epoch.
        remove_down_after: None,
        max_packet_size: at_least_one(packet::BODY_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: None,
        // It stops when nobody is alive, which is when it is needed most; done here instead.
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(foca::PeriodicParams {
            frequency: config.gossip_period,
            num_members: at_least_one(config.gossip_members),
        }),
    }
}
