//! What the two sides of a session say to each other.

use std::fmt;

use bytes::Bytes;
use merkle::{FindMessage, Opening, RangeDigest};
use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};
use storage::Marks;

use crate::roster::{Roster, RosterVersion};
use crate::stability::{Said, SaidVector, in_steps};

/// Which session a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId {
    /// Who began it.
    pub initiator: NodeId,
    /// Random, its own.
    pub number: u64,
}

/// A session's messages, in the order in which they first occur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionFrame {
    /// The initiator's opening.
    Open(Box<Open>),
    /// The responder's answer.
    Opened(Opened),
    /// A step towards what differs; the responder's first rides right behind its [`Opened::Differ`].
    Find(FindMessage),
    /// Names of entries that differ, and what the sender holds of them.
    Names(Names),
    /// Of which names the sender lacks something: packed, see `packed`.
    Wants(Bytes),
    /// What the receiver lacks: packed.
    Data(Bytes),
    /// A piece of a [`SessionFrame::Data`] that is too large for a frame.
    Piece {
        /// How many bytes are still to come after these.
        left: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The receiver has taken in so much, or, with zeroes, is still there.
    Taken {
        /// [`SessionFrame::Names`] frames.
        names: u32,
        /// Bytes of [`SessionFrame::Data`] and [`SessionFrame::Piece`] frames, stored.
        data: u64,
    },
    /// The sender has sent all it had to.
    Close(Close),
    /// Everything the sender received is on its disk.
    Done {
        /// Whether it left anything out: then neither side claims anything.
        left_out: bool,
        /// Whether it did so because nobody could say what of it was replaced long ago (H28).
        withheld: bool,
    },
    /// The sender gives up, and why.
    Abort(AbortReason),
}

impl SessionFrame {
    /// The bytes of data in it, which count against credit; 0 where it is no data.
    pub fn data_bytes(&self) -> u64 {
        match self {
            Self::Data(bytes) | Self::Piece { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// The initiator's opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The initiator's roster, by version: unequal rosters merge before anything else.
    pub roster: RosterVersion,
    /// Whether the initiator is behind.
    pub behind: bool,
    /// The initiator's root and what helps to find what differs.
    pub tree: Opening,
    /// What deletes need to be forgotten safely.
    pub stability: Stability,
}

/// What an opening says so that deletes can be forgotten: watermark and horizon, and what members have published.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// The watermark; on both sides the same once data flows.
    #[serde(with = "in_steps")]
    pub watermark: Hlc,
    /// The expiry horizon; the same.
    #[serde(with = "in_steps")]
    pub horizon: Hlc,
    /// Whether the sender knows every member to be behind, itself too.
    pub all_behind: bool,
    /// Whether the sender's disk may be an old one: no session has shown otherwise since its start.
    pub unproven: bool,
    /// When the sender published last: the time beside which all others here are told, its own component too.
    pub published: Hlc,
    /// The sender's vector, read before it froze its view: merged if the session completes. None before it has published
    /// anything under this roster.
    pub vector: Option<SaidVector>,
    /// Publications that the receiver may not know, of any member.
    pub said: Vec<Said>,
}

impl Stability {
    /// Watermark and horizon together.
    pub fn marks(&self) -> Marks {
        Marks { watermark: self.watermark, horizon: self.horizon }
    }
}

/// The responder's answer to an opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Opened {
    /// The roots are equal: the two are identical as of the session's start.
    Identical {
        /// Whether the responder is behind.
        behind: bool,
        /// The responder's own.
        stability: Stability,
    },
    /// They differ; the search begins.
    Differ {
        /// Whether the responder is behind.
        behind: bool,
        /// The responder's root and what helps to find what differs.
        tree: Box<Opening>,
        /// The responder's own.
        stability: Stability,
    },
    /// The rosters differ: here is the responder's. The initiator merges it, sends the outcome and opens
    /// again.
    RosterFirst(Box<Roster>),
    /// Not now.
    Busy,
    /// Watermark or horizon differ: here are the responder's, which it has raised to the initiator's. The initiator
    /// raises its own and opens again, so that roots are compared at equal marks.
    MarksFirst(Stability),
}

/// Names of entries that differ, in ascending order of token and key over all such frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Keys, and what the sender holds under them: packed, see `packed`.
    pub packed: Bytes,
    /// Nothing comes after these.
    pub last: bool,
    /// The sender found more than it names; the rest is left to a next session.
    pub cut: bool,
}

/// The end of what a side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The frozen root less the frozen digests of all that either side named: equal on both sides if
    /// everything that differed was named.
    pub remainder: RangeDigest,
    /// Whether the sender knows of names cut off on either side: then the remainders say nothing.
    pub cut: bool,
}

/// Why a side gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortReason {
    /// A frame that does not belong where it came.
    Protocol,
    /// The frozen view could not be kept.
    ViewLost,
    /// Too long without a frame.
    TimedOut,
    /// It ran for as long as one may.
    Overlong,
    /// The store stopped.
    Stopped,
    /// Even the search at full width did not name all that differs.
    Unequal,
    /// The other side is not a member here, or no longer.
    NotMember,
    /// The sender is repairing with somebody else by now.
    Busy,
}

impl AbortReason {
    /// Under which name it is counted.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::ViewLost => "view_lost",
            Self::TimedOut => "timed_out",
            Self::Overlong => "overlong",
            Self::Stopped => "store",
            Self::Unequal => "unequal",
            Self::NotMember => "not_member",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol => "a frame had no place where it came",
            Self::ViewLost => "its frozen view was lost",
            Self::TimedOut => "it heard nothing for too long",
            Self::Overlong => "it has run for as long as a session may",
            Self::Stopped => "its store stopped",
            Self::Unequal => "a search at full width missed something",
            Self::NotMember => "this node is no member there",
            Self::Busy => "it is repairing with another member",
        })
    }
}
