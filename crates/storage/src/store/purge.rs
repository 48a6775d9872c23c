//! Forgetting, in the two steps of a purge: tombstones leave tree, sketch and count once the watermark has passed them,
//! and the disk after a grace, in which merges still see them. What has expired leaves at once.

use std::ops::Bound;

use bytes::Bytes;
use model::{Hlc, Key};

use crate::engine::Space;
use crate::store::change::{Change, Section, Standing, Was};
use crate::store::indexes::{self, read_row};
use crate::store::marks::{Advance, Forgot, Marks, Purged, Waiting};
use crate::store::{Held, State, Store, StoreError, growth, record};

/// Entries looked at in one critical section at most.
const ROWS_A_SECTION: usize = 128;

/// A row of an index, and the record it names.
struct Named {
    row: Box<[u8]>,
    time: Hlc,
    key: Key,
    token: u64,
    at: Box<[u8]>,
    held: Held,
    was: Was,
}

impl Store {
    /// Step one of a purge, by state and marks alone. Tombstones whose context lies at or under the watermark leave
    /// tree, sketch and count, not the disk; entries whose last expiry is at or under the horizon leave altogether;
    /// expired siblings of others are removed. At most `limit` entries a call (0 counts as 1), a few at a time in one
    /// critical section: call it until it is done.
    ///
    /// Marks never fall: lower ones than before change nothing. From the first call on they count for merges (see
    /// [`Store::merge`]). Until the call that is done, tombstones that arrive between where the purge has come and
    /// the watermark stand in the tree, and leave it with the others: as if the watermark rose in small steps. They
    /// must be on the node's disk before, so that the next [`Store::open`] is handed no lower ones.
    ///
    /// # Errors
    /// When the store could not; a part may have been done.
    pub fn advance(&self, marks: Marks, limit: usize) -> Result<Advance, StoreError> {
        let mut advance = Advance::default();
        let mut left = limit.max(1);
        while left > 0 && !advance.done {
            let mut state = self.lock_to_write()?;
            let marks = self.marks.raise(marks);
            let rows_max = left.min(ROWS_A_SECTION);
            let mut rows = self.expire_some(&mut state, marks.horizon, rows_max, &mut advance)?;
            if rows == 0 {
                rows = self.purge_some(&mut state, marks.watermark, rows_max, &mut advance)?;
            }
            advance.done = rows == 0;
            left = left.saturating_sub(rows);
        }
        self.grow_between()?;
        advance.seq = self.counted();
        Ok(advance)
    }

    /// Step two of a purge: takes off the disk at most `limit` tombstones (0 counts as 1) that left the tree by a
    /// watermark at or under `upto`. Merges know nothing of them from then on: the grace must be over, and every
    /// session ended that was open when they left the tree.
    ///
    /// # Errors
    /// When the store could not; a part may have been done.
    pub fn forget(&self, upto: Hlc, limit: usize) -> Result<Forgot, StoreError> {
        let mut forgot = Forgot::default();
        let mut left = limit.max(1);
        while left > 0 && !forgot.done {
            let mut state = self.lock_to_write()?;
            let rows = self.forget_some(&mut state, upto, left.min(ROWS_A_SECTION), &mut forgot)?;
            forgot.done = rows == 0;
            left = left.saturating_sub(rows);
        }
        self.grow_between()?;
        Ok(forgot)
    }

    /// How far forgetting has come. May be called from the `decide` of [`Store::update`]: what it says holds until
    /// that has returned.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks.get()
    }

    /// Tombstones and bytes that wait, for the watermark and for the end of the grace.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.lock().tally.waiting
    }

    /// A step of growth, or of shrinking after much was forgotten.
    fn grow_between(&self) -> Result<(), StoreError> {
        let mut state = self.lock_to_write()?;
        self.grow(&mut state, growth::ENTRIES_A_CALL).map(drop)
    }

    /// Does what the first rows of the expiry index say, and gives how many there were.
    fn expire_some(
        &self,
        state: &mut State,
        horizon: Hlc,
        rows_max: usize,
        advance: &mut Advance,
    ) -> Result<usize, StoreError> {
        let rows = self.rows(Space::Expiry, Bound::Unbounded, horizon, rows_max)?;
        let mut section = Section::with_room(rows.len());
        let found = rows.len();
        let mut named = self.named(&state.purged, Space::Expiry, rows, &mut section)?;
        for Named { row, time, key, token, at, held, was } in &mut named {
            if was.times.expiry != Some(*time) {
                section.remove_row(Space::Expiry, std::mem::take(row));
                continue;
            }
            let place = (&*key, *token, &**at);
            if held.entry.is_over(horizon) {
                advance.expired += 1;
                section.replace(place, *was, None, &state.purged);
                continue;
            }
            advance.trimmed += 1;
            held.entry.remove_expired(horizon);
            let digest = held.entry.digest(key, &self.digest_key);
            let record = Bytes::from(record::write(&held.entry, digest));
            section.replace(place, *was, Some((&held.entry, digest, record)), &state.purged);
        }
        self.commit(state, section)?;
        Ok(found)
    }

    /// Takes the next tombstones out of the tree, and gives how many rows there were. Nothing is written for that.
    fn purge_some(
        &self,
        state: &mut State,
        watermark: Hlc,
        rows_max: usize,
        advance: &mut Advance,
    ) -> Result<usize, StoreError> {
        if state.purged.time > watermark || state.purged == Purged::whole(watermark) {
            return Ok(0);
        }
        let behind = match &state.purged {
            Purged { time, at: Some(at) } => Some(Bound::Excluded(indexes::row(*time, at))),
            Purged { time, at: None } => time.next().map(|next| Bound::Included(indexes::row(next, &[]))),
        };
        let Some(from) = behind else { return Ok(0) };
        let rows = self.rows(Space::Tombstones, from.as_ref().map(|row| &**row), watermark, rows_max)?;
        let found = rows.len();
        let last = rows.last().filter(|_| found == rows_max).and_then(|row| read_row(row));
        let next = last.map_or(Purged::whole(watermark), |(time, at)| Purged { time, at: Some(at.into()) });
        let mut section = Section::with_room(found);
        let named = self.named(&state.purged, Space::Tombstones, rows, &mut section)?;
        for Named { row, time, key, token, was, .. } in &named {
            match was.standing {
                Standing::Tombstone { bytes, .. } if was.times.leaves == Some(*time) => {
                    advance.purged += 1;
                    let is = Standing::Purged { bytes };
                    section.changes.push(Change { key, token: *token, was: was.standing, is });
                }
                _ => section.remove_row(Space::Tombstones, row.clone()),
            }
        }
        // From here on the entries in the tree are those that this place says.
        state.purged = next;
        self.commit(state, section)?;
        Ok(found)
    }

    /// Takes the first tombstones that have left the tree off the disk, and gives how many rows there were.
    fn forget_some(
        &self,
        state: &mut State,
        upto: Hlc,
        rows_max: usize,
        forgot: &mut Forgot,
    ) -> Result<usize, StoreError> {
        let upto = upto.min(state.purged.time);
        let mut rows = self.rows(Space::Tombstones, Bound::Unbounded, upto, rows_max)?;
        rows.retain(|row| read_row(row).is_none_or(|(time, at)| state.purged.is_behind(time, at)));
        let found = rows.len();
        let mut section = Section::with_room(found);
        let named = self.named(&state.purged, Space::Tombstones, rows, &mut section)?;
        for Named { row, time, key, token, at, was, .. } in &named {
            if was.times.leaves == Some(*time) {
                forgot.rows += 1;
                section.replace((key, *token, at), *was, None, &state.purged);
            } else {
                section.remove_row(Space::Tombstones, row.clone());
            }
        }
        self.commit(state, section)?;
        Ok(found)
    }

    /// The records that rows name. Rows that name none are removed.
    fn named(
        &self,
        purged: &Purged,
        space: Space,
        rows: Vec<Box<[u8]>>,
        section: &mut Section<'_>,
    ) -> Result<Vec<Named>, StoreError> {
        let mut named = Vec::with_capacity(rows.len());
        for row in rows {
            let read = read_row(&row).and_then(|(time, at)| {
                let (token, key) = record::read_scanned_key(at).ok()?;
                Some((time, token, key, Box::<[u8]>::from(at)))
            });
            let Some((time, token, key, at)) = read else {
                section.remove_row(space, row);
                continue;
            };
            let held = self.read(&key, &at)?;
            let was = Was::of(&held, &at, purged);
            named.push(Named { row, time, key, token, at, held, was });
        }
        Ok(named)
    }

    fn rows(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        upto: Hlc,
        limit: usize,
    ) -> Result<Vec<Box<[u8]>>, StoreError> {
        indexes::rows(&*self.engine, space, from, upto, limit).map_err(|error| {
            self.stop(&format!("an index cannot be read: {error}"));
            StoreError::Engine(error)
        })
    }
}
