//! Anti-entropy: two members compare frozen views of their trees, find what differs, and exchange it.
//!
//! A session, as a row of frames (`I` began it, `R` answers):
//! ```text
//! I  Open      roster version, root                    R  freezes its view
//! R  Opened    roots equal: done, one round trip       or: the search begins
//!              rosters, watermarks or horizons differ: those first, then from the beginning
//! *  Find      whole frontiers, one level a message, until both know what differs
//! N  Names     one side, the namer: keys that differ, and what it holds of them
//! J  Wants     the other, the joiner: which of them it lacks something of
//! *  Data      both at once: only what the other lacks, within windows
//! *  Close     frozen root less all that was named: equal remainders prove nothing was missed
//!              (unequal: once more from Find, at full width)
//! *  Done      after a flush begun later than the last frame; then both record "identical as of
//!              the session's start"
//! ```
//! (Demers et al. 1987, section 1.3, for anti-entropy; Merkle, "A Digital Signature Based on a
//! Conventional Encryption Function", 1987, for the tree; the closing check is our own.)
//!
//! | file | what it holds |
//! |---|---|
//! | `frames` | what the two sides say |
//! | `machine` | one session, one side: frames in, steps out; `machine/search` finds what differs, `machine/turn` takes frames |
//! | `exchange` | naming what differs and streaming what the other lacks |
//! | `packed` | names, wants and data as bytes |
//! | `flow` | how much may be on its way |
//! | `incoming` | received deltas made into entries |
//! | `report` | what a session says of itself to people |
//! | `table` | the sessions of a node: when to begin one, with whom, and when to end it |

mod exchange;
mod flow;
mod frames;
mod incoming;
mod machine;
pub mod packed;
mod report;
mod table;

use model::{Entry, Key};
use storage::{Seq, StoreError};
use thiserror::Error;

use crate::roster::Roster;

pub use flow::Allowance;
pub use frames::{AbortReason, Close, Names, Open, Opened, SessionFrame, SessionId, Stability};
pub use machine::{Begin, Session, Turn};
pub use merkle::Prefer;
pub use report::{Account, Outcome, Report, SessionMethod, SessionPhase, Way};
pub use table::{Schedule, SessionConfig};

/// An entry of the frozen view that differs from the other side's, or is missing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The key's token.
    pub token: u64,
    /// The key.
    pub key: Key,
    /// The entry's frozen digest.
    pub digest: u128,
}

impl Found {
    /// An entry that a view gave.
    fn new((token, key, digest): merkle::FrozenEntry) -> Result<Self, Failure> {
        let key = Key::new(Vec::from(key)).map_err(|_| Failure::Protocol("a key that is none"))?;
        Ok(Self { token, key, digest })
    }
}

/// What a session wants done, in this order.
#[derive(Debug)]
pub enum Step {
    /// Send this to the peer once everything up to `after` is durable.
    Send {
        /// The frame.
        frame: SessionFrame,
        /// What it may depend on.
        after: Seq,
    },
    /// Merge these entries, and say so with [`Session::stored`].
    Merge(Vec<(Key, Entry)>),
    /// Put these siblings into quarantine and take them out of the store, and say so with [`Session::stored`].
    Quarantine(Vec<(Key, Entry)>),
    /// There is more to do: call [`Session::resume`] soon, after what else has come, once repair may go on.
    Again,
    /// Flush, and say so with [`Session::flushed`].
    Flush(Seq),
    /// The session is over; release its view.
    End(Ending),
}

/// How a session ended.
#[derive(Debug)]
pub enum Ending {
    /// The two were proven identical as of the session's start.
    Identical,
    /// Data was exchanged, but nothing is claimed: there is more than one session takes. Go on at once.
    More,
    /// Something was withheld on one of the sides: nothing is claimed, and going on at once would not help.
    Withheld,
    /// The rosters differ; this is the peer's.
    RosterFirst(Box<Roster>),
    /// Watermark or horizon differ.
    MarksFirst,
    /// The peer has no time now.
    Busy,
    /// The peer gave up.
    Aborted(AbortReason),
    /// This side gave up.
    Failed(Failure),
}

/// Why this side gives a session up. What was merged stays; the next session finds only what is left.
#[derive(Debug, Error)]
pub enum Failure {
    /// The peer sent what has no place here.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// The peer's names, wants or data cannot be read.
    #[error("the peer sent what cannot be read: {0}")]
    Form(packed::Malformed),
    /// The peer's search messages do not hold together.
    #[error("the search failed: {0}")]
    Find(#[from] merkle::FindError),
    /// Too much changed since the view was frozen.
    #[error("the frozen view was lost")]
    ViewLost,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(StoreError),
    /// Too long without a frame.
    #[error("the peer has fallen silent")]
    TimedOut,
    /// It ran for as long as one may. The next one goes on.
    #[error("it has run for as long as a session may")]
    Overlong,
    /// Even at full width not all that differs was named.
    #[error("the roots differ, yet a search at full width did not name what differs")]
    Unequal,
    /// This node stops, was removed, or its store failed.
    #[error("this node takes no part any more")]
    Stopping,
    /// The peer restarted, went away, or is no member any more.
    #[error("the peer went away")]
    PeerGone,
}

impl Failure {
    fn reason(&self) -> AbortReason {
        match self {
            Self::ViewLost | Self::Find(merkle::FindError::View(_)) => AbortReason::ViewLost,
            Self::Protocol(_) | Self::Form(_) | Self::Find(_) => AbortReason::Protocol,
            Self::Store(_) | Self::Stopping => AbortReason::Stopped,
            Self::TimedOut | Self::PeerGone => AbortReason::TimedOut,
            Self::Overlong => AbortReason::Overlong,
            Self::Unequal => AbortReason::Unequal,
        }
    }
}

impl Failure {
    /// Under which name failures of this kind are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Protocol(_) | Self::Form(_) => "protocol",
            Self::Find(merkle::FindError::View(_)) | Self::ViewLost => "view_lost",
            Self::Find(_) => "search",
            Self::Store(_) => "store",
            Self::TimedOut => "timed_out",
            Self::Overlong => "overlong",
            Self::Unequal => "unequal",
            Self::PeerGone => "peer_gone",
            Self::Stopping => "stopping",
        }
    }
}

/// What a session did so far, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys named as differing by either side.
    pub named: u64,
    /// Entries sent.
    pub sent: u64,
    /// Entries received.
    pub received: u64,
    /// Bytes, both directions, of the keys and the encoded siblings that the other side lacked.
    pub ideal: u64,
    /// Searches made: 1, or 2 when the first missed something.
    pub searches: u8,
    /// Siblings that were not taken, since they were replaced long ago.
    pub refused: u64,
}
