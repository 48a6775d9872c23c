//! What becomes of damaged records. A store that meets one stops; where that is all, and the engine itself has done all
//! that it was asked to, its engine can be opened anew without the damaged records, for others to fill.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use model::Key;

use crate::engine::{Batch, Engine, Space};
use crate::store::{Store, StoreError, record};

/// With more damaged records than that the engine as a whole is taken for damaged.
pub const DAMAGED_TAKEN_OUT_MAX: usize = 10_000;
/// Damaged records handed over at a time, unless their bytes are more than the other bound.
const RECORDS_A_CALL: usize = 64;
const BYTES_A_CALL: usize = 4 << 20;

/// A record that is not what was written, as it lies in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Where it stands: token (8 bytes, big endian) and key, if that is sound.
    pub at: Box<[u8]>,
    /// Whose it is, if that can be told.
    pub key: Option<Key>,
    /// What is wrong with it.
    pub why: String,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// Takes damaged records over, some at a time. When it returns it is durable that this node has lost records, and what
/// of their bytes is kept is durable, too: then they are removed from the engine. An error, in words for people, leaves
/// them where they are.
pub type SetAside<'a> = &'a mut dyn FnMut(&[DamagedRecord]) -> Result<(), String>;

/// What is called when the store stops.
pub(crate) type OnStop = Box<dyn FnOnce() + Send>;

/// Whether, why and how a store has stopped.
#[derive(Default)]
pub(super) struct Stopping {
    reason: OnceLock<Arc<str>>,
    /// Something else than a damaged record was met, then or later.
    unsound: AtomicBool,
    then: Mutex<Vec<OnStop>>,
}

impl Store {
    /// Why the store has stopped writing, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.stopping.reason.get().map(|reason| reason.to_string())
    }

    /// Calls `then` once the store has stopped: at once if it has. It may be called in the critical section: it must not
    /// call the store.
    pub fn on_stop(&self, then: Box<dyn FnOnce() + Send>) {
        self.stopping.lock().push(then);
        if self.stopping.reason.get().is_some() {
            self.stopping.tell();
        }
    }

    /// The engine of a store that has stopped for damaged records and for nothing else: for [`Store::open_healing`].
    /// None if it has not stopped, or if the engine failed, too: what it then holds is not certain. Waits for a write and
    /// a flush that are under way; this store makes no other.
    #[must_use]
    pub fn give_up(&self) -> Option<Arc<dyn Engine>> {
        self.stopping.reason.get()?;
        let _no_flush = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_write = self.lock();
        (!self.stopping.unsound.load(Ordering::SeqCst)).then(|| Arc::clone(&self.engine))
    }

    /// Stops all writing for good, unless it has stopped already, and gives the error to return.
    pub(super) fn stop(&self, reason: &str) -> StoreError {
        self.stopping.unsound.store(true, Ordering::SeqCst);
        self.stop_for_damage(reason)
    }

    /// The same where a record, or what goes with one, is not what was written, and the engine has not failed.
    pub(super) fn stop_for_damage(&self, reason: &str) -> StoreError {
        let first = self.stopping.reason.get_or_init(|| {
            tracing::error!(reason, "the store stops writing");
            reason.into()
        });
        self.stopping.tell();
        StoreError::Stopped(Arc::clone(first))
    }

    pub(super) fn refuse_if_stopped(&self) -> Result<(), StoreError> {
        self.stopping.reason.get().map_or(Ok(()), |reason| Err(StoreError::Stopped(Arc::clone(reason))))
    }
}

impl Stopping {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<OnStop>> {
        self.then.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let then = std::mem::take(&mut *self.lock());
        then.into_iter().for_each(|then| then());
    }
}

/// Hands the records at these places over, and removes them. They are gone for good with the next flush.
pub(super) fn take_out(
    engine: &dyn Engine,
    damaged: &[(Box<[u8]>, String)],
    set_aside: SetAside<'_>,
) -> Result<(), StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for (at, why) in damaged {
        let Some(value) = engine.get(Space::Entries, at)? else { continue };
        bytes += value.len();
        let key = record::read_scanned_key(at).ok().map(|(_, key)| key);
        records.push(DamagedRecord { at: at.clone(), key, why: why.clone(), bytes: value });
        if records.len() >= RECORDS_A_CALL || bytes >= BYTES_A_CALL {
            remove(engine, &std::mem::take(&mut records), &mut *set_aside)?;
            bytes = 0;
        }
    }
    if records.is_empty() { Ok(()) } else { remove(engine, &records, set_aside) }
}

fn remove(engine: &dyn Engine, records: &[DamagedRecord], set_aside: SetAside<'_>) -> Result<(), StoreError> {
    set_aside(records).map_err(StoreError::NotSetAside)?;
    let mut batch = Batch::with_room(records.len());
    for record in records {
        batch.remove(Space::Entries, record.at.clone());
    }
    Ok(engine.apply(&batch)?)
}
