//! What a session does with what comes: frames, and what became of its merges and flushes.

use merkle::Width;
use model::{Entry, Key};
use storage::{Seq, Store};

use super::search::{HELD_MAX, Search};
use super::{PeerDone, Phase, Session, Turn};
use crate::rules::Rule;
use crate::session::exchange::{Bench, Came, Pumped};
use crate::session::frames::{Close, Opened, SessionFrame};
use crate::session::packed::{unpack_data, unpack_wants};
use crate::session::{Ending, Failure, Step};

/// Credit for less is no progress: a peer that only says that it is there must not keep a session by it.
const PROGRESS_BYTES: u64 = 4 << 10;

impl Session {
    /// A frame of the other side.
    pub fn frame(&mut self, frame: SessionFrame, turn: Turn<'_>) -> Vec<Step> {
        self.heard = turn.now.mono;
        if !matches!(frame, SessionFrame::Taken { names: 0, data: 0..PROGRESS_BYTES }) {
            self.progressed = turn.now.mono;
        }
        if !self.working || matches!(frame, SessionFrame::Abort(_)) {
            return self.take(frame, turn).unwrap_or_else(|failure| self.fail(failure));
        }
        if self.held.len() >= HELD_MAX {
            return self.fail(Failure::Protocol("frames beyond all windows"));
        }
        self.held.push_back(frame);
        Vec::new()
    }

    /// A merge asked for with [`Step::Merge`] is in the store.
    pub fn stored(&mut self, turn: Turn<'_>) -> Vec<Step> {
        (self.heard, self.progressed) = (turn.now.mono, turn.now.mono);
        let bytes = self.merges.pop_front().unwrap_or(0);
        self.flow.data_done(bytes);
        let credit = self.flow.credit(turn.allowed).into_iter().collect();
        let mut steps = self.sends(credit);
        if self.flow.owes(turn.allowed) {
            steps.push(Step::Again);
        }
        steps.extend(self.settle(turn.store));
        steps
    }

    /// A flush asked for with [`Step::Flush`] is done.
    pub fn flushed(&mut self, seq: Seq, turn: Turn<'_>) -> Vec<Step> {
        if self.flushing != Some(seq) {
            return Vec::new();
        }
        self.heard = turn.now.mono;
        self.flushed = true;
        let mut steps = Vec::new();
        if self.own_close.is_some() {
            let (left_out, withheld) = (self.incoming.left_out > 0, self.incoming.withheld > 0);
            let done = SessionFrame::Done { left_out, withheld };
            steps.extend(self.sends(vec![done]));
        }
        steps.extend(self.settle(turn.store));
        steps
    }

    /// Goes on, after [`Step::Again`].
    pub fn resume(&mut self, turn: Turn<'_>) -> Vec<Step> {
        // What was held back on this side is not held against the other.
        self.heard = turn.now.mono;
        let mut steps = Vec::new();
        let searching = std::mem::take(&mut self.working);
        let mut more = if searching { self.find(Search::Resume, turn) } else { self.pump(turn) };
        loop {
            match more {
                Ok(more) => steps.extend(more),
                Err(failure) => {
                    steps.extend(self.fail(failure));
                    return steps;
                }
            }
            let ended = matches!(steps.last(), Some(Step::End(_)));
            match self.held.pop_front() {
                Some(frame) if !self.working && !ended => more = self.take(frame, turn),
                Some(frame) => {
                    self.held.push_front(frame);
                    return steps;
                }
                None => return steps,
            }
        }
    }

    /// Gives up: tells the other side and ends.
    pub fn fail(&mut self, failure: Failure) -> Vec<Step> {
        let mut steps = self.sends(vec![SessionFrame::Abort(failure.reason())]);
        steps.push(Step::End(Ending::Failed(failure)));
        steps
    }

    fn take(&mut self, frame: SessionFrame, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        match frame {
            SessionFrame::Open(_) => Err(Failure::Protocol("a second opening")),
            SessionFrame::Opened(opened) => self.opened(opened, turn),
            SessionFrame::Find(message) => self.find(Search::Heard(message), turn),
            SessionFrame::Names(names) => {
                let Phase::Exchanging(exchange) = &mut self.phase else {
                    return Err(Failure::Protocol("names outside an exchange"));
                };
                exchange.names(names, &mut self.flow)?;
                self.pump(turn)
            }
            SessionFrame::Wants(packed) => {
                let Phase::Exchanging(exchange) = &mut self.phase else {
                    return Err(Failure::Protocol("wants outside an exchange"));
                };
                exchange.wants(unpack_wants(packed).map_err(Failure::Form)?)?;
                self.pump(turn)
            }
            SessionFrame::Taken { names, data } => {
                self.flow.taken(names, data)?;
                self.pump(turn)
            }
            SessionFrame::Data(bytes) => {
                if self.incoming.is_open() {
                    return Err(Failure::Protocol("data between pieces"));
                }
                let length = bytes.len() as u64;
                self.flow.data_came(length)?;
                self.data(bytes, length, turn)
            }
            SessionFrame::Piece { left, bytes } => {
                let length = bytes.len() as u64;
                self.flow.data_came(length)?;
                match self.incoming.piece(left, &bytes)? {
                    Some(whole) => self.data(whole, length, turn),
                    None => {
                        self.flow.data_done(length);
                        self.pump(turn)
                    }
                }
            }
            SessionFrame::Close(close) => self.closed(close, turn),
            SessionFrame::Done { left_out, withheld } => {
                let last = self.own_close.is_some() && self.peer_close.is_some() && self.peer_done.is_none();
                if !last {
                    return Err(Failure::Protocol("done before both have closed, or twice"));
                }
                self.peer_done = Some(PeerDone { left_out, withheld });
                Ok(self.settle(turn.store))
            }
            SessionFrame::Abort(reason) => Ok(vec![Step::End(Ending::Aborted(reason))]),
        }
    }

    fn opened(&mut self, opened: Opened, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        if !self.is_opening() {
            return Err(Failure::Protocol("an opening answered twice"));
        }
        match opened {
            Opened::Busy => Ok(vec![Step::End(Ending::Busy)]),
            Opened::RosterFirst(roster) => Ok(vec![Step::End(Ending::RosterFirst(roster))]),
            Opened::MarksFirst(_) => Ok(vec![Step::End(Ending::MarksFirst)]),
            Opened::Identical { behind, stability } => {
                self.agree(behind, &stability)?;
                self.theirs = self.mine;
                self.phase = Phase::Closing;
                // The opening left only once this view was durable, and so did the answer.
                let ending = if self.is_stale(turn.store) { Ending::Withheld } else { Ending::Identical };
                Ok(vec![Step::End(ending)])
            }
            Opened::Differ { behind, tree, stability } => {
                self.agree(behind, &stability)?;
                self.theirs = *tree;
                if self.theirs.root == self.mine.root {
                    return Err(Failure::Protocol("equal roots that are said to differ"));
                }
                self.repair(turn)
            }
        }
    }

    /// Data of so many bytes of credit.
    fn data(&mut self, packed: bytes::Bytes, credit: u64, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        let view = turn.store.view(self.view);
        let Phase::Exchanging(exchange) = &mut self.phase else {
            return Err(Failure::Protocol("data outside an exchange"));
        };
        if self.peer_close.is_some() {
            return Err(Failure::Protocol("data after the close"));
        }
        let items = unpack_data(packed).map_err(Failure::Form)?;
        let came: Vec<Came> = exchange.data(items, &view, self.judge, &mut self.tally)?;
        // Who held nothing holds nothing alone: a joiner need not look.
        let alone = match self.mine.root.is_zero() {
            true => Vec::new(),
            false => self.incoming.alone(&came, self.judge, turn.store)?,
        };
        let entries: Vec<(Key, Entry)> = self.incoming.entries(came, self.judge, turn.store)?;
        self.tally.received += entries.len() as u64;
        self.tally.refused = self.incoming.refused;
        let mut steps = self.quarantine(alone);
        self.merges.push_back(credit);
        steps.push(Step::Merge(entries));
        // What came by its key alone may have to be answered.
        steps.extend(self.pump(turn)?);
        Ok(steps)
    }

    /// What the other side, whose word counts, does not hold and knows nothing of: taken out before anything is flushed.
    fn quarantine(&mut self, alone: Vec<(Key, Entry)>) -> Vec<Step> {
        if alone.is_empty() {
            return Vec::new();
        }
        self.merges.push_back(0);
        vec![Step::Quarantine(alone)]
    }

    /// One step of the exchange.
    pub(super) fn pump(&mut self, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        let Phase::Exchanging(exchange) = &mut self.phase else {
            let credit = self.flow.credit(turn.allowed).into_iter().collect();
            return Ok(self.sends(credit));
        };
        let view = turn.store.view(self.view);
        let mut bench = Bench::new(
            turn.store,
            view,
            &mut self.flow,
            &mut self.tally,
            turn.allowed.bytes(),
            self.mine.root.count,
            self.judge,
        );
        let pumped = exchange.pump(&mut bench)?;
        let (mut frames, alone) = (bench.out, bench.alone);
        if bench.newer {
            // Asked after it was read: what is told of it leaves only once it is durable.
            self.rests_on = turn.store.written();
        }
        let closed = exchange.close().filter(|_| self.own_close.is_none());
        frames.extend(self.flow.credit(turn.allowed));
        frames.extend(closed.map(SessionFrame::Close));
        let mut steps = self.quarantine(alone);
        steps.extend(self.sends(frames));
        if pumped == Pumped::Again || self.flow.owes(turn.allowed) {
            steps.push(Step::Again);
        }
        if closed.is_some() {
            self.own_close = closed;
            steps.extend(self.decide(turn)?);
        }
        Ok(steps)
    }

    fn closed(&mut self, close: Close, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        let Phase::Exchanging(exchange) = &mut self.phase else {
            return Err(Failure::Protocol("a close outside an exchange"));
        };
        if self.incoming.is_open() || self.peer_close.replace(close).is_some() {
            return Err(Failure::Protocol("closed twice, or in the middle of an entry"));
        }
        exchange.peer_closed()?;
        // With its own close, which may come of this, the step goes on to the decision.
        if self.own_close.is_none() { self.pump(turn) } else { self.decide(turn) }
    }

    /// Both sides have sent all: were all differences named?
    fn decide(&mut self, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        let (Some(own), Some(peer)) = (self.own_close, self.peer_close) else { return Ok(Vec::new()) };
        let cut = own.cut || peer.cut;
        if !cut && own.remainder != peer.remainder {
            if self.tally.searches >= 2 || !self.rules.hold(Rule::H7) {
                return Err(Failure::Unequal);
            }
            tracing::info!(peer = %self.peer, "what differs was not all named; searching again at full width");
            self.tally.named = 0;
            return self.search(Width::Full, turn);
        }
        self.cut = cut;
        self.phase = Phase::Closing;
        Ok(self.settle(turn.store))
    }

    /// Never, unless a rule is switched off: what was found on frozen roots counts, whatever is written meanwhile.
    fn is_stale(&self, store: &Store) -> bool {
        !self.rules.hold(Rule::H6) && store.root() != self.mine.root
    }

    /// Once all is exchanged and stored: flush, then say so; once both have, end.
    fn settle(&mut self, store: &Store) -> Vec<Step> {
        if !matches!(self.phase, Phase::Closing) {
            return Vec::new();
        }
        if self.flushing.is_none() && self.merges.is_empty() {
            let seq = store.written();
            self.flushing = Some(seq);
            return vec![Step::Flush(seq)];
        }
        match self.peer_done {
            Some(PeerDone { left_out, withheld }) if self.flushed => {
                let nothing = self.cut || left_out || self.incoming.left_out > 0;
                let ending = match withheld || self.incoming.withheld > 0 || self.is_stale(store) {
                    true => Ending::Withheld,
                    false if nothing => Ending::More,
                    false => Ending::Identical,
                };
                vec![Step::End(ending)]
            }
            _ => Vec::new(),
        }
    }
}
