//! The sessions of a node: begun on time, fed with frames, ended.

use std::collections::BTreeSet;
use std::time::Duration;

use model::NodeId;
use rand::RngExt;

use super::{Action, Core, Env, Op};
use crate::session::{
    AbortReason, Begin, Ending, Failure, Open, Opened, Outcome, Report, Session, SessionFrame, SessionId,
    SessionPhase, Step, Way,
};
use crate::wire::Frame;

/// A session that named no more than this is not worth a line in the log, unless the peer has just returned.
const FEW_KEYS: u64 = 16;

/// The transport puts the length in so many bytes before each frame.
const LENGTH_BYTES: u64 = 4;

impl Core {
    pub(super) fn sessions_due(&mut self, env: Env<'_>) {
        self.end_overdue(env);
        for id in std::mem::take(&mut self.searching) {
            if let Some(session) = self.sessions.get_mut(&id) {
                let steps = session.resume(env.store);
                self.steps(id, steps, env);
            }
        }
        while self.may_repair() && self.schedule.next_wake().is_some_and(|at| at <= env.now.mono) {
            let taken: BTreeSet<NodeId> = self.sessions.values().map(Session::peer).collect();
            let free: BTreeSet<NodeId> = self.live().difference(&taken).copied().collect();
            let open = self.sessions.len();
            let Some(peer) = self.schedule.pick(env.now.mono, &free, open, &mut self.rng) else { break };
            self.begin_session(peer, env);
        }
    }

    pub(super) fn repair_wanted(&mut self, peer: NodeId, env: Env<'_>) {
        if peer != self.meta.node && self.meta.roster.contains(peer) {
            self.asked_for.insert(peer);
            self.schedule.wanted(peer, env.now.mono);
        }
    }

    fn end_overdue(&mut self, env: Env<'_>) {
        let limits = self.config.sessions;
        let overdue: Vec<SessionId> = self
            .sessions
            .values()
            .filter(|s| {
                env.now.mono >= s.heard() + limits.idle_max
                    || env.now.mono >= s.started().mono + limits.total_max
            })
            .map(Session::id)
            .collect();
        for id in overdue {
            self.fail_session(id, Failure::TimedOut, env);
        }
    }

    fn begin(&self, peer: NodeId) -> Begin {
        Begin { peer, roster: self.meta.roster.version(), behind: !self.meta.caught_up }
    }

    fn begin_session(&mut self, peer: NodeId, env: Env<'_>) {
        self.introduce(peer);
        let id = SessionId { initiator: self.meta.node, number: self.rng.random() };
        match Session::open(id, self.begin(peer), env.now, env.store) {
            Ok((session, steps)) => self.opened(session, steps, env),
            Err(failure) => tracing::warn!(%failure, "no session could be begun"),
        }
    }

    fn opened(&mut self, session: Session, steps: Vec<Step>, env: Env<'_>) {
        let id = session.id();
        self.sessions.insert(id, session);
        self.changed = true;
        self.steps(id, steps, env);
    }

    pub(super) fn session_frame(&mut self, from: NodeId, id: SessionId, body: SessionFrame, env: Env<'_>) {
        if let SessionFrame::Open(open) = body {
            return self.open_came(from, id, &open, env);
        }
        // A frame counts only inside its open session, and only from the other side of it (H9).
        let bytes = crate::wire::session_frame_bytes(&id, &body) as u64 + LENGTH_BYTES;
        let Some(session) = self.sessions.get_mut(&id).filter(|s| s.peer() == from) else {
            // The other side need not wait for what will not come.
            if !matches!(body, SessionFrame::Abort(_) | SessionFrame::Done { .. }) {
                let body = SessionFrame::Abort(AbortReason::TimedOut);
                self.say(from, Frame::Session { id, body });
            }
            return;
        };
        session.account(Way::Received, &body, bytes, env.now.mono);
        self.progress = true;
        let steps = session.frame(body, env.now, env.store);
        self.steps(id, steps, env);
    }

    fn open_came(&mut self, from: NodeId, id: SessionId, open: &Open, env: Env<'_>) {
        let answer = |body| Frame::Session { id, body };
        if id.initiator != from || self.sessions.contains_key(&id) {
            return self.say(from, answer(SessionFrame::Abort(AbortReason::Protocol)));
        }
        if open.roster != self.meta.roster.version() {
            let roster = Box::new(self.meta.roster.clone());
            return self.say(from, answer(SessionFrame::Opened(Opened::RosterFirst(roster))));
        }
        if !self.may_repair() || !self.make_room(from, env) {
            return self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
        }
        self.heard_of(from, open.behind, open.tree.root);
        match Session::answer(id, self.begin(from), open, env.now, env.store) {
            Ok((session, steps)) => self.opened(session, steps, env),
            Err(failure) => {
                tracing::warn!(%failure, "an opening could not be answered");
                self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
            }
        }
    }

    /// Whether a session with this peer may be answered. Of two openings that cross, the smaller id's stands. An
    /// older session that the peer began is one that it has given up.
    fn make_room(&mut self, peer: NodeId, env: Env<'_>) -> bool {
        let me = self.meta.node;
        let old = self.sessions.values().find(|s| s.peer() == peer).map(|s| (s.id(), s.is_opening()));
        match old {
            None => self.sessions.len() < self.config.sessions.open_max,
            Some((id, _)) if id.initiator == peer => {
                self.end_session(id, &Ending::Failed(Failure::PeerGone), env);
                true
            }
            Some((id, true)) if peer < me => {
                self.end_session(id, &Ending::Busy, env);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn session_stored(&mut self, id: SessionId, env: Env<'_>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let steps = session.stored(env.store);
            self.steps(id, steps, env);
        }
    }

    pub(super) fn durable(&mut self, op: u64, env: Env<'_>) {
        let Some(Op::Flush(id, seq)) = self.ops.remove(&op) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            let steps = session.flushed(seq, env.store);
            self.steps(id, steps, env);
        }
    }

    fn steps(&mut self, id: SessionId, steps: Vec<Step>, env: Env<'_>) {
        let Some(peer) = self.sessions.get(&id).map(Session::peer) else { return };
        for step in steps {
            match step {
                Step::Send { frame, after } => {
                    let bytes = crate::wire::session_frame_bytes(&id, &frame) as u64 + LENGTH_BYTES;
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.account(Way::Sent, &frame, bytes, env.now.mono);
                    }
                    self.send(peer, Frame::Session { id, body: frame }, after);
                }
                Step::Merge(entries) => self.merge(peer, Op::Session(id), entries, env),
                Step::Again => {
                    self.searching.insert(id);
                }
                Step::Flush(seq) => {
                    let op = self.op(Op::Flush(id, seq));
                    self.out.push_back(Action::AwaitDurable { op, seq });
                }
                Step::End(ending) => self.end_session(id, &ending, env),
            }
        }
    }

    pub(super) fn fail_session(&mut self, id: SessionId, failure: Failure, env: Env<'_>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let steps = session.fail(failure, env.store);
            self.steps(id, steps, env);
        }
    }

    pub(super) fn end_sessions_with(&mut self, peer: NodeId, env: Env<'_>) {
        let ids: Vec<SessionId> =
            self.sessions.values().filter(|s| s.peer() == peer).map(Session::id).collect();
        for id in ids {
            self.end_session(id, &Ending::Failed(Failure::PeerGone), env);
        }
    }

    pub(super) fn end_all_sessions(&mut self, env: Env<'_>) {
        while let Some(id) = self.sessions.keys().next().copied() {
            self.fail_session(id, Failure::PeerGone, env);
        }
    }

    fn end_session(&mut self, id: SessionId, ending: &Ending, env: Env<'_>) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.release(env.store);
        self.changed = true;
        let (peer, tally) = (session.peer(), session.tally());
        let ms = (env.now.mono.saturating_sub(session.started().mono)).as_millis() as u64;
        let name = self.meta.roster.shown_name(peer);
        if let Some(root) = session.peer_root() {
            self.heard_of(peer, session.peer_behind(), root);
        }
        match ending {
            Ending::Identical => {
                // A few keys are writes that were under way as the views were frozen, but for one that came back.
                let returned = std::mem::take(&mut self.peers.entry(peer).or_default().returned);
                if tally.named > if returned { 0 } else { FEW_KEYS } {
                    tracing::info!(peer = %name, named = tally.named, sent = tally.sent, received = tally.received, ms, "repaired");
                }
                self.proven(&session, env);
            }
            Ending::More => {
                tracing::info!(peer = %name, named = tally.named, sent = tally.sent, received = tally.received, ms, "repaired in part, going on");
                self.schedule.soon(peer, env.now.mono);
            }
            Ending::RosterFirst(roster) => self.roster_first(peer, roster, env),
            Ending::Busy if self.asked_for.contains(&peer) => {
                self.schedule.wanted(peer, env.now.mono + Duration::from_millis(100));
            }
            Ending::Busy if !self.meta.caught_up => {
                self.schedule.soon(peer, env.now.mono + Duration::from_millis(100));
            }
            Ending::Busy => {}
            Ending::Aborted(reason) => {
                tracing::debug!(peer = %name, ?reason, "the peer ended the session");
                if *reason == AbortReason::NotMember {
                    self.tell_roster(peer);
                }
            }
            Ending::Failed(Failure::PeerGone) => tracing::debug!(peer = %name, "session ended: peer gone"),
            Ending::Failed(failure) => tracing::warn!(peer = %name, %failure, ms, "session ended"),
        }
        self.remember(&session, ending, env);
    }

    /// Counts a session that has ended, and keeps its report if it tells anything.
    fn remember(&mut self, session: &Session, ending: &Ending, env: Env<'_>) {
        let outcome = match ending {
            Ending::Identical => Outcome::Identical,
            Ending::More => Outcome::More,
            Ending::Busy => Outcome::Busy,
            Ending::Aborted(reason) => {
                self.repairs.failed(&format!("peer_{}", reason.kind()));
                Outcome::Aborted(*reason)
            }
            Ending::Failed(failure) => {
                self.repairs.failed(failure.kind());
                Outcome::Failed(failure.to_string())
            }
            Ending::RosterFirst(_) => return,
        };
        let check = outcome == Outcome::Identical && session.tally().searches == 0;
        self.repairs.checks += u64::from(check);
        let asked_for = session.id().initiator == self.meta.node && self.asked_for.remove(&session.peer());
        if (check && !asked_for) || outcome == Outcome::Busy {
            return;
        }
        let report = session.report(env.now.mono);
        self.repairs.ended(Report {
            phase: SessionPhase::Ended,
            outcome: Some(outcome),
            remaining_ms: None,
            ..report
        });
    }

    /// The two were identical as of the session's start.
    fn proven(&mut self, session: &Session, env: Env<'_>) {
        let peer = session.peer();
        self.meta.identical.insert(peer, session.started().wall_ms);
        self.evidence_unsaved_since.get_or_insert(env.now.mono);
        if self.meta.caught_up {
            return;
        }
        // Only a member that is not behind ends it, unless there is none (H28, H29).
        let all_behind = self.others().all(|id| self.peers.get(&id).and_then(|p| p.behind) == Some(true));
        if session.peer_behind() && !all_behind {
            return;
        }
        if session.peer_behind() {
            tracing::warn!(
                "every member is behind; going on with what they hold together. Deletes may return"
            );
        }
        tracing::info!(peer = %self.meta.roster.shown_name(peer), "caught up; serving");
        self.meta.caught_up = true;
        self.schedule.set_needed(false);
        self.persist();
    }

    fn roster_first(&mut self, peer: NodeId, roster: &crate::roster::Roster, env: Env<'_>) {
        let changed = self.merge_roster(roster, env);
        self.tell_roster(peer);
        // Equal after one exchange. Were it not, the pause keeps two nodes from spinning.
        let pause = if changed { Duration::ZERO } else { Duration::from_millis(250) };
        self.schedule.soon(peer, env.now.mono + pause);
        if self.asked_for.contains(&peer) {
            self.schedule.wanted(peer, env.now.mono + pause);
        }
    }

    fn heard_of(&mut self, peer: NodeId, behind: bool, root: merkle::RangeDigest) {
        let known = self.peers.entry(peer).or_default();
        if known.root != Some(root) || known.behind != Some(behind) {
            self.changed = true;
        }
        (known.root, known.behind) = (Some(root), Some(behind));
    }

    pub(super) fn save_evidence(&mut self, env: Env<'_>, after: Duration) {
        if self.evidence_unsaved_since.is_some_and(|since| env.now.mono >= since + after) {
            self.evidence_unsaved_since = None;
            self.out.push_back(Action::Keep(Box::new(self.meta.clone())));
        }
    }
}
