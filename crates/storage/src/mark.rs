//! A small file beside the engine's own that says how far it had come: so that an engine which opens
//! without complaint, but with its newest writes gone, is noticed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::data_dir::named;

const FORM: &[u8; 8] = b"MGVMARK1";
const BYTES: usize = 24;

/// Counts flushes. The count is written here only after the engine holds it durably, so a mark ahead
/// of the engine proves a loss. The mark itself is not synced at each flush: after a power cut it may
/// be old, which hides a loss and never invents one.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
}

impl Mark {
    /// Opens the mark and says what it holds: 0 when it is new or unreadable.
    pub(crate) fn open(path: &Path) -> io::Result<(Mark, u64)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(|error| named(path, &error))?;
        let mut bytes = Vec::with_capacity(BYTES + 1);
        Read::by_ref(&mut file).take(BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok((Mark { file }, read(&bytes).unwrap_or(0)))
    }

    /// Writes the count, without a sync.
    pub(crate) fn set(&mut self, flushes: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&form(flushes))
    }
}

fn form(flushes: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(BYTES);
    out.extend_from_slice(FORM);
    out.extend_from_slice(&flushes.to_be_bytes());
    let check = blake3::hash(&out);
    out.extend(check.as_bytes().iter().take(8));
    out
}

fn read(bytes: &[u8]) -> Option<u64> {
    let count = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    (form(count) == bytes).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_the_last_count_and_distrusts_damage() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mark");
        let (mut mark, count) = Mark::open(&path).unwrap();
        assert_eq!(count, 0);
        mark.set(7).unwrap();
        mark.set(8).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, 8);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(Mark::open(&path).unwrap().1, 0, "byte {at}");
        }
    }
}
