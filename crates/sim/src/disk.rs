//! A machine's disk: the engine, and the small files beside it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use gossip::meta::Meta;
use model::{Hlc, NodeId, WriterId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::MemoryEngine;

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

/// A member's record as it lies on the disk. It is read once, however often it is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    read: OnceCell<Option<Rc<Meta>>>,
}

impl Record {
    pub(crate) fn new(meta: &Meta) -> Self {
        Self { bytes: meta.encode(), read: OnceCell::new() }
    }

    pub(crate) fn read(&self) -> Option<Rc<Meta>> {
        self.read.get_or_init(|| Meta::decode(&self.bytes).ok().map(Rc::new)).clone()
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
    /// What an operator has put aside.
    backup: Option<Backup>,
}

#[derive(Debug)]
struct Backup {
    engine: MemoryEngine,
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
        let engine = self.engine.as_ref().map(|engine| engine.durable()).unwrap_or_default();
        self.backup = Some(Backup { engine, small: self.small.borrow().clone() });
    }

    /// Replaces everything by the backup, if there is one.
    pub(crate) fn restore(&mut self) {
        let Some(Backup { engine, small }) = &self.backup else { return };
        self.engine = Some(Arc::new(engine.durable()));
        *self.small.borrow_mut() = small.clone();
    }

    /// Nothing is on it any more.
    pub(crate) fn wipe(&mut self) {
        self.engine = None;
        *self.small.borrow_mut() = Small::default();
    }
}
