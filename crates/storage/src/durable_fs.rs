//! File-system steps that must survive a power cut: a file's bytes, and the directory that names it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::Path;

/// Makes a directory's list of names durable. On systems where directories cannot be opened this
/// does nothing, as there is nothing to do.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Makes the name of a file or folder durable, that is the folder that it stands in.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes every plain file directly in a folder durable, and their names.
pub(crate) fn sync_files_in(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_type()?.is_file() {
            File::open(file.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Creates a folder and its missing parents, their names durable.
pub(crate) fn create_dir_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent()
        && !parent.as_os_str().is_empty()
    {
        create_dir_durably(parent)?;
    }
    // For its owner alone: values lie in it as they are.
    match private(&mut DirBuilder::new()).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(dir),
    }
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700)
}

#[cfg(not(unix))]
fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}
