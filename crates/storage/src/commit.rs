//! What makes an engine's flush a durable one: syncs of its files, and a count that proves it happened.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::durable_fs::{sync_dir, sync_files_in, sync_parent};
use crate::mark::Mark;

/// Handles of our own on the files of an engine that does not sync them itself.
#[derive(Debug)]
pub(crate) struct Commit {
    log: File,
    blobs: PathBuf,
    synced_blobs: BTreeSet<OsString>,
    mark: Mark,
    flushes: u64,
}

impl Commit {
    /// Syncs everything that opening the engine wrote, and the names of it all. Gives the number of
    /// flushes that are known to have been durable once.
    pub(crate) fn open(dir: &Path, log: PathBuf, blobs: PathBuf) -> io::Result<(Commit, u64)> {
        let log = File::open(log)?;
        let (mark, flushes) = Mark::open(&dir.join("mark"))?;
        sync_files_in(&blobs)?;
        sync_files_in(dir)?;
        sync_parent(dir)?;
        Ok((Commit { log, blobs, synced_blobs: BTreeSet::new(), mark, flushes }, flushes))
    }

    /// Counts on from the flushes that the engine holds, if those are more.
    pub(crate) fn after(mut self, flushes_held: u64) -> Commit {
        self.flushes = self.flushes.max(flushes_held);
        self
    }

    /// The number of the last flush.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Returns when all that the engine has written is on stable storage, this flush's number included.
    pub(crate) fn make_durable(&mut self, flushes: u64) -> io::Result<()> {
        self.sync_blobs()?;
        self.log.sync_data()?;
        self.flushes = flushes;
        self.mark.set(flushes)
    }

    /// Pages are kept small enough that there are no blobs; one that is there all the same must be durable.
    fn sync_blobs(&mut self) -> io::Result<()> {
        let mut there = BTreeSet::new();
        for blob in fs::read_dir(&self.blobs)? {
            let blob = blob?;
            if !self.synced_blobs.contains(&blob.file_name()) {
                tracing::warn!(blob = %blob.path().display(), "a page outgrew the log");
                match File::open(blob.path()).and_then(|file| file.sync_all()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            there.insert(blob.file_name());
        }
        if !there.is_subset(&self.synced_blobs) {
            sync_dir(&self.blobs)?;
        }
        self.synced_blobs = there;
        Ok(())
    }
}
