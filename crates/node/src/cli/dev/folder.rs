//! The folder in which `dev` keeps its nodes. It carries a marker that only `dev` writes: without it nothing
//! in the folder is ever touched, let alone removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::super::error::CliError;

const MARKER: &str = ".mangrove-dev";
const MARKER_TEXT: &str = "Made by `mangrove dev`; `mangrove dev --fresh` empties this folder.\n";

/// The folder, held: as long as this lives, no second `dev` uses it.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Absolute, so that the commands printed work from everywhere.
    pub(crate) path: PathBuf,
    _marker: File,
}

impl Folder {
    /// Makes or takes the folder. Refuses one that `dev` did not make and that is not empty.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
        let path = path.canonicalize().map_err(|error| unusable(path, &error))?;
        let marker = path.join(MARKER);
        if !is_marked(&marker) {
            if !is_empty(&path).map_err(|error| unusable(&path, &error))? {
                return Err(CliError::Refused(format!(
                    "{} was not made by mangrove dev and is not empty: choose another folder with --dir",
                    path.display()
                )));
            }
            fs::write(&marker, MARKER_TEXT).map_err(|error| unusable(&path, &error))?;
        }
        let file = File::open(&marker).map_err(|error| unusable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _marker: file }),
            Err(TryLockError::WouldBlock) => Err(CliError::Refused(format!(
                "the folder {} is in use by another mangrove dev: stop that one, or choose another with --dir",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
        }
    }

    /// Removes all in the folder but the marker.
    pub(crate) fn empty(&self) -> Result<(), CliError> {
        let removed = || -> io::Result<()> {
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                if entry.file_name() == MARKER {
                    continue;
                }
                // The type of the entry itself: a link is removed, never followed.
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        self.refuse_if_in_use()?;
        removed().map_err(|error| unusable(&self.path, &error))
    }

    /// A node that was started again by hand outlives its `dev`: its data must not be taken from under it.
    fn refuse_if_in_use(&self) -> Result<(), CliError> {
        let folders = fs::read_dir(&self.path).map_err(|error| unusable(&self.path, &error))?;
        for folder in folders.filter_map(Result::ok).map(|folder| folder.path()) {
            if !folder.join("lock").is_file() {
                continue;
            }
            if let Err(error @ storage::DirError::InUse { .. }) = storage::DataDir::lock(&folder) {
                return Err(CliError::Refused(format!("nothing was emptied: {error}; stop that node first")));
            }
        }
        Ok(())
    }
}

fn is_marked(marker: &Path) -> bool {
    let regular = fs::symlink_metadata(marker).is_ok_and(|metadata| metadata.is_file());
    regular && fs::read(marker).is_ok_and(|text| text == MARKER_TEXT.as_bytes())
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    CliError::Refused(format!(
        "the folder {} cannot be used: {error}; correct its owner and mode, or choose another with --dir",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_marked_and_emptied_but_for_the_marker() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/dev");
        let folder = Folder::open(&path).unwrap();
        fs::create_dir_all(path.join("n1/db")).unwrap();
        fs::write(path.join("n1.log"), "x").unwrap();
        folder.empty().unwrap();
        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [MARKER]);
        drop(folder);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn someone_elses_folder_is_never_touched() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("thesis.txt"), "years").unwrap();
        let error = Folder::open(home.path()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.message().unwrap().contains("was not made by mangrove dev"));
        fs::write(home.path().join(MARKER), "someone's own words").unwrap();
        assert!(Folder::open(home.path()).is_err());
        assert!(home.path().join("thesis.txt").exists());
    }

    #[test]
    fn a_link_in_the_folder_is_removed_and_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let folder = Folder::open(&home.path().join("dev")).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path.join("link")).unwrap();
        folder.empty().unwrap();
        assert!(outside.join("kept").exists());
        assert!(!folder.path.join("link").exists());
    }

    #[test]
    fn the_data_of_a_running_node_is_not_emptied() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(&home.path().join("dev")).unwrap();
        fs::create_dir_all(folder.path.join("n1")).unwrap();
        let running = storage::DataDir::lock(&folder.path.join("n3")).unwrap();
        let refused = folder.empty().unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.message().unwrap().contains("nothing was emptied"));
        assert!(folder.path.join("n1").exists());
        drop(running);
        folder.empty().unwrap();
        assert!(!folder.path.join("n1").exists());
    }

    #[test]
    fn one_dev_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("dev");
        let _held = Folder::open(&path).unwrap();
        assert!(
            Folder::open(&path).unwrap_err().message().unwrap().contains("in use by another mangrove dev")
        );
    }
}
