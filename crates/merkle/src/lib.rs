//! The range tree over token space, its digests, frozen views of it, and the walk that finds what differs.
//!
//! This crate knows neither entries nor engines: a key is bytes, a token is the `u64` that places the key, a digest
//! is the keyed 128-bit hash of a key with all that is stored under it. It has no clock, no IO and no randomness.
//!
//! * [`Tree`]: flat arrays of [`RangeDigest`], one array a level, and the [`Cells`] of a sketch, kept in step with the
//!   store by [`Tree::change`].
//! * [`FrozenView`]: the tree as of one instant, as the live tree minus a bounded record of what changed since.
//! * [`Frozen`]: what a search reads; the store implements it over a view.
//! * [`Decoder`]: from the difference of two sketches to the units that differ.
//! * [`Finder`]: the search, the same pure state machine on both sides of a session.
//! * [`Remainder`]: the closing check of a session.

// Unit tests share the stores and the driver of the tests beside them, which name the crate from outside.
#[cfg(test)]
extern crate self as merkle;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod check;
mod closing;
mod digest;
mod find;
mod frozen;
mod growth;
mod hint;
mod level;
mod opening;
mod overlay;
mod prefix;
mod sketch;
mod tree;
mod view;

pub use check::Drift;
pub use closing::{Remainder, closing};
pub use digest::RangeDigest;
pub use find::{
    Choice, FindError, FindMessage, FindStep, Finder, MESSAGE_BYTES_MAX, Method, Next, Prefer, Reason, Width,
};
pub use frozen::{Frozen, FrozenEntry, ViewLost, VisitMany};
pub use growth::GrowthError;
pub use hint::SizeHint;
pub use opening::Opening;
pub use overlay::Overlay;
pub use prefix::Prefix;
pub use sketch::{Cells, CellsThen, Decoder, Field, Progress, kept_cells, pack_cells, unpack_cells};
pub use tree::{KEYS_PER_LEAF_MAX, LEAF_BITS_MAX, LEAF_BITS_MIN, Tree};
pub use view::{Changed, FrozenView};
