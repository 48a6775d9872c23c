//! Reading many entries at once: a contiguous part of the token order, or keys that are known.

use std::ops::{Bound, ControlFlow};

use model::{Entry, Key};

use crate::engine::{Part, Space};
use crate::store::{Store, StoreError, record};

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its digest, which the entry was verified with.
    pub digest: u128,
    /// The entry, a tombstone perhaps.
    pub entry: Entry,
}

/// Some entries that lie one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRows {
    /// Keys and whole entries, tombstones too, ascending by token, then key.
    pub rows: Vec<(Key, Stored)>,
    /// Whether a bound ended the read before the range did. There may be nothing behind the last row all the same.
    pub more: bool,
}

impl Store {
    /// The entries with tokens in `first..=last` that lie behind `after` in token order, as they are now, each
    /// verified. The read ends with the entry that brings it to `bytes_max` bytes of keys and records or to
    /// `rows_max` rows (0 counts as 1): so it goes past `bytes_max` by one entry at most, and gives one entry if
    /// there is any. Goes on behind the last row while there is [`RangeRows::more`].
    ///
    /// Nothing is locked. What is written meanwhile may or may not be seen; every other entry is given, once.
    /// Take [`Store::written`] afterwards for the number of the last write that may have been seen.
    ///
    /// # Errors
    /// When an entry cannot be read or is damaged: the store has stopped.
    pub fn read_range(
        &self,
        after: Option<&Key>,
        first: u64,
        last: u64,
        bytes_max: usize,
        rows_max: usize,
    ) -> Result<RangeRows, StoreError> {
        let mut read = RangeRows { rows: Vec::new(), more: false };
        let after = after.map(|key| (key.token().0, key)).filter(|(token, _)| *token >= first);
        if first.max(after.map_or(0, |(token, _)| token)) > last {
            return Ok(read);
        }
        let after_key = after.map(|(token, key)| record::entry_key(token, key.as_bytes()));
        let first_key = record::from_token(first);
        let from = after_key.as_deref().map_or(Bound::Included(&first_key[..]), Bound::Excluded);
        let mut room = [0; 8];
        let to = record::past_token(last, &mut room);
        let (mut bytes, mut wrong) = (0, None);
        let mut visit = |at: &[u8], value: &[u8]| {
            match self.scanned(at, value) {
                Ok(row) => read.rows.push(row),
                Err(error) => {
                    wrong = Some(error);
                    return ControlFlow::Break(());
                }
            }
            bytes += at.len() + value.len();
            read.more = bytes >= bytes_max || read.rows.len() >= rows_max;
            if read.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let scan = self.engine.range(Space::Entries, from, to, Part::Whole, &mut visit);
        scan.map_err(|error| {
            self.stop(&format!("entries cannot be read: {error}"));
            StoreError::Engine(error)
        })?;
        wrong.map_or(Ok(read), Err)
    }

    /// The entries under these keys, in their order, none where there is none: as [`Store::get`], for each of them.
    /// Fastest where they ascend in token order. Ends with the entry that brings it to about `bytes_max` bytes, so
    /// that there may be fewer answers than keys, but at least one to the first.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_many(&self, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut entries = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            let held = self.read(key, &record::entry_key(key.token().0, key.as_bytes()))?;
            let stored = held.digest.map(|digest| Stored { digest, entry: held.entry });
            bytes += stored.as_ref().map_or(0, |stored| stored.entry.weight());
            entries.push(stored);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    /// A record met in a scan. One that is not what was written stops the store.
    pub(super) fn scanned(&self, at: &[u8], value: &[u8]) -> Result<(Key, Stored), StoreError> {
        let (_, key) = record::read_scanned_key(at)
            .map_err(|why| self.stop_for_damage(&format!("a record is damaged: {why}")))?;
        match record::read(&key, value, &self.digest_key) {
            Ok((digest, entry)) => Ok((key, Stored { digest, entry })),
            Err(why) => {
                self.stop_for_damage(&format!("the record of {key} is damaged: {why}"));
                Err(StoreError::Corrupt { key, why })
            }
        }
    }
}
