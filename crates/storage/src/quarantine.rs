//! Values that only a node which was behind still had, and that its peers know nothing of: kept in a file for a person to
//! look at, never merged again by themselves.
//!
//! ```text
//! file    "MGVQUAR2", the cluster's id (16), BLAKE3 (32) over both; then frames to the end
//! frame   length of the body (4, big endian), body, BLAKE3 (32) over the cluster's id, where the frame begins (8), body
//! body    0, when it was put there, milliseconds since 1970 (8), length of the key (2), key, the entry's stored form
//!         1, how many entries were put there with one append (4): its end
//! ```
//! A file that is cut or altered is read up to there, and then says where. One that is cut exactly where an append ended is
//! the file as it was then, and cannot be told from it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use model::{ClusterId, Entry, Key, stored};
use thiserror::Error;

use crate::durable_fs::sync_parent;

const MAGIC: &[u8; 8] = b"MGVQUAR2";
const CLUSTER_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + CLUSTER_BYTES + HASH_BYTES;
/// Kind, time, length of the key, longest key, longest entry.
const BODY_BYTES_MAX: usize = 1 + 8 + 2 + model::KEY_BYTES_MAX + stored::BYTES_MAX;

const KIND_ENTRY: u8 = 0;
const KIND_END: u8 = 1;

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
        "the quarantine file {} is damaged at byte {offset}: {why}; the {values} values before are whole, and nothing \
         from there on can be used",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where what cannot be used begins.
        offset: u64,
        /// What is wrong.
        why: &'static str,
        /// How many values lie before, whole.
        values: u64,
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
    cluster: ClusterId,
    file: File,
    end: u64,
}

impl Quarantine {
    /// Opens the file of a member of this cluster, or makes it. One that is damaged, or of another cluster, is moved to a
    /// name beside it that is free, for a person to look at, and begun anew; it is never deleted.
    ///
    /// # Errors
    /// The file system refused.
    pub fn open(path: &Path, cluster: ClusterId) -> Result<Quarantine, QuarantineError> {
        let io = |source| QuarantineError::Io { path: path.into(), source };
        match check(path) {
            Ok(its) if its == cluster => {}
            Ok(its) => move_aside(path, "other-cluster", &format!("it is of cluster {its}")).map_err(io)?,
            Err(QuarantineError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(damaged @ QuarantineError::Damaged { .. }) => {
                move_aside(path, "damaged", &damaged.to_string()).map_err(io)?;
            }
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.append(true).create(true).open(path).map_err(io)?;
        let mut end = file.metadata().map_err(io)?.len();
        if end == 0 {
            file.write_all(&head(cluster)).and_then(|()| file.sync_all()).map_err(io)?;
            sync_parent(path).map_err(io)?;
            end = HEAD_BYTES as u64;
        }
        Ok(Quarantine { path: path.into(), cluster, file, end })
    }

    /// Appends these; they are durable when this returns.
    ///
    /// # Errors
    /// The file system refused; open the file anew before the next try, since a part may have been written that could not
    /// be taken back.
    pub fn append(&mut self, at_ms: u64, entries: &[(Key, Entry)]) -> Result<(), QuarantineError> {
        let mut out = Vec::new();
        for (key, entry) in entries {
            let mut body = vec![KIND_ENTRY];
            body.extend_from_slice(&at_ms.to_be_bytes());
            body.extend_from_slice(&(key.as_bytes().len() as u16).to_be_bytes());
            body.extend_from_slice(key.as_bytes());
            body.extend_from_slice(&stored::encode(entry));
            self.frame(&mut out, &body);
        }
        // Without it a cut between two entries could not be told from the end.
        let mut end = vec![KIND_END];
        end.extend_from_slice(&(entries.len() as u32).to_be_bytes());
        self.frame(&mut out, &end);
        let written = self.file.write_all(&out).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // With a part of this append behind them the whole values before it would be moved aside as damaged.
            if let Err(error) = self.file.set_len(self.end) {
                tracing::warn!(path = %self.path.display(), %error, "a part of what did not fit stays in the file");
            }
            return Err(QuarantineError::Io { path: self.path.clone(), source });
        }
        self.end += out.len() as u64;
        Ok(())
    }

    /// Puts one frame behind what is to be appended.
    fn frame(&self, out: &mut Vec<u8>, body: &[u8]) {
        let hash = hash(self.cluster, self.end + out.len() as u64, body);
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(hash.as_bytes());
    }
}

/// How many bytes of values the file holds; 0 where there is none.
pub fn quarantine_bytes(path: &Path) -> u64 {
    let file = path.metadata().ok().filter(Metadata::is_file);
    file.map_or(0, |file| file.len().saturating_sub(HEAD_BYTES as u64))
}

/// Reads a quarantine file: gives each key in the order in which they came, and ends after an error.
#[derive(Debug)]
pub struct QuarantineReader {
    path: PathBuf,
    from: BufReader<File>,
    cluster: ClusterId,
    offset: u64,
    /// Values that were read.
    values: u64,
    /// Entries since the last append's end.
    unended: u32,
    ended: bool,
}

impl QuarantineReader {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// It cannot be read, or is no quarantine file.
    pub fn open(path: &Path) -> Result<Self, QuarantineError> {
        let io = |source| QuarantineError::Io { path: path.into(), source };
        let mut from = BufReader::new(File::open(path).map_err(io)?);
        let damaged = |why| QuarantineError::Damaged { path: path.into(), offset: 0, why, values: 0 };
        let mut told = [0; HEAD_BYTES];
        let whole = read_up_to(&mut from, &mut told).map_err(io)? == HEAD_BYTES;
        let cluster = told.get(MAGIC.len()..MAGIC.len() + CLUSTER_BYTES).and_then(|id| id.try_into().ok());
        let cluster = ClusterId(cluster.unwrap_or_default());
        if !whole || !told.starts_with(MAGIC) {
            return Err(damaged("it is no quarantine file of this version"));
        }
        if told != head(cluster) {
            return Err(damaged("its head does not match its hash"));
        }
        let (offset, path) = (HEAD_BYTES as u64, path.into());
        Ok(Self { path, from, cluster, offset, values: 0, unended: 0, ended: false })
    }

    /// The cluster whose data it is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    fn damaged(&self, why: &'static str) -> QuarantineError {
        QuarantineError::Damaged { path: self.path.clone(), offset: self.offset, why, values: self.values }
    }

    /// The body of the next frame; none at the end.
    fn body(&mut self) -> Result<Option<Vec<u8>>, QuarantineError> {
        let io = |source| QuarantineError::Io { path: self.path.clone(), source };
        let mut length = [0; 4];
        match read_up_to(&mut self.from, &mut length).map_err(io)? {
            0 if self.unended == 0 => return Ok(None),
            4 => {}
            _ => return Err(self.damaged("it is cut short")),
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > BODY_BYTES_MAX {
            return Err(self.damaged("an entry is longer than any may be"));
        }
        let mut frame = Vec::new();
        let whole = length + HASH_BYTES;
        self.from.by_ref().take(whole as u64).read_to_end(&mut frame).map_err(io)?;
        let Some((body, told)) = frame.split_last_chunk::<HASH_BYTES>().filter(|_| frame.len() == whole)
        else {
            return Err(self.damaged("it is cut short"));
        };
        if hash(self.cluster, self.offset, body).as_bytes() != told {
            return Err(self.damaged("it does not match its hash"));
        }
        frame.truncate(length);
        Ok(Some(frame))
    }

    fn read(&mut self) -> Result<Option<Quarantined>, QuarantineError> {
        while let Some(body) = self.body()? {
            let bytes = (4 + body.len() + HASH_BYTES) as u64;
            match body.split_first() {
                Some((&KIND_ENTRY, body)) => {
                    let entry = parse(body).ok_or_else(|| self.damaged("it holds what is no entry"))?;
                    self.offset += bytes;
                    self.values += entry.entry.siblings().len() as u64;
                    self.unended = self.unended.saturating_add(1);
                    return Ok(Some(entry));
                }
                Some((&KIND_END, count)) if *count == self.unended.to_be_bytes() => {
                    self.offset += bytes;
                    self.unended = 0;
                }
                _ => return Err(self.damaged("entries are missing")),
            }
        }
        Ok(None)
    }
}

impl Iterator for QuarantineReader {
    type Item = Result<Quarantined, QuarantineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The cluster whose data a file holds that is whole.
fn check(path: &Path) -> Result<ClusterId, QuarantineError> {
    let mut reader = QuarantineReader::open(path)?;
    let cluster = reader.cluster();
    reader.try_for_each(|read| read.map(drop))?;
    Ok(cluster)
}

fn head(cluster: ClusterId) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let (named, told) = head.split_at_mut(MAGIC.len() + CLUSTER_BYTES);
    let (magic, id) = named.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    id.copy_from_slice(&cluster.0);
    told.copy_from_slice(blake3::hash(named).as_bytes());
    head
}

fn hash(cluster: ClusterId, offset: u64, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&cluster.0);
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

/// Gives the file a name beside it that is free.
fn move_aside(path: &Path, what: &str, why: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut names = (1_u32..).map(|number| {
        let mut name = name.to_owned();
        name.push(format!(".{what}.{number}"));
        path.with_file_name(name)
    });
    let aside = names
        .find(|name| name.symlink_metadata().is_err())
        .ok_or(io::Error::from(io::ErrorKind::AlreadyExists))?;
    tracing::warn!(why, kept = %aside.display(), "a quarantine file is moved aside");
    fs::rename(path, aside).and_then(|()| sync_parent(path))
}

#[cfg(test)]
mod tests {
    use model::{Context, Dot, Expiry, Hlc, Sibling, WriterId};

    use super::*;

    const CLUSTER: ClusterId = ClusterId([7; 16]);

    fn row(n: u64) -> (Key, Entry) {
        let dot = Dot { hlc: Hlc::new(n + 1, 0), writer: WriterId(n) };
        let mut entry = Entry::default();
        let value = vec![n as u8; n as usize * 20];
        entry.write(&Context::default(), dot, Some(Sibling::new(dot, value.into(), None, Expiry::NEVER)));
        (Key::new(format!("key {n}")).unwrap(), entry)
    }

    fn read(path: &Path) -> (Vec<(Key, Entry)>, Result<(), QuarantineError>) {
        let mut rows = Vec::new();
        let mut reader = match QuarantineReader::open(path) {
            Ok(reader) => reader,
            Err(error) => return (rows, Err(error)),
        };
        let result =
            reader.try_for_each(|read| read.map(|Quarantined { key, entry, .. }| rows.push((key, entry))));
        (rows, result)
    }

    #[test]
    fn what_was_appended_over_several_openings_is_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        assert_eq!(quarantine_bytes(&path), 0);
        assert_eq!(quarantine_bytes(home.path()), 0, "a folder holds no values");
        let rows: Vec<_> = (0..9).map(row).collect();
        for three in rows.chunks(3) {
            let mut file = Quarantine::open(&path, CLUSTER).unwrap();
            file.append(7, &three[..1]).unwrap();
            file.append(8, &three[1..]).unwrap();
        }
        let (told, result) = read(&path);
        result.unwrap();
        assert_eq!(told, rows);
        assert_eq!(QuarantineReader::open(&path).unwrap().cluster(), CLUSTER);
        assert!(quarantine_bytes(&path) > 0);
    }

    /// Wherever one bit is another or the file ends, but where an append ended: what lies before is read and counted, and
    /// the place is named.
    #[test]
    fn a_file_that_is_cut_or_altered_is_refused_with_the_place() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        let rows: Vec<_> = (0..5).map(row).collect();
        let mut appends = vec![HEAD_BYTES];
        for rows in [&rows[..2], &rows[2..]] {
            Quarantine::open(&path, CLUSTER).unwrap().append(7, rows).unwrap();
            appends.push(fs::read(&path).unwrap().len());
        }
        let good = fs::read(&path).unwrap();
        let (mut frames, mut at) = (vec![(HEAD_BYTES, 0)], HEAD_BYTES);
        while at < good.len() {
            let length = u32::from_be_bytes(good[at..at + 4].try_into().unwrap()) as usize;
            let values = frames.last().unwrap().1 + usize::from(good[at + 4] == KIND_ENTRY);
            at += 4 + length + HASH_BYTES;
            frames.push((at, values));
        }
        for at in 0..good.len() {
            let (place, before) =
                frames.iter().copied().rev().find(|(end, _)| *end <= at).unwrap_or_default();
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            for (what, bytes) in [("altered", &bad[..]), ("cut", &good[..at])] {
                fs::write(&path, bytes).unwrap();
                let (told, result) = read(&path);
                assert_eq!(told, rows[..before], "{what} at {at}");
                if what == "cut" && appends.contains(&at) {
                    result.unwrap();
                    continue;
                }
                let Err(QuarantineError::Damaged { offset, values, .. }) = result else {
                    panic!("{what} at {at}: {result:?}")
                };
                assert_eq!((offset, values), (place as u64, before as u64), "{what} at {at}");
            }
        }
    }

    #[test]
    fn a_file_that_is_damaged_or_of_another_cluster_is_moved_aside_and_a_new_one_begun() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("quarantine");
        Quarantine::open(&path, CLUSTER).unwrap().append(7, &[row(1), row(2)]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 45]).unwrap();
        Quarantine::open(&path, CLUSTER).unwrap().append(7, &[row(3)]).unwrap();
        assert_eq!(read(&path).0, [row(3)]);
        assert_eq!(read(&home.path().join("quarantine.damaged.1")).0, [row(1)]);
        Quarantine::open(&path, ClusterId([8; 16])).unwrap().append(7, &[row(4)]).unwrap();
        assert_eq!(read(&path).0, [row(4)]);
        assert_eq!(read(&home.path().join("quarantine.other-cluster.1")).0, [row(3)]);
    }
}
