//! Moving a folder that cannot be used out of the way, without ever deleting anything.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable_fs::sync_parent;

/// A folder that was moved aside, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAside {
    /// Where the folder is now: beside where it was, under its name with `.damaged.` and a number.
    pub to: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// Moves a folder to a name beside it that is free, for a person to look at later. The move is
/// durable when this returns.
///
/// # Errors
/// When the folder is not there or cannot be renamed; it is then where it was.
pub fn move_aside(dir: &Path, reason: impl Into<String>) -> io::Result<MovedAside> {
    let name = dir.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    for number in 1_u32.. {
        let mut aside = OsString::from(name);
        aside.push(format!(".damaged.{number}"));
        let to = dir.with_file_name(aside);
        if to.symlink_metadata().is_ok() {
            continue;
        }
        fs::rename(dir, &to)?;
        sync_parent(dir)?;
        return Ok(MovedAside { to, reason: reason.into() });
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damaged_folder_gets_a_name_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("engine");
        for number in 1..=3 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("db"), [number]).unwrap();
            let moved = move_aside(&dir, "test").unwrap();
            assert_eq!(moved.to, home.path().join(format!("engine.damaged.{number}")));
            assert_eq!(fs::read(moved.to.join("db")).unwrap(), [number]);
            assert!(!dir.exists());
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(move_aside(&home.path().join("none"), "test").is_err());
    }
}
