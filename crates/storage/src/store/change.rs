//! What a write changes, and how tree, counts, views and indexes move along with it.

use bytes::Bytes;
use model::{Entry, Hlc, Key};

use crate::engine::{Batch, Space};
use crate::store::indexes::{Times, row};
use crate::store::marks::Purged;
use crate::store::{Counts, Held, Seq, State, Store, StoreError, Waiting, growth};

/// How an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// It has siblings.
    Live { digest: u128 },
    /// It has none, and waits for the watermark.
    Tombstone { digest: u128, bytes: u64 },
    /// It has left tree and count, and waits on the disk for the grace to end.
    Purged { bytes: u64 },
}

impl Standing {
    /// Of a record of so many bytes under an engine key; `leaves` as in [`Times`].
    pub(super) fn of(
        digest: u128,
        leaves: Option<Hlc>,
        at: &[u8],
        record_len: usize,
        purged: &Purged,
    ) -> Standing {
        let bytes = (at.len() + record_len) as u64;
        match leaves {
            None => Standing::Live { digest },
            Some(time) if purged.is_behind(time, at) => Standing::Purged { bytes },
            Some(_) => Standing::Tombstone { digest, bytes },
        }
    }

    /// What the tree knows of it.
    pub(super) fn in_tree(self) -> Option<u128> {
        match self {
            Standing::Live { digest } | Standing::Tombstone { digest, .. } => Some(digest),
            Standing::Absent | Standing::Purged { .. } => None,
        }
    }

    pub(super) fn is_live(self) -> bool {
        matches!(self, Standing::Live { .. })
    }
}

/// What was there before a write.
#[derive(Clone, Copy)]
pub(super) struct Was {
    /// Of the record, whether or not the tree has it.
    pub(super) digest: Option<u128>,
    pub(super) times: Times,
    pub(super) standing: Standing,
}

impl Was {
    pub(super) fn of(held: &Held, at: &[u8], purged: &Purged) -> Was {
        let times = Times::of(&held.entry);
        let standing = held.digest.map_or(Standing::Absent, |digest| {
            Standing::of(digest, times.leaves, at, held.record_len, purged)
        });
        Was { digest: held.digest, times, standing }
    }
}

/// What becomes of one key.
pub(super) struct Change<'a> {
    pub(super) key: &'a Key,
    pub(super) token: u64,
    pub(super) was: Standing,
    pub(super) is: Standing,
}

/// What is to stand under a key: none where it is to be removed.
pub(super) type Next<'a> = Option<(&'a Entry, u128, Bytes)>;

/// The writes of one critical section, and the changes that they make.
#[derive(Default)]
pub(super) struct Section<'a> {
    pub(super) changes: Vec<Change<'a>>,
    records: Vec<(Box<[u8]>, Option<Bytes>)>,
    rows_come: Vec<(Space, Box<[u8]>)>,
    rows_gone: Vec<(Space, Box<[u8]>)>,
}

impl<'a> Section<'a> {
    pub(super) fn with_room(keys: usize) -> Section<'a> {
        Section { changes: Vec::with_capacity(keys), records: Vec::with_capacity(keys), ..Section::default() }
    }

    /// Adds that a key's record is replaced, or removed.
    pub(super) fn replace(
        &mut self,
        (key, token, at): (&'a Key, u64, &[u8]),
        was: Was,
        next: Next<'_>,
        purged: &Purged,
    ) {
        let times = next.as_ref().map_or(Times::default(), |(entry, ..)| Times::of(entry));
        let is = next.as_ref().map_or(Standing::Absent, |(_, digest, record)| {
            Standing::of(*digest, times.leaves, at, record.len(), purged)
        });
        for (space, before, now) in times.beside(was.times) {
            if before != now {
                self.rows_come.extend(now.map(|time| (space, row(time, at))));
                self.rows_gone.extend(before.map(|time| (space, row(time, at))));
            }
        }
        self.records.push((at.into(), next.map(|(_, _, record)| record)));
        self.changes.push(Change { key, token, was: was.standing, is });
    }

    /// Adds that a row of an index, which no record goes with, is removed.
    pub(super) fn remove_row(&mut self, space: Space, row: Box<[u8]>) {
        self.rows_gone.push((space, row));
    }

    /// How many records are written.
    pub(super) fn writes(&self) -> u64 {
        self.records.len() as u64
    }

    /// The writes, in the order that makes any prefix harmless: see [`Store`]. Names ascend, and so do records if
    /// they were added so.
    pub(super) fn batch(&mut self) -> Batch {
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for change in &self.changes {
            match (change.was.is_live(), change.is.is_live()) {
                (false, true) => come.push(change.key.as_bytes()),
                (true, false) => gone.push(change.key.as_bytes()),
                _ => {}
            }
        }
        come.sort_unstable();
        gone.sort_unstable();
        self.rows_come.sort_unstable();
        self.rows_gone.sort_unstable();
        let rows = self.rows_come.len() + self.rows_gone.len();
        let mut batch = Batch::with_room(come.len() + self.records.len() + gone.len() + rows);
        for name in come {
            batch.put(Space::Names, name, Bytes::new());
        }
        for (space, row) in self.rows_come.drain(..) {
            batch.put(space, row, Bytes::new());
        }
        for (at, record) in self.records.drain(..) {
            match record {
                Some(record) => batch.put(Space::Entries, at, record),
                None => batch.remove(Space::Entries, at),
            };
        }
        for (space, row) in self.rows_gone.drain(..) {
            batch.remove(space, row);
        }
        for name in gone {
            batch.remove(Space::Names, name);
        }
        batch
    }
}

impl Store {
    /// Applies the writes of a section, if there are any, and moves everything along with them: the last number.
    pub(super) fn commit(&self, state: &mut State, mut section: Section<'_>) -> Result<Seq, StoreError> {
        let writes = section.writes();
        let batch = section.batch();
        if !batch.is_empty() {
            self.engine.apply(&batch).map_err(|error| self.stop(&format!("a write failed: {error}")))?;
        }
        for change in &section.changes {
            let (before, after) = (change.was.in_tree(), change.is.in_tree());
            state.tree.change(change.token, before, after);
            state.tally.leave(change.was);
            state.tally.enter(change.is);
            for view in state.views.values_mut() {
                view.record(change.token, change.key.as_bytes(), before, after);
            }
        }
        let seq = if writes > 0 { self.count(writes) } else { self.counted() };
        // A step that fails stops the store. What was written is written: whoever waits for it is told so there.
        let _ = self.grow(state, growth::entries_a_section(section.changes.len()));
        Ok(seq)
    }
}

/// How many entries stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: u64,
    pub(super) waiting: Waiting,
}

impl Tally {
    pub(super) fn enter(&mut self, standing: Standing) {
        self.add(standing, u64::wrapping_add);
    }

    fn leave(&mut self, standing: Standing) {
        self.add(standing, u64::wrapping_sub);
    }

    pub(super) fn add_all(&mut self, other: &Tally) {
        self.keys += other.keys;
        self.waiting.tombstones += other.waiting.tombstones;
        self.waiting.tombstone_bytes += other.waiting.tombstone_bytes;
        self.waiting.purged += other.waiting.purged;
        self.waiting.purged_bytes += other.waiting.purged_bytes;
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { keys: self.keys, tombstones: self.waiting.tombstones }
    }

    fn add(&mut self, standing: Standing, by: fn(u64, u64) -> u64) {
        let waiting = &mut self.waiting;
        match standing {
            Standing::Absent => {}
            Standing::Live { .. } => self.keys = by(self.keys, 1),
            Standing::Tombstone { bytes, .. } => {
                waiting.tombstones = by(waiting.tombstones, 1);
                waiting.tombstone_bytes = by(waiting.tombstone_bytes, bytes);
            }
            Standing::Purged { bytes } => {
                waiting.purged = by(waiting.purged, 1);
                waiting.purged_bytes = by(waiting.purged_bytes, bytes);
            }
        }
    }
}
