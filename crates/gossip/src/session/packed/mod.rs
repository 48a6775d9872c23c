//! Names, wants and data as they travel: bytes written by hand.
//!
//! In a session that repairs small values most of the bytes would be the form, not the content. So a frame begins with
//! what its items share, and an item in the most common shape spends one byte on saying so:
//! ```text
//! frame   newest (varint, ms)  writers (varint)  each writer (8)          then items to the end
//! time    newest - ms, shifted left by one (varint), its lowest bit: a counter (varint) follows
//! dot     place of the writer (varint)  time
//! shape   1 byte: bits 0 to 3 as below, 4 and 5 the number of siblings (3: a varint follows), 6 and 7 the place
//!         PLAIN    the floor is zero and the context is what the siblings' dots make up; else:
//!                  extra components, shifted left by one (varint), its lowest bit: a floor (time) follows;
//!                  each extra component (dot)
//!         EXPIRES  the last expiry (8) follows, and one (8) in each full sibling; else nothing ever expires
//!         TYPED    each full sibling has a content type: its length and one (varint), or 0 for none
//!         KNOWN    each sibling begins with a byte: 0 if it is named only
//!         KNOWN alone and no sibling: nothing is held
//! name    shape  key length (varint)  key  context and expiry  each sibling: dot, start of its hash (4)
//! want    names skipped (varint)  shape  context and expiry  siblings as in a name: what the asker holds
//! data    shape  place  context and expiry  each sibling: dot, expiry, type, value length (varint), value, hash (32)
//! place   0: key length (varint) and key  1: names skipped (varint)  2: of the next want  3: is not one
//! ```
//! Varints are little endian in groups of seven bits. What cannot be read ends the session: nothing is guessed, nothing
//! panics, and nothing is allocated beyond a small multiple of the frame.

mod data;
mod names;
mod primitives;
mod shape;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use data::{Item, Place, pack_data, unpack_data};
pub use names::{Name, Want, pack_names, pack_wants, unpack_names, unpack_wants};

/// The most names or wants that are read from a frame.
pub const NAMES_A_FRAME_MAX: usize = 4_096;
/// The most data items that are read from a frame.
pub const ITEMS_A_FRAME_MAX: usize = 16_384;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// They end in the middle of something.
    #[error("they are cut short")]
    Short,
    /// A number, a place, a time or a key that cannot be.
    #[error("they hold what cannot be")]
    Impossible,
    /// More items than a frame may have.
    #[error("there are too many items")]
    TooMany,
    /// A value and its hash do not belong together.
    #[error("a value does not match its hash")]
    Hash,
}
