//! The store: entries, names, tree and counts, kept in step.

mod bulk;
mod change;
mod error;
mod growth;
mod heal;
mod indexes;
mod list;
mod many;
mod marks;
mod merge;
mod note;
mod open;
mod purge;
mod record;
mod rest;
mod scan;
mod scrub;
mod views;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use merkle::{FrozenView, RangeDigest, Tree};
use model::{DigestKey, Entry, Key};

use crate::engine::{Engine, Space};
pub use bulk::{RangeRows, Stored};
use change::{Section, Tally, Was};
pub use error::{StoreError, UpdateError};
use heal::Stopping;
pub use heal::{DAMAGED_TAKEN_OUT_MAX, DamagedRecord, SetAside};
pub use list::{LIST_BYTES_MAX, Page};
pub use marks::{Advance, Forgot, Marks, Waiting};
use marks::{Purged, SharedMarks};
pub use merge::MergedBatch;
pub use open::{CORRUPT_LISTED_MAX, CorruptRecord, OpenReport, Unreadable, read_all};
use rest::Rest;
pub use scrub::Scrubbed;
pub use views::{VIEW_CHANGES_MAX, VIEWS_MAX, View, ViewId};

/// The number of a write, store-wide, from 1 on; 0 stands for what was there on opening. A write is
/// durable once [`Store::durable`] is at or above its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// How much the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries with at least one sibling, expired ones included.
    pub keys: u64,
    /// Entries without siblings that the watermark has not passed.
    pub tombstones: u64,
}

/// What an update came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The entry as it is stored now.
    pub entry: Entry,
    /// Once this is durable, so is everything that the answer rests on, whether or not it was changed.
    pub seq: Seq,
    /// Whether anything was written.
    pub changed: bool,
}

/// Entries and names in an engine, and the tree over them in memory.
///
/// One mutex is the critical section of every write: read, decide, write, update the tree and every
/// open view. Reads of single keys do not take it. Nothing is durable before a flush: see [`Seq`].
///
/// A write puts a live key's name and the rows of indexes before its entry, and removes those that it no longer needs
/// after the entry: whatever prefix of that survives a crash, none is missing. One too many is harmless.
///
/// Tree, sketch and count are a function of the entries and of how far [`Store::advance`] has come, and of nothing
/// else: a tombstone whose context lies at or under the watermark is in the engine, but not in them.
pub struct Store {
    engine: Arc<dyn Engine>,
    digest_key: DigestKey,
    state: Mutex<State>,
    written: AtomicU64,
    durable: AtomicU64,
    rest: Rest,
    /// Held while the engine flushes.
    flushing: Mutex<()>,
    stopping: Stopping,
    marks: SharedMarks,
    report: OpenReport,
}

/// What changes with each write, in step.
struct State {
    tree: Tree,
    tally: Tally,
    purged: Purged,
    views: BTreeMap<ViewId, FrozenView>,
    views_made: u64,
}

/// A record as it was read: no digest where there is none.
struct Held {
    digest: Option<u128>,
    entry: Entry,
    /// Of the record, in bytes.
    record_len: usize,
}

impl Store {
    /// The entry under a key, none if there is none. A tombstone is an entry. It may not be durable.
    ///
    /// # Errors
    /// When it cannot be told, which stops the store: see [`StoreError`].
    pub fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let held = self.read(key, &record::entry_key(key.token().0, key.as_bytes()))?;
        Ok(held.digest.map(|_| held.entry))
    }

    /// Reads a key's entry (blank if there is none), lets `decide` say what it becomes, and writes that.
    /// `Ok(None)` leaves it, a blank entry removes it from the store altogether. `decide` runs in the
    /// critical section: it must not call the store.
    ///
    /// # Errors
    /// What `decide` returned, or why the store could not; nothing was changed, unless the store says
    /// that it has stopped: then the write may or may not be there after a restart.
    pub fn update<E>(
        &self,
        key: &Key,
        decide: impl FnOnce(Entry) -> Result<Option<Entry>, E>,
    ) -> Result<Updated, UpdateError<E>> {
        let mut state = self.lock_to_write()?;
        let token = key.token().0;
        let at = record::entry_key(token, key.as_bytes());
        let held = self.read(key, &at)?;
        let was = Was::of(&held, &at, &state.purged);
        let unchanged = |entry| Updated { entry, seq: self.counted(), changed: false };
        let Some(next) = decide(held.entry).map_err(UpdateError::Decision)? else {
            return Ok(unchanged(self.read(key, &at)?.entry));
        };
        match self.replace(&mut state, (key, token, &at), was, &next)? {
            Some(seq) => Ok(Updated { entry: next, seq, changed: true }),
            None => Ok(unchanged(next)),
        }
    }

    /// How many keys and tombstones are in the tree.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().tally.counts()
    }

    /// Memory that the tree and its sketch take, in bytes.
    #[must_use]
    pub fn tree_bytes(&self) -> usize {
        self.lock().tree.bytes()
    }

    /// The digest of everything, as of now. Members compare it; people are shown
    /// [`RangeDigest::root_hash`] of it.
    #[must_use]
    pub fn root(&self) -> RangeDigest {
        self.lock().tree.root()
    }

    /// The number of the last write. Whatever was read before this call was written at or under it: it waits
    /// for a write under way, which a read may have seen before it had its number.
    #[must_use]
    pub fn written(&self) -> Seq {
        let _no_write_under_way = self.lock();
        self.counted()
    }

    /// The number of the last write that has one, without waiting for a write under way: enough to see that something
    /// was written, but what was read may be newer (see [`Store::written`]).
    #[must_use]
    pub fn counted(&self) -> Seq {
        Seq(self.written.load(Ordering::SeqCst))
    }

    /// Gives numbers to so many writes that were just applied, and says the last of them. In the critical section.
    fn count(&self, writes: u64) -> Seq {
        let last = self.written.fetch_add(writes, Ordering::SeqCst) + writes;
        self.rest.ends();
        Seq(last)
    }

    /// Every write up to this number is on stable storage.
    #[must_use]
    pub fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    /// Makes every write up to now durable, and says up to which number that is. Does nothing if all are.
    ///
    /// # Errors
    /// When that is not certain: the store has stopped.
    pub fn flush(&self) -> Result<Seq, StoreError> {
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_if_stopped()?;
        let written = self.written();
        if self.durable() < written {
            self.make_durable(written)?;
        }
        Ok(written)
    }

    /// Flushes the engine. For one thread at a time, and a number taken before.
    fn make_durable(&self, written: Seq) -> Result<(), StoreError> {
        self.engine.flush().map_err(|error| self.stop(&format!("a flush failed: {error}")))?;
        self.durable.store(written.0, Ordering::Release);
        Ok(())
    }

    /// What opening found.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.report
    }

    /// After a panic in a critical section tree and entries may be out of step: never write again.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.stop("a write was interrupted by a panic");
            poisoned.into_inner()
        })
    }

    fn lock_to_write(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        self.refuse_if_stopped()?;
        Ok(state)
    }

    /// Reads the record at an engine key. What cannot be read stops the store.
    fn read(&self, key: &Key, at: &[u8]) -> Result<Held, StoreError> {
        let record = self.engine.get(Space::Entries, at).map_err(|error| {
            self.stop(&format!("the record of {key} cannot be read: {error}"));
            StoreError::Engine(error)
        })?;
        let Some(record) = record else { return Ok(Held::nothing()) };
        let (digest, entry) = record::read(key, &record, &self.digest_key).map_err(|why| {
            self.stop_for_damage(&format!("the record of {key} is damaged: {why}"));
            StoreError::Corrupt { key: key.clone(), why }
        })?;
        Ok(Held { digest: Some(digest), entry, record_len: record.len() })
    }

    /// Writes `next` where `was` is, unless they are the same, and moves everything along with it.
    fn replace(
        &self,
        state: &mut State,
        place: (&Key, u64, &[u8]),
        was: Was,
        next: &Entry,
    ) -> Result<Option<Seq>, StoreError> {
        let digest = (!next.is_blank()).then(|| next.digest(place.0, &self.digest_key));
        if digest == was.digest {
            return Ok(None);
        }
        let next = digest.map(|digest| (next, digest, record::write(next, digest).into()));
        let mut section = Section::with_room(1);
        section.replace(place, was, next, &state.purged);
        self.commit(state, section).map(Some)
    }
}

impl Held {
    fn nothing() -> Held {
        Held { digest: None, entry: Entry::default(), record_len: 0 }
    }
}
