//! One pass over all entries, names and indexes, by several threads where that is faster: what opening a store is about.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use merkle::Tree;
use model::{DigestKey, Key};

use crate::engine::{Engine, EngineError, Part, Space};
use crate::store::change::Standing;
use crate::store::indexes::{self, Times};
use crate::store::open::{Fingerprint, OpenReport, Unreadable};
use crate::store::{Purged, Tally, record};

/// The token space is read in so many slices, by whichever thread is free.
const SLICES: usize = 256;
/// More threads than that do not help: one takes in what the others read.
const THREADS_MAX: usize = 8;
/// Entries that are handed over, and told as progress, at a time.
const ENTRIES_A_CHUNK: usize = 1024;
/// Chunks that may wait to be taken in.
const CHUNKS_WAITING_MAX: usize = 16;

/// How closely records are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Each is read whole and proven by its digest; names and indexes are added up, too.
    Verify,
    /// Their digests are read and added up.
    Digests,
}

/// What one pass over the entries gives.
pub(super) struct Pass {
    pub(super) tree: Tree,
    /// Zero after [`Look::Digests`], and so are the fingerprints.
    pub(super) tally: Tally,
    pub(super) report: OpenReport,
    /// Where damaged records stand, and what is wrong with each, in the order of the engine's keys.
    pub(super) corrupt: Vec<(Box<[u8]>, String)>,
    /// What there should be.
    pub(super) wanted: Prints,
    /// What there is.
    pub(super) found: Result<Prints, EngineError>,
}

/// What goes with the records.
#[derive(Debug, Default)]
pub(super) struct Prints {
    /// Of the live keys' tokens.
    pub(super) names: Fingerprint,
    /// Of the rows of indexes.
    pub(super) rows: Fingerprint,
}

/// What a thread has read of a slice.
#[derive(Default)]
struct Chunk {
    /// Sound records.
    records: u64,
    /// Of those that are in the tree.
    digests: Vec<(u64, u128)>,
    tally: Tally,
    wanted: Prints,
    /// Where each damaged record stands, and what is wrong with it.
    corrupt: Vec<(Box<[u8]>, String)>,
}

enum Told {
    Entries(Chunk),
    Found(Result<Prints, EngineError>),
    /// Behind this place nothing can be read.
    Unreadable(Box<[u8]>, EngineError),
}

/// Where what was read goes; an error where nobody listens any more.
type Tell<'a> = &'a mut dyn FnMut(Told) -> Result<(), ()>;

struct Reader<'a> {
    engine: &'a dyn Engine,
    digest_key: &'a DigestKey,
    look: Look,
    purged: &'a Purged,
    next_slice: AtomicUsize,
    stopped: AtomicBool,
}

/// Reads everything into `tree`, which is empty, but tombstones behind `purged`. `progress` is called now and then with the number of entries.
pub(super) fn scan(
    engine: &dyn Engine,
    digest_key: &DigestKey,
    look: Look,
    (tree, purged): (Tree, &Purged),
    progress: &mut dyn FnMut(u64),
) -> Pass {
    let report = OpenReport { verified: look == Look::Verify, ..OpenReport::default() };
    let (wanted, found) = (Prints::default(), Ok(Prints::default()));
    let mut pass = Pass { tree, tally: Tally::default(), report, corrupt: Vec::new(), wanted, found };
    let (next_slice, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let reader = Reader { engine, digest_key, look, purged, next_slice, stopped };
    let mut unreadable = None;
    let mut hear = |told| match told {
        Told::Entries(chunk) => {
            pass.take(&chunk);
            pass.corrupt.extend(chunk.corrupt);
            progress(pass.report.entries);
        }
        Told::Found(found) => pass.found = found,
        Told::Unreadable(at, error) => {
            let first = unreadable.take().filter(|(known, _)| *known <= at);
            unreadable = Some(first.unwrap_or((at, error)));
        }
    };
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let readers = engine.readers_max().min(THREADS_MAX);
    match if readers > 1 { readers.min(processors()) } else { 1 } {
        0 | 1 => reader.run(true, &mut |told| {
            hear(told);
            Ok(())
        }),
        threads => thread::scope(|scope| {
            let (tell, told) = sync_channel(CHUNKS_WAITING_MAX);
            for number in 0..threads {
                let (reader, tell) = (&reader, tell.clone());
                scope.spawn(move || reader.run(number == 0, &mut |told| tell.send(told).map_err(drop)));
            }
            drop(tell);
            told.into_iter().for_each(hear);
        }),
    }
    pass.corrupt.sort();
    pass.corrupt.iter().for_each(|(at, why)| pass.report.add(at, why.clone()));
    if let Some((at, error)) = unreadable {
        let why = format!("nothing behind this record can be read: {error}");
        pass.report.unreadable = Some(Unreadable { why: error.to_string(), is_damage: error.is_damage() });
        pass.report.add(&at, why);
    }
    pass
}

impl Pass {
    fn take(&mut self, chunk: &Chunk) {
        for (token, digest) in &chunk.digests {
            self.tree.change(*token, None, Some(*digest));
        }
        self.report.entries += chunk.records;
        self.tally.add_all(&chunk.tally);
        self.wanted.names.add_all(&chunk.wanted.names);
        self.wanted.rows.add_all(&chunk.wanted.rows);
    }
}

impl Reader<'_> {
    /// Ends when there is nothing left to read, or nobody listens.
    fn run(&self, prints_too: bool, tell: Tell<'_>) {
        if prints_too && self.look == Look::Verify && tell(Told::Found(self.prints())).is_err() {
            return;
        }
        while !self.stopped.load(Ordering::Relaxed) {
            let slice = self.next_slice.fetch_add(1, Ordering::Relaxed);
            if slice >= SLICES || self.slice(slice as u8, tell).is_err() {
                return;
            }
        }
    }

    fn slice(&self, slice: u8, tell: Tell<'_>) -> Result<(), ()> {
        let (mut chunk, mut last, mut unheard) = (Chunk::default(), Vec::new(), false);
        let (first, next) = ([slice], slice.checked_add(1).map(|next| [next]));
        let from = if slice == 0 { Bound::Unbounded } else { Bound::Included(&first[..]) };
        let to = next.as_ref().map_or(Bound::Unbounded, |next| Bound::Excluded(&next[..]));
        let part = if self.look == Look::Verify { Part::Whole } else { Part::First(record::HEAD_BYTES) };
        let mut visit = |at: &[u8], value: &[u8]| {
            self.record(at, value, &mut chunk);
            last.clear();
            last.extend_from_slice(at);
            if chunk.records as usize + chunk.corrupt.len() >= ENTRIES_A_CHUNK {
                unheard = tell(Told::Entries(std::mem::take(&mut chunk))).is_err();
            }
            if unheard { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let scan = self.engine.range(Space::Entries, from, to, part, &mut visit);
        tell(Told::Entries(chunk))?;
        if let Err(error) = scan {
            self.stopped.store(true, Ordering::Relaxed);
            tell(Told::Unreadable(last.into(), error))?;
        }
        Ok(())
    }

    fn record(&self, at: &[u8], value: &[u8], chunk: &mut Chunk) {
        let read = match self.look {
            Look::Digests => record::read_entry_key(at).zip(record::read_head(value)).map_or_else(
                || Err("it is cut short".to_owned()),
                |((token, _), head)| Ok((token, Standing::of(head.digest, head.leaves, at, 0, self.purged))),
            ),
            Look::Verify => record::read_scanned_key(at).and_then(|(token, key)| {
                let (digest, entry) = record::read(&key, value, self.digest_key)?;
                let times = Times::of(&entry);
                times.add_to(&mut chunk.wanted.rows, token);
                let standing = Standing::of(digest, times.leaves, at, value.len(), self.purged);
                chunk.tally.enter(standing);
                if standing.is_live() {
                    chunk.wanted.names.add(token);
                }
                Ok((token, standing))
            }),
        };
        match read {
            Ok((token, standing)) => {
                chunk.records += 1;
                chunk.digests.extend(standing.in_tree().map(|digest| (token, digest)));
            }
            Err(why) => chunk.corrupt.push((at.into(), why)),
        }
    }

    fn prints(&self) -> Result<Prints, EngineError> {
        Ok(Prints { names: self.names()?, rows: indexes::fingerprint(self.engine)? })
    }

    fn names(&self) -> Result<Fingerprint, EngineError> {
        let mut named = Fingerprint::default();
        let mut visit = |name: &[u8], _: &[u8]| {
            // What is no key is no live key's name either: it makes the sums differ.
            named.add(Key::new(name.to_vec()).map_or(0, |key| key.token().0));
            ControlFlow::Continue(())
        };
        self.engine.range(Space::Names, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut visit)?;
        Ok(named)
    }
}
