//! Two indexes by time: what expires when, and which tombstones the watermark has yet to pass. A row is a time and an
//! engine key, and nothing else.
//!
//! Rows come before the record that they go with, and go after it: whatever a crash leaves, no row is missing. A row
//! without its record is harmless, for whoever follows a row looks at the record.

use std::ops::{Bound, ControlFlow};

use model::{DigestKey, Entry, Hlc};

use crate::engine::{Batch, Engine, EngineError, Part, Space};
use crate::store::open::{Fingerprint, for_each_key};
use crate::store::record;

/// The spaces that are indexes.
pub(super) const INDEXES: [Space; 2] = [Space::Expiry, Space::Tombstones];
/// Rows put right in one batch of the engine.
const ROWS_A_BATCH: usize = 4096;

/// The times under which an entry stands in the indexes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When something of it expires next.
    pub(super) expiry: Option<Hlc>,
    /// Of a tombstone, the newest dot that it has seen: it leaves the tree when the watermark gets there.
    pub(super) leaves: Option<Hlc>,
}

impl Times {
    pub(super) fn of(entry: &Entry) -> Times {
        Times { expiry: entry.next_expiry().time(), leaves: record::leaves_at(entry) }
    }

    /// For each index, the time under which the entry stood before and under which it stands now.
    pub(super) fn beside(self, before: Times) -> [(Space, Option<Hlc>, Option<Hlc>); 2] {
        [(Space::Expiry, before.expiry, self.expiry), (Space::Tombstones, before.leaves, self.leaves)]
    }

    fn in_index(self, space: Space) -> Option<Hlc> {
        if space == Space::Expiry { self.expiry } else { self.leaves }
    }

    /// What these rows add to the fingerprint of the indexes.
    pub(super) fn add_to(self, print: &mut Fingerprint, token: u64) {
        for space in INDEXES {
            if let Some(time) = self.in_index(space) {
                print.add(mixed(space, time, token));
            }
        }
    }
}

/// A row of an index.
pub(super) fn row(time: Hlc, at: &[u8]) -> Box<[u8]> {
    [&time.as_u64().to_be_bytes()[..], at].concat().into()
}

/// The time and the engine key in a row.
pub(super) fn read_row(row: &[u8]) -> Option<(Hlc, &[u8])> {
    let (time, at) = row.split_first_chunk::<8>()?;
    Some((Hlc::from_u64(u64::from_be_bytes(*time)), at))
}

/// So that rows that have exchanged their times are told from those that should be there. (Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014: its finalizer.)
fn mixed(space: Space, time: Hlc, token: u64) -> u64 {
    let spread = |x: u64| {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    spread(spread(time.as_u64() ^ (space.index() as u64) << 60) ^ token)
}

/// The first rows of an index from a place on, up to a time and with it, at most so many.
pub(super) fn rows(
    engine: &dyn Engine,
    space: Space,
    from: Bound<&[u8]>,
    upto: Hlc,
    limit: usize,
) -> Result<Vec<Box<[u8]>>, EngineError> {
    let mut rows: Vec<Box<[u8]>> = Vec::with_capacity(limit.min(64));
    let end = upto.next().map(|next| next.as_u64().to_be_bytes());
    let to = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
    engine.range(space, from, to, Part::First(0), &mut |row, _| {
        rows.push(row.into());
        if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(rows)
}

/// The fingerprint of all rows that are there.
pub(super) fn fingerprint(engine: &dyn Engine) -> Result<Fingerprint, EngineError> {
    let mut print = Fingerprint::default();
    for space in INDEXES {
        engine.range(space, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut |row, _| {
            let known = read_row(row).and_then(|(time, at)| Some((time, record::read_entry_key(at)?.0)));
            // What is no row goes with no record either: it makes the sums differ.
            print.add(known.map_or(0, |(time, token)| mixed(space, time, token)));
            ControlFlow::Continue(())
        })?;
    }
    Ok(print)
}

/// Removes rows that go with no record, and adds those that are missing: how many of each.
pub(super) fn put_right(engine: &dyn Engine, digest_key: &DigestKey) -> Result<(u64, u64), EngineError> {
    let mut right = Right { engine, batch: Batch::new(), written: 0 };
    for space in INDEXES {
        for_each_key(engine, space, &mut |row| {
            let wanted = match read_row(row) {
                Some((time, at)) => times_at(engine, at, digest_key)?.in_index(space) == Some(time),
                None => false,
            };
            if !wanted {
                right.batch.remove(space, row);
            }
            right.apply_if(ROWS_A_BATCH)
        })?;
    }
    right.apply_if(1)?;
    let removed = std::mem::take(&mut right.written);
    for_each_key(engine, Space::Entries, &mut |at| {
        let times = times_at(engine, at, digest_key)?;
        for space in INDEXES {
            let Some(row) = times.in_index(space).map(|time| row(time, at)) else { continue };
            if engine.get(space, &row)?.is_none() {
                right.batch.put(space, row, &b""[..]);
            }
        }
        right.apply_if(ROWS_A_BATCH)
    })?;
    right.apply_if(1)?;
    Ok((removed, right.written))
}

/// Writes in batches of bounded size.
struct Right<'a> {
    engine: &'a dyn Engine,
    batch: Batch,
    written: u64,
}

impl Right<'_> {
    fn apply_if(&mut self, writes: usize) -> Result<(), EngineError> {
        if self.batch.writes().len() >= writes {
            let batch = std::mem::take(&mut self.batch);
            self.engine.apply(&batch)?;
            self.written += batch.writes().len() as u64;
        }
        Ok(())
    }
}

/// The times of the record under an engine key; none of one that is not there or damaged.
fn times_at(engine: &dyn Engine, at: &[u8], digest_key: &DigestKey) -> Result<Times, EngineError> {
    let Some(record) = engine.get(Space::Entries, at)? else { return Ok(Times::default()) };
    let read = record::read_scanned_key(at).and_then(|(_, key)| record::read(&key, &record, digest_key));
    Ok(read.map_or(Times::default(), |(_, entry)| Times::of(&entry)))
}
