//! The folder in which a benchmark's own nodes keep their data: on a real disk, large enough, removed at the end.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::error::CliError;
use super::super::output::bytes_shown;

/// What an entry takes on one node's disk beside its key and value: records, names, and segments of the engine
/// that are not cleaned yet, measured generously.
const OVERHEAD_BYTES: u64 = 600;

/// What a node takes however little it holds.
const NODE_BYTES: u64 = 64 << 20;

/// `f_type` of a file system in memory, where a flush costs nothing.
const TMPFS: u64 = 0x0102_1994;

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a folder below `parent`, or below the system's folder for temporary files.
    pub(crate) fn make(parent: Option<&Path>) -> Result<Self, CliError> {
        let parent = parent_of(parent);
        let folder =
            tempfile::Builder::new().prefix("mangrove-bench-").tempdir_in(&parent).map_err(|error| {
                CliError::Refused(format!(
                    "no folder can be made in {}: {error}; choose another with --dir",
                    parent.display()
                ))
            })?;
        Ok(Self { folder })
    }
}

fn parent_of(given: Option<&Path>) -> PathBuf {
    given.map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// How many bytes `nodes` nodes with `keys` keys each may take on disk.
pub(crate) fn bytes_needed(nodes: u64, keys: u64, key_bytes: usize, value_bytes: usize) -> u64 {
    // Written twice: the engine's log keeps what was replaced until it is cleaned.
    let row = (3 * key_bytes as u64).saturating_add(2 * value_bytes as u64).saturating_add(OVERHEAD_BYTES);
    keys.saturating_mul(row).saturating_add(NODE_BYTES).saturating_mul(nodes)
}

/// Refuses a folder that is not there or has too little room. Gives back a warning worth a line.
pub(crate) fn check(parent: Option<&Path>, needed: u64) -> Result<Option<String>, CliError> {
    let parent = parent_of(parent);
    let shown = parent.display();
    if !parent.is_dir() {
        return Err(CliError::Refused(format!(
            "{shown} is not a folder: choose one that is there with --dir"
        )));
    }
    let Ok(room) = rustix::fs::statvfs(&parent) else { return Ok(None) };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        return Err(CliError::Refused(format!(
            "{shown} has {} free and this may need {}: choose another disk with --dir, or fewer --keys",
            bytes_shown(free),
            bytes_shown(needed)
        )));
    }
    let in_memory = rustix::fs::statfs(&parent).is_ok_and(|system| u64::try_from(system.f_type) == Ok(TMPFS));
    Ok(in_memory.then(|| {
        format!("{shown} lies in memory, where a flush costs nothing: choose a folder on a disk with --dir")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_refused_before_any_work() {
        let home = tempfile::tempdir().unwrap();
        check(Some(home.path()), 1).unwrap();
        let error = check(Some(home.path()), u64::MAX).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.message().unwrap().contains("free and this may need"), "{error:?}");
        assert!(check(Some(&home.path().join("none")), 1).is_err());
        assert!(bytes_needed(2, 1_000_000, 16, 128) > 1_000_000_000);
        assert_eq!(bytes_needed(5, u64::MAX, 16, 128), u64::MAX);
    }

    #[test]
    fn the_folder_goes_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::make(Some(home.path())).unwrap();
        let path = place.path().to_path_buf();
        std::fs::write(path.join("x"), "x").unwrap();
        drop(place);
        assert!(!path.exists() && home.path().exists());
    }
}
