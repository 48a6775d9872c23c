//! Listing live keys in key order.

use std::ops::{Bound, ControlFlow};

use model::{Entry, Key};

use crate::engine::{Batch, Part, Space};
use crate::store::{Store, StoreError, record};

/// A page ends once its entries weigh this much, in bytes, however few they are: at least one is given.
pub const LIST_BYTES_MAX: usize = 8 << 20;
/// Names read from the engine at a time.
const NAMES_A_READ: usize = 256;

/// Some live keys, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys with at least one sibling, and their entries. Siblings may have expired.
    pub keys: Vec<(Key, Entry)>,
    /// From where the next page starts, `None` at the end.
    pub next: Option<Key>,
}

impl Store {
    /// Live keys that begin with `prefix`, from `start` (inclusive) on, at most `limit` of them (0 counts as
    /// 1), and about [`LIST_BYTES_MAX`] at most. Keys written or deleted meanwhile may or may not be there;
    /// all others are.
    ///
    /// # Errors
    /// When names or an entry cannot be read: the store has stopped.
    pub fn list(&self, prefix: &[u8], start: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        let limit = limit.max(1);
        let mut page = Page { keys: Vec::new(), next: None };
        let mut bytes = 0;
        let first = start.map_or(prefix, |start| start.max(prefix)).to_vec();
        let mut from = Bound::Included(first);
        loop {
            let names = self.names(prefix, from.as_ref().map(Vec::as_slice), NAMES_A_READ.min(limit + 1))?;
            let Some(last) = names.last() else { return Ok(page) };
            from = Bound::Excluded(last.as_bytes().to_vec());
            for key in names {
                let entry = self.get(&key)?.filter(|entry| !entry.siblings().is_empty());
                let Some(entry) = entry else {
                    self.forget_stale_name(&key);
                    continue;
                };
                if page.keys.len() == limit || bytes >= LIST_BYTES_MAX {
                    page.next = Some(key);
                    return Ok(page);
                }
                bytes += entry.weight() + key.as_bytes().len();
                page.keys.push((key, entry));
            }
        }
    }

    /// Up to `limit` names with this prefix.
    fn names(&self, prefix: &[u8], from: Bound<&[u8]>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let mut names = Vec::with_capacity(limit);
        let mut wrong = None;
        let mut visit = |name: &[u8], _: &[u8]| {
            if !name.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            match Key::new(name.to_vec()) {
                Ok(key) => names.push(key),
                Err(error) => wrong = Some(error),
            }
            if names.len() < limit && wrong.is_none() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let scan = self.engine.range(Space::Names, from, Bound::Unbounded, Part::First(0), &mut visit);
        scan.map_err(|error| {
            self.stop(&format!("names cannot be read: {error}"));
            StoreError::Engine(error)
        })?;
        match wrong {
            Some(error) => Err(self.stop_for_damage(&format!("a name is damaged: {error}"))),
            None => Ok(names),
        }
    }

    /// A crash can leave the name of a key that is not live. It is removed when met; if that cannot be
    /// done now, it stays harmless.
    fn forget_stale_name(&self, key: &Key) {
        let Ok(_state) = self.lock_to_write() else { return };
        let at = record::entry_key(key.token().0, key.as_bytes());
        if self.read(key, &at).is_ok_and(|held| held.entry.siblings().is_empty()) {
            let mut batch = Batch::new();
            batch.remove(Space::Names, key.as_bytes());
            if let Err(error) = self.engine.apply(&batch) {
                self.stop(&format!("a write failed: {error}"));
            }
        }
    }
}
