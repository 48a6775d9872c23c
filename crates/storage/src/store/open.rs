//! Opening: the tree is built from what is really there, and every record is verified unless the last stop was clean.

use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use merkle::Tree;
use model::{DigestKey, Entry, Key};

use crate::engine::{Batch, Engine, EngineError, Part, Space};
use crate::store::heal::{DAMAGED_TAKEN_OUT_MAX, SetAside, take_out};
use crate::store::marks::SharedMarks;
use crate::store::note::{self, Note};
use crate::store::scan::{Look, Pass, scan};
use crate::store::{Marks, Purged, Seq, State, Store, StoreError, indexes, record};

/// At most so many damaged records are named; all are counted.
pub const CORRUPT_LISTED_MAX: usize = 100;
/// The part of the token space that is counted first to size the tree: 1 in 256.
const SAMPLE_LAST_TOKEN: u64 = u64::MAX >> 8;
/// Entries that leave in one call while opening.
const ENTRIES_A_CALL: usize = 1024;

/// What opening a store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Sound records read.
    pub entries: u64,
    /// Whether each record was proven by its digest, and names and indexes were compared with the entries. Otherwise
    /// the last stop was clean, and the digests were found to add up to what was there then.
    pub verified: bool,
    /// The first damaged records. If there are any that were not taken out, the store takes no writes.
    pub corrupt: Vec<CorruptRecord>,
    /// How many damaged records were met, named or not. Where the engine cannot read on, what lies
    /// behind is one of them.
    pub corrupt_count: u64,
    /// How many of them were set aside and removed, by [`Store::open_healing`]: all or none.
    pub taken_out: u64,
    /// Where the engine could not read on.
    pub unreadable: Option<Unreadable>,
    /// Names that a crash had left without a live key: removed.
    pub names_removed: u64,
    /// Live keys that had no name: given one. Never happens by a crash; something was lost.
    pub names_added: u64,
    /// Rows of indexes that a crash had left without an entry: removed.
    pub rows_removed: u64,
    /// Entries' rows that were not in their index: added. Never happens by a crash; something was lost.
    pub rows_added: u64,
}

/// An engine that cannot read all that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What it said.
    pub why: String,
    /// Whether what is on disk is at fault: another try would end the same.
    pub is_damage: bool,
}

/// A record that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRecord {
    /// The key, if it can be told; otherwise where the record stands, in hexadecimal.
    pub at: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for CorruptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.why)
    }
}

/// How many numbers, tokens of keys for one, and their sum: equal for equal sets, whatever their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    count: u64,
    sum: u128,
}

impl Store {
    /// Opens the store in an engine: reads every record and builds the tree. `progress` is called now and then with
    /// the number of entries read so far.
    ///
    /// After a clean stop (see [`Store::note_clean_stop`]) only the digests are read, and must add up to what the
    /// store held then. Otherwise each record is verified, and names and indexes are compared with the entries.
    ///
    /// `marks` are those that the node has on its disk. The store is opened as [`Store::advance`] would leave it:
    /// what has expired has left, and tombstones that the watermark has passed are in the engine only.
    ///
    /// Damaged records do not make this fail. They are in [`Store::opened`], and the store then takes no
    /// writes and says why: what it lacks must come from other members first.
    ///
    /// # Errors
    /// When the names of live keys had to be put right and could not be, or what was read cannot be made
    /// durable.
    pub fn open(
        engine: Arc<dyn Engine>,
        digest_key: DigestKey,
        marks: Marks,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Store, StoreError> {
        Self::open_with(engine, digest_key, marks, progress, None)
    }

    /// Opens the store as [`Store::open`] does, without damaged records: each is handed to `set_aside` and removed, and
    /// the store then takes writes. What it lacks must come from other members, and a new life must begin before its
    /// first write. More than [`DAMAGED_TAKEN_OUT_MAX`] of them, and what the engine cannot read, stay where they are.
    ///
    /// # Errors
    /// As [`Store::open`]; or `set_aside` failed, or the engine did, with the rest of them still there.
    pub fn open_healing(
        engine: Arc<dyn Engine>,
        digest_key: DigestKey,
        marks: Marks,
        progress: &mut dyn FnMut(u64),
        set_aside: SetAside<'_>,
    ) -> Result<Store, StoreError> {
        Self::open_with(engine, digest_key, marks, progress, Some(set_aside))
    }

    fn open_with(
        engine: Arc<dyn Engine>,
        digest_key: DigestKey,
        marks: Marks,
        progress: &mut dyn FnMut(u64),
        set_aside: Option<SetAside<'_>>,
    ) -> Result<Store, StoreError> {
        let (mut pass, purged) = match pass_by_note(&*engine, &digest_key, marks, progress) {
            Some(by_note) => by_note,
            None => {
                let (tree, purged) =
                    (Tree::with_keys(estimate_entries(&*engine)), Purged::whole(marks.watermark));
                (scan(&*engine, &digest_key, Look::Verify, (tree, &purged), progress), purged)
            }
        };
        progress(pass.report.entries);
        if let Some(set_aside) = set_aside {
            pass.take_out(&*engine, set_aside)?;
        }
        let damaged = pass.report.damage();
        if damaged.is_none() {
            if pass.report.verified {
                pass.put_names_right(&*engine, &digest_key)?;
                pass.put_indexes_right(&*engine, &digest_key)?;
            }
            note::forget(&*engine)?;
        }
        let Pass { tree, tally, report, .. } = pass;
        tracing::info!(entries = report.entries, verified = report.verified, "the store is open");
        let store = Store {
            engine,
            digest_key,
            state: Mutex::new(State { tree, tally, purged, views: Default::default(), views_made: 0 }),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            rest: Default::default(),
            flushing: Mutex::new(()),
            stopping: Default::default(),
            marks: SharedMarks::new(marks),
            report,
        };
        match damaged {
            Some(reason) if store.report.unreadable.is_some() => drop(store.stop(&reason)),
            Some(reason) => drop(store.stop_for_damage(&reason)),
            None => store.begin(marks)?,
        }
        Ok(store)
    }

    /// Does what the marks ask for, and flushes: what a killed process had written may be in the system's memory
    /// only, and from here on it is shown.
    fn begin(&self, marks: Marks) -> Result<(), StoreError> {
        while !self.advance(marks, ENTRIES_A_CALL)?.done {}
        self.make_durable(Seq(0))?;
        self.written.store(0, Ordering::SeqCst);
        Ok(())
    }
}

/// Every entry in an engine, tombstones too, each verified, in token order: for tools and checkers. Opens no store and
/// writes nothing.
///
/// # Errors
/// The engine cannot be read, or a record is damaged.
pub fn read_all(engine: &dyn Engine, digest_key: &DigestKey) -> Result<Vec<(Key, Entry)>, StoreError> {
    let mut rows = Vec::new();
    let mut wrong = None;
    engine.range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut |at, value| {
        let row = record::read_scanned_key(at).and_then(|(_, key)| {
            let (_, entry) = record::read(&key, value, digest_key)?;
            Ok((key, entry))
        });
        match row {
            Ok(row) => rows.push(row),
            Err(why) => wrong = Some(EngineError::Damaged { doing: "reading every entry", why }),
        }
        if wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    wrong.map_or(Ok(rows), |error| Err(error.into()))
}

/// Tokens are spread evenly, so a small part of them tells how many there are. An error here only costs growth.
fn estimate_entries(engine: &dyn Engine) -> u64 {
    let mut room = [0; 8];
    let to = record::past_token(SAMPLE_LAST_TOKEN, &mut room);
    let mut seen = 0_u64;
    let mut visit = |_: &[u8], _: &[u8]| {
        seen += 1;
        ControlFlow::Continue(())
    };
    // Whatever cannot be read is met again, and reported, in the pass over all entries.
    let _sample = engine.range(Space::Entries, Bound::Unbounded, to, Part::First(0), &mut visit);
    seen.saturating_mul(256)
}

/// The quick way: if there is a note of a clean stop, and all that it says is there. With it, how far tombstones had
/// left the tree then, which is not further than the watermark unless somebody has put an older one back.
fn pass_by_note(
    engine: &dyn Engine,
    digest_key: &DigestKey,
    marks: Marks,
    progress: &mut dyn FnMut(u64),
) -> Option<(Pass, Purged)> {
    let note = Note::read(engine, digest_key).filter(|note| note.purged.time <= marks.watermark)?;
    let tree = Tree::with_keys(note.root.count);
    let mut pass = scan(engine, digest_key, Look::Digests, (tree, &note.purged), progress);
    if pass.tree.root() != note.root || pass.report.corrupt_count > 0 {
        tracing::warn!("the records are not those of the last clean stop: each is verified");
        return None;
    }
    pass.tally = note.tally;
    Some((pass, note.purged))
}

impl Pass {
    /// Takes damaged records out of the engine, if they are all there is and not too many. The tree has none of them;
    /// names and rows that go with them are put right like those that a crash leaves.
    fn take_out(&mut self, engine: &dyn Engine, set_aside: SetAside<'_>) -> Result<(), StoreError> {
        let damaged = std::mem::take(&mut self.corrupt);
        if self.report.unreadable.is_some() || damaged.len() > DAMAGED_TAKEN_OUT_MAX {
            return Ok(());
        }
        take_out(engine, &damaged, set_aside)?;
        self.report.taken_out = damaged.len() as u64;
        Ok(())
    }

    /// A crash leaves names of keys that are not live, at worst. Names are put right only when their
    /// number or the sum of their tokens shows that they are not those of the live keys.
    fn put_names_right(&mut self, engine: &dyn Engine, digest_key: &DigestKey) -> Result<(), StoreError> {
        if self.found.as_ref().map_err(EngineError::clone)?.names == self.wanted.names {
            return Ok(());
        }
        self.report.names_removed = remove_stale_names(engine, digest_key)?;
        self.report.names_added = add_missing_names(engine, digest_key)?;
        tracing::warn!(
            removed = self.report.names_removed,
            added = self.report.names_added,
            "names were put right"
        );
        Ok(())
    }

    /// The same of indexes: a crash leaves rows that go with no entry, at worst.
    fn put_indexes_right(&mut self, engine: &dyn Engine, digest_key: &DigestKey) -> Result<(), StoreError> {
        if self.found.as_ref().map_err(EngineError::clone)?.rows == self.wanted.rows {
            return Ok(());
        }
        let (removed, added) = indexes::put_right(engine, digest_key)?;
        (self.report.rows_removed, self.report.rows_added) = (removed, added);
        tracing::warn!(removed, added, "the indexes by time were put right");
        Ok(())
    }
}

fn is_live(engine: &dyn Engine, key: &Key, digest_key: &DigestKey) -> Result<bool, EngineError> {
    let record = engine.get(Space::Entries, &record::entry_key(key.token().0, key.as_bytes()))?;
    Ok(record.is_some_and(|r| {
        record::read(key, &r, digest_key).is_ok_and(|(_, entry)| !entry.siblings().is_empty())
    }))
}

fn remove_stale_names(engine: &dyn Engine, digest_key: &DigestKey) -> Result<u64, EngineError> {
    let mut stale = Batch::new();
    for_each_key(engine, Space::Names, &mut |name| {
        let live = match Key::new(name.to_vec()) {
            Ok(key) => is_live(engine, &key, digest_key)?,
            Err(_) => false,
        };
        if !live {
            stale.remove(Space::Names, name);
        }
        Ok(())
    })?;
    engine.apply(&stale)?;
    Ok(stale.writes().len() as u64)
}

fn add_missing_names(engine: &dyn Engine, digest_key: &DigestKey) -> Result<u64, EngineError> {
    let mut missing = Batch::new();
    for_each_key(engine, Space::Entries, &mut |at| {
        let Ok((_, key)) = record::read_scanned_key(at) else { return Ok(()) };
        if engine.get(Space::Names, key.as_bytes())?.is_none() && is_live(engine, &key, digest_key)? {
            missing.put(Space::Names, key.as_bytes(), &b""[..]);
        }
        Ok(())
    })?;
    engine.apply(&missing)?;
    Ok(missing.writes().len() as u64)
}

/// Calls `visit` for each key of a space, a few hundred at a time and outside the engine's scan, so that
/// it may call the engine.
pub(super) fn for_each_key(
    engine: &dyn Engine,
    space: Space,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    const KEYS_A_READ: usize = 512;
    let mut from: Bound<Box<[u8]>> = Bound::Unbounded;
    loop {
        let mut keys: Vec<Box<[u8]>> = Vec::with_capacity(KEYS_A_READ);
        engine.range(
            space,
            from.as_ref().map(|key| &**key),
            Bound::Unbounded,
            Part::First(0),
            &mut |key, _| {
                keys.push(key.into());
                if keys.len() < KEYS_A_READ { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        )?;
        for key in &keys {
            visit(key)?;
        }
        match keys.pop() {
            Some(last) => from = Bound::Excluded(last),
            None => return Ok(()),
        }
    }
}

impl Fingerprint {
    pub(super) fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum += u128::from(number);
    }

    pub(super) fn add_all(&mut self, others: &Fingerprint) {
        self.count += others.count;
        self.sum += others.sum;
    }
}

impl OpenReport {
    /// Whether every damaged record was taken out, if there was one: the store could take writes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.taken_out == self.corrupt_count
    }

    /// What keeps the store from taking writes.
    fn damage(&self) -> Option<String> {
        let first = self.corrupt.first().filter(|_| !self.is_sound())?;
        Some(match self.corrupt_count {
            1 => format!("a record is damaged: {first}"),
            n => format!("{n} records are damaged, the first is {first}"),
        })
    }

    pub(super) fn add(&mut self, at: &[u8], why: String) {
        self.corrupt_count += 1;
        if self.corrupt.len() < CORRUPT_LISTED_MAX {
            let at = match record::read_scanned_key(at) {
                Ok((_, key)) => key.to_string(),
                Err(_) => at.iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            self.corrupt.push(CorruptRecord { at, why });
        }
    }
}
