//! Reading what is there again, to find damage before somebody needs it; and a note of how far that has come.

use std::ops::{Bound, ControlFlow};

use model::Key;

use crate::engine::{Batch, Part, Space};
use crate::scrub::Progress;
use crate::store::{Store, StoreError, record};

/// Where the note lies.
const AT: &[u8] = b"scrub";

/// What a step of a scrub has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Entries, all of them sound.
    pub entries: u64,
    /// Bytes of their keys and records.
    pub bytes: u64,
    /// The last of them, behind which the next step goes on; none when the end was reached.
    pub last: Option<Key>,
}

impl Store {
    /// Reads entries again from behind `after` on, in token order, tombstones too, and proves each by its digest and
    /// the hashes of its values. Ends with the entry that brings it to `bytes_max` bytes. Nothing is locked; what is
    /// written meanwhile may or may not be seen.
    ///
    /// What the engine has in its cache it does not read from the disk again.
    ///
    /// # Errors
    /// When an entry is damaged or cannot be read: the store has stopped, as with any damaged record that is met. See
    /// [`Store::give_up`] for what can be done then.
    pub fn scrub(&self, after: Option<&Key>, bytes_max: u64) -> Result<Scrubbed, StoreError> {
        self.refuse_if_stopped()?;
        let mut scrubbed = Scrubbed::default();
        let mut wrong = None;
        let after = after.map(|key| record::entry_key(key.token().0, key.as_bytes()));
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut visit = |at: &[u8], value: &[u8]| {
            let key = match self.scanned(at, value) {
                Ok((key, _)) => key,
                Err(error) => {
                    wrong = Some(error);
                    return ControlFlow::Break(());
                }
            };
            scrubbed.entries += 1;
            scrubbed.bytes += (at.len() + value.len()) as u64;
            if scrubbed.bytes < bytes_max {
                return ControlFlow::Continue(());
            }
            scrubbed.last = Some(key);
            ControlFlow::Break(())
        };
        let scan = self.engine.range(Space::Entries, from, Bound::Unbounded, Part::Whole, &mut visit);
        scan.map_err(|error| {
            self.stop(&format!("entries cannot be read: {error}"));
            StoreError::Engine(error)
        })?;
        wrong.map_or(Ok(scrubbed), Err)
    }

    /// How far scrubbing had come when that was last noted.
    #[must_use]
    pub fn scrub_noted(&self) -> Progress {
        let noted = self.engine.get(Space::Notes, AT).ok().flatten();
        noted.and_then(|bytes| Progress::parse(&bytes)).unwrap_or_default()
    }

    /// Notes how far scrubbing has come; durable with the next flush. A note that a crash takes costs a little reading.
    ///
    /// # Errors
    /// When the store has stopped.
    pub fn note_scrub(&self, progress: &Progress) -> Result<(), StoreError> {
        let _state = self.lock_to_write()?;
        let mut batch = Batch::new();
        batch.put(Space::Notes, AT, progress.form());
        self.engine.apply(&batch).map_err(|error| self.stop(&format!("a write failed: {error}")))
    }
}
