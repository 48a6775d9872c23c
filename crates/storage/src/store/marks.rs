//! How far forgetting has come, and what follows from it for one entry.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Hlc;

use crate::store::Seq;

/// How far forgetting has come. Both only ever rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Every dot at or under it is known to every member: a tombstone whose context lies there has told all.
    pub watermark: Hlc,
    /// What expires at or under it has expired everywhere.
    pub horizon: Hlc,
}

/// What a call of [`crate::Store::advance`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advance {
    /// Whether nothing is left to do for these marks.
    pub done: bool,
    /// Entries that left altogether: the last of their dots had expired.
    pub expired: u64,
    /// Entries that go on without siblings that had expired.
    pub trimmed: u64,
    /// Tombstones that left tree, sketch and count.
    pub purged: u64,
    /// Once this is durable, so is what was done.
    pub seq: Seq,
}

/// What a call of [`crate::Store::forget`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgot {
    /// Tombstones taken off the disk.
    pub rows: u64,
    /// Whether none is left to take.
    pub done: bool,
}

/// Tombstones that wait, and the bytes of their keys and records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many are in the tree and wait for the watermark.
    pub tombstones: u64,
    /// Their bytes.
    pub tombstone_bytes: u64,
    /// How many have left the tree and wait for the grace to end.
    pub purged: u64,
    /// Their bytes.
    pub purged_bytes: u64,
}

/// Marks that may be read while a writer is in its critical section. They rise within one.
#[derive(Debug)]
pub(super) struct SharedMarks {
    watermark: AtomicU64,
    horizon: AtomicU64,
}

impl SharedMarks {
    pub(super) fn new(marks: Marks) -> SharedMarks {
        SharedMarks {
            watermark: AtomicU64::new(marks.watermark.as_u64()),
            horizon: AtomicU64::new(marks.horizon.as_u64()),
        }
    }

    pub(super) fn get(&self) -> Marks {
        Marks {
            watermark: Hlc::from_u64(self.watermark.load(Ordering::Acquire)),
            horizon: Hlc::from_u64(self.horizon.load(Ordering::Acquire)),
        }
    }

    /// Each to the greater, and what they are then.
    pub(super) fn raise(&self, marks: Marks) -> Marks {
        self.watermark.fetch_max(marks.watermark.as_u64(), Ordering::AcqRel);
        self.horizon.fetch_max(marks.horizon.as_u64(), Ordering::AcqRel);
        self.get()
    }
}

/// How far tombstones have left the tree, in the order of their times, and of the engine's keys within one time.
/// Whether one is in the tree follows from its time, its key and this alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Purged {
    pub(super) time: Hlc,
    /// The last engine key of that time that has left; none when all have.
    pub(super) at: Option<Box<[u8]>>,
}

impl Purged {
    /// All at or under this time.
    pub(super) fn whole(time: Hlc) -> Purged {
        Purged { time, at: None }
    }

    /// Whether a tombstone of this time under this engine key has left the tree.
    pub(super) fn is_behind(&self, time: Hlc, at: &[u8]) -> bool {
        time < self.time || (time == self.time && self.at.as_deref().is_none_or(|last| at <= last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_between_keys_of_one_time() {
        let at = |ms| Hlc::new(ms, 0);
        let place = Purged { time: at(5), at: Some(b"k".as_slice().into()) };
        let cases = [(4, b"z", true), (5, b"a", true), (5, b"k", true), (5, b"l", false), (6, b"a", false)];
        for (ms, key, behind) in cases {
            assert_eq!(place.is_behind(at(ms), key), behind, "{ms} {key:?}");
        }
        assert!(Purged::whole(at(5)).is_behind(at(5), b"z"));
        assert!(!Purged::whole(at(5)).is_behind(Hlc::new(5, 1), b"a"));
    }

    #[test]
    fn marks_only_rise() {
        let marks =
            |watermark, horizon| Marks { watermark: Hlc::new(watermark, 0), horizon: Hlc::new(horizon, 0) };
        let shared = SharedMarks::new(marks(5, 5));
        assert_eq!(shared.raise(marks(7, 3)), marks(7, 5));
        assert_eq!((shared.raise(marks(0, 9)), shared.get()), (marks(7, 9), marks(7, 9)));
    }
}
