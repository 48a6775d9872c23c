//! The search within a session: a few steps at a time, so that a node with much to search still answers its
//! peers' heartbeats and clients' news in between.

use merkle::{FindMessage, Finder, Next, Prefer, Width};
use model::Key;
use storage::{Store, View};

use super::{Phase, Session};
use crate::session::exchange::Exchange;
use crate::session::{Failure, Found, SessionFrame, Step};

/// The most keys that one side names in a session; the rest is left to the next one, which begins at
/// once. Bounds a session's memory to tens of megabytes.
pub const NAMES_MAX: usize = 125_000;
/// Steps of a search taken at a time; a search goes on after what else has come was looked at.
const STEPS_AT_A_TIME: u32 = 8;
/// Frames that may wait for the search: more than all windows together let out.
pub(super) const HELD_MAX: usize = 64;

/// What a search goes on with.
pub(super) enum Search {
    Begin,
    Heard(FindMessage),
    Resume,
}

impl Session {
    /// Begins a search; the responder speaks first.
    pub(super) fn search(
        &mut self,
        width: Width,
        responder: bool,
        store: &Store,
    ) -> Result<Vec<Step>, Failure> {
        self.searches += 1;
        self.found.clear();
        (self.own_close, self.peer_close) = (None, None);
        let finder = if responder {
            Finder::responder(&self.mine, &self.theirs, width, Prefer::Auto)
        } else {
            Finder::initiator(&self.mine, &self.theirs, width)
        };
        self.phase = Phase::Finding(Box::new(finder));
        self.find(Search::Begin, store)
    }

    /// Goes on searching with a message of the other side, or at the search's beginning without one, up to where it
    /// must wait or is done.
    pub(super) fn find(&mut self, message: Search, store: &Store) -> Result<Vec<Step>, Failure> {
        let view: View<'_> = store.view(self.view);
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
        loop {
            for (token, key, digest) in step.differing {
                let key = Key::new(Vec::from(key)).map_err(|_| Failure::Protocol("a key that is none"))?;
                if self.found.len() < NAMES_MAX {
                    self.found.push(Found { token, key, digest });
                } else {
                    self.cut = true;
                }
            }
            messages.extend(step.message.map(SessionFrame::Find));
            taken += 1;
            // A side that holds nothing has nothing to say: what is beyond the most that is named need not be read.
            let enough = self.cut && self.theirs.root.is_zero();
            match step.next {
                Next::Work if enough => break,
                Next::Work if taken >= STEPS_AT_A_TIME => {
                    let mut steps = self.sends(messages, store);
                    steps.push(Step::Again);
                    self.working = true;
                    return Ok(steps);
                }
                Next::Work => step = finder.resume(&view)?,
                Next::Wait => return Ok(self.sends(messages, store)),
                Next::Done => break,
            }
        }
        let found = std::mem::take(&mut self.found);
        let cut = std::mem::take(&mut self.cut);
        self.phase = Phase::Exchanging(Box::new(Exchange::new(found, cut, self.mine.root)));
        let mut steps = self.sends(messages, store);
        steps.extend(self.pump(store)?);
        Ok(steps)
    }

    /// Goes on with a search, after [`Step::Again`].
    pub fn resume(&mut self, store: &Store) -> Vec<Step> {
        self.working = false;
        let mut steps = Vec::new();
        let mut more = self.find(Search::Resume, store);
        loop {
            match more {
                Ok(more) => steps.extend(more),
                Err(failure) => {
                    steps.extend(self.fail(failure, store));
                    return steps;
                }
            }
            let ended = matches!(steps.last(), Some(Step::End(_)));
            match self.held.pop_front() {
                Some(frame) if !self.working && !ended => more = self.take(frame, store),
                Some(frame) => {
                    self.held.push_front(frame);
                    return steps;
                }
                None => return steps,
            }
        }
    }
}
