//! Where entries live: engines, and the store that keeps entries, names and tree in step.
//!
//! * [`Engine`]: ordered keys, ordered writes, and a flush after which they are on disk.
//!   [`SledEngine`] is the one on disk, [`MemoryEngine`] the one that crashes on demand. One suite of tests
//!   runs on both.
//! * [`Store`]: entries by token and key, names of live keys, and the tree over all of it, changed in one
//!   critical section. Frozen views for sessions. A failed write or flush, or a damaged record, stops all
//!   writing for good and says why; nothing is ever answered as if it had not happened. After damaged records a store can
//!   be opened anew in the same engine, without them: [`Store::open_healing`].
//! * [`Flusher`]: group commit.
//! * [`Quarantine`]: what a node that was behind alone still had.
//! * [`keep_damaged`]: the bytes of damaged records, for people.
//! * [`small_file`] and [`DataDir`]: the rest of what a node keeps on disk.
//!
//! No clock, no randomness and, but for the flusher's one thread and those that read while opening, no task.

mod commit;
mod damaged_file;
mod data_dir;
mod durable_fs;
mod engine;
mod flusher;
mod image;
mod loss;
mod mark;
mod memory;
mod opening;
mod parts;
mod quarantine;
mod scrub;
mod sled;
pub mod small_file;
mod store;

pub use damaged_file::{DAMAGED_FILE_BYTES_MAX, keep_damaged};
pub use data_dir::{DataDir, DirError};
pub use engine::{Batch, Engine, EngineError, FIRST_BYTES_CHEAP, Part, Space, Visit, Write};
pub use flusher::{Flusher, WhenDurable};
pub use loss::{forget_losses, move_aside};
pub use memory::MemoryEngine;
pub use opening::{OpenedSled, SledOptions};
pub use quarantine::{Quarantine, QuarantineError, QuarantineReader, Quarantined, quarantine_bytes};
pub use scrub::{Progress, SCRUB_INTERVAL, Scrub, ScrubCounts, ScrubNext};
pub use sled::SledEngine;
pub use store::{
    Advance, CORRUPT_LISTED_MAX, CorruptRecord, Counts, DAMAGED_TAKEN_OUT_MAX, DamagedRecord, Forgot,
    LIST_BYTES_MAX, Marks, MergedBatch, OpenReport, Page, RangeRows, Scrubbed, Seq, SetAside, Store,
    StoreError, Stored, Unreadable, UpdateError, Updated, VIEW_CHANGES_MAX, VIEWS_MAX, View, ViewId, Waiting,
    read_all,
};
