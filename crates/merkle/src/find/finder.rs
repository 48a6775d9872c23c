//! The state machine: what its caller sees, and in what order things happen.

use std::collections::VecDeque;

use super::{
    answer::Asked,
    bits::Bits,
    choice::{Choice, Method, Prefer},
    error::FindError,
    frontier::{Frontier, Segment},
    giving::Giving,
    job::{Comparing, Job, Output},
    message::FindMessage,
    plan::Plan,
    sizing::first_cells,
    taking::Taking,
    width::Width,
};
use crate::{
    frozen::{Frozen, FrozenEntry},
    opening::Opening,
    sketch::{Field, kept_cells},
    tree::{LEAF_BITS_MAX, LEAF_BITS_MIN},
};

/// One side of a search for what differs between two frozen views.
///
/// Make one on each side from the two openings, call [`Finder::start`] on each, then pass every message that arrives
/// to [`Finder::handle`]. After any step that says [`Next::Work`] call [`Finder::resume`], before the next message.
/// All calls of one finder must be given the same view, the one whose opening it was made from.
///
/// Each side ends with its own list, in (token, key) order: those of its frozen entries that the other side lacks or
/// has with another digest; by the sketch, all of its frozen entries in units that differ, of which a few may be equal
/// on the other side. Memory is a few times the messages of one turn (4 MiB) and at most some 30 bytes a leaf of the
/// own tree, by the sketch 200, whatever the peer says.
#[derive(Debug)]
pub struct Finder {
    pub(super) mine: Opening,
    pub(super) theirs: Opening,
    pub(super) choice: Option<Choice>,
    pub(super) way: Way,
    /// Whether the peer's first message, or this side's own, has settled the way.
    pub(super) is_way_heard: bool,
    pub(super) width: Width,
    pub(super) plan: Plan,
    pub(super) state: State,
    /// What is still open, the same on both sides between turns.
    pub(super) frontier: Frontier,
    /// What this side showed in its last turn, and the number of bits that must answer it.
    pub(super) asked: Vec<Asked>,
    pub(super) asked_bits: usize,
    /// The bits that answer what the peer has shown in its turn, and the ranges among it that differ.
    pub(super) answers: Bits,
    pub(super) found: Vec<Segment>,
    /// Reading still to be done, before anything else.
    pub(super) jobs: VecDeque<Job>,
    /// Depth of what the peer showed last in its turn: it must not go deeper again, for the order of what is found.
    pub(super) turn_depth: Option<u8>,
    pub(super) messages_heard: u64,
    pub(super) tags_left: u64,
    pub(super) tags_claimed: u64,
}

/// The way of this search, seen from this side. An initiator walks until it hears otherwise.
#[derive(Debug)]
pub(super) enum Way {
    Walk,
    Give(Giving),
    Take(Box<Taking>),
}

/// The field, and the number of cells that both sides keep, where a search by the sketch is possible.
pub(super) fn sketchable(mine: &Opening, theirs: &Opening, width: Width) -> Option<(Field, usize)> {
    let field = Field::of_leaves(mine.leaf_bits);
    let leaf_bits = mine.leaf_bits.min(theirs.leaf_bits).clamp(LEAF_BITS_MIN, LEAF_BITS_MAX);
    let is_possible = width == Width::Short && Field::of_leaves(theirs.leaf_bits) == field;
    is_possible.then(|| (field, kept_cells(leaf_bits)))
}

/// Whose turn it is. `parts` is the number of messages that the turn has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Listening {
        parts: u32,
    },
    /// The peer's turn is over; work may be left.
    Heard,
    Speaking {
        parts: u32,
    },
    /// Nothing more is said; work may be left.
    Ending,
    Over,
}

/// What a step gives its caller.
#[derive(Debug)]
pub struct FindStep {
    /// To be sent to the peer.
    pub message: Option<FindMessage>,
    /// Own frozen entries which the other side lacks or has with another digest; by the sketch, those in units that
    /// differ. Over all steps they rise in (token, key) order; a step has at most 2,048 of them.
    pub differing: Vec<FrozenEntry>,
    /// What to do next.
    pub next: Next,
}

/// What the caller of a [`Finder`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call [`Finder::resume`]: there is more to read, or to say. It may wait until messages have left.
    Work,
    /// Pass the peer's next message to [`Finder::handle`].
    Wait,
    /// The search is over; the peer needs no more from this side than the messages already given.
    Done,
}

impl Finder {
    /// The finder of the side that opened the session. It listens first.
    pub fn initiator(mine: &Opening, theirs: &Opening, width: Width) -> Finder {
        Finder::new(mine, theirs, width, State::Listening { parts: 0 })
    }

    /// The finder of the side that answered. It chooses the way, as `prefer` says, and speaks first: its first message
    /// can ride behind its own opening. At full width it always walks the tree.
    pub fn responder(mine: &Opening, theirs: &Opening, width: Width, prefer: Prefer) -> Finder {
        let mut finder = Finder::new(mine, theirs, width, State::Speaking { parts: 0 });
        finder.choice = Choice::new(mine, theirs, width, prefer);
        finder.is_way_heard = true;
        if let Some(Choice { method: Method::Sketch, estimate, .. }) = finder.choice
            && let Some((field, kept)) = sketchable(mine, theirs, width)
        {
            finder.way = Way::Give(Giving::new(field, kept, first_cells(estimate, kept)));
        }
        finder
    }

    /// The way this search goes, and why: known to the responder from the beginning, to the initiator once it has heard
    /// the first message. It changes when a sketch does not decode. `None` before that, and where nothing differs.
    pub fn choice(&self) -> Option<Choice> {
        self.choice
    }

    fn new(mine: &Opening, theirs: &Opening, width: Width, first: State) -> Finder {
        let mut jobs = VecDeque::new();
        let nothing_to_say = mine.root == theirs.root || mine.root.is_zero() || theirs.root.is_zero();
        if theirs.root.is_zero() {
            jobs.push_back(Job::Compare(Comparing::everything()));
        }
        let is_one_empty = mine.root != theirs.root && nothing_to_say;
        Finder {
            mine: *mine,
            theirs: *theirs,
            choice: if is_one_empty { Choice::new(mine, theirs, width, Prefer::Auto) } else { None },
            way: Way::Walk,
            is_way_heard: false,
            width,
            plan: Plan::new(mine, theirs, width),
            state: if nothing_to_say { State::Ending } else { first },
            frontier: Frontier::new(),
            asked: Vec::new(),
            asked_bits: 0,
            answers: Bits::default(),
            found: Vec::new(),
            jobs,
            turn_depth: None,
            messages_heard: 0,
            tags_left: theirs.root.count,
            tags_claimed: theirs.root.count,
        }
    }

    /// The first step on each side. Equal roots end the search here, and an empty side ends it without a message.
    ///
    /// # Errors
    /// As [`Finder::resume`].
    pub fn start(&mut self, frozen: &impl Frozen) -> Result<FindStep, FindError> {
        self.resume(frozen)
    }

    /// Takes in one message of the peer and goes on as far as one step goes.
    ///
    /// # Errors
    /// [`FindError::Busy`] when the last step said [`Next::Work`]; nothing has changed then. All other errors end
    /// the search: the view was lost, or the peer broke the rules, in the way that the error names.
    pub fn handle(&mut self, frozen: &impl Frozen, message: FindMessage) -> Result<FindStep, FindError> {
        let State::Listening { parts } = self.state else {
            return Err(if self.state == State::Over { FindError::Over } else { FindError::Busy });
        };
        if !self.jobs.is_empty() {
            return Err(FindError::Busy);
        }
        let heard = self.hear(frozen, message, parts);
        self.end_on_error(heard)?;
        self.resume(frozen)
    }

    /// Goes on as far as one step goes: reads a bounded number of entries, finds a bounded number, makes at most
    /// one message. Harmless when there is nothing to do.
    ///
    /// # Errors
    /// The view was lost or has changed, or the search is over. It ends the search.
    pub fn resume(&mut self, frozen: &impl Frozen) -> Result<FindStep, FindError> {
        let worked = self.work(frozen);
        self.end_on_error(worked)
    }

    fn work(&mut self, frozen: &impl Frozen) -> Result<FindStep, FindError> {
        let mut output = Output::default();
        let mut message = None;
        let next = loop {
            if output.is_full() {
                break Next::Work;
            }
            if let Some(job) = self.jobs.front_mut() {
                if job.step(frozen, self.width, &mut self.answers, &mut output)? {
                    self.jobs.pop_front();
                }
                continue;
            }
            let state = self.state;
            match state {
                // One message a step: what follows it is the next step's.
                State::Speaking { .. } if message.is_some() => break Next::Work,
                State::Speaking { parts } => message = Some(self.speak(frozen, parts)?),
                State::Listening { .. } => break Next::Wait,
                State::Heard if !self.decode(&mut output) => {}
                State::Heard => self.take_turn(),
                State::Ending => {
                    self.state = State::Over;
                    break Next::Done;
                }
                State::Over => return Err(FindError::Over),
            }
        };
        Ok(FindStep { message, differing: output.found, next })
    }

    /// The peer's turn has ended and all of it has been looked at.
    fn take_turn(&mut self) {
        self.frontier.put_front(std::mem::take(&mut self.found));
        self.state = State::Speaking { parts: 0 };
    }

    fn end_on_error<T>(&mut self, result: Result<T, FindError>) -> Result<T, FindError> {
        if result.is_err() {
            self.state = State::Over;
            self.jobs.clear();
        }
        result
    }
}
