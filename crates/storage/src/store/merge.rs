//! Merging entries from elsewhere: many in one critical section, and in one batch of the engine.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use model::{Entry, Hlc, Key, Merged};

use crate::engine::{Part, Space};
use crate::store::change::{Section, Was};
use crate::store::{Held, Purged, Seq, Store, StoreError, record};

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

impl Incoming<'_> {
    /// The entry without its siblings that have expired, if there are any.
    fn without_expired(&self, horizon: Hlc) -> Option<Entry> {
        let has_any = self.entry.siblings().iter().any(|sibling| sibling.expiry().is_over(horizon));
        has_any.then(|| {
            let mut entry = self.entry.clone();
            entry.remove_expired(horizon);
            entry
        })
    }
}

impl Store {
    /// Merges entries from elsewhere. Entries of one key are merged in their order; of several keys, in the order
    /// of tokens within each part of the batch that goes into one critical section (some hundred entries). No limit
    /// is applied to them. Fastest where a batch has hundreds of entries in token order.
    ///
    /// Siblings whose expiry lies at or under the horizon are not taken, and an entry whose last expiry lies there is
    /// not where nothing is held; else its context is, for it says what was replaced. A tombstone whose context lies
    /// at or under the watermark is taken, and stays out of the tree.
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
        let mut section = Section::with_room(incoming.len());
        let (mut ahead, mut clashes) = (Ahead::default(), 0);
        let mut state = self.lock_to_write()?;
        let horizon = self.marks().horizon;
        for of_key in incoming.chunk_by(|a, b| a.at == b.at) {
            let Some(first) = of_key.first() else { continue };
            let held = self.read_ascending(&mut ahead, first.key, &first.at)?;
            clashes += self.merge_key(held, of_key, (horizon, &state.purged), &mut section, changed);
        }
        if section.changes.is_empty() {
            return Ok(clashes);
        }
        self.commit(&mut state, section)?;
        drop(state);
        Ok(clashes)
    }

    /// Merges all that came for one key into what is held.
    fn merge_key<'a>(
        &self,
        held: Held,
        of_key: &[Incoming<'a>],
        (horizon, purged): (Hlc, &Purged),
        section: &mut Section<'a>,
        changed: &mut [bool],
    ) -> usize {
        let Some(first) = of_key.first() else { return 0 };
        let was = Was::of(&held, &first.at, purged);
        let (mut now, mut digest) = self.settled(held, horizon, first.key);
        let (mut as_it_came, mut clashes) = (None, 0);
        for theirs in of_key.iter().filter(|theirs| theirs.digest.is_some()) {
            if theirs.digest == digest {
                continue;
            }
            let trimmed = theirs.without_expired(horizon);
            let entry = trimmed.as_ref().unwrap_or(theirs.entry);
            let outcome = if digest.is_some() {
                now.merge(entry)
            } else if entry.is_over(horizon) {
                Merged::default()
            } else {
                // Merged into nothing, it is what comes of it.
                as_it_came = trimmed.is_none().then_some(theirs);
                now = entry.clone();
                Merged { changed: true, clashes: 0 }
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
        if digest == was.digest {
            return clashes;
        }
        let next = digest.map(|digest| {
            let record = match as_it_came {
                Some(came) if came.digest == Some(digest) => came.record.clone(),
                _ => record::write(&now, digest).into(),
            };
            (&now, digest, record)
        });
        section.replace((first.key, first.token, &first.at), was, next, purged);
        clashes
    }

    /// What is held, and its digest, without what the horizon has passed and [`Store::advance`] has not come to.
    fn settled(&self, held: Held, horizon: Hlc, key: &Key) -> (Entry, Option<u128>) {
        let Held { digest, mut entry, .. } = held;
        if entry.is_over(horizon) {
            return (Entry::default(), None);
        }
        if entry.remove_expired(horizon) == 0 {
            return (entry, digest);
        }
        let digest = entry.digest(key, &self.digest_key);
        (entry, Some(digest))
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
