//! The middle of a session: one side names what it found, the other joins that with what it found itself, and each
//! sends what the other lacks.
//!
//! Names travel in ascending order of token and key. The *joiner* walks its own findings and the names in step, like
//! the merge of two sorted files: at each key it knows what both hold. It sends what the *namer* lacks at once, and
//! where it lacks something itself it sends a want, which the namer answers. A key that the joiner alone has found is
//! never named: the data says it, and says it even where there is nothing left to send, since both sides subtract the
//! same keys from their frozen roots. Keys are compared whole, never by their tokens alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `namer` | the side that names and answers wants |
//! | `joiner` | the side that joins and wants |
//! | `own` | what a side has found, or everything it holds |
//! | `read` | reading many entries |
//! | `outbox` | data on its way into frames |

mod joiner;
mod namer;
mod outbox;
mod own;
mod read;

use model::{Delta, Entry, Key, Summary};
use storage::{Store, Stored, View};

use super::flow::Flow;
use super::frames::{Close, Names, SessionFrame};
use super::packed::{Item, Want};
use super::{Failure, Tally};
use crate::stability::{Judge, split};
pub use joiner::Joiner;
pub use namer::Namer;
pub use own::Own;

/// Names or wants in a frame.
const NAMES_A_FRAME: usize = 1_024;
/// Entries read at a time.
const ROWS_AT_A_TIME: usize = 512;
/// Entries read in one step, so that a node's other work is never held up for long.
const ROWS_A_STEP: usize = 1_024;

/// What an exchange is lent for a step.
pub struct Bench<'a> {
    pub store: &'a Store,
    pub view: View<'a>,
    pub flow: &'a mut Flow,
    pub tally: &'a mut Tally,
    /// Bytes of data that may still be sent in this step; the last frame may go beyond.
    pub bytes: u64,
    /// ... and of which at a time.
    pub slice: u64,
    /// To be sent, in this order.
    pub out: Vec<SessionFrame>,
    /// Entries that may still be read in this step.
    pub rows: usize,
    /// About how many entries the store holds.
    pub held: u64,
    /// Something was read that is newer than the frozen view, and may not be durable.
    pub newer: bool,
    /// Whose word counts at or under which watermark.
    pub judge: Judge,
    /// Siblings of this side's, by key, that it alone holds and that its authority knows nothing of.
    pub alone: Vec<(Key, Entry)>,
}

/// Data of one key, as it came.
#[derive(Debug)]
pub struct Came {
    pub key: Key,
    pub delta: Delta,
    pub says: Says,
}

/// What data says of the key, beside what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Only what this side was lacking.
    Lacking,
    /// All that the other side holds of it, also by saying nothing.
    All,
    /// The same, in return for what this side sent: its context may be in it by now.
    InReturn,
}

impl Came {
    /// What the other side holds, where the data says so.
    pub fn theirs(&self, held: &Entry) -> Option<Summary> {
        let summary = self.delta.summary(held);
        match self.says {
            Says::Lacking => None,
            Says::All => Some(summary),
            Says::InReturn => Some(Summary { context: Default::default(), ..summary }),
        }
    }
}

impl<'a> Bench<'a> {
    pub fn new(
        store: &'a Store,
        view: View<'a>,
        flow: &'a mut Flow,
        tally: &'a mut Tally,
        bytes: u64,
        held: u64,
        judge: Judge,
    ) -> Self {
        Self {
            store,
            view,
            flow,
            tally,
            bytes,
            slice: bytes,
            out: Vec::new(),
            rows: ROWS_A_STEP,
            held,
            newer: false,
            judge,
            alone: Vec::new(),
        }
    }
}

impl Bench<'_> {
    /// The entry that was read where the frozen view has this digest. What is as it was then is durable: the session
    /// itself began only once the view was.
    pub fn entry(&mut self, frozen: Option<u128>, read: Option<Stored>) -> Option<Entry> {
        self.newer |= read.as_ref().map(|stored| stored.digest) != frozen;
        read.map(|stored| stored.entry)
    }

    /// The entry without what this side alone holds where the other side, whose word counts, holds `theirs`.
    pub fn agreed(&mut self, key: &Key, entry: Entry, theirs: &Summary) -> Entry {
        let dots = self.judge.alone(&entry, theirs);
        if dots.is_empty() {
            return entry;
        }
        let (agreed, alone) = split(&entry, &dots);
        self.alone.push((key.clone(), alone));
        agreed
    }
}

/// How a step of an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// There is more to do at once, or as soon as data may be made.
    Again,
    /// Something must come from the other side.
    Wait,
}

/// An exchange as one side sees it.
#[derive(Debug)]
pub enum Exchange {
    /// This side names.
    Namer(Box<Namer>),
    /// This side joins.
    Joiner(Box<Joiner>),
}

impl Exchange {
    /// Goes on as far as one step, the credit and the other side allow.
    pub fn pump(&mut self, bench: &mut Bench<'_>) -> Result<Pumped, Failure> {
        match self {
            Self::Namer(namer) => namer.pump(bench),
            Self::Joiner(joiner) => joiner.pump(bench),
        }
    }

    /// What this side's remainder is, once everything is sent.
    pub fn close(&self) -> Option<Close> {
        match self {
            Self::Namer(namer) => namer.close(),
            Self::Joiner(joiner) => joiner.close(),
        }
    }

    /// Takes in names.
    pub fn names(&mut self, names: Names, flow: &mut Flow) -> Result<(), Failure> {
        match self {
            Self::Namer(_) => Err(Failure::Protocol("names from the side that does not name")),
            Self::Joiner(joiner) => joiner.names(names, flow),
        }
    }

    /// Takes in wants.
    pub fn wants(&mut self, wants: Vec<Want>) -> Result<(), Failure> {
        match self {
            Self::Namer(namer) => namer.wants(wants),
            Self::Joiner(_) => Err(Failure::Protocol("wants from the side that names")),
        }
    }

    /// Takes in data: tells which entries it is of.
    pub fn data(
        &mut self,
        items: Vec<Item>,
        view: &View<'_>,
        judge: Judge,
        tally: &mut Tally,
    ) -> Result<Vec<Came>, Failure> {
        let sibling_bytes: usize = items.iter().map(|item| item.sibling_bytes).sum();
        let taken = match self {
            Self::Namer(namer) => namer.data(items, view, judge, tally)?,
            Self::Joiner(joiner) => joiner.data(items, view)?,
        };
        let sent = taken.iter().filter(|came| came.delta != Delta::default());
        let keys: usize = sent.map(|came| came.key.as_bytes().len()).sum();
        tally.ideal += (sibling_bytes + keys) as u64;
        Ok(taken)
    }

    /// The other side has sent all it had to.
    pub fn peer_closed(&mut self) -> Result<(), Failure> {
        match self {
            Self::Namer(namer) => namer.peer_closed(),
            Self::Joiner(joiner) => joiner.peer_closed(),
        }
    }

    /// How many entries are still to be exchanged, as far as this side knows.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Namer(namer) => namer.left(),
            Self::Joiner(joiner) => joiner.left(),
        }
    }
}
