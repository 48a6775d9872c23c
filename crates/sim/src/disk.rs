//! A machine's disk: the engine, and the small files beside it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use gossip::meta::Meta;
use model::{Hlc, Key, NodeId, WriterId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{Engine, MemoryEngine, Part, Space};

/// The small files: each is replaced whole, and durable once that is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Small {
    /// The node's id.
    pub(crate) node: Option<NodeId>,
    /// The member's record.
    pub(crate) member: Option<Record>,
    /// The clock's reservation.
    pub(crate) reserved: Hlc,
    /// Kept by no node: for a run in which a life is no new writer.
    pub(crate) writer: Option<WriterId>,
    /// Nothing more can be written.
    pub(crate) full: bool,
}

/// A member's record as it lies on the disk, and what it says. Its bytes are made when they are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    says: Rc<Meta>,
}

impl Record {
    pub(crate) fn new(meta: Rc<Meta>) -> Self {
        Self { says: meta }
    }

    /// What it says, for who looks on.
    pub(crate) fn says(&self) -> Rc<Meta> {
        Rc::clone(&self.says)
    }

    /// Reads it, as a node does that starts.
    pub(crate) fn read(&self) -> Option<Meta> {
        Meta::decode(&self.says.encode()).ok()
    }
}

/// The disk of one machine.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// None while there is no engine's folder.
    pub(crate) engine: Option<Arc<MemoryEngine>>,
    pub(crate) small: Rc<RefCell<Small>>,
    /// The next flush fails.
    pub(crate) flush_fails: bool,
    /// How many times longer than usual a flush takes; 0 counts as 1.
    pub(crate) slow: u32,
    /// Records that were damaged at rest: their place, and their bytes since. A backup may bring one back.
    rotten: BTreeSet<(Box<[u8]>, Bytes)>,
    /// What an operator has put aside.
    backup: Option<Backup>,
}

#[derive(Debug)]
struct Backup {
    engine: Option<MemoryEngine>,
    small: Small,
}

/// What a crash leaves of the writes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None.
    Nothing,
    /// The first so many thousandths.
    Prefix(u16),
    /// Each or not, by the draws of this seed: as a disk may that writes in an order of its own.
    Torn(u64),
}

impl Disk {
    /// The process or the machine stopped without a warning.
    pub(crate) fn crash(&mut self, kept: Kept) {
        let Some(engine) = &self.engine else { return };
        match kept {
            Kept::Nothing => engine.crash(),
            Kept::Prefix(thousandths) => {
                engine.crash_keeping(engine.unflushed() * usize::from(thousandths) / 1_000);
            }
            Kept::Torn(seed) => {
                let mut rng = StdRng::seed_from_u64(seed);
                engine.crash_torn(&mut || rng.random());
            }
        }
    }

    /// Puts aside what is on the disk, as a backup that is taken of a running machine sees it.
    pub(crate) fn back_up(&mut self) {
        let engine = self.engine.as_ref().map(|engine| engine.durable());
        self.backup = Some(Backup { engine, small: self.small.borrow().clone() });
    }

    /// Replaces everything by the backup, if there is one.
    pub(crate) fn restore(&mut self) {
        let Some(Backup { engine, small }) = &self.backup else { return };
        self.engine = engine.as_ref().map(|engine| Arc::new(engine.durable()));
        *self.small.borrow_mut() = small.clone();
    }

    /// The place of a record, counted in thousandths of all, and its key; none where there is no record.
    pub(crate) fn record(&self, thousandths: u16) -> Option<(Box<[u8]>, Key)> {
        let engine = self.engine.as_ref()?;
        let mut places: Vec<Box<[u8]>> = Vec::new();
        let mut visit = |at: &[u8], _: &[u8]| {
            places.push(at.into());
            ControlFlow::Continue(())
        };
        engine.range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut visit).ok()?;
        let at = places.get(places.len() * usize::from(thousandths.min(999)) / 1_000)?.clone();
        let key = Key::new(at.get(8..)?.to_vec()).ok()?;
        Some((at, key))
    }

    /// One bit of a record is another from now on.
    pub(crate) fn rot(&mut self, at: &[u8], bit: u32) {
        let Some(engine) = &self.engine else { return };
        let Ok(Some(record)) = engine.get(Space::Entries, at) else { return };
        let mut bytes = record.to_vec();
        let place = bit as usize % (bytes.len() * 8).max(1);
        if let Some(byte) = bytes.get_mut(place / 8) {
            *byte ^= 1 << (place % 8);
        }
        let bytes = Bytes::from(bytes);
        engine.damage(Space::Entries, at, Some(bytes.clone()));
        self.rotten.insert((at.into(), bytes));
    }

    /// Which damaged records are in this engine still.
    pub(crate) fn rotten_in(&self, engine: &MemoryEngine) -> Vec<Box<[u8]>> {
        let is_there = |at: &[u8], bytes: &Bytes| {
            engine.get(Space::Entries, at).is_ok_and(|found| found.as_ref() == Some(bytes))
        };
        let there = self.rotten.iter().filter(|(at, bytes)| is_there(at, bytes));
        there.map(|(at, _)| at.clone()).collect()
    }

    /// Nothing is on it any more.
    pub(crate) fn wipe(&mut self) {
        self.engine = None;
        *self.small.borrow_mut() = Small::default();
    }
}
