//! What a store leaves behind at a clean stop: what it held, so that the next opening need not verify every record.
//!
//! The tree is never saved. It is built from the digests of all records that are there, and the note is believed only
//! if they add up to what it says, which a record lost, added or exchanged would not. It is gone from the engine,
//! durably, before the store that was opened by it takes a write.

use std::sync::PoisonError;

use merkle::RangeDigest;
use model::{DigestKey, Hlc, KEY_BYTES_MAX};

use crate::engine::{Batch, Engine, Space};
use crate::store::{Purged, Store, StoreError, Tally, Waiting};

/// Where it lies.
const AT: &[u8] = b"clean stop";
const FORM: &[u8; 8] = b"MGVSTOP2";
/// The longest engine key.
const AT_BYTES_MAX: usize = 8 + KEY_BYTES_MAX;

/// What a store held at a clean stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) root: RangeDigest,
    pub(super) tally: Tally,
    /// How far tombstones had left the tree.
    pub(super) purged: Purged,
}

impl Note {
    /// The note in an engine. One that cannot be read, or was not written by a store with this key, is none.
    pub(super) fn read(engine: &dyn Engine, digest_key: &DigestKey) -> Option<Note> {
        let bytes = engine.get(Space::Notes, AT).ok()??;
        let note = parse(&bytes)?;
        (note.form(digest_key) == *bytes).then_some(note)
    }

    /// Form (8); keys, tombstones and their bytes, purged tombstones and theirs, entries in the tree (8 each); sum
    /// (16); of the place the time (8), whether it is within that time (1) and if so the engine key (to the end), all
    /// big endian; BLAKE3 keyed with the digest key over that (32).
    fn form(&self, digest_key: &DigestKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(FORM);
        let Waiting { tombstones, tombstone_bytes, purged, purged_bytes } = self.tally.waiting;
        let numbers = [self.tally.keys, tombstones, tombstone_bytes, purged, purged_bytes, self.root.count];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        out.extend_from_slice(&self.root.sum.to_be_bytes());
        out.extend_from_slice(&self.purged.time.as_u64().to_be_bytes());
        out.push(u8::from(self.purged.at.is_some()));
        out.extend_from_slice(self.purged.at.as_deref().unwrap_or(&[]));
        let check = blake3::keyed_hash(&digest_key.0, &out);
        out.extend_from_slice(check.as_bytes());
        out
    }
}

fn parse(bytes: &[u8]) -> Option<Note> {
    let mut rest = bytes.strip_prefix(FORM)?;
    let mut number = || {
        let (number, behind) = rest.split_first_chunk::<8>()?;
        rest = behind;
        Some(u64::from_be_bytes(*number))
    };
    let keys = number()?;
    let waiting = Waiting {
        tombstones: number()?,
        tombstone_bytes: number()?,
        purged: number()?,
        purged_bytes: number()?,
    };
    let count = number()?;
    let sum = u128::from(number()?) << 64 | u128::from(number()?);
    let time = Hlc::from_u64(number()?);
    let (place, _check) = rest.split_last_chunk::<32>()?;
    let at = match place.split_first()? {
        (0, []) => None,
        (1, at) if at.len() <= AT_BYTES_MAX => Some(at.into()),
        _ => return None,
    };
    let root = RangeDigest { count, sum };
    let note = Note { root, tally: Tally { keys, waiting }, purged: Purged { time, at } };
    (keys.checked_add(waiting.tombstones) == Some(count)).then_some(note)
}

/// Takes the note out of the engine; durable with the next flush.
pub(super) fn forget(engine: &dyn Engine) -> Result<(), StoreError> {
    if engine.get(Space::Notes, AT)?.is_some() {
        let mut batch = Batch::new();
        batch.remove(Space::Notes, AT);
        engine.apply(&batch)?;
    }
    Ok(())
}

impl Store {
    /// For the end of a node's run: makes all durable and notes what the store holds, so that the next opening
    /// reads digests only instead of verifying every record. Writes that come afterwards make the note worthless,
    /// and nothing worse.
    ///
    /// # Errors
    /// When the store has stopped, or cannot write: the next opening verifies everything.
    pub fn note_clean_stop(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.lock_to_write()?;
        let note = Note { root: state.tree.root(), tally: state.tally, purged: state.purged.clone() };
        let mut batch = Batch::new();
        batch.put(Space::Notes, AT, note.form(&self.digest_key));
        self.engine.apply(&batch).map_err(|error| self.stop(&format!("a write failed: {error}")))?;
        let written = self.counted();
        drop(state);
        self.make_durable(written)
    }
}
