//! What is written in the tests: real files of this machine where there are enough.

use std::path::PathBuf;

use walkdir::WalkDir;

use super::http::encoded;

const BYTES_MAX: u64 = 48 * 1024;
const FOLDERS: [&str; 4] = ["/usr/include", "/etc", "/usr/share", "/usr/lib"];

/// A key, percent-encoded, and its value.
#[derive(Debug, Clone)]
pub struct Input {
    pub key: String,
    pub value: Vec<u8>,
}

/// So many readable files of at most 48 KiB, their path being the key; made up where there are too few.
pub fn real_files(count: usize) -> Vec<Input> {
    let mut inputs: Vec<Input> = files().filter_map(|path| read(&path)).take(count).collect();
    println!("{} real files of {count}", inputs.len());
    let missing = count - inputs.len();
    inputs.extend((0..missing).map(|number| Input {
        key: format!("made-up/{number}"),
        value: noise(number as u64, number * 37 % 9_000),
    }));
    inputs
}

fn files() -> impl Iterator<Item = PathBuf> {
    let walk = |folder| WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let fits = |entry: &walkdir::DirEntry| {
        entry.file_type().is_file() && entry.metadata().is_ok_and(|metadata| metadata.len() <= BYTES_MAX)
    };
    FOLDERS.into_iter().flat_map(walk).filter(fits).map(walkdir::DirEntry::into_path)
}

fn read(path: &PathBuf) -> Option<Input> {
    use std::os::unix::ffi::OsStrExt;
    let value = std::fs::read(path).ok()?;
    let key = encoded(path.strip_prefix("/").ok()?.as_os_str().as_bytes());
    Some(Input { key, value })
}

/// Bytes that no compression shortens, the same for the same seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut noise = vec![0; bytes];
    rng.fill(&mut noise[..]);
    noise
}
