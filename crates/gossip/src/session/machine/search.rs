//! How a session comes to know what differs: by a search, a few steps at a time, so that a node with much to search
//! still answers its peers' heartbeats and clients' news in between; or, where one side holds next to nothing, without
//! any.

use merkle::{FindMessage, Finder, Frozen, Method, Next, Width};
use storage::View;

use super::{Phase, Session, Turn};
use crate::session::exchange::{Exchange, Joiner, Namer, Own};
use crate::session::{Failure, Found, SessionFrame, SessionMethod, Step};

/// The most keys that one side brings to an exchange; the rest is left to the next one, which begins at
/// once. Bounds a session's memory to tens of megabytes.
pub const NAMES_MAX: usize = 125_000;
/// Steps of a search taken at a time; a search goes on after what else has come was looked at.
const STEPS_AT_A_TIME: u32 = 8;
/// Frames that may wait for the search: more than all windows together let out.
pub(super) const HELD_MAX: usize = 64;
/// Nothing is searched where the other side holds so many times more, and this side no more than so many entries: it
/// names them all, and is sent everything else.
const FEW_IN: u64 = 64;
const FEW_MAX: u64 = 4_096;

/// What a search goes on with.
pub(super) enum Search {
    Begin,
    Heard(FindMessage),
    Resume,
}

impl Session {
    /// Begins to repair: both openings are known, and their roots differ.
    pub(super) fn repair(&mut self, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        if self.is_bulk() {
            self.tally.searches = 1;
            let reason = "one side holds next to nothing: it is sent everything in order".into();
            self.chosen(SessionMethod::Bulk, reason, self.mine.root.count.abs_diff(self.theirs.root.count));
            self.phase = Phase::Exchanging(self.bulk(&turn.store.view(self.view))?);
            if self.mine.root.count < self.theirs.root.count {
                turn.store.release(self.view);
            }
            return self.pump(turn);
        }
        self.search(Width::Short, turn)
    }

    /// Whether one side holds next to nothing. Both sides say the same.
    fn is_bulk(&self) -> bool {
        let (mine, theirs) = (self.mine.root.count, self.theirs.root.count);
        let (few, many) = (mine.min(theirs), mine.max(theirs));
        few == 0 || (few <= FEW_MAX && few.saturating_mul(FEW_IN) <= many)
    }

    /// Whether this side names: the one with far fewer entries, else the initiator, which knows what differs first.
    fn names(&self) -> bool {
        let (mine, theirs) = (self.mine.root.count, self.theirs.root.count);
        let far_fewer = |one: u64, other: u64| one < other / 4;
        far_fewer(mine, theirs) || (self.is_initiated() && !far_fewer(theirs, mine))
    }

    fn bulk(&self, view: &View<'_>) -> Result<Exchange, Failure> {
        let (mine, theirs) = (self.mine.root, self.theirs.root);
        if mine.count < theirs.count {
            let rows = view.entries(0, u64::MAX, None, FEW_MAX as usize).map_err(|_| Failure::ViewLost)?;
            let all: Vec<Found> = rows.into_iter().map(Found::new).collect::<Result<_, _>>()?;
            return Ok(Exchange::Namer(Box::new(Namer::of_all(all, mine, theirs.count))));
        }
        Ok(Exchange::Joiner(Box::new(Joiner::new(Own::all(mine.count), mine, !theirs.is_zero()))))
    }

    /// Begins a search; the responder speaks first.
    pub(super) fn search(&mut self, width: Width, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        self.tally.searches += 1;
        self.found.clear();
        (self.own_close, self.peer_close) = (None, None);
        let finder = if self.is_initiated() {
            Finder::initiator(&self.mine, &self.theirs, width)
        } else {
            Finder::responder(&self.mine, &self.theirs, width, self.prefer)
        };
        self.phase = Phase::Finding(Box::new(finder));
        self.account.edit().estimate = self.mine.differing_estimate(&self.theirs);
        self.find(Search::Begin, turn)
    }

    /// Goes on searching with a message of the other side, or at the search's beginning without one, up to where it
    /// must wait or is done.
    pub(super) fn find(&mut self, message: Search, turn: Turn<'_>) -> Result<Vec<Step>, Failure> {
        let view: View<'_> = turn.store.view(self.view);
        let Phase::Finding(finder) = &mut self.phase else {
            return Err(Failure::Protocol("a search message outside a search"));
        };
        let mut messages = Vec::new();
        let mut step = match message {
            Search::Heard(message) => finder.handle(&view, message)?,
            Search::Begin => finder.start(&view)?,
            Search::Resume => finder.resume(&view)?,
        };
        let mut taken = 0;
        let next = loop {
            for row in step.differing {
                if self.found.len() < NAMES_MAX {
                    self.found.push(Found::new(row)?);
                } else {
                    self.cut = true;
                }
            }
            messages.extend(step.message.map(SessionFrame::Find));
            taken += 1;
            match step.next {
                Next::Work if taken < STEPS_AT_A_TIME && turn.allowed.now => step = finder.resume(&view)?,
                next => break next,
            }
        };
        if let Some(choice) = finder.choice() {
            let method = match choice.method {
                Method::Tree => SessionMethod::Tree,
                Method::Sketch => SessionMethod::Sketch,
            };
            self.chosen(method, choice.reason.to_string(), choice.estimate);
        }
        let mut steps = self.sends(messages);
        match next {
            Next::Wait => return Ok(steps),
            Next::Work => {
                steps.push(Step::Again);
                self.working = true;
                return Ok(steps);
            }
            Next::Done => {}
        }
        let found = std::mem::take(&mut self.found);
        let cut = std::mem::take(&mut self.cut);
        self.phase = Phase::Exchanging(if self.names() {
            Exchange::Namer(Box::new(Namer::new(found, cut, self.mine.root, self.theirs.root.count)))
        } else {
            let own = Own::Found { rest: found.into(), cut };
            Exchange::Joiner(Box::new(Joiner::new(own, self.mine.root, true)))
        });
        steps.extend(self.pump(turn)?);
        Ok(steps)
    }
}
