//! What can go wrong in a search.

use thiserror::Error;

use super::limits::{MESSAGE_BYTES_MAX, TURN_PARTS_MAX};
use crate::frozen::ViewLost;

/// Why a search ended early. After any of these but [`FindError::Busy`] the finder is over: it answers every call
/// with [`FindError::Over`]. What was found before stays true; the session claims nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FindError {
    /// This side's own view cannot answer any more.
    #[error(transparent)]
    View(#[from] ViewLost),
    /// This side's own view gave two answers to one question.
    #[error("the frozen view has changed")]
    ViewChanged,
    /// More entries share one token than fit into a message. It takes 2^64 hashes to make each of them.
    #[error("too many entries share the token {token:016x}")]
    Crowded {
        /// The token.
        token: u64,
    },
    /// The caller passed a message while the last step said that there was work left. Nothing has changed.
    #[error("a message was passed while the finder had work left")]
    Busy,
    /// The search is over, by its end or by an error.
    #[error("the search is over")]
    Over,
    /// The peer sent a message that is too long.
    #[error("the peer sent {bytes} bytes in a message, {MESSAGE_BYTES_MAX} are allowed")]
    MessageTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The peer's turn has too many messages.
    #[error("the peer sent more than {TURN_PARTS_MAX} messages in one turn")]
    TurnTooLong,
    /// The peer has sent more messages than any search of this size can take.
    #[error("the peer sent more than {allowed} messages in one search")]
    TooManyMessages {
        /// How many were allowed.
        allowed: u64,
    },
    /// The peer's answers are not one bit for each digest and tag it was shown.
    #[error("the peer sent {bytes} bytes of answers to {asked} questions")]
    WrongAnswers {
        /// Bytes of answers received.
        bytes: usize,
        /// Digests and tags that had been shown.
        asked: usize,
    },
    /// The peer's digests are of a depth that cannot follow what is open.
    #[error("the peer showed ranges of {bits} bits where they cannot come next")]
    WrongDepth {
        /// The depth received.
        bits: u8,
    },
    /// The peer's digests do not divide into whole digests of the ranges that are open.
    #[error("the peer sent {bytes} bytes of digests that do not fit the ranges still open")]
    WrongDigests {
        /// Bytes of digests received.
        bytes: usize,
    },
    /// The peer's tags are not of as many entries as it counted, or of ranges that are not open at the leaves.
    #[error(
        "the peer sent {bytes} bytes of tags for {ranges} ranges, which do not fit the ranges still open"
    )]
    WrongTags {
        /// Bytes of tags received.
        bytes: usize,
        /// Ranges they were said to be of.
        ranges: usize,
    },
    /// The peer showed more entries than its opening said it holds.
    #[error("the peer showed more tags than the {count} entries of its opening")]
    TooManyTags {
        /// The count in its opening.
        count: u64,
    },
    /// The peer's cells are none of the field, or more or fewer than are kept or were asked for.
    #[error("the peer sent {bytes} bytes of cells, which do not fit those asked for")]
    WrongCells {
        /// Bytes of cells received.
        bytes: usize,
    },
    /// The peer asked for cells that it has been given, that are not kept, or too often.
    #[error("the peer asked for cells up to {cells}, where it may not")]
    WrongAsk {
        /// The end of the cells it asked for.
        cells: u64,
    },
    /// The peer's units do not ascend, are none of the field, or more than the cells it was given can hold.
    #[error("the peer sent {bytes} bytes of units, which do not fit the cells it was given")]
    WrongUnits {
        /// Bytes of units received.
        bytes: usize,
    },
    /// The peer's message belongs to another way of searching, or does not come next.
    #[error("the peer sent a message that has no place here")]
    OutOfPlace,
    /// The peer asked nothing though ranges are open and it was its turn to ask.
    #[error("the peer ended the search with ranges still open")]
    EndedEarly,
}
