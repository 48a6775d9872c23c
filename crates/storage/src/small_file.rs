//! Small files that are whole or not there: versioned, checked, and replaced in one step.
//!
//! A file is a mark (8 bytes), the version of its contents (4, big endian), their length (8, big endian),
//! the contents, and the BLAKE3 hash of all that (32).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::durable_fs::sync_parent;

/// The largest contents, in bytes.
pub const CONTENTS_BYTES_MAX: usize = 64 << 20;

const MARK: &[u8; 8] = b"MGVFILE1";
const HEAD_BYTES: usize = 20;
const HASH_BYTES: usize = 32;

/// What a small file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The version of the form of `bytes`, as saved.
    pub version: u32,
    /// The contents, as saved.
    pub bytes: Vec<u8>,
}

/// Why a small file could not be read or written.
#[derive(Debug, Error)]
pub enum SmallFileError {
    /// The file system refused. After a failed save the file is as it was before, or as saved.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not as it was saved. It is left as it is.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than [`CONTENTS_BYTES_MAX`]. Nothing was written.
    #[error("{}: {bytes} bytes are too many for a small file", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How large the contents are.
        bytes: usize,
    },
}

/// Replaces the file's contents, durably and in one step: after a crash it holds these or those before.
/// Only the owner may read the file. Two saves of one file must not run at once.
///
/// # Errors
/// See [`SmallFileError`].
pub fn save(path: &Path, version: u32, contents: &[u8]) -> Result<(), SmallFileError> {
    if contents.len() > CONTENTS_BYTES_MAX {
        return Err(SmallFileError::TooLarge { path: path.into(), bytes: contents.len() });
    }
    write(path, &form(version, contents)).map_err(|source| SmallFileError::Io { path: path.into(), source })
}

/// The file's contents; none if there is no file.
///
/// # Errors
/// See [`SmallFileError`]. A file of another make, cut short or changed by one bit is damaged.
pub fn load(path: &Path) -> Result<Option<Contents>, SmallFileError> {
    let io = |source| SmallFileError::Io { path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let bytes_max = (HEAD_BYTES + CONTENTS_BYTES_MAX + HASH_BYTES) as u64;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(io)?;
    read(&bytes).map(Some).map_err(|why| SmallFileError::Damaged { path: path.into(), why })
}

fn form(version: u32, contents: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + contents.len() + HASH_BYTES);
    out.extend_from_slice(MARK);
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&(contents.len() as u64).to_be_bytes());
    out.extend_from_slice(contents);
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}

fn read(bytes: &[u8]) -> Result<Contents, &'static str> {
    let rest = bytes.strip_prefix(MARK).ok_or("it is not a file of this program")?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or("it is cut short")?;
    let (len, rest) = rest.split_first_chunk::<8>().ok_or("it is cut short")?;
    let (contents, hash) = rest.split_last_chunk::<HASH_BYTES>().ok_or("it is cut short")?;
    if u64::from_be_bytes(*len) != contents.len() as u64 {
        return Err("its length is not the one it was saved with");
    }
    let hashed = bytes.len() - HASH_BYTES;
    if bytes.get(..hashed).map(blake3::hash) != Some(blake3::Hash::from_bytes(*hash)) {
        return Err("its contents do not match their hash");
    }
    Ok(Contents { version: u32::from_be_bytes(*version), bytes: contents.to_vec() })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = OsString::from(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".new");
    let new = path.with_file_name(name);
    // Left behind by a crash: it was never the file.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = owners_only(OpenOptions::new().write(true).create_new(true)).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)?;
    sync_parent(path)
}

/// Such files hold keys.
fn owners_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("meta");
        (home, path)
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (_home, path) = home();
        assert_eq!(load(&path).unwrap(), None);
        for (version, bytes) in [(1, vec![]), (7, vec![1, 2, 3]), (u32::MAX, vec![9; 100_000])] {
            save(&path, version, &bytes).unwrap();
            assert_eq!(load(&path).unwrap(), Some(Contents { version, bytes }));
        }
    }

    #[test]
    fn any_changed_bit_and_any_cut_is_noticed() {
        let (_home, path) = home();
        save(&path, 3, b"some contents").unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                assert!(matches!(load(&path), Err(SmallFileError::Damaged { .. })), "bit {bit} of byte {at}");
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(matches!(load(&path), Err(SmallFileError::Damaged { .. })), "cut at {at}");
        }
        fs::write(&path, [&good[..], b"x"].concat()).unwrap();
        assert!(matches!(load(&path), Err(SmallFileError::Damaged { .. })));
    }

    #[test]
    fn a_crash_before_the_rename_changes_nothing() {
        let (home, path) = home();
        save(&path, 1, b"old").unwrap();
        fs::write(home.path().join("meta.new"), b"half of somethi").unwrap();
        assert_eq!(load(&path).unwrap().unwrap().bytes, b"old");
        save(&path, 1, b"new").unwrap();
        assert_eq!(load(&path).unwrap().unwrap().bytes, b"new");
        assert!(!home.path().join("meta.new").exists());
    }

    #[test]
    fn too_much_is_refused() {
        let (_home, path) = home();
        let much = vec![0; CONTENTS_BYTES_MAX + 1];
        assert!(matches!(save(&path, 1, &much), Err(SmallFileError::TooLarge { .. })));
        assert_eq!(load(&path).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_home, path) = home();
        save(&path, 1, b"a key").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
