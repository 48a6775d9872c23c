//! What members send one another over a connection: one frame, one message.
//!
//! A frame is a version byte and the bincode form of [`Frame`]. What carries frames (lengths, hellos,
//! connections) is the transport's; what they mean is this crate's.

use bytes::Bytes;
use model::{Entry, Key, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::promise::{Answer, Ask};
use crate::roster::{Roster, RosterVersion};
use crate::session::{SessionFrame, SessionId};

/// The version of what is sent; the first byte of a frame.
pub const WIRE_VERSION: u8 = 3;
/// The longest frame, in bytes. Larger entries travel in parts.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Everything that members say to each other over a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// The sender's roster, to be merged into the receiver's.
    Roster(Box<Roster>),
    /// Entries that the sender has just learned of.
    Rumor(Rumor),
    /// Which entries of a rumor the receiver knew already.
    RumorAnswer {
        /// The rumor's number.
        batch: u64,
        /// The places within it that were no news, ascending.
        known: Vec<u32>,
    },
    /// A request for a promise to remove a member.
    PromiseAsk(Ask),
    /// The answer to it.
    PromiseAnswer(Answer),
    /// Part of an anti-entropy session.
    Session {
        /// Which one.
        id: SessionId,
        /// What is said in it.
        body: SessionFrame,
    },
    /// The sender stops now: it is down at once.
    Goodbye,
    /// The versions of the sender's roster and of the contacts in it, where the roster itself is long.
    RosterIs {
        /// Who belongs.
        members: RosterVersion,
        /// Where they are reached.
        contacts: RosterVersion,
    },
    /// What the sender has just learned of the roster: all it knows of some ids, to be merged like a whole roster. Of the
    /// others it says nothing.
    RosterNews(Box<Roster>),
}

/// Entries pushed to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumor {
    /// The sender's number for it, which an answer names.
    pub batch: u64,
    /// Whether the sender has members left to tell and wants to know what was no news.
    pub answer: bool,
    /// Who has been told already, ascending: they need not be told again.
    pub told: Vec<NodeId>,
    /// The entries.
    pub items: Vec<(Key, Entry)>,
}

/// Why bytes are no frame. The connection they came on is closed; nothing else changes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// Of a version that this program does not speak.
    #[error("frame version {0}, this program speaks {WIRE_VERSION}")]
    Version(u8),
    /// Too long, cut, or not of the form.
    #[error("not a frame: {0}")]
    Form(String),
}

/// The bytes of a frame.
pub fn encode(frame: &Frame) -> Result<Bytes, WireError> {
    let mut out = Vec::with_capacity(256);
    out.push(WIRE_VERSION);
    bincode::serde::encode_into_std_write(frame, &mut out, bincode::config::standard())
        .map_err(|error| WireError::Form(error.to_string()))?;
    if out.len() > FRAME_BYTES_MAX {
        return Err(WireError::Form(format!("{} bytes, at most {FRAME_BYTES_MAX}", out.len())));
    }
    Ok(out.into())
}

/// How many bytes [`encode`] would make of a session's frame, without making them.
pub fn session_frame_bytes(id: &SessionId, body: &SessionFrame) -> usize {
    /// Counts what is written to it.
    struct Counter(usize);
    impl bincode::enc::write::Writer for Counter {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0 += bytes.len();
            Ok(())
        }
    }
    // The version, and the number of the variant.
    let mut counter = Counter(2);
    // What cannot be encoded is not sent: it does not matter what is counted for it.
    let _ = bincode::serde::encode_into_writer((id, body), &mut counter, bincode::config::standard());
    counter.0
}

/// The frame that these bytes are.
pub fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
    let (version, body) = bytes.split_first().ok_or_else(|| WireError::Form("empty".into()))?;
    if *version != WIRE_VERSION {
        return Err(WireError::Version(*version));
    }
    let config = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
    let (frame, used) = bincode::serde::decode_from_slice(body, config)
        .map_err(|error| WireError::Form(error.to_string()))?;
    if used != body.len() {
        return Err(WireError::Form(format!("{} bytes too many", body.len() - used)));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::AbortReason;

    #[test]
    fn the_bytes_of_a_session_frame_are_counted_without_making_them() {
        let id = SessionId { initiator: NodeId(u64::MAX), number: 7 };
        for body in [
            SessionFrame::Abort(AbortReason::Busy),
            SessionFrame::Piece { left: 7, bytes: Bytes::from(vec![1; 70_000]) },
        ] {
            let counted = session_frame_bytes(&id, &body);
            assert_eq!(counted, encode(&Frame::Session { id, body }).unwrap().len());
        }
    }
}
