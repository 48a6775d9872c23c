//! One session as one side sees it: frames and store events in, steps out. No clock but the instants it
//! is handed, no socket, no task.

mod search;

use std::collections::VecDeque;
use std::time::Duration;

use merkle::{Finder, Opening, RangeDigest, Width};
use model::{Entry, Key, NodeId};
use storage::{Seq, Store, View, ViewId};

use super::exchange::Exchange;
use super::frames::{Close, Open, Opened, SessionFrame, SessionId, Stability};
use super::incoming::Incoming;
use super::report::{Account, Report, SessionPhase, Way};
use super::{Ending, Failure, Found, Step, Tally};
use search::{HELD_MAX, Search};

use crate::roster::RosterVersion;
use crate::time::Now;

#[derive(Debug)]
enum Phase {
    /// The initiator waits for the answer to its opening.
    Opening,
    /// Looking for what differs.
    Finding(Box<Finder>),
    /// Naming and streaming it.
    Exchanging(Box<Exchange>),
    /// Everything is exchanged; waiting for the flush and for the other side's.
    Closing,
}

/// What a side knows of itself when a session begins.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// The other side.
    pub peer: NodeId,
    /// This side's roster version.
    pub roster: RosterVersion,
    /// Whether this side is behind.
    pub behind: bool,
}

/// A session, one side of it.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    peer: NodeId,
    phase: Phase,
    view: ViewId,
    mine: Opening,
    theirs: Opening,
    found: Vec<Found>,
    cut: bool,
    /// The search has more to do before the next frame is looked at.
    working: bool,
    held: VecDeque<SessionFrame>,
    incoming: Incoming,
    own_close: Option<Close>,
    peer_close: Option<Close>,
    merges: u32,
    flushing: Option<Seq>,
    flushed: bool,
    peer_done: Option<bool>,
    peer_behind: bool,
    searches: u8,
    tally: Tally,
    account: Account,
    started: Now,
    heard: Duration,
}

impl Session {
    /// Begins a session as initiator: freezes a view and sends the opening.
    pub fn open(id: SessionId, begin: Begin, now: Now, store: &Store) -> Result<(Self, Vec<Step>), Failure> {
        let (session, after) = Self::frozen(id, begin.peer, now, store)?;
        let open = Open {
            roster: begin.roster,
            behind: begin.behind,
            tree: session.mine,
            stability: Stability::default(),
        };
        let frame = SessionFrame::Open(Box::new(open));
        Ok((session, vec![Step::Send { frame, after }]))
    }

    /// Answers an opening: freezes a view, and either finds the roots equal or begins the search.
    pub fn answer(
        id: SessionId,
        begin: Begin,
        open: &Open,
        now: Now,
        store: &Store,
    ) -> Result<(Self, Vec<Step>), Failure> {
        let (mut session, after) = Self::frozen(id, begin.peer, now, store)?;
        session.theirs = open.tree;
        session.peer_behind = open.behind;
        let (behind, stability) = (begin.behind, Stability::default());
        if session.mine.root == open.tree.root {
            let frame = SessionFrame::Opened(Opened::Identical { behind, stability });
            session.phase = Phase::Closing;
            session.peer_done = Some(false);
            session.flushing = Some(after);
            return Ok((session, vec![Step::Send { frame, after }, Step::Flush(after)]));
        }
        let opened = Opened::Differ { behind, tree: Box::new(session.mine), stability };
        let mut steps = vec![Step::Send { frame: SessionFrame::Opened(opened), after }];
        match session.search(Width::Short, true, store) {
            Ok(more) => steps.extend(more),
            Err(failure) => {
                session.release(store);
                return Err(failure);
            }
        }
        Ok((session, steps))
    }

    fn frozen(id: SessionId, peer: NodeId, now: Now, store: &Store) -> Result<(Self, Seq), Failure> {
        let (view, after) = store.freeze().map_err(Failure::Store)?;
        let opening = merkle::Frozen::opening(&store.view(view));
        let mine = opening.map_err(|_| {
            store.release(view);
            Failure::ViewLost
        })?;
        let session = Self {
            id,
            peer,
            phase: Phase::Opening,
            view,
            mine,
            theirs: Opening::default(),
            found: Vec::new(),
            cut: false,
            working: false,
            held: VecDeque::new(),
            incoming: Incoming::default(),
            own_close: None,
            peer_close: None,
            merges: 0,
            flushing: None,
            flushed: false,
            peer_done: None,
            peer_behind: false,
            searches: 0,
            tally: Tally::default(),
            account: Account::new(id, peer, now),
            started: now,
            heard: now.mono,
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

    /// When it began.
    pub fn started(&self) -> Now {
        self.started
    }

    /// When a frame last came.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// Whether the other side said that it is behind.
    pub fn peer_behind(&self) -> bool {
        self.peer_behind
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
        let (mut tally, incoming) = (self.tally, self.incoming.entries);
        if let Phase::Exchanging(exchange) = &self.phase {
            tally.named += exchange.named;
            tally.sent += exchange.entries_sent;
        }
        Tally { received: incoming, searches: self.searches, ..tally }
    }

    /// Whether it has found equal roots: nothing is repaired.
    pub fn is_check(&self) -> bool {
        self.searches == 0
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
            Phase::Exchanging(_) => (SessionPhase::Exchanging, None),
            Phase::Closing => (SessionPhase::Closing, None),
        };
        let tally = self.tally();
        let report = self.account.report(phase, left, now);
        Report { found: tally.named, sent: tally.sent, received: tally.received, ..report }
    }

    /// Gives the view back to the store. The last thing done with a session.
    pub fn release(&self, store: &Store) {
        store.release(self.view);
    }

    /// A frame of the other side.
    pub fn frame(&mut self, frame: SessionFrame, now: Now, store: &Store) -> Vec<Step> {
        self.heard = now.mono;
        if !self.working || matches!(frame, SessionFrame::Abort(_)) {
            return self.take(frame, store).unwrap_or_else(|failure| self.fail(failure, store));
        }
        if self.held.len() >= HELD_MAX {
            return self.fail(Failure::Protocol("frames beyond all windows"), store);
        }
        self.held.push_back(frame);
        Vec::new()
    }

    /// A merge asked for with [`Step::Merge`] is in the store.
    pub fn stored(&mut self, store: &Store) -> Vec<Step> {
        self.merges = self.merges.saturating_sub(1);
        let mut steps = vec![self.send(SessionFrame::Taken { names: 0, data: 1 }, store)];
        steps.extend(self.settle(store));
        steps
    }

    /// A flush asked for with [`Step::Flush`] is done.
    pub fn flushed(&mut self, seq: Seq, store: &Store) -> Vec<Step> {
        if self.flushing != Some(seq) {
            return Vec::new();
        }
        self.flushed = true;
        let mut steps = Vec::new();
        if self.own_close.is_some() {
            steps.push(self.send(SessionFrame::Done { left_out: self.incoming.left_out > 0 }, store));
        }
        steps.extend(self.settle(store));
        steps
    }

    /// Gives up: tells the other side and ends.
    pub fn fail(&mut self, failure: Failure, store: &Store) -> Vec<Step> {
        let abort = self.send(SessionFrame::Abort(failure.reason()), store);
        vec![abort, Step::End(Ending::Failed(failure))]
    }

    fn send(&self, frame: SessionFrame, store: &Store) -> Step {
        Step::Send { frame, after: store.written() }
    }

    fn sends(&self, frames: Vec<SessionFrame>, store: &Store) -> Vec<Step> {
        frames.into_iter().map(|frame| self.send(frame, store)).collect()
    }

    fn take(&mut self, frame: SessionFrame, store: &Store) -> Result<Vec<Step>, Failure> {
        match frame {
            SessionFrame::Open(_) => Err(Failure::Protocol("a second opening")),
            SessionFrame::Opened(opened) => self.opened(opened, store),
            SessionFrame::Find(message) => self.find(Search::Heard(message), store),
            // A side that was cut short goes on naming until it hears so.
            SessionFrame::Names(_) if matches!(self.phase, Phase::Closing) && self.cut => Ok(Vec::new()),
            SessionFrame::Names(names) => {
                self.exchange()?.names(names)?;
                self.pump(store)
            }
            SessionFrame::Taken { names, data } => {
                if let Phase::Exchanging(exchange) = &mut self.phase {
                    exchange.taken(names, data);
                }
                self.pump(store)
            }
            SessionFrame::Data(deltas) => {
                self.expect_data()?;
                let entries = self.incoming.data(deltas, store)?;
                Ok(self.merge(entries))
            }
            SessionFrame::Piece { last, bytes } => {
                self.expect_data()?;
                let entries = self.incoming.piece(last, &bytes, store)?;
                Ok(self.merge(entries))
            }
            SessionFrame::Close(close) => {
                if self.peer_close.replace(close).is_some() {
                    return Err(Failure::Protocol("closed twice"));
                }
                self.decide(store)
            }
            SessionFrame::Done { left_out } => {
                self.peer_done = Some(left_out);
                Ok(self.settle(store))
            }
            SessionFrame::Abort(reason) => Ok(vec![Step::End(Ending::Aborted(reason))]),
        }
    }

    fn opened(&mut self, opened: Opened, store: &Store) -> Result<Vec<Step>, Failure> {
        if !self.is_opening() {
            return Err(Failure::Protocol("an opening answered twice"));
        }
        match opened {
            Opened::Busy => Ok(vec![Step::End(Ending::Busy)]),
            Opened::RosterFirst(roster) => Ok(vec![Step::End(Ending::RosterFirst(roster))]),
            Opened::Identical { behind, .. } => {
                self.peer_behind = behind;
                self.theirs = self.mine;
                self.phase = Phase::Closing;
                // The opening left only once this view was durable, and so did the answer.
                Ok(vec![Step::End(Ending::Identical)])
            }
            Opened::Differ { behind, tree, .. } => {
                self.peer_behind = behind;
                self.theirs = *tree;
                self.search(Width::Short, false, store)
            }
        }
    }

    fn exchange(&mut self) -> Result<&mut Exchange, Failure> {
        match &mut self.phase {
            Phase::Exchanging(exchange) => Ok(exchange),
            _ => Err(Failure::Protocol("names outside an exchange")),
        }
    }

    fn expect_data(&self) -> Result<(), Failure> {
        let within = matches!(self.phase, Phase::Exchanging(_)) && self.peer_close.is_none();
        if within { Ok(()) } else { Err(Failure::Protocol("data outside an exchange")) }
    }

    fn merge(&mut self, entries: Vec<(Key, Entry)>) -> Vec<Step> {
        self.merges += 1;
        vec![Step::Merge(entries)]
    }

    fn pump(&mut self, store: &Store) -> Result<Vec<Step>, Failure> {
        let view: View<'_> = store.view(self.view);
        let Phase::Exchanging(exchange) = &mut self.phase else { return Ok(Vec::new()) };
        let frames = exchange.pump(store, &view)?;
        let closed = exchange.close();
        let mut steps = self.sends(frames, store);
        if self.own_close.is_none() && closed.is_some() {
            self.own_close = closed;
            steps.extend(self.decide(store)?);
        }
        Ok(steps)
    }

    /// Both sides have sent all: were all differences named?
    fn decide(&mut self, store: &Store) -> Result<Vec<Step>, Failure> {
        let (Some(own), Some(peer)) = (self.own_close, self.peer_close) else { return Ok(Vec::new()) };
        let cut = own.cut || peer.cut;
        if !cut && own.remainder != peer.remainder {
            if self.searches >= 2 {
                return Err(Failure::Unequal);
            }
            tracing::info!(peer = %self.peer, "what differs was not all named; searching again at full width");
            self.tally = Tally { received: 0, ..self.tally() };
            let responder = self.id.initiator == self.peer;
            return self.search(Width::Full, responder, store);
        }
        self.cut = cut;
        self.tally = self.tally();
        self.phase = Phase::Closing;
        Ok(self.settle(store))
    }

    /// Once all is exchanged and stored: flush, then say so; once both have, end.
    fn settle(&mut self, store: &Store) -> Vec<Step> {
        if !matches!(self.phase, Phase::Closing) {
            return Vec::new();
        }
        if self.flushing.is_none() && self.merges == 0 {
            let seq = store.written();
            self.flushing = Some(seq);
            return vec![Step::Flush(seq)];
        }
        match self.peer_done {
            Some(left_out) if self.flushed => {
                let nothing = self.cut || left_out || self.incoming.left_out > 0;
                vec![Step::End(if nothing { Ending::More } else { Ending::Identical })]
            }
            _ => Vec::new(),
        }
    }
}
