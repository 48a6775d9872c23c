//! A node's data directory: there, writable, and in use by one process only.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::durable_fs::{create_dir_durably, sync_dir};

/// A data directory that this process has to itself for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock goes with the handle, whatever way the process ends.
    _lock: File,
}

/// Why a data directory cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
pub enum DirError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process{}", path.display(), by(*pid))]
    InUse {
        /// Which directory.
        path: PathBuf,
        /// The other process, if it can be told.
        pid: Option<u32>,
    },
    /// It cannot be created, or nothing can be written in it.
    #[error("the data directory {} cannot be written: {source}", path.display())]
    NotWritable {
        /// Which directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" ({pid})")).unwrap_or_default()
}

impl DataDir {
    /// Creates the directory if it is not there, makes sure that it can be written, and takes it for this
    /// process. The lock ends with the process, however it ends.
    ///
    /// # Errors
    /// See [`DirError`].
    pub fn lock(path: &Path) -> Result<DataDir, DirError> {
        let refused = |source| DirError::NotWritable { path: path.into(), source };
        create_dir_durably(path).map_err(refused)?;
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = lock.map_err(|error| refused(named(&lock_path, &error)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DirError::InUse { path: path.into(), pid: read_pid(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(refused(source)),
        }
        write_pid(&mut lock).and_then(|()| probe(path)).map_err(refused)?;
        Ok(DataDir { path: path.into(), _lock: lock })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine's folder is.
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.path.join("engine")
    }

    /// Where a small file of this name is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Such an error does not name the file by itself.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// For whoever finds the directory in use; of no use to the lock itself.
fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(std::process::id().to_string().as_bytes())
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// A lock file that was there already says nothing about a full or read-only disk.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join("lock.probe");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    drop(file);
    fs::remove_file(&path)?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_and_kept_for_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/data");
        let dir = DataDir::lock(&path).unwrap();
        assert_eq!((dir.path(), dir.engine()), (&*path, path.join("engine")));
        match DataDir::lock(&path) {
            Err(error @ DirError::InUse { pid: Some(pid), .. }) => {
                assert_eq!(pid, std::process::id());
                assert!(error.to_string().contains("in use by another process"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        drop(dir);
        DataDir::lock(&path).unwrap();
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        fs::write(&path, b"").unwrap();
        assert!(matches!(DataDir::lock(&path), Err(DirError::NotWritable { .. })));
        assert!(matches!(DataDir::lock(&path.join("below")), Err(DirError::NotWritable { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::create_dir(path.join("lock")).unwrap();
        assert!(matches!(DataDir::lock(&path), Err(DirError::NotWritable { .. })));
    }
}
