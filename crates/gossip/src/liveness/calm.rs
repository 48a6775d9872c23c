//! What is left out while nothing happens. A timer that would do nothing rests until it would.
//!
//! In a small cluster in which everyone answers, probes rest, too: each member says to each other one that it is there,
//! in a datagram half as long as a probe and without an answer. Whoever is not heard of in time is probed.

use std::collections::BTreeMap;
use std::time::Duration;

use model::NodeId;

use super::packet::{self, PacketRefused};
use super::{Due, Header, Identity, Liveness, LivenessState, Message, Timer};
use crate::time::Now;

/// Who was heard of, and what rests.
#[derive(Default)]
pub(super) struct Calm {
    /// When each member was last heard of.
    heard: BTreeMap<NodeId, Duration>,
    /// Who was probed last, and the number of that probe, while it is not answered.
    probing: Option<(NodeId, u8)>,
    resting: Vec<Due>,
}

impl Calm {
    pub(super) fn forget(&mut self, node: NodeId) {
        self.heard.remove(&node);
        if self.probing.is_some_and(|(probed, _)| probed == node) {
            self.probing = None;
        }
    }

    pub(super) fn end(&mut self) {
        self.resting.clear();
    }

    /// Time in which this process did not run is not held against the others.
    pub(super) fn put_off(&mut self, late: Duration) {
        self.heard.values_mut().for_each(|at| *at = at.saturating_add(late));
    }

    /// A packet is sent to a member.
    pub(super) fn sent(&mut self, to: NodeId, message: &Message<Identity>) {
        if let Message::Ping(number) = message {
            self.probing = Some((to, *number));
        }
    }

    /// A packet came that may answer a probe.
    fn came(&mut self, header: &Header<Identity>) {
        let answered = match &header.message {
            Message::Ack(number) => Some((header.src.node, *number)),
            Message::ForwardedAck { origin, probe_number } => Some((origin.node, *probe_number)),
            _ => None,
        };
        if answered.is_some() && answered == self.probing {
            self.probing = None;
        }
    }

    fn rests_probing(&self) -> bool {
        self.resting.iter().any(|due| matches!(due, Due::Probing(Timer::ProbeRandomMember(_))))
    }
}

impl Liveness {
    /// Something hints at a member's end: it is probed at once, unless it is heard of.
    pub fn doubt(&mut self, now: Now, node: NodeId) {
        self.calm.heard.remove(&node);
        self.stir(now);
    }

    /// A packet came and was taken in.
    pub(super) fn packet_came(&mut self, now: Now, header: &Header<Identity>) {
        self.calm.came(header);
        self.heard_of(now, header.src.node, header.src.epoch);
    }

    /// A member's beat came.
    pub(super) fn beat_came(&mut self, now: Now, (from, epoch): (NodeId, u64)) -> Result<(), PacketRefused> {
        if from == self.me {
            return Err(PacketRefused::OurOwnId);
        }
        if !self.members.contains_key(&from) {
            return Err(PacketRefused::NotAMember(from));
        }
        self.forgive_pause(now);
        self.heard_of(now, from, epoch);
        Ok(())
    }

    /// Under another epoch than it is known by it does not count: a probe shows the member what it is known by.
    fn heard_of(&mut self, now: Now, node: NodeId, epoch: u64) {
        if self.members.get(&node).is_some_and(|seen| seen.epoch == epoch) {
            self.calm.heard.insert(node, now.mono);
        }
    }

    /// Says to those that answer that this node is there.
    pub(super) fn beat(&mut self, now: Now) {
        let epoch = self.epoch();
        let up = self.members.iter().filter(|(_, seen)| seen.state != LivenessState::Down);
        for (node, _) in up {
            self.output.packets.push((*node, packet::beat(self.cluster, self.me, epoch)));
        }
        self.set_timer(now.mono.saturating_add(self.config.beat_period), Due::Beat);
    }

    /// Lets the timer rest if it would do nothing now; else gives it back.
    pub(super) fn unless_resting(&mut self, now: Now, due: Due) -> Option<Due> {
        if self.may_rest(now, &due) {
            self.calm.resting.push(due);
            return None;
        }
        Some(due)
    }

    /// Sets the timers again that have something to do by now.
    pub(super) fn stir(&mut self, now: Now) {
        for due in std::mem::take(&mut self.calm.resting) {
            if let Some(due) = self.unless_resting(now, due) {
                // Who is down has just been told so.
                let after =
                    if matches!(due, Due::Announce) { self.config.announce_period } else { Duration::ZERO };
                self.set_timer(now.mono.saturating_add(after), due);
            }
        }
    }

    /// When a timer that rests has something to do if nobody is heard of until then.
    pub(super) fn stirs_at(&self) -> Option<Duration> {
        if self.calm.rests_probing() { self.calm_until() } else { None }
    }

    fn may_rest(&self, now: Now, due: &Due) -> bool {
        match due {
            Due::Announce => self.down == 0,
            Due::Beat => !self.is_small() || self.down == self.members.len(),
            Due::Probing(Timer::PeriodicGossip(_)) => self.inner.updates_backlog() == 0,
            Due::Probing(Timer::ProbeRandomMember(_)) => {
                self.calm_until().is_some_and(|until| now.mono < until)
            }
            Due::Probing(_) => false,
        }
    }

    fn is_small(&self) -> bool {
        self.members.len() < self.config.small_cluster
    }

    /// Until when nobody needs to be probed in a small cluster in which everyone answers; none if it is not that.
    fn calm_until(&self) -> Option<Duration> {
        if !self.is_small() || self.calm.probing.is_some() {
            return None;
        }
        let silent_at = |(node, seen): (&NodeId, &super::Seen)| {
            let heard = self.calm.heard.get(node).filter(|_| seen.state == LivenessState::Alive)?;
            Some(heard.saturating_add(self.config.silence))
        };
        self.members.iter().map(silent_at).collect::<Option<Vec<Duration>>>()?.into_iter().min()
    }
}
