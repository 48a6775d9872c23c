//! What a store leaves behind at a clean stop: what it held, so that the next opening need not verify every record.
//!
//! The tree is never saved. It is built from the digests of all records that are there, and the note is believed only
//! if they add up to what it says, which a record lost, added or exchanged would not. It is gone from the engine,
//! durably, before the store that was opened by it takes a write.

use std::sync::PoisonError;

use merkle::RangeDigest;
use model::DigestKey;

use crate::engine::{Batch, Engine, Space};
use crate::store::{Counts, Store, StoreError};

/// Where it lies.
const AT: &[u8] = b"clean stop";
const FORM: &[u8; 8] = b"MGVSTOP1";

/// What a store held at a clean stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) root: RangeDigest,
    pub(super) counts: Counts,
}

impl Note {
    /// The note in an engine. One that cannot be read, or was not written by a store with this key, is none.
    pub(super) fn read(engine: &dyn Engine, digest_key: &DigestKey) -> Option<Note> {
        let bytes = engine.get(Space::Notes, AT).ok()??;
        let note = parse(&bytes)?;
        (note.form(digest_key) == *bytes).then_some(note)
    }

    /// Form (8), keys (8), tombstones (8), entries (8), sum (16), all big endian; BLAKE3 keyed with the digest key
    /// over that (32).
    fn form(&self, digest_key: &DigestKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.extend_from_slice(FORM);
        for number in [self.counts.keys, self.counts.tombstones, self.root.count] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.root.sum.to_be_bytes());
        let check = blake3::keyed_hash(&digest_key.0, &out);
        out.extend_from_slice(check.as_bytes());
        out
    }
}

fn parse(bytes: &[u8]) -> Option<Note> {
    let (keys, rest) = bytes.strip_prefix(FORM)?.split_first_chunk::<8>()?;
    let (tombstones, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let (sum, _check) = rest.split_first_chunk::<16>()?;
    let counts = Counts { keys: u64::from_be_bytes(*keys), tombstones: u64::from_be_bytes(*tombstones) };
    let root = RangeDigest { count: u64::from_be_bytes(*count), sum: u128::from_be_bytes(*sum) };
    (counts.keys.checked_add(counts.tombstones) == Some(root.count)).then_some(Note { root, counts })
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
        let note = Note { root: state.tree.root(), counts: state.counts };
        let mut batch = Batch::new();
        batch.put(Space::Notes, AT, note.form(&self.digest_key));
        self.engine.apply(&batch).map_err(|error| self.stop(&format!("a write failed: {error}")))?;
        let written = self.counted();
        drop(state);
        self.make_durable(written)
    }
}
