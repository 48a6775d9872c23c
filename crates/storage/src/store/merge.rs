//! Merging entries from elsewhere: many in one critical section, and in one batch of the engine.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use model::{Entry, Key};

use crate::engine::{Batch, Part, Space};
use crate::store::{Held, Seq, State, Store, StoreError, growth, record};

/// Entries merged in one critical section at most. A client's write may have to wait for one section: for about
/// 2 ms on the engine on disk.
const ROWS_A_SECTION: usize = 128;
/// Bytes of entries merged in one critical section, about, unless a single one has more.
const BYTES_A_SECTION: usize = 256 << 10;
/// At most so many misses in a row before it is asked again what lies ahead.
const PATIENCE_MAX: u32 = 64;

/// What merging a batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedBatch {
    /// For each entry of the batch, whether it changed what was stored.
    pub changed: Vec<bool>,
    /// Dots that came with other contents than those stored. Always 0 unless something is badly wrong.
    pub clashes: usize,
    /// Once this is durable, so is everything in the batch.
    pub seq: Seq,
}

/// One entry of a batch, with all that can be known of it outside of the critical section.
struct Incoming<'a> {
    key: &'a Key,
    entry: &'a Entry,
    /// Where it stands in its section.
    place: usize,
    token: u64,
    at: Box<[u8]>,
    /// None if it is blank.
    digest: Option<u128>,
    /// As it is written where there was nothing.
    record: Bytes,
}

/// What becomes of one key.
pub(super) struct Change<'a> {
    pub(super) key: &'a Key,
    pub(super) token: u64,
    pub(super) before: Option<u128>,
    /// None where it is removed.
    pub(super) after: Option<u128>,
    /// None where there was nothing.
    pub(super) was_live: Option<bool>,
    pub(super) is_live: bool,
}

/// The writes of a section, and the changes that they make.
#[derive(Default)]
struct Section<'a> {
    records: Vec<(Box<[u8]>, Bytes)>,
    changes: Vec<Change<'a>>,
}

impl Store {
    /// Merges entries from elsewhere. Entries of one key are merged in their order; of several keys, in the order
    /// of tokens within each part of the batch that goes into one critical section (some hundred entries). No limit
    /// is applied to them. Fastest where a batch has hundreds of entries in token order.
    ///
    /// # Errors
    /// When the store could not; a part of the batch may have been merged.
    pub fn merge(&self, batch: &[(Key, Entry)]) -> Result<MergedBatch, StoreError> {
        let mut merged = MergedBatch { changed: vec![false; batch.len()], clashes: 0, seq: Seq(0) };
        let (mut rest, mut changed) = (batch, &mut merged.changed[..]);
        while !rest.is_empty() {
            let len = section_len(rest);
            let (section, behind) = rest.split_at(len);
            let (changed_here, changed_behind) = changed.split_at_mut(len);
            let incoming = self.prepare(section);
            merged.clashes += self.merge_section(&incoming, changed_here)?;
            (rest, changed) = (behind, changed_behind);
        }
        merged.seq = self.counted();
        Ok(merged)
    }

    /// In the order of the engine's keys; of one key, in the order of the batch.
    fn prepare<'a>(&self, section: &'a [(Key, Entry)]) -> Vec<Incoming<'a>> {
        let prepared = section.iter().enumerate().map(|(place, (key, entry))| {
            let token = key.token().0;
            let digest = (!entry.is_blank()).then(|| entry.digest(key, &self.digest_key));
            let record = digest.map_or(Bytes::new(), |digest| record::write(entry, digest).into());
            Incoming {
                key,
                entry,
                place,
                token,
                at: record::entry_key(token, key.as_bytes()),
                digest,
                record,
            }
        });
        let mut incoming: Vec<Incoming<'a>> = prepared.collect();
        incoming.sort_by(|a, b| a.at.cmp(&b.at));
        incoming
    }

    /// Merges what goes into one critical section, and says how many clashes there were.
    fn merge_section(&self, incoming: &[Incoming<'_>], changed: &mut [bool]) -> Result<usize, StoreError> {
        let mut section = Section { records: Vec::with_capacity(incoming.len()), ..Section::default() };
        let (mut ahead, mut clashes) = (Ahead::default(), 0);
        let mut state = self.lock_to_write()?;
        for of_key in incoming.chunk_by(|a, b| a.at == b.at) {
            let Some(first) = of_key.first() else { continue };
            let held = self.read_ascending(&mut ahead, first.key, &first.at)?;
            clashes += self.merge_key(held, of_key, &mut section, changed);
        }
        if section.changes.is_empty() {
            return Ok(clashes);
        }
        let batch = section.batch();
        self.engine.apply(&batch).map_err(|error| self.stop(&format!("a write failed: {error}")))?;
        self.take_in(&mut state, &section.changes)?;
        drop(state);
        Ok(clashes)
    }

    /// Merges all that came for one key into what is held.
    fn merge_key<'a>(
        &self,
        held: Held,
        of_key: &[Incoming<'a>],
        section: &mut Section<'a>,
        changed: &mut [bool],
    ) -> usize {
        let (before, was_live) = (held.digest, held.digest.map(|_| !held.entry.siblings().is_empty()));
        let (mut now, mut digest, mut as_it_came, mut clashes) = (held.entry, before, None, 0);
        for theirs in of_key {
            if theirs.digest == digest || theirs.digest.is_none() {
                continue;
            }
            let outcome = if digest.is_none() {
                // Merged into nothing, it is what comes of it.
                as_it_came = Some(theirs);
                now = theirs.entry.clone();
                model::Merged { changed: true, clashes: 0 }
            } else {
                now.merge(theirs.entry)
            };
            clashes += outcome.clashes;
            if outcome.changed {
                digest = match as_it_came {
                    Some(came) if std::ptr::eq(came, theirs) => theirs.digest,
                    _ => Some(now.digest(theirs.key, &self.digest_key)),
                };
                if let Some(changed) = changed.get_mut(theirs.place) {
                    *changed = true;
                }
            }
        }
        let (Some(after), Some(first)) = (digest.filter(|_| digest != before), of_key.first()) else {
            return clashes;
        };
        let record = match as_it_came {
            Some(came) if came.digest == digest => came.record.clone(),
            _ => record::write(&now, after).into(),
        };
        section.records.push((first.at.clone(), record));
        let is_live = !now.siblings().is_empty();
        let (key, token, after) = (first.key, first.token, Some(after));
        section.changes.push(Change { key, token, before, after, was_live, is_live });
        clashes
    }

    /// Moves tree, counts and views along with what was just applied, and numbers it: the last number.
    pub(super) fn take_in(&self, state: &mut State, changes: &[Change<'_>]) -> Result<Seq, StoreError> {
        for change in changes {
            state.tree.change(change.token, change.before, change.after);
            if let Some(was_live) = change.was_live {
                *state.counts.of(was_live) -= 1;
            }
            if change.after.is_some() {
                *state.counts.of(change.is_live) += 1;
            }
            for view in state.views.values_mut() {
                view.record(change.token, change.key.as_bytes(), change.before, change.after);
            }
        }
        let seq = self.count(changes.len() as u64);
        self.grow(state, growth::entries_a_section(changes.len()))?;
        Ok(seq)
    }

    /// Reads a record in the critical section, where each key read lies behind the one before.
    fn read_ascending(&self, ahead: &mut Ahead, key: &Key, at: &[u8]) -> Result<Held, StoreError> {
        if ahead.is_empty_at(at) {
            return Ok(Held::nothing());
        }
        let held = self.read(key, at)?;
        if held.digest.is_none() && ahead.is_worth_asking() {
            let mut next = None;
            let mut visit = |key: &[u8], _: &[u8]| {
                next = Some(key.into());
                ControlFlow::Break(())
            };
            let scan = self.engine.range(
                Space::Entries,
                Bound::Excluded(at),
                Bound::Unbounded,
                Part::First(0),
                &mut visit,
            );
            scan.map_err(|error| {
                self.stop(&format!("entries cannot be read: {error}"));
                StoreError::Engine(error)
            })?;
            ahead.next = Some(next);
        }
        Ok(held)
    }
}

/// How many entries go into the next critical section: at least one.
fn section_len(batch: &[(Key, Entry)]) -> usize {
    let mut bytes = 0;
    let fits = |(key, entry): &&(Key, Entry)| {
        let before = bytes;
        bytes += key.as_bytes().len() + entry.weight();
        before < BYTES_A_SECTION
    };
    batch.iter().take(ROWS_A_SECTION).take_while(fits).count()
}

impl Section<'_> {
    /// The writes, in the order that makes any prefix harmless: see [`Store`]. Names ascend, and so do entries.
    fn batch(&mut self) -> Batch {
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for change in &self.changes {
            match (change.was_live.unwrap_or(false), change.is_live) {
                (false, true) => come.push(change.key.as_bytes()),
                (true, false) => gone.push(change.key.as_bytes()),
                _ => {}
            }
        }
        come.sort_unstable();
        gone.sort_unstable();
        let mut batch = Batch::with_room(come.len() + self.records.len() + gone.len());
        for name in come {
            batch.put(Space::Names, name, Bytes::new());
        }
        for (at, record) in self.records.drain(..) {
            batch.put(Space::Entries, at, record);
        }
        for name in gone {
            batch.remove(Space::Names, name);
        }
        batch
    }
}

/// What is known of the records behind the place that was read last. Where a node is filled anew, one question
/// spares hundreds of reads; where keys are found or lie far apart, it is seldom asked.
#[derive(Default)]
struct Ahead {
    /// The next record, or that there is none behind.
    next: Option<Option<Box<[u8]>>>,
    /// Reads that this has spared.
    spared: u32,
    misses: u32,
    patience: u32,
}

impl Ahead {
    fn is_empty_at(&mut self, at: &[u8]) -> bool {
        let empty = self.next.as_ref().is_some_and(|next| next.as_ref().is_none_or(|next| at < &**next));
        self.spared += u32::from(empty);
        empty
    }

    /// Called at a miss that nothing was known of.
    fn is_worth_asking(&mut self) -> bool {
        if self.next.take().is_some() {
            self.patience = if self.spared > 1 { 0 } else { (self.patience * 2 + 1).min(PATIENCE_MAX) };
            (self.spared, self.misses) = (0, 0);
        }
        self.misses += 1;
        self.misses > self.patience
    }
}
