//! What a node keeps in its data directory apart from the data.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gossip::meta::Meta;
use model::{ClusterId, Entry, Key, NodeId};
use storage::small_file::{self, SmallFileError};
use storage::{DataDir, DirError, Quarantine, QuarantineError};

use super::clock::SharedClock;
use crate::exit::Fatal;

const FORM: u32 = 1;

/// The data directory and the small files in it.
///
/// `node` holds the node's id from its first start on, `member` the durable record of a member, `clock` the clock's
/// reservation, `engine/` the data, `quarantine` values that only this node still had, `damaged` the bytes of damaged
/// records.
#[derive(Debug)]
pub struct NodeFiles {
    dir: DataDir,
    /// Held while the record is written.
    saving: Mutex<()>,
    /// Open once something has come into it.
    quarantine: Mutex<Option<Quarantine>>,
}

impl NodeFiles {
    /// Takes the data directory for this process.
    ///
    /// # Errors
    /// It is in use, or cannot be written.
    pub fn open(path: &std::path::Path) -> Result<Self, Fatal> {
        let dir = DataDir::lock(path).map_err(|error| match error {
            DirError::InUse { path, .. } => Fatal::DataDirInUse { path },
            DirError::NotWritable { path, source } => {
                Fatal::DataDirUnusable { path, reason: source.to_string() }
            }
        })?;
        Ok(Self { dir, saving: Mutex::new(()), quarantine: Mutex::new(None) })
    }

    fn unusable(&self, reason: impl ToString) -> Fatal {
        Fatal::DataDirUnusable { path: self.dir.path().to_owned(), reason: reason.to_string() }
    }

    /// A small file that cannot be read, or is not as it was saved.
    fn unread(&self, error: SmallFileError) -> Fatal {
        match error {
            SmallFileError::Damaged { .. } => self.damaged_file(error),
            error => self.unusable(error),
        }
    }

    fn damaged_file(&self, reason: impl ToString) -> Fatal {
        Fatal::DataDirDamaged { path: self.dir.path().to_owned(), reason: reason.to_string() }
    }

    /// This node's id, made at its first start here. A member goes on under the id of its record, also where the id's own
    /// file has gone.
    ///
    /// # Errors
    /// The file cannot be read or written, or is damaged.
    pub fn node_id(&self, member: Option<&Meta>) -> Result<NodeId, Fatal> {
        let path = self.dir.file("node");
        let damaged = || self.damaged_file(format!("{} is damaged", path.display()));
        if let Some(kept) = small_file::load(&path).map_err(|error| self.unread(error))? {
            let bytes: [u8; 8] = kept.bytes.try_into().map_err(|_| damaged())?;
            return Ok(member.map_or(NodeId(u64::from_be_bytes(bytes)), |meta| meta.node));
        }
        let node = member.map_or_else(|| NodeId(rand::random()), |meta| meta.node);
        small_file::save(&path, FORM, &node.0.to_be_bytes()).map_err(|error| self.unusable(error))?;
        Ok(node)
    }

    /// The record of a member, if this node has been one.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn meta(&self) -> Result<Option<Meta>, Fatal> {
        let path = self.dir.file("member");
        let kept = small_file::load(&path).map_err(|error| self.unread(error))?;
        kept.map(|kept| Meta::decode(&kept.bytes))
            .transpose()
            .map_err(|error| self.damaged_file(format!("{} is damaged: {error}", path.display())))
    }

    /// The clock, and its reservation.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn open_clock(&self) -> Result<Arc<SharedClock>, Fatal> {
        SharedClock::open(self.dir.file("clock")).map_err(|error| self.unread(error))
    }

    /// Puts the record on disk.
    ///
    /// # Errors
    /// The disk refuses; the former record stays.
    pub fn save_meta(&self, meta: &Meta) -> Result<(), SmallFileError> {
        let _one_at_a_time = self.saving.lock();
        small_file::save(&self.dir.file("member"), FORM, &meta.encode())
    }

    /// Appends values that only this node still had to the quarantine file. They are durable when this returns.
    ///
    /// # Errors
    /// The disk refuses; the file may hold a part.
    pub fn quarantine(
        &self,
        cluster: ClusterId,
        at_ms: u64,
        entries: &[(Key, Entry)],
    ) -> Result<(), QuarantineError> {
        let mut open = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        // What a failed try has left in the file is looked at by the next opening.
        let mut file = match open.take() {
            Some(file) => file,
            None => Quarantine::open(&self.dir.file("quarantine"), cluster)?,
        };
        file.append(at_ms, entries)?;
        *open = Some(file);
        Ok(())
    }

    /// How many bytes of values are in the quarantine file.
    pub fn quarantine_bytes(&self) -> u64 {
        storage::quarantine_bytes(&self.dir.file("quarantine"))
    }

    /// Where the bytes of damaged records are kept.
    pub fn damaged(&self) -> PathBuf {
        self.dir.file("damaged")
    }

    /// Where the engine's folder is.
    pub fn engine(&self) -> PathBuf {
        self.dir.engine()
    }

    /// Whether there is an engine's folder with anything in it.
    pub fn has_engine(&self) -> bool {
        self.dir.engine().join("db").exists()
    }

    /// The data directory.
    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Forgets a cluster of one without keys, which gives way to another. The node id stays.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub fn forget_cluster(&self) -> Result<(), Fatal> {
        let gone = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.unusable(error)),
            _ => Ok(()),
        };
        gone(std::fs::remove_file(self.dir.file("member")))?;
        gone(std::fs::remove_dir_all(self.dir.engine()))
    }
}
