//! A keyed rateless invertible sketch of all entries: a row of cells, kept in step with the tree, of which any prefix
//! long enough gives away what differs between two stores.
//!
//! After Yang, Gilad and Alizadeh, "Practical Rateless Set Reconciliation" (SIGCOMM 2024), with one unit a key instead
//! of one a version. A unit k is a contiguous range of tokens, its value v the digest of the entry in a prime field;
//! it adds (v, kv, k²v) to each cell of its own index sequence. Cells are linear: taking the peer's from one's own
//! leaves only units that differ, and a cell with exactly one of them shows it.

mod cells;
mod decode;
mod estimate;
mod field;
mod law;
mod unit;
mod wire;

pub(crate) use cells::Sketch;
pub use cells::kept_cells;
pub use cells::{Cells, CellsThen};
pub use decode::{Decoder, Progress};
pub(crate) use estimate::{Likely, Prior};
pub use field::Field;
pub(crate) use unit::tokens_of;
pub use wire::{pack_cells, unpack_cells};
