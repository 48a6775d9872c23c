//! Values that only a node which was behind still had, and that its peers know nothing of: kept in a file for a person to
//! look at, never merged again by themselves.
//!
//! ```text
//! file    "MGVQUAR1", then frames to the end
//! frame   length of the body (4, big endian), body, BLAKE3 (32) over where the frame begins (8) and the body
//! body    when it was put there, milliseconds since 1970 (8), length of the key (2), key, the entry's stored form
//! ```
//! A file that is cut or altered is read up to there, and then says where.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use model::{Entry, Key, stored};
use thiserror::Error;

use crate::durable_fs::sync_parent;

const HEAD: &[u8; 8] = b"MGVQUAR1";
const HASH_BYTES: usize = 32;
/// Time, length of the key, longest key, longest entry.
const BODY_BYTES_MAX: usize = 8 + 2 + model::KEY_BYTES_MAX + stored::BYTES_MAX;

/// Why a quarantine file cannot be read or written.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// The file system refused.
    #[error("the quarantine file {} cannot be used: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// It is cut short, altered, or not such a file; what lies before is sound.
    #[error(
        "the quarantine file {} is damaged at byte {offset}: {why}; nothing from there on can be used",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where what cannot be used begins.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// One key's siblings in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// When it was put there, milliseconds since 1970.
    pub at_ms: u64,
    /// The key.
    pub key: Key,
    /// The siblings, with the context that the node had.
    pub entry: Entry,
}

/// A file to append to.
#[derive(Debug)]
pub struct Quarantine {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Quarantine {
    /// Opens the file, or makes it. One that is damaged is moved to a name beside it that is free, for a person to look
    /// at, and begun anew; it is never deleted.
    ///
    /// # Errors
    /// The file system refused.
    pub fn open(path: &Path) -> Result<Quarantine, QuarantineError> {
        let io = |source| QuarantineError::Io { path: path.into(), source };
        match check(path) {
            Ok(_) => {}
            Err(QuarantineError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(damaged @ QuarantineError::Damaged { .. }) => {
                let aside = aside(path).map_err(io)?;
                tracing::warn!(%damaged, kept = %aside.display(), "moved aside");
                fs::rename(path, aside).and_then(|()| sync_parent(path)).map_err(io)?;
            }
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.append(true).create(true).open(path).map_err(io)?;
        let mut end = file.metadata().map_err(io)?.len();
        if end == 0 {
            file.write_all(HEAD).and_then(|()| file.sync_all()).map_err(io)?;
            sync_parent(path).map_err(io)?;
            end = HEAD.len() as u64;
        }
        Ok(Quarantine { path: path.into(), file, end })
    }

    /// Appends these; they are durable when this returns.
    ///
    /// # Errors
    /// The file system refused; open the file anew before the next try, since a part may have been written.
    pub fn append(&mut self, at_ms: u64, entries: &[(Key, Entry)]) -> Result<(), QuarantineError> {
        let mut out = Vec::new();
        for (key, entry) in entries {
            let mut body = at_ms.to_be_bytes().to_vec();
            body.extend_from_slice(&(key.as_bytes().len() as u16).to_be_bytes());
            body.extend_from_slice(key.as_bytes());
            body.extend_from_slice(&stored::encode(entry));
            let hash = hash(self.end + out.len() as u64, &body);
            out.extend_from_slice(&(body.len() as u32).to_be_bytes());
            out.extend_from_slice(&body);
            out.extend_from_slice(hash.as_bytes());
        }
        let written = self.file.write_all(&out).and_then(|()| self.file.sync_data());
        written.map_err(|source| QuarantineError::Io { path: self.path.clone(), source })?;
        self.end += out.len() as u64;
        Ok(())
    }
}

/// Calls `visit` for each key in a quarantine file, in the order in which they came.
///
/// # Errors
/// The file cannot be read, or is damaged: what lies before the damage was visited.
pub fn read_quarantine(path: &Path, visit: &mut dyn FnMut(Quarantined)) -> Result<(), QuarantineError> {
    let io = |source| QuarantineError::Io { path: path.into(), source };
    let mut from = BufReader::new(File::open(path).map_err(io)?);
    let mut offset = 0;
    let damaged = |offset, why| QuarantineError::Damaged { path: path.into(), offset, why };
    let mut head = [0; HEAD.len()];
    if read_up_to(&mut from, &mut head).map_err(io)? < head.len() || head != *HEAD {
        return Err(damaged(0, "it is no quarantine file of this version"));
    }
    offset += head.len() as u64;
    loop {
        let mut length = [0; 4];
        match read_up_to(&mut from, &mut length).map_err(io)? {
            0 => return Ok(()),
            4 => {}
            _ => return Err(damaged(offset, "it is cut short")),
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > BODY_BYTES_MAX {
            return Err(damaged(offset, "an entry is longer than any may be"));
        }
        let mut frame = Vec::new();
        let whole = length + HASH_BYTES;
        from.by_ref().take(whole as u64).read_to_end(&mut frame).map_err(io)?;
        let Some((body, told)) = frame.split_last_chunk::<HASH_BYTES>().filter(|_| frame.len() == whole)
        else {
            return Err(damaged(offset, "it is cut short"));
        };
        if hash(offset, body).as_bytes() != told {
            return Err(damaged(offset, "it does not match its hash"));
        }
        visit(parse(body).ok_or_else(|| damaged(offset, "it holds what is no entry"))?);
        offset += (4 + whole) as u64;
    }
}

fn check(path: &Path) -> Result<(), QuarantineError> {
    read_quarantine(path, &mut |_| {})
}

fn hash(offset: u64, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&offset.to_be_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn parse(body: &[u8]) -> Option<Quarantined> {
    let (at_ms, rest) = body.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (key, form) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let key = Key::new(key.to_vec()).ok()?;
    Some(Quarantined { at_ms: u64::from_be_bytes(*at_ms), key, entry: stored::decode(form).ok()? })
}

/// Reads until the room is full or the file ends.
fn read_up_to(from: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut read = Vec::with_capacity(room.len());
    from.by_ref().take(room.len() as u64).read_to_end(&mut read)?;
    room.iter_mut().zip(&read).for_each(|(to, byte)| *to = *byte);
    Ok(read.len())
}

fn aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let names = (1_u32..).map(|number| {
        let mut name = name.to_owned();
        name.push(format!(".damaged.{number}"));
        path.with_file_name(name)
    });
    names
        .into_iter()
        .find(|name| name.symlink_metadata().is_err())
        .ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use model::{Context, Dot, Expiry, Hlc, Sibling, WriterId};

    use super::*;

    fn row(n: u64) -> (Key, Entry) {
        let dot = Dot { hlc: Hlc::new(n + 1, 0), writer: WriterId(n) };
        let mut entry = Entry::default();
        let value = vec![n as u8; n as usize * 20];
        entry.write(&Context::default(), dot, Some(Sibling::new(dot, value.into(), None, Expiry::NEVER)));
        (Key::new(format!("key {n}")).unwrap(), entry)
    }

    fn read(path: &Path) -> (Vec<(Key, Entry)>, Result<(), QuarantineError>) {
        let mut rows = Vec::new();
        let result = read_quarantine(path, &mut |Quarantined { key, entry, .. }| rows.push((key, entry)));
        (rows, result)
    }

    #[test]
    fn what_was_appended_over_several_openings_is_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        let rows: Vec<_> = (0..9).map(row).collect();
        for three in rows.chunks(3) {
            let mut file = Quarantine::open(&path).unwrap();
            file.append(7, &three[..1]).unwrap();
            file.append(8, &three[1..]).unwrap();
        }
        let (told, result) = read(&path);
        result.unwrap();
        assert_eq!(told, rows);
    }

    /// Wherever one bit is another or the file ends, what lies before is read, and the place is named.
    #[test]
    fn a_file_that_is_cut_or_altered_is_refused_with_the_place() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        let rows: Vec<_> = (0..3).map(row).collect();
        let mut ends = vec![HEAD.len()];
        for row in &rows {
            Quarantine::open(&path).unwrap().append(7, std::slice::from_ref(row)).unwrap();
            ends.push(fs::read(&path).unwrap().len());
        }
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let whole = ends.iter().filter(|end| **end <= at).count();
            let place = if whole == 0 { 0 } else { ends[whole - 1] as u64 };
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            for (what, bytes) in [("altered", &bad[..]), ("cut", &good[..at])] {
                fs::write(&path, bytes).unwrap();
                let (told, result) = read(&path);
                if what == "cut" && ends.contains(&at) {
                    result.unwrap();
                } else {
                    let Err(QuarantineError::Damaged { offset, .. }) = result else {
                        panic!("{what} at {at}: {result:?}")
                    };
                    assert_eq!(offset, place, "{what} at {at}");
                }
                assert_eq!(told, rows[..whole.saturating_sub(1)], "{what} at {at}");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        Quarantine::open(&path).unwrap().append(7, &[row(1), row(2)]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        Quarantine::open(&path).unwrap().append(7, &[row(3)]).unwrap();
        assert_eq!(read(&path).0, [row(3)]);
        assert_eq!(read(&home.path().join("quarantine.damaged.1")).0, [row(1)]);
    }
}
