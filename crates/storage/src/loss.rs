//! What an engine has lost: noted beside its folder before anything else is done about it, so that no crash
//! makes a node forget that it has forgotten.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable_fs::sync_parent;
use crate::small_file::{self, SmallFileError};

const NOTE_VERSION: u32 = 1;

/// Notes that the records in an engine's folder are lost to this node, and moves the folder to a name
/// beside it that is free, for a person to look at later: it is never deleted. Both are durable when this
/// returns. `why` says what was wrong with it. Gives the folder's new name.
///
/// For an engine that is not open: one that cannot be, or whose records turned out to be damaged.
///
/// # Errors
/// When the note cannot be written or the folder cannot be renamed; it is then where it was.
pub fn move_aside(dir: &Path, why: &str) -> Result<PathBuf, SmallFileError> {
    let io = |source| SmallFileError::Io { path: dir.into(), source };
    let to = free_name(dir).map_err(io)?;
    add_loss(dir, &format!("the engine's folder was damaged and is now {}: {why}", to.display()))?;
    fs::rename(dir, &to).and_then(|()| sync_parent(dir)).map_err(io)?;
    Ok(to)
}

fn free_name(dir: &Path) -> io::Result<PathBuf> {
    dir.symlink_metadata()?;
    let names = (1_u32..).map(|number| beside(dir, &format!(".damaged.{number}")));
    names
        .into_iter()
        .find_map(|name| match name {
            Ok(name) if name.symlink_metadata().is_ok() => None,
            name => Some(name),
        })
        .unwrap_or(Err(io::ErrorKind::AlreadyExists.into()))
}

/// Adds to what is noted as lost.
pub(crate) fn add_loss(dir: &Path, what: &str) -> Result<(), SmallFileError> {
    let note = note(dir)?;
    let noted = losses(dir)?.map(|noted| format!("{noted}; ")).unwrap_or_default();
    small_file::save(&note, NOTE_VERSION, format!("{noted}{what}").as_bytes())
}

/// What is noted as lost. A note that cannot be read stands for a loss, too.
pub(crate) fn losses(dir: &Path) -> Result<Option<String>, SmallFileError> {
    match small_file::load(&note(dir)?) {
        Ok(note) => Ok(note.map(|note| String::from_utf8_lossy(&note.bytes).into_owned())),
        Err(SmallFileError::Damaged { why, .. }) => {
            Ok(Some(format!("the note of what was lost is damaged: {why}")))
        }
        Err(error) => Err(error),
    }
}

/// Forgets what the engine in this folder has lost. Only once the node has durably noted itself that it is
/// behind.
///
/// # Errors
/// When the note cannot be removed: it is then told again at the next opening.
pub fn forget_losses(dir: &Path) -> Result<(), SmallFileError> {
    let note = note(dir)?;
    let removed = match fs::remove_file(&note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(&note),
    };
    removed.map_err(|source| SmallFileError::Io { path: note, source })
}

fn note(dir: &Path) -> Result<PathBuf, SmallFileError> {
    beside(dir, ".lost").map_err(|source| SmallFileError::Io { path: dir.into(), source })
}

fn beside(dir: &Path, suffix: &str) -> io::Result<PathBuf> {
    let mut name = OsString::from(dir.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(suffix);
    Ok(dir.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damaged_folder_gets_a_name_of_its_own_and_all_are_noted() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("engine");
        for number in 1..=3 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("db"), [number]).unwrap();
            let to = move_aside(&dir, &format!("reason {number}")).unwrap();
            assert_eq!(to, home.path().join(format!("engine.damaged.{number}")));
            assert_eq!(fs::read(to.join("db")).unwrap(), [number]);
            assert!(!dir.exists());
        }
        let noted = losses(&dir).unwrap().unwrap();
        assert!(noted.contains("reason 1") && noted.contains("reason 3"), "{noted}");
        forget_losses(&dir).unwrap();
        forget_losses(&dir).unwrap();
        assert_eq!(losses(&dir).unwrap(), None);
    }

    #[test]
    fn a_damaged_note_is_a_loss() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("engine");
        add_loss(&dir, "something").unwrap();
        fs::write(note(&dir).unwrap(), b"noise").unwrap();
        assert!(losses(&dir).unwrap().unwrap().contains("damaged"));
        add_loss(&dir, "more").unwrap();
        assert!(losses(&dir).unwrap().unwrap().ends_with("more"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_moved() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("none");
        assert!(move_aside(&dir, "test").is_err());
        assert_eq!(losses(&dir).unwrap(), None);
    }
}
