//! Who belongs and who answers: rosters merged and told on, heartbeats, lives, goodbyes.

use std::time::Duration;

use bytes::Bytes;
use model::{NodeId, WriterId};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Action, Core, Env, Peer};
use crate::liveness::LivenessState;
use crate::roster::{Contact, Roster, RosterVersion};
use crate::rules::Rule;
use crate::session::{AbortReason, SessionFrame};
use crate::wire::Frame;

/// A session with a member that has just come is begun within this time, so that not everyone begins at once.
const WELCOME_JITTER: Duration = Duration::from_millis(50);

/// So many members are told, or meet who has come, where there are too many to do it with each.
const SOME: usize = 8;

/// A member that is up is heard of within this time after a start.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

impl Core {
    /// The members are made known to the heartbeats and the transport, and hear where this node is now.
    pub(super) fn begin_membership(&mut self, env: Env<'_>) {
        let (me, contact) = (self.meta.node, self.here.clone());
        let others: Vec<NodeId> = self.others().collect();
        for peer in &others {
            self.peers.entry(*peer).or_default();
        }
        // Where many would have to hear it, only what is new is said; of one that is no member any more nothing.
        let known = self.meta.roster.contact(me).is_some_and(|known| known.is_same_place(&contact));
        if self.is_member() && !(self.is_large() && known) {
            match self.meta.roster.set_contact(me, contact) {
                Ok(change) if change.any() => {
                    self.forgetting.version = self.version_of(&self.meta.roster);
                    self.persist();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "this node's addresses could not be made known"),
            }
        }
        for peer in &others {
            self.meet(*peer, env);
        }
        for peer in self.some_of(&others) {
            self.introduce(peer);
        }
    }

    /// All of them; in a large cluster a few, drawn at random, which tell others in turn.
    pub(super) fn some_of(&mut self, peers: &[NodeId]) -> Vec<NodeId> {
        if self.is_large() { peers.sample(&mut self.rng, SOME).copied().collect() } else { peers.to_vec() }
    }

    /// Whether to meet a member at once that has come: someone does, in a large cluster.
    fn is_chosen(&mut self) -> bool {
        let members = self.peers.len();
        !self.is_large() || self.rng.random_range(0..members) < SOME
    }

    /// Tries the members that are down, for ever: one of them may know this node by a former address.
    pub(super) fn retry_down(&mut self, env: Env<'_>) {
        if env.now.mono < self.retry_down_at {
            return;
        }
        self.retry_down_at = env.now.mono + super::RETRY_DOWN;
        self.put_contact_right(env);
        let down = |id: &NodeId| self.liveness.state(*id) == LivenessState::Down;
        let down: Vec<NodeId> = self.others().filter(down).collect();
        let over = |since: &Duration| env.now.mono >= *since + super::RETRY_DOWN;
        let tried = self.tried_elsewhere.iter().filter(|(_, since)| over(since));
        for peer in tried.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.tried_elsewhere.remove(&peer);
            self.reach_where_known(peer);
        }
        // In a large cluster that has just started most have not been heard of yet.
        for peer in self.some_of(&down) {
            self.tell_or_name_roster(peer);
        }
    }

    /// Says again where this node is, where the roster says otherwise: a sponsor whose clock is fast may have stamped a
    /// former address with a later time than this life began at. Seldom, so that two nodes of one id do not go on and
    /// on about it.
    fn put_contact_right(&mut self, env: Env<'_>) {
        let me = self.meta.node;
        // Of one that is no member any more nobody wants to know where it is.
        let Some(known) = self.meta.roster.contact(me).filter(|_| self.is_member()) else { return };
        // A life that did not stamp it itself is one that the others have not learned of: of a disk that was put back the
        // clock may have gone back, too.
        if *known == self.here {
            return;
        }
        let (Some(now), Some(above)) = (env.time.tick(env.now.wall_ms), known.stamp.next()) else { return };
        let before = self.meta.roster.clone();
        self.here.stamp = now.max(above);
        let contact = self.here.clone();
        match self.meta.roster.set_contact(me, contact) {
            Ok(_) => self.roster_changed(&before, env),
            Err(error) => tracing::warn!(%error, "this node's addresses could not be made known"),
        }
    }

    /// Whether a member answers, for what cannot be undone: one that has not been heard of since this node started
    /// is taken for down only after a while.
    pub(super) fn surely(&self, member: NodeId, env: Env<'_>) -> LivenessState {
        let heard_or_waited = self
            .liveness
            .members()
            .any(|(id, seen)| id == member && (seen.epoch != 0 || env.now.mono >= seen.since + HEARD_WITHIN));
        match self.liveness.state(member) {
            LivenessState::Down if !heard_or_waited => LivenessState::Suspect,
            state => state,
        }
    }

    fn reach_where_known(&mut self, peer: NodeId) {
        if let Some(contact) = self.meta.roster.contact(peer) {
            self.out.push_back(Action::Contact { peer, address: contact.gossip.clone() });
        }
    }

    fn meet(&mut self, peer: NodeId, env: Env<'_>) {
        self.reach_where_known(peer);
        self.liveness.add_member(env.now, peer);
    }

    fn part(&mut self, peer: NodeId, env: Env<'_>) {
        self.end_sessions_with(peer, env);
        self.liveness.remove_member(env.now, peer);
        self.schedule.forget(peer);
        self.peers.remove(&peer);
        self.forget_told(peer);
        self.meta.identical.remove(&peer);
        self.out.push_back(Action::Disconnect { peer, forget: true });
    }

    /// Tells a peer this node's roster, once a connection's life: rosters come before data.
    pub(super) fn introduce(&mut self, peer: NodeId) {
        let known = self.peers.entry(peer).or_default();
        if !known.introduced {
            known.introduced = true;
            self.tell_or_name_roster(peer);
        }
    }

    /// Tells a peer this node's roster; in a large cluster where this node is, or no answer could come, and the version:
    /// whoever has another one answers with that.
    pub(super) fn tell_or_name_roster(&mut self, peer: NodeId) {
        if self.is_large() {
            let own = self.meta.roster.of(&[self.meta.node].into());
            self.say(peer, Frame::RosterNews(Box::new(own)));
            let (members, contacts) = (self.forgetting.version, self.contacts_version());
            self.say(peer, Frame::RosterIs { members, contacts });
        } else {
            self.tell_roster(peer);
        }
    }

    pub(super) fn contacts_version(&self) -> RosterVersion {
        *self.contacts.get_or_init(|| self.meta.roster.contacts_version())
    }

    pub(super) fn tell_roster(&mut self, peer: NodeId) {
        let roster = Box::new(self.meta.roster.clone());
        self.say(peer, Frame::Roster(roster));
    }

    pub(super) fn roster_came(&mut self, from: NodeId, roster: &Roster, env: Env<'_>) {
        self.merge_roster(roster, env);
        self.heard_of_leaving(roster);
        // The sender lacks something that this node knows; or it was removed, and must learn it; or it has left, and wants
        // to hear that this is known.
        let lacks = self.meta.roster != *roster && self.meta.roster.contains(from);
        if lacks || self.meta.roster.removal(from).is_some() {
            self.tell_roster(from);
        }
    }

    /// Joins a peer's roster into this node's; what is new is on disk before it is acted on, and is told on. Returns
    /// whether anything was.
    pub(super) fn merge_roster(&mut self, roster: &Roster, env: Env<'_>) -> bool {
        if !self.meta.roster.lacks_of(roster).any() {
            return false;
        }
        let before = self.meta.roster.clone();
        if !self.config.rules.hold(Rule::H12) && changes(roster) <= changes(&before) {
            return false;
        }
        match self.meta.roster.merge(roster) {
            Ok(change) if change.any() => {
                self.answer_late_adds(&before, env);
                self.roster_changed(&before, env);
            }
            Ok(_) => return false,
            Err(error) => {
                tracing::warn!(%error, "a peer's roster could not be merged");
                return false;
            }
        }
        true
    }

    /// The version of a roster and of the lives of its members, by which publications count.
    pub(super) fn version_of(&self, roster: &Roster) -> RosterVersion {
        if !self.config.rules.hold(Rule::H12) {
            // As if it were enough to count the changes.
            let mut count = [0; 16];
            count.iter_mut().zip(changes(roster).to_le_bytes()).for_each(|(to, byte)| *to = byte);
            return RosterVersion(count);
        }
        if self.config.rules.hold(Rule::H26) { roster.lives_version() } else { roster.version() }
    }

    /// Everything that follows from a roster that is another than before.
    pub(super) fn roster_changed(&mut self, before: &Roster, env: Env<'_>) {
        let me = self.meta.node;
        self.live.take();
        self.contacts.take();
        self.names.take();
        self.meta.promises.release(&self.meta.roster);
        // Who was alone, and has lost records, is behind as soon as it hears of somebody.
        if self.config.rules.hold(Rule::H30) && before.len() == 1 {
            self.test_behind();
        }
        let version = self.version_of(&self.meta.roster);
        if self.forgetting.version != version {
            self.lives_began(before, env);
            self.removals_heard(before);
            self.roster_adopted(version, env);
        }
        let removed = before.contains(me) && !self.is_member();
        // With the removal, in one record: what is not searched now is at the next start. Who was put back to before it left, and
        // hears that it has, has handed over nothing of what it took since.
        self.meta.unsearched |= removed && !self.is_telling();
        self.persist();
        self.sessions_needed(env);
        for peer in before.members().filter(|id| *id != me) {
            if !self.meta.roster.contains(peer) {
                tracing::info!(member = %before.shown_name(peer), "removed from the roster");
                self.part(peer, env);
            }
        }
        for peer in &self.others().collect::<Vec<_>>() {
            self.peers.entry(*peer).or_default();
            if !before.contains(*peer) {
                tracing::info!(member = %self.meta.roster.shown_name(*peer), "added to the roster");
                self.meet(*peer, env);
            } else {
                self.contact_changed(*peer, before.contact(*peer), env);
            }
        }
        if self.is_large() {
            self.tell_news(before, env);
        } else {
            self.live().iter().for_each(|peer| self.tell_roster(*peer));
        }
        if removed {
            if !self.is_telling() {
                tracing::error!(
                    "this node was removed from the cluster; it serves nothing any more, its data is kept"
                );
            }
            self.end_all_sessions(env);
            self.begin_stranded();
        } else if self.is_member() && self.is_leaving() && !before.is_leaving(me) {
            self.leave_begins(env);
        }
    }

    /// A member may be reached elsewhere, or has begun another life.
    fn contact_changed(&mut self, peer: NodeId, before: Option<&Contact>, env: Env<'_>) {
        let now = self.meta.roster.contact(peer);
        if before == now {
            return;
        }
        let address = |contact: Option<&Contact>| contact.map(|contact| contact.gossip.clone());
        let moved = address(before) != address(now);
        // In a large cluster not all dial at once whoever has begun a life: that is heard of by heartbeats.
        let large = self.is_large();
        if moved || !large {
            self.meet(peer, env);
        }
        if !large || (moved && self.is_chosen()) {
            self.liveness.introduce(env.now, peer);
            self.peers.entry(peer).or_default().introduced = false;
            self.introduce(peer);
        }
    }

    pub(super) fn heartbeat(&mut self, bytes: &Bytes, env: Env<'_>) {
        if let Err(refused) = self.liveness.heartbeat(env.now, bytes) {
            tracing::debug!(%refused, "a heartbeat is refused");
        }
    }

    /// Timers of the heartbeats, then what came of them and of what was done since.
    pub(super) fn liveness_due(&mut self, env: Env<'_>) {
        if self.liveness.next_wake().is_some_and(|at| at <= env.now.mono) {
            self.liveness.wake(env.now);
        }
        self.liveness_drain(env);
    }

    fn liveness_drain(&mut self, env: Env<'_>) {
        let output = self.liveness.drain();
        if !output.changes.is_empty() {
            self.live.take();
        }
        for (to, bytes) in output.packets {
            if let Some(contact) = self.meta.roster.contact(to) {
                let address = contact.gossip.clone();
                self.out.push_back(Action::SendHeartbeat { to, address, bytes: bytes.into() });
            }
        }
        for (peer, state) in output.changes {
            self.liveness_changed(peer, state, env);
        }
    }

    fn liveness_changed(&mut self, peer: NodeId, state: LivenessState, env: Env<'_>) {
        self.changed = true;
        self.reckon_anew();
        let known = self.peers.entry(peer).or_default();
        let was_up = std::mem::replace(&mut known.up, state != LivenessState::Down);
        if was_up == (state == LivenessState::Down) {
            self.sessions_needed(env);
        }
        let roster = &self.meta.roster;
        match state {
            LivenessState::Alive if !was_up => {
                tracing::info!(member = %roster.shown_name(peer), "up");
                self.peers.entry(peer).or_default().returned = true;
                if self.is_chosen() {
                    self.introduce(peer);
                    let jitter = WELCOME_JITTER.mul_f64(self.rng.random_range(0.0..1.0));
                    self.schedule.soon(peer, env.now.mono + jitter);
                }
            }
            LivenessState::Down if was_up => {
                let known = self.peers.entry(peer).or_default();
                known.introduced = false;
                if !std::mem::take(&mut known.leaving) {
                    tracing::warn!(member = %roster.shown_name(peer), "down");
                }
                self.end_sessions_with(peer, env);
                self.asked_for.remove(&peer);
                self.schedule.not_wanted(peer);
                self.out.push_back(Action::Disconnect { peer, forget: false });
            }
            LivenessState::Suspect => tracing::debug!(member = %roster.shown_name(peer), "suspected"),
            _ => {}
        }
    }

    pub(super) fn connected(&mut self, peer: NodeId, life: WriterId, address: Option<String>, env: Env<'_>) {
        if !self.both_members(peer) {
            // A member that was removed while it was away must learn it, or it would serve on alone.
            if let Some(address) = address.filter(|_| self.meta.roster.removal(peer).is_some()) {
                self.out.push_back(Action::Contact { peer, address });
                self.tell_roster(peer);
            }
            return;
        }
        let known = self.peers.entry(peer).or_default();
        if known.left == Some(life) && address.is_some() {
            // A connection of an earlier life that was looked at late. Lives never come back.
            return;
        }
        // What has just answered when this node dialed it does live: if that is the life before, then it was the
        // connection of the other one that came late.
        if known.life != Some(life) {
            self.new_life(peer, life, env);
        }
        if self.liveness.state(peer) == LivenessState::Down {
            self.liveness.introduce(env.now, peer);
        }
    }

    pub(super) fn disconnected(&mut self, peer: NodeId, env: Env<'_>) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.introduced = false;
        }
        self.forget_told(peer);
        // Where a process has ended its connections tell first.
        self.liveness.doubt(env.now, peer);
        self.sessions_needed(env);
        self.end_sessions_with(peer, env);
    }

    /// The peer has begun another life: frames of the earlier one count no more, and it may have lost or gained
    /// anything in between.
    pub(super) fn new_life(&mut self, peer: NodeId, life: WriterId, env: Env<'_>) {
        self.end_sessions_with(peer, env);
        self.forget_told(peer);
        self.heard_of_life(peer, env.now.mono);
        self.repairs.went_well(peer);
        let known = self.peers.entry(peer).or_default();
        let left = known.life;
        let (up, root) = (known.up, known.root);
        *known = Peer { life: Some(life), left, up, root, returned: true, ..Peer::default() };
        self.introduce(peer);
        self.sessions_needed(env);
        // In a large cluster most connections are the first one of two members, and no life has ended.
        if left.is_some() || self.is_chosen() {
            self.schedule.soon(peer, env.now.mono);
        }
    }

    /// A frame from a node that is no member here, or came while this node is none.
    pub(super) fn stranger(&mut self, from: NodeId, frame: &Frame) {
        if let Frame::Session { id, body: SessionFrame::Open(_) } = frame {
            let body = SessionFrame::Abort(AbortReason::NotMember);
            self.say(from, Frame::Session { id: *id, body });
            self.tell_roster(from);
        }
        tracing::debug!(%from, "a frame from a node that is not a member is refused");
    }

    pub(super) fn goodbye_came(&mut self, from: NodeId, env: Env<'_>) {
        tracing::info!(member = %self.meta.roster.shown_name(from), "said goodbye");
        self.peers.entry(from).or_default().leaving = self.liveness.state(from) != LivenessState::Down;
        self.liveness.said_goodbye(env.now, from);
        self.end_sessions_with(from, env);
    }

    pub(super) fn say_goodbye(&mut self, env: Env<'_>) {
        for peer in self.live().iter() {
            self.say(*peer, Frame::Goodbye);
        }
        self.liveness.goodbye(env.now);
        self.liveness_drain(env);
    }
}

/// How many times members were added and removed.
fn changes(roster: &Roster) -> u64 {
    (roster.ids() + roster.removed().count()) as u64
}
