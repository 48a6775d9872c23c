//! Finding what differs between two frozen views: a pure state machine, the same type on both sides.
//!
//! There are two ways; the responder chooses by the two openings, and its first message tells which. Where up to a fifth
//! of the keys differs, **by the sketch**: the responder gives cells, a few more than it thinks it takes, the initiator
//! takes its own from them and peels, asks for more until nothing is left, and tells which units differ; both then name
//! all their entries of those units. `giving` and `taking` are the two sides, `sizing` says how many cells. A sketch
//! that does not decode costs a message, and both walk the tree.
//!
//! **By the tree**: the two sides take turns. A turn is up to 16 messages; it answers what the other side
//! asked in its last turn, and asks about the ranges that are still open, lowest tokens first. Asking is showing:
//! one's own truncated digests of the ranges one level down, or, at the leaves, one's own tags of the entries.
//! The answer is a bitmap of what differed. Both sides keep the same list of open ranges, the frontier.
//!
//! Every turn goes one step down, so a side never knows the other's digests of the very ranges it is shown the
//! children of: those were its own question. That is why the last child of a range is shown too, where a walk that
//! goes one way only could derive it from its parent. It buys half of the round trips for a twentieth of the bytes.

mod answer;
mod bits;
mod blob;
mod choice;
mod error;
mod finder;
mod frontier;
mod giving;
mod hear;
#[cfg(test)]
mod hostile_tests;
mod job;
mod limits;
mod message;
mod plan;
mod sizing;
#[cfg(test)]
mod sketch_tests;
mod speak;
mod taking;
mod units;
mod width;

pub use choice::{Choice, Method, Prefer, Reason};
pub use error::FindError;
pub use finder::{FindStep, Finder, Next};
pub use limits::MESSAGE_BYTES_MAX;
pub use message::FindMessage;
pub use width::Width;
