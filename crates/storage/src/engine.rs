//! What the store needs of an engine: ordered keys, ordered writes, a flush that means it.

use std::io;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

/// The spaces of an engine: independent ordered maps from bytes to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Token and key to record: everything that is stored, in token order.
    Entries,
    /// Key to nothing: the live keys in key order, for listing.
    Names,
    /// Time, token and key to nothing: what expires when.
    Expiry,
    /// What the store notes about itself: little.
    Notes,
    /// Time, token and key to nothing: the tombstones, by the newest dot that each has seen.
    Tombstones,
}

impl Space {
    /// Every space, in the order of [`Space::index`].
    pub const ALL: [Space; 5] =
        [Space::Entries, Space::Names, Space::Expiry, Space::Notes, Space::Tombstones];

    /// A small number that never changes for a space: 0 to 4.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Space::Entries => 0,
            Space::Names => 1,
            Space::Expiry => 2,
            Space::Notes => 3,
            Space::Tombstones => 4,
        }
    }
}

/// How much of each value a range read needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole value.
    Whole,
    /// At least the first so many bytes (or all of a shorter value); an engine may give more. Cheap
    /// up to [`FIRST_BYTES_CHEAP`] even where values are large.
    First(usize),
}

/// Up to this many first bytes, [`Part::First`] never reads a large value.
pub const FIRST_BYTES_CHEAP: usize = 64;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The key has this value afterwards.
    Put {
        /// Where.
        space: Space,
        /// Under which key.
        key: Box<[u8]>,
        /// What.
        value: Bytes,
    },
    /// The key is not there afterwards.
    Remove {
        /// Where.
        space: Space,
        /// Which key.
        key: Box<[u8]>,
    },
}

/// Writes in order. After a crash the engine holds the effect of a prefix of all writes ever
/// applied, and of at least those applied before the last flush that returned; a batch may be cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// A batch without writes.
    #[must_use]
    pub fn new() -> Batch {
        Batch::default()
    }

    /// A batch without writes, and memory for so many.
    #[must_use]
    pub fn with_room(writes: usize) -> Batch {
        Batch { writes: Vec::with_capacity(writes) }
    }

    /// Adds a put behind the writes that are there.
    pub fn put(&mut self, space: Space, key: impl Into<Box<[u8]>>, value: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::Put { space, key: key.into(), value: value.into() });
        self
    }

    /// Adds a removal behind the writes that are there.
    pub fn remove(&mut self, space: Space, key: impl Into<Box<[u8]>>) -> &mut Batch {
        self.writes.push(Write::Remove { space, key: key.into() });
        self
    }

    /// The writes, first to last.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// What a range read is called with for each key and value, in key order. It must not call the engine.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An ordered store of bytes. Reads see every write that was applied, durable or not. All methods
/// may be called from many threads; two batches applied at once are ordered in some way per key.
pub trait Engine: Send + Sync {
    /// The value under a key, shared and not copied where the engine can.
    ///
    /// # Errors
    /// When the engine cannot tell: what it read is damaged, or reading failed. Nothing changes.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Calls `visit` for each key between the bounds, ascending, until it breaks. An empty or
    /// inverted range visits nothing. Writes applied meanwhile may or may not be seen.
    ///
    /// # Errors
    /// As [`Engine::get`]; what was visited until then is right.
    fn range(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        part: Part,
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Applies the writes in order. They are durable only after the next flush.
    ///
    /// # Errors
    /// When the engine failed; a prefix of the batch may have been applied, and nothing more may be
    /// written to this engine.
    fn apply(&self, batch: &Batch) -> Result<(), EngineError>;

    /// Returns when every write applied before the call is on stable storage.
    ///
    /// # Errors
    /// When that is not certain; nothing more may be written to this engine.
    fn flush(&self) -> Result<(), EngineError>;

    /// How many threads read everything faster than fewer do, at most.
    fn readers_max(&self) -> usize {
        usize::MAX
    }
}

/// Why an engine could not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The file system refused, or a disk is full or failing.
    #[error("{doing}: {why}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The operating system's kind of error.
        kind: io::ErrorKind,
        /// The operating system's words.
        why: String,
    },
    /// What is on disk is not what was written.
    #[error("{doing}: damaged data: {why}")]
    Damaged {
        /// What was tried.
        doing: &'static str,
        /// What was found.
        why: String,
    },
    /// The engine's own code panicked; the panic was caught.
    #[error("{doing}: the engine panicked: {why}")]
    Panicked {
        /// What was tried.
        doing: &'static str,
        /// The panic's message.
        why: String,
    },
    /// Another process or another handle has the engine's files open.
    #[error("{doing}: in use elsewhere: {why}")]
    InUse {
        /// What was tried.
        doing: &'static str,
        /// What the engine said.
        why: String,
    },
    /// A fault that a test asked for.
    #[error("injected fault: {0}")]
    Injected(&'static str),
}

impl EngineError {
    /// An I/O error with what was being done.
    #[must_use]
    pub fn io(doing: &'static str, error: &io::Error) -> EngineError {
        EngineError::Io { doing, kind: error.kind(), why: error.to_string() }
    }

    /// Whether what is on disk is at fault: another try would end the same. Otherwise the system refused, for now.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, EngineError::Damaged { .. } | EngineError::Panicked { .. })
    }
}

/// Whether a key lies between two bounds that no key can satisfy; engines answer those alike.
#[must_use]
pub(crate) fn range_is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
    }
}
