//! The sessions of a node: begun on time, fed with frames, ended.

use std::collections::BTreeSet;
use std::time::Duration;

use model::NodeId;
use rand::RngExt;

use storage::Seq;

use super::{Action, Core, Env, Op};
use crate::rules::Rule;
use crate::session::{
    AbortReason, Allowance, Begin, Ending, Failure, Open, Opened, Session, SessionFrame, SessionId, Step,
    Turn, Way,
};
use crate::wire::{self, Frame};

/// The transport puts the length in so many bytes before each frame.
const LENGTH_BYTES: u64 = 4;

/// An own opening without an answer keeps this node from others for no longer than this: the peer may have stalled.
const OPENING_HOLDS: Duration = Duration::from_secs(3);

/// While the governor holds repair back, peers are told so often that this node is still there.
const BEAT_EVERY: Duration = Duration::from_secs(5);

impl Core {
    pub(super) fn sessions_due(&mut self, env: Env<'_>) {
        self.end_overdue(env);
        self.go_on(env);
        while self.may_repair()
            && self.has_advanced()
            && self.schedule.next_wake().is_some_and(|at| at <= env.now.mono)
        {
            let now = env.now.mono;
            let taken: BTreeSet<NodeId> = self.sessions.values().map(Session::peer).collect();
            let free = |id: &NodeId| {
                !taken.contains(id) && (!self.repairs.is_backed_off(*id, now) || self.asked_for.contains(id))
            };
            let live: BTreeSet<NodeId> = self.live().iter().copied().collect();
            let free: BTreeSet<NodeId> = live.iter().copied().filter(free).collect();
            // Whoever repairs begins nothing else: its root is on the move.
            let occupied = self.repairing().is_some() || self.awaits_answer(now);
            let open = if occupied { usize::MAX } else { self.sessions.len() };
            let Some(peer) = self.schedule.pick(now, (&live, &free), open, &mut self.rng) else { break };
            self.begin_session(peer, env);
        }
    }

    /// A write is seen however it came about, also one whose client did not wait for it.
    pub(super) fn note_writes(&mut self, env: Env<'_>) {
        let written = env.store.counted();
        if std::mem::replace(&mut self.noted, written) != written {
            self.sessions_needed(env);
        }
    }

    /// Something is not as it was: sessions are begun at the configured interval again.
    pub(super) fn sessions_needed(&mut self, env: Env<'_>) {
        self.schedule.changed(env.now.mono, &mut self.rng);
    }

    /// Goes on with sessions that have more to do, as far as repair may be done now.
    fn go_on(&mut self, env: Env<'_>) {
        let waiting = std::mem::take(&mut self.searching);
        let beat = env.now.mono >= self.beat_at;
        let mut held_back = false;
        for id in waiting {
            let turn = self.turn(env);
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if turn.allowed.now {
                let steps = session.resume(turn);
                self.steps(id, steps, env);
                continue;
            }
            held_back = true;
            self.searching.insert(id);
            if beat && !session.is_opening() {
                let still_here = SessionFrame::Taken { names: 0, data: 0 };
                self.steps(id, vec![Step::Send { frame: still_here, after: Seq::default() }], env);
            }
        }
        if held_back && beat {
            self.beat_at = env.now.mono + BEAT_EVERY;
        }
    }

    /// When [`Core::sessions_due`] has to go on with sessions.
    pub(super) fn going_on_at(&self) -> Option<Duration> {
        let ready = self.governor.ready_at(Duration::ZERO);
        (!self.searching.is_empty()).then(|| ready.min(self.beat_at))
    }

    fn turn<'a>(&self, env: Env<'a>) -> Turn<'a> {
        let now = self.governor.ready_at(env.now.mono) <= env.now.mono;
        let allowed = Allowance { now, slice: self.governor.slice(), window: self.governor.window() };
        Turn { now: env.now, store: env.store, allowed }
    }

    /// The session in which this node repairs. There is one at most, so that no entry is fetched twice at a time.
    fn repairing(&self) -> Option<&Session> {
        self.sessions.values().find(|session| !session.is_check())
    }

    /// Whether data is being exchanged, or looked for.
    pub fn is_repairing(&self) -> bool {
        self.repairing().is_some()
    }

    fn awaits_answer(&self, now: Duration) -> bool {
        let waits = |s: &Session| s.is_opening() && now < s.started().mono + OPENING_HOLDS;
        self.sessions.values().any(waits)
    }

    pub(super) fn repair_wanted(&mut self, peer: NodeId, env: Env<'_>) {
        if peer != self.meta.node && self.meta.roster.contains(peer) {
            self.asked_for.insert(peer);
            self.sessions_needed(env);
            self.schedule.wanted(peer, env.now.mono);
        }
    }

    fn end_overdue(&mut self, env: Env<'_>) {
        let now = env.now.mono;
        let overdue = self.sessions.values().filter(|session| now >= self.deadline(session));
        let overdue: Vec<(SessionId, bool)> = overdue
            .map(|session| (session.id(), now >= session.started().mono + self.config.sessions.total_max))
            .collect();
        for (id, overlong) in overdue {
            let failure = if overlong { Failure::Overlong } else { Failure::TimedOut };
            self.fail_session(id, failure, env);
        }
    }

    /// When a session is overdue, if nothing comes.
    fn deadline(&self, session: &Session) -> Duration {
        let limits = self.config.sessions;
        let answers = session.is_check() && !session.is_opening();
        let idle_max = if answers { limits.idle_max } else { limits.repairing_idle_max };
        // While this side holds it back nothing needs to come.
        let idle = (!self.searching.contains(&session.id())).then(|| session.heard() + idle_max);
        let total = session.started().mono + limits.total_max;
        total.min(session.progressed() + limits.progress_max).min(idle.unwrap_or(total))
    }

    /// When the next session is overdue, if nothing comes.
    pub(super) fn overdue_at(&self) -> Option<Duration> {
        self.sessions.values().map(|session| self.deadline(session)).min()
    }

    fn begin(&mut self, peer: NodeId) -> Begin {
        let (roster, prefer) = (self.forgetting.version, self.config.sessions.prefer);
        let stability = self.said_to(peer);
        Begin { peer, roster, behind: !self.meta.caught_up, prefer, stability, rules: self.config.rules }
    }

    fn begin_session(&mut self, peer: NodeId, env: Env<'_>) {
        self.introduce(peer);
        let id = SessionId { initiator: self.meta.node, number: self.rng.random() };
        let begin = self.begin(peer);
        match Session::open(id, begin, self.turn(env)) {
            Ok((session, steps)) => self.opened(session, steps, env),
            Err(failure) => {
                tracing::warn!(%failure, "no session could be begun");
                self.forget_told(peer);
            }
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
        let turn = self.turn(env);
        let elsewhere = self.repairing().is_some_and(|other| other.id() != id);
        let Some(session) = self.sessions.get_mut(&id).filter(|s| s.peer() == from) else {
            // The other side need not wait for what will not come.
            let awaits = !matches!(body, SessionFrame::Abort(_) | SessionFrame::Done { .. });
            // Once is enough, however much was on its way.
            if awaits && self.refused.replace(id) != Some(id) {
                let body = SessionFrame::Abort(AbortReason::TimedOut);
                self.say(from, Frame::Session { id, body });
            }
            return;
        };
        let bytes = wire::session_frame_bytes(&id, &body) as u64 + LENGTH_BYTES;
        session.account(Way::Received, &body, bytes, env.now.mono);
        self.progress = true;
        if elsewhere && matches!(body, SessionFrame::Opened(Opened::Differ { .. })) {
            // It has begun to repair with somebody else since it sent its opening.
            self.say(from, Frame::Session { id, body: SessionFrame::Abort(AbortReason::Busy) });
            return self.end_session(id, &Ending::Busy, env);
        }
        let is_opening = session.is_opening();
        let span = session.span().clone();
        let _inside = span.enter();
        if let SessionFrame::Opened(opened) = &body
            && is_opening
        {
            self.opened_said(from, id, opened, env);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let data = body.data_bytes();
        let steps = session.frame(body, turn);
        if !session.is_check() {
            self.governor.came(env.now.mono, bytes, data);
        }
        self.steps(id, steps, env);
    }

    /// What the answer to an opening says beside the session itself.
    fn opened_said(&mut self, from: NodeId, id: SessionId, opened: &Opened, env: Env<'_>) {
        // Members are named by their place in the roster, which may have changed since.
        if self.sessions.get(&id).map(Session::roster) != Some(self.forgetting.version) {
            return;
        }
        match opened {
            Opened::Identical { stability, .. } | Opened::Differ { stability, .. } => {
                let vector = self.heard_said(from, stability);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.knows(vector);
                }
            }
            Opened::MarksFirst(stability) => {
                self.heard_said(from, stability);
                self.take_marks(stability.marks(), env);
            }
            Opened::RosterFirst(_) | Opened::Busy => {}
        }
    }

    fn open_came(&mut self, from: NodeId, id: SessionId, open: &Open, env: Env<'_>) {
        let answer = |body| Frame::Session { id, body };
        if self.sessions.get(&id).is_some_and(|session| session.peer() == from) {
            return self.fail_session(id, Failure::Protocol("a second opening"), env);
        }
        if id.initiator != from || self.sessions.contains_key(&id) {
            return self.say(from, answer(SessionFrame::Abort(AbortReason::Protocol)));
        }
        if open.roster != self.forgetting.version {
            let roster = Box::new(self.meta.roster.clone());
            return self.say(from, answer(SessionFrame::Opened(Opened::RosterFirst(roster))));
        }
        if !self.may_repair() {
            return self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
        }
        let vector = self.heard_said(from, &open.stability);
        let held = self.meta.stability.marks();
        if open.stability.marks() != held {
            self.take_marks(open.stability.marks(), env);
            let stability = self.said_to(from);
            return self.say(from, answer(SessionFrame::Opened(Opened::MarksFirst(stability))));
        }
        // While the store is on its way to the marks its root is on the move.
        if !self.has_advanced() || !self.make_room(from, env) {
            return self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
        }
        self.heard_of(from, open.behind, open.tree.root);
        let engaged = self.is_engaged(from, env);
        let begin = self.begin(from);
        match Session::answer(id, begin, open, vector, engaged, self.turn(env)) {
            Ok(Some((mut session, steps))) => {
                let frame = SessionFrame::Open(Box::new(open.clone()));
                let bytes = wire::session_frame_bytes(&id, &frame) as u64 + LENGTH_BYTES;
                session.account(Way::Received, &frame, bytes, env.now.mono);
                self.opened(session, steps, env);
            }
            Ok(None) => {
                self.forget_told(from);
                self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
            }
            Err(failure) => {
                tracing::warn!(%failure, "an opening could not be answered");
                self.forget_told(from);
                self.say(from, answer(SessionFrame::Opened(Opened::Busy)));
            }
        }
    }

    /// Whether this node has no time to repair with this peer, which asks. It has not while it repairs with somebody
    /// else. An own opening under way gives way to a smaller id's, and only to those: so a circle of openings breaks
    /// at its smallest member, which is repaired with, and everyone else is told that it is busy.
    fn is_engaged(&self, peer: NodeId, env: Env<'_>) -> bool {
        let now = env.now.mono;
        let left_alone = self.repairs.is_backed_off(peer, now) && !self.asked_for.contains(&peer);
        self.repairing().is_some() || left_alone || (peer > self.meta.node && self.awaits_answer(now))
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
        let turn = self.turn(env);
        if let Some(session) = self.sessions.get_mut(&id) {
            let steps = session.stored(turn);
            self.steps(id, steps, env);
        }
    }

    pub(super) fn durable(&mut self, op: u64, env: Env<'_>) {
        let (id, seq) = match self.ops.remove(&op) {
            Some(Op::Flush(id, seq)) => (id, seq),
            Some(Op::Publish(at)) => return self.published(at),
            _ => return,
        };
        let turn = self.turn(env);
        if let Some(session) = self.sessions.get_mut(&id) {
            let steps = session.flushed(seq, turn);
            self.steps(id, steps, env);
        }
    }

    fn steps(&mut self, id: SessionId, steps: Vec<Step>, env: Env<'_>) {
        let Some(peer) = self.sessions.get(&id).map(Session::peer) else { return };
        for step in steps {
            match step {
                Step::Send { frame, after } => {
                    let bytes = wire::session_frame_bytes(&id, &frame) as u64 + LENGTH_BYTES;
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.account(Way::Sent, &frame, bytes, env.now.mono);
                        if !session.is_check() {
                            self.governor.spend(env.now.mono, bytes);
                        }
                        if let SessionFrame::Taken { data, .. } = &frame {
                            self.governor.gave(env.now.mono, *data);
                        }
                    }
                    self.send(peer, Frame::Session { id, body: frame }, after);
                }
                Step::Merge(entries) => self.merge(peer, Op::Session(id), entries, env),
                Step::Quarantine(entries) => self.quarantine(peer, id, entries),
                Step::Again => {
                    self.searching.insert(id);
                }
                Step::Flush(seq) if !self.config.rules.hold(Rule::H10) => {
                    let turn = self.turn(env);
                    let Some(session) = self.sessions.get_mut(&id) else { return };
                    let steps = session.flushed(seq, turn);
                    self.steps(id, steps, env);
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
            let steps = session.fail(failure);
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
            self.fail_session(id, Failure::Stopping, env);
        }
    }
}
