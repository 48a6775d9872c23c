//! Leaving the cluster. A node that leaves says so to all, takes no more writes, completes a session, begun after its last
//! write, with a member that is not leaving too (H14, H38), and then removes itself from the roster. Once a member is known
//! to have learned of that, the process may end.
//!
//! That a node is leaving stands in the roster: it survives a restart, and since rosters are equal before data flows, a
//! node that is leaving knows of each partner whether it is leaving, too. A node that begins to leave ends its sessions
//! first: what it took in until then is in the session that it completes later. It cannot be taken back.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Hlc, NodeId};
use rand::seq::IteratorRandom;
use thiserror::Error;

use super::event::Answered;
use super::{Action, Core, Env, ReplyId};
use crate::liveness::LivenessState;
use crate::roster::{Removal, Roster};
use crate::rules::Rule;
use crate::session::{AbortReason, Ending, Session, SessionFrame, SessionId};
use crate::wire::Frame;

/// Sessions to hand over in are asked for so often.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// ... with so many members at a time.
const PARTNERS_MAX: usize = 3;
/// Members are told so often that this node has left, until one is known to know it.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// ... so many at a time.
const TOLD_MAX: usize = 8;
/// A node that was forced to leave tells for no longer than this.
const FORCED_TELLS_FOR: Duration = Duration::from_secs(5);

/// Why a node does not begin to leave. Nothing has changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LeaveRefusal {
    /// Nobody would hold what it holds.
    #[error("this node is the last member of its cluster: there is nobody to hand over to")]
    LastMember,
    /// The same, soon.
    #[error("every other member is leaving, too: there is nobody to hand over to")]
    NobodyStays,
    /// It has left, or was removed.
    #[error("this node is no member of the cluster any more")]
    NotAMember,
    /// It stops, or cannot take a time yet.
    #[error("this node is starting or stopping")]
    NotReady,
}

/// How far a node has come that is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeavingStatus {
    /// It waits for clients' writes that are under way.
    ClosingWrites,
    /// It hands over what it holds.
    HandingOver,
    /// It is no member any more, and tells the others.
    Telling,
    /// Somebody knows it; the process may end.
    Left,
}

/// This node's own leaving.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    step: Option<Step>,
}

#[derive(Debug)]
enum Step {
    /// Clients' writes are under way.
    Closing,
    /// Sessions that were open before do not count.
    HandingOver { earlier: BTreeSet<SessionId>, ask_at: Duration },
    /// Until when, if it was forced.
    Telling { again_at: Duration, until: Option<Duration> },
    /// Whether the driver has been told.
    Left { said: bool },
}

impl Core {
    /// A node that was leaving as it stopped goes on.
    pub(super) fn begin_leaving(&mut self, env: Env<'_>) {
        let me = self.meta.node;
        if self.is_member() && self.meta.roster.is_leaving(me) {
            self.close_writes();
        } else if self.has_left() {
            self.leaving.step = Some(Step::Telling { again_at: env.now.mono, until: None });
        }
    }

    /// Whether this node has removed itself.
    pub(super) fn has_left(&self) -> bool {
        self.meta.has_left()
    }

    /// Whether this life has removed this node itself, or goes on telling that an earlier one has.
    pub(super) fn is_telling(&self) -> bool {
        matches!(self.leaving.step, Some(Step::Telling { .. }))
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.meta.roster.is_leaving(self.meta.node)
    }

    /// How far this node has come, if it is leaving.
    pub fn leaving_status(&self) -> Option<LeavingStatus> {
        Some(match self.leaving.step.as_ref()? {
            Step::Closing => LeavingStatus::ClosingWrites,
            Step::HandingOver { .. } => LeavingStatus::HandingOver,
            Step::Telling { .. } => LeavingStatus::Telling,
            Step::Left { .. } => LeavingStatus::Left,
        })
    }

    pub(super) fn leaving_wakes(&self) -> Option<Duration> {
        match self.leaving.step.as_ref()? {
            Step::HandingOver { ask_at, .. } => self.may_repair().then_some(*ask_at),
            Step::Telling { again_at, until } => Some(until.unwrap_or(*again_at).min(*again_at)),
            Step::Closing | Step::Left { .. } => None,
        }
    }

    /// An operator wants this node to leave; by `force` also where nobody takes what it holds.
    pub(super) fn leave_wanted(&mut self, reply: ReplyId, force: bool, env: Env<'_>) {
        let answer = self.leave(force, env);
        self.out.push_back(Action::Answer { reply, answer: Answered::Leave(answer) });
    }

    pub(super) fn leave(&mut self, force: bool, env: Env<'_>) -> Result<(), LeaveRefusal> {
        if self.has_left() {
            return Ok(());
        }
        if !self.is_member() {
            return Err(LeaveRefusal::NotAMember);
        }
        if force {
            return self.go(true, env);
        }
        if self.is_leaving() {
            return Ok(());
        }
        if self.others().next().is_none() {
            return Err(LeaveRefusal::LastMember);
        }
        if self.others().all(|id| self.meta.roster.is_leaving(id)) {
            return Err(LeaveRefusal::NobodyStays);
        }
        let at = env.time.tick(env.now.wall_ms).ok_or(LeaveRefusal::NotReady)?;
        let before = self.meta.roster.clone();
        self.meta.roster.leave(self.meta.node, at).map_err(|_| LeaveRefusal::NotAMember)?;
        self.roster_changed(&before, env);
        Ok(())
    }

    /// The roster says from now on that this node leaves: it was told to, or it hears so from others, since its disk is one
    /// from before it was told.
    pub(super) fn leave_begins(&mut self, env: Env<'_>) {
        tracing::info!("leaving the cluster; no more writes are taken");
        self.give_up_sessions(env);
        self.close_writes();
    }

    /// A peer that is leaving, too, may have begun one before it knew that this node is no partner.
    fn give_up_sessions(&mut self, env: Env<'_>) {
        let open: Vec<(SessionId, NodeId)> = self.sessions.values().map(|s| (s.id(), s.peer())).collect();
        for (id, peer) in open {
            self.say(peer, Frame::Session { id, body: SessionFrame::Abort(AbortReason::Busy) });
            self.end_session(id, &Ending::Busy, env);
        }
    }

    fn close_writes(&mut self) {
        self.leaving.step = Some(Step::Closing);
        self.out.push_back(Action::CloseWrites);
        self.changed = true;
    }

    /// No client's write is under way any more, and none will begin.
    pub(super) fn writes_closed(&mut self, env: Env<'_>) {
        self.begin_search();
        if !matches!(self.leaving.step, Some(Step::Closing)) {
            return;
        }
        let earlier = self.sessions.keys().copied().collect();
        self.leaving.step = Some(Step::HandingOver { earlier, ask_at: env.now.mono });
        self.changed = true;
        if !self.config.rules.hold(Rule::H14) {
            let _ = self.go(false, env);
        }
    }

    /// Whether this node may hand over to that member: to one that leaves itself it must not, since that one's own last
    /// session may have begun before (H38).
    fn is_partner(&self, peer: NodeId) -> bool {
        !self.meta.roster.is_leaving(peer) || !self.config.rules.hold(Rule::H38)
    }

    pub(super) fn leaving_due(&mut self, env: Env<'_>) {
        let now = env.now.mono;
        match &mut self.leaving.step {
            Some(Step::HandingOver { ask_at, .. }) if now >= *ask_at => {
                *ask_at = now + ASKED_EVERY;
                self.ask_partners(now);
            }
            Some(Step::Telling { until: Some(until), .. }) if now >= *until => self.is_known(),
            Some(Step::Telling { again_at, .. }) if now >= *again_at => {
                *again_at = now + TOLD_EVERY;
                self.tell_that_left();
            }
            _ => {}
        }
        let searching = self.stranded.is_searching();
        if let Some(Step::Left { said: said @ false }) = &mut self.leaving.step
            && !searching
        {
            *said = true;
            self.out.push_back(Action::Left);
        }
    }

    fn ask_partners(&mut self, now: Duration) {
        let may = |id: &NodeId| self.is_partner(*id) && !self.asked_for.contains(id);
        let partners: Vec<NodeId> = self.live().iter().copied().filter(may).collect();
        for peer in partners.into_iter().sample(&mut self.rng, PARTNERS_MAX) {
            self.asked_for.insert(peer);
            self.schedule.wanted(peer, now);
        }
    }

    fn tell_that_left(&mut self) {
        let others: Vec<NodeId> = self.others().collect();
        // Those that answer first; of the others any.
        let (up, down): (Vec<NodeId>, Vec<NodeId>) =
            others.into_iter().partition(|id| self.liveness.state(*id) != LivenessState::Down);
        let pool = if up.is_empty() { down } else { up };
        if pool.is_empty() {
            return self.is_known();
        }
        for peer in pool.into_iter().sample(&mut self.rng, TOLD_MAX) {
            self.tell_roster(peer);
        }
    }

    /// A session has proven this node and a member identical. If all of it lies behind the last write, this node may go.
    pub(super) fn may_have_handed_over(&mut self, session: &Session, env: Env<'_>) {
        let counts = |earlier: &BTreeSet<SessionId>| !earlier.contains(&session.id());
        if matches!(&self.leaving.step, Some(Step::HandingOver { earlier, .. }) if counts(earlier))
            && self.is_partner(session.peer())
            && !self.would_leave_a_guest_alone(env.now.mono)
        {
            tracing::info!(to = %self.meta.roster.shown_name(session.peer()), "handed over what this node holds");
            let _ = self.go(false, env);
        }
    }

    /// Removes this node from the roster: the others are told, and it serves nothing any more.
    fn go(&mut self, forced: bool, env: Env<'_>) -> Result<(), LeaveRefusal> {
        let me = self.meta.node;
        let at = env.time.tick(env.now.wall_ms).filter(|at| *at > Hlc::ZERO).ok_or(LeaveRefusal::NotReady)?;
        let before = self.meta.roster.clone();
        self.meta.roster.remove(me, Removal { at, by: me }).map_err(|_| LeaveRefusal::NotAMember)?;
        self.meta.unsearched = forced;
        let until = forced.then_some(env.now.mono + FORCED_TELLS_FOR);
        self.leaving.step = Some(Step::Telling { again_at: env.now.mono, until });
        self.out.push_back(Action::CloseWrites);
        self.roster_changed(&before, env);
        if forced {
            tracing::warn!("left by force: what nobody else is known to hold goes into quarantine here");
            self.search_stranded();
        }
        Ok(())
    }

    /// A member's roster has come: if it says that this node has left, that is known.
    pub(super) fn heard_of_leaving(&mut self, roster: &Roster) {
        if self.is_telling() && roster.removal(self.meta.node).is_some() {
            self.is_known();
        }
    }

    fn is_known(&mut self) {
        tracing::info!("this node has left the cluster");
        self.leaving.step = Some(Step::Left { said: false });
        self.changed = true;
    }
}
