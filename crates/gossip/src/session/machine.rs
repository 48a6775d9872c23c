//! One session as one side sees it: frames and store events in, steps out. No clock but the instants it
//! is handed, no socket, no task.

mod search;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use merkle::{Finder, Opening, Prefer, RangeDigest};
use model::NodeId;
use storage::{Seq, Store, ViewId};
use tracing::field::Empty;

use super::exchange::Exchange;
use super::flow::{Allowance, Flow};
use super::frames::{Close, Open, Opened, SessionFrame, SessionId, Stability};
use super::incoming::Incoming;
use super::report::{Account, Report, SessionMethod, SessionPhase, Way};
use super::{Failure, Found, Step, Tally};

use crate::roster::RosterVersion;
use crate::rules::{Rule, Rules};
use crate::stability::{Judge, Terms, Vector};
use crate::time::Now;

#[derive(Debug)]
enum Phase {
    /// The initiator waits for the answer to its opening.
    Opening,
    /// Looking for what differs.
    Finding(Box<Finder>),
    /// Naming and streaming it.
    Exchanging(Exchange),
    /// Everything is exchanged; waiting for the flush and for the other side's.
    Closing,
}

/// What the other side said with its [`SessionFrame::Done`].
#[derive(Clone, Copy, Debug, Default)]
struct PeerDone {
    left_out: bool,
    withheld: bool,
}

/// What a side knows of itself when a session begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The other side.
    pub peer: NodeId,
    /// This side's roster version.
    pub roster: RosterVersion,
    /// Whether this side is behind.
    pub behind: bool,
    /// How this side searches where it chooses.
    pub prefer: Prefer,
    /// What it says so that deletes can be forgotten, as of before the view is frozen.
    pub stability: Stability,
    /// All of them, outside of the simulator.
    pub rules: Rules,
}

/// What a session is lent while it takes something in.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The instant.
    pub now: Now,
    /// The store, to read from.
    pub store: &'a Store,
    /// How much repair may be done.
    pub allowed: Allowance,
}

/// A session, one side of it.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    peer: NodeId,
    prefer: Prefer,
    rules: Rules,
    phase: Phase,
    view: ViewId,
    /// What is told leaves once this is durable: the frozen view, and whatever newer was read since.
    rests_on: Seq,
    mine: Opening,
    theirs: Opening,
    found: Vec<Found>,
    cut: bool,
    /// The search has more to do before the next frame is looked at.
    working: bool,
    held: VecDeque<SessionFrame>,
    flow: Flow,
    incoming: Incoming,
    own_close: Option<Close>,
    peer_close: Option<Close>,
    /// The bytes of each merge that is not in the store yet, in order.
    merges: VecDeque<u64>,
    flushing: Option<Seq>,
    flushed: bool,
    peer_done: Option<PeerDone>,
    peer_behind: bool,
    peer_unproven: bool,
    /// Whether this side said that it is behind, and what it said of watermark and publications.
    behind: bool,
    roster: RosterVersion,
    stability: Stability,
    judge: Judge,
    /// The vector that the peer said, read before it froze its view.
    peer_vector: Option<Vector>,
    tally: Tally,
    account: Account,
    started: Now,
    heard: Duration,
    progressed: Duration,
    span: tracing::Span,
}

impl Session {
    /// Begins a session as initiator: freezes a view and sends the opening.
    ///
    /// # Errors
    /// When no view can be frozen.
    pub fn open(id: SessionId, begin: Begin, turn: Turn<'_>) -> Result<(Self, Vec<Step>), Failure> {
        let (session, after) = Self::frozen(id, begin, turn)?;
        let (roster, behind, stability) = (session.roster, session.behind, session.stability.clone());
        let open = Open { roster, behind, tree: session.mine, stability };
        let frame = SessionFrame::Open(Box::new(open));
        Ok((session, vec![Step::Send { frame, after }]))
    }

    /// Answers an opening: freezes a view, and either finds the roots equal or begins to repair. Where `engaged`, and
    /// the roots differ, there is no session: `None`. `vector` is what the initiator said in it.
    ///
    /// # Errors
    /// When no view can be frozen, or it cannot be read.
    pub fn answer(
        id: SessionId,
        begin: Begin,
        open: &Open,
        vector: Option<Vector>,
        engaged: bool,
        turn: Turn<'_>,
    ) -> Result<Option<(Self, Vec<Step>)>, Failure> {
        let (mut session, after) = Self::frozen(id, begin, turn)?;
        session.theirs = open.tree;
        if let Err(failure) = session.agree(open.behind, &open.stability) {
            session.release(turn.store);
            return Err(failure);
        }
        session.peer_vector = vector;
        let (behind, stability) = (session.behind, session.stability.clone());
        if session.mine.root == open.tree.root {
            let frame = SessionFrame::Opened(Opened::Identical { behind, stability });
            session.phase = Phase::Closing;
            session.peer_done = Some(PeerDone::default());
            session.flushing = Some(after);
            return Ok(Some((session, vec![Step::Send { frame, after }, Step::Flush(after)])));
        }
        if engaged {
            session.release(turn.store);
            return Ok(None);
        }
        let opened = Opened::Differ { behind, tree: Box::new(session.mine), stability };
        let mut steps = vec![Step::Send { frame: SessionFrame::Opened(opened), after }];
        match session.repair(turn) {
            Ok(more) => steps.extend(more),
            Err(failure) => {
                session.release(turn.store);
                return Err(failure);
            }
        }
        Ok(Some((session, steps)))
    }

    fn frozen(id: SessionId, begin: Begin, turn: Turn<'_>) -> Result<(Self, Seq), Failure> {
        let (view, after) = turn.store.freeze().map_err(Failure::Store)?;
        let opening = merkle::Frozen::opening(&turn.store.view(view));
        let mine = opening.map_err(|_| {
            turn.store.release(view);
            Failure::ViewLost
        })?;
        let session = Self {
            id,
            peer: begin.peer,
            prefer: begin.prefer,
            rules: begin.rules,
            phase: Phase::Opening,
            view,
            rests_on: after,
            mine,
            theirs: Opening::default(),
            found: Vec::new(),
            cut: false,
            working: false,
            held: VecDeque::new(),
            flow: Flow::default(),
            incoming: Incoming::default(),
            own_close: None,
            peer_close: None,
            merges: VecDeque::new(),
            flushing: None,
            flushed: false,
            peer_done: None,
            peer_behind: false,
            peer_unproven: false,
            behind: begin.behind,
            roster: begin.roster,
            stability: begin.stability,
            judge: Judge::default(),
            peer_vector: None,
            tally: Tally::default(),
            account: Account::new(id, begin.peer, turn.now),
            started: turn.now,
            heard: turn.now.mono,
            progressed: turn.now.mono,
            span: tracing::info_span!("session", peer_id = %begin.peer, method = Empty, reason = Empty, estimate = Empty),
        };
        Ok((session, after))
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The other side.
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Whether this side began it.
    pub fn is_initiated(&self) -> bool {
        self.id.initiator != self.peer
    }

    /// When it began.
    pub fn started(&self) -> Now {
        self.started
    }

    /// When a frame last came, or something that it asked for was done.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// When something last came of it: more than that the peer is still there.
    pub fn progressed(&self) -> Duration {
        self.progressed
    }

    /// Its span, for what is logged of it: peer, method, reason, estimate.
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Notes how it finds what differs, and why in that way.
    fn chosen(&mut self, method: SessionMethod, reason: String, estimate: u64) {
        let report = self.account.edit();
        if report.method == Some(method) && report.reason == reason {
            return;
        }
        self.span.record("method", tracing::field::display(method));
        self.span.record("reason", &*reason);
        self.span.record("estimate", estimate);
        (report.method, report.reason, report.estimate) = (Some(method), reason, estimate);
    }

    /// Whether the other side said that it is behind.
    pub fn peer_behind(&self) -> bool {
        self.peer_behind
    }

    /// Whether the other side has said that its disk may be an old one.
    pub fn peer_unproven(&self) -> bool {
        self.peer_unproven
    }

    /// The roster under which it was opened.
    pub fn roster(&self) -> RosterVersion {
        self.roster
    }

    /// What the two sides are to each other, once both have opened.
    pub fn terms(&self) -> Terms {
        self.judge.terms
    }

    /// The vector that the other side said, read before it froze its view, if it said one.
    pub fn peer_vector(&self) -> Option<&Vector> {
        self.peer_vector.as_ref()
    }

    /// The other side's vector, known from what it published: before its answer to the opening is given to the session.
    pub fn knows(&mut self, vector: Option<Vector>) {
        self.peer_vector = vector;
    }

    /// Both sides have opened: roots are compared at equal marks, and it is clear whose word counts.
    pub(super) fn agree(&mut self, peer_behind: bool, theirs: &Stability) -> Result<(), Failure> {
        if theirs.marks() != self.stability.marks() {
            return Err(Failure::Protocol("a watermark or a horizon that was not agreed on"));
        }
        self.peer_behind = peer_behind;
        self.peer_unproven = theirs.unproven;
        let all_behind = self.stability.all_behind && theirs.all_behind;
        let mut terms = Terms::of(self.behind, peer_behind, all_behind);
        if terms == Terms::NoAuthority && !self.rules.hold(Rule::H28) {
            terms = Terms::Authority;
        }
        self.judge = Judge { terms, watermark: theirs.watermark };
        Ok(())
    }

    /// Whether the opening has not been answered yet.
    pub fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening)
    }

    /// The root of the other side's frozen view; none before it is known.
    pub fn peer_root(&self) -> Option<RangeDigest> {
        (!self.is_opening()).then_some(self.theirs.root)
    }

    /// What it did so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether it has found no unequal roots so far: then nothing is repaired.
    pub fn is_check(&self) -> bool {
        self.tally.searches == 0
    }

    /// Puts a frame of so many bytes, with all that the transport adds, to the session's account.
    pub fn account(&mut self, way: Way, frame: &SessionFrame, bytes: u64, now: Duration) {
        self.account.frame(way, frame, bytes, now);
    }

    /// What people are told of it.
    pub fn report(&self, now: Duration) -> Report {
        let (phase, left) = match &self.phase {
            Phase::Opening => (SessionPhase::Opening, None),
            Phase::Finding(_) => (SessionPhase::Finding, None),
            Phase::Exchanging(exchange) => (SessionPhase::Exchanging, self.left(exchange)),
            Phase::Closing => (SessionPhase::Closing, None),
        };
        let Tally { named, sent, received, ideal, .. } = self.tally;
        let report = self.account.report(phase, left, sent + received, now);
        Report { found: named, sent, received, bytes_ideal: ideal, ..report }
    }

    /// Entries still to be exchanged: what this side knows of, or what a side that holds nothing was told.
    fn left(&self, exchange: &Exchange) -> Option<u64> {
        let told =
            self.mine.root.is_zero().then(|| self.theirs.root.count.saturating_sub(self.tally.received));
        told.or_else(|| exchange.left())
    }

    /// Gives the view back to the store. The last thing done with a session.
    pub fn release(&self, store: &Store) {
        store.release(self.view);
    }

    fn sends(&self, frames: Vec<SessionFrame>) -> Vec<Step> {
        frames.into_iter().map(|frame| Step::Send { frame, after: self.rests_on }).collect()
    }
}
