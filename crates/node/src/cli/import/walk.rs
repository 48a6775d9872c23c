//! The files under a folder and the keys they become: the path's own bytes, joined with '/'.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::Key;
use walkdir::{DirEntry, WalkDir};

use super::super::error::CliError;
use super::super::keys;
use super::skipped::{Reason, Skipped};

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToWrite {
    pub(crate) path: PathBuf,
    pub(crate) key: Key,
    /// Its size when it was found.
    pub(crate) bytes: u64,
}

/// What is under a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<ToWrite>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Walks the folder in the order of names. Links are never followed, so nothing outside of it is read.
pub(crate) fn walk(folder: &Path, prefix: &[u8]) -> Result<Found, CliError> {
    let unusable = |error: &dyn std::fmt::Display| {
        CliError::Refused(format!("{} cannot be imported: {error}", folder.display()))
    };
    if !std::fs::metadata(folder).map_err(|error| unusable(&error))?.is_dir() {
        return Err(unusable(&"it is not a folder; write a single file with mangrove put KEY --file FILE"));
    }
    std::fs::read_dir(folder).map_err(|error| unusable(&error))?;
    let mut found = Found::default();
    for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => match to_write(&entry, folder, prefix) {
                Ok(file) => found.files.push(file),
                Err(reason) => found.skipped.push(Skipped { path: entry.into_path(), reason }),
            },
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let reason = error.io_error().map_or(Reason::NotRegular, Reason::unreadable);
                found.skipped.push(Skipped { path, reason });
            }
        }
    }
    Ok(found)
}

fn to_write(entry: &DirEntry, folder: &Path, prefix: &[u8]) -> Result<ToWrite, Reason> {
    if entry.path_is_symlink() {
        return Err(Reason::Symlink);
    }
    if !entry.file_type().is_file() {
        return Err(Reason::NotRegular);
    }
    let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
    let key = [prefix, relative.as_os_str().as_bytes()].concat();
    let key = Key::new(key).map_err(|_| Reason::KeyTooLong)?;
    let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
    Ok(ToWrite { path: entry.path().to_path_buf(), key, bytes })
}

/// The path as it is shown, without bytes that could steer a terminal.
pub(crate) fn shown(path: &Path) -> String {
    match path.to_str() {
        Some(text) => super::super::output::harmless(text),
        None => keys::shown(path.as_os_str().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::*;

    #[test]
    fn paths_become_keys_byte_for_byte() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("b/deep")).unwrap();
        fs::write(home.path().join("a%2F.txt"), "1").unwrap();
        fs::write(home.path().join("b/deep/c d"), "22").unwrap();
        fs::write(home.path().join("b").join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let found = walk(home.path(), b"etc/").unwrap();
        let keys: Vec<&[u8]> = found.files.iter().map(|file| file.key.as_bytes()).collect();
        assert_eq!(keys, [b"etc/a%2F.txt".as_slice(), b"etc/b/deep/c d", b"etc/b/\xff"]);
        assert_eq!(found.files[1].bytes, 2);
        assert!(found.skipped.is_empty());
    }

    #[test]
    fn what_is_no_file_is_skipped_with_its_reason() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", home.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.path().join("socket")).unwrap();
        fs::write(home.path().join("long"), "x").unwrap();
        let found = walk(home.path(), &[b'p'; 1021]).unwrap();
        assert!(found.files.is_empty());
        let reasons: Vec<&Reason> = found.skipped.iter().map(|skipped| &skipped.reason).collect();
        assert_eq!(reasons, [&Reason::Symlink, &Reason::KeyTooLong, &Reason::NotRegular]);
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(walk(&file, b"").unwrap_err().message().unwrap().contains("mangrove put"));
        assert_eq!(walk(&home.path().join("none"), b"").unwrap_err().exit_code(), 2);
    }
}
