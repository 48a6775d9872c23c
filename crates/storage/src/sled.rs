//! The engine on disk. The only file that names sled (0.34.7), and the reasons for how it is used:
//!
//! - Its flush writes to the page cache and asks for write-out, but never syncs. A durable commit is its
//!   flush and then `sync_data` on a handle of our own to its one file, `db`.
//! - A page that would take more than a quarter of a segment goes to a file under `blobs/` that sled
//!   neither syncs nor replaces safely. Large values are cut into parts, and segments are 2 MiB, so that
//!   no page gets there: a leaf has about 20 values at most, an inner page about 320 keys. Should a blob
//!   turn up all the same, a flush syncs it: see `commit`.
//! - `conf` and `snap.*` are written while opening only: they are synced, with their folder, right after.
//! - It recovers a prefix of its log, so writes in order need no transaction.
//! - It panics on some damaged bytes: every call is guarded.

use std::any::Any;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ::sled::{Db, IVec, Tree};
use bytes::Bytes;

use crate::commit::Commit;
use crate::durable_fs::create_dir_durably;
use crate::engine::{Batch, Engine, EngineError, Part, Space, Visit, Write, range_is_empty};
use crate::opening::{RolledBack, SledOptions};
use crate::parts::{
    Head, INLINE_BYTES_MAX, INLINE_HEAD_BYTES, PART_BYTES, PartsId, Stored, VALUE_BYTES_MAX, head, inline,
    owner, part_count, part_key, read, read_owner, read_part_key,
};

/// Of sled's log, in bytes. Pages up to a quarter of it stay in the log.
const SEGMENT_BYTES: usize = 2 << 20;
/// How often a read starts anew because the value was replaced under it.
const READ_TRIES_MAX: u32 = 64;
/// The key of the number of flushes.
const FLUSHES: &[u8] = b"flushes";

/// The engine on disk: a folder of sled's.
#[derive(Debug)]
pub struct SledEngine {
    db: Db,
    /// In the order of [`Space::index`].
    spaces: [Tree; 5],
    /// The bytes of large values: see `parts`.
    parts: Tree,
    meta: Tree,
    commit: Mutex<Commit>,
    next_parts_id: AtomicU64,
    /// A panic left sled in an unknown state: nothing more is written.
    broken: AtomicBool,
}

/// Why a folder could not be opened.
pub(crate) enum Unopened {
    /// Its contents are damaged: another try would end the same.
    Damaged(String),
    /// Not for its contents: access, space, another process.
    Refused(EngineError),
}

impl SledEngine {
    /// Opens what is in the folder, creating it if need be. Touches nothing beside it.
    pub(crate) fn open_once(
        dir: &Path,
        options: &SledOptions,
    ) -> Result<(SledEngine, Option<RolledBack>), Unopened> {
        const DOING: &str = "open the engine";
        let refused = |e: io::Error| Unopened::Refused(EngineError::io(DOING, &e));
        create_dir_durably(dir).map_err(refused)?;
        let config = ::sled::Config::new()
            .path(dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(options.cache_bytes.max(8 << 20))
            .flush_every_ms(None);
        let open = || {
            let db = config.open()?;
            let names = ["entries", "names", "expiry", "notes", "tombstones", "parts", "meta"];
            let [entries, names, expiry, notes, tombstones, parts, meta] =
                names.map(|name| db.open_tree(name));
            let (parts, meta) = (parts?, meta?);
            let last_part = parts.last()?.and_then(|(key, _)| read_part_key(&key));
            let flushes =
                meta.get(FLUSHES)?.and_then(|v| Some(u64::from_be_bytes(v.as_ref().try_into().ok()?)));
            Ok((db, [entries?, names?, expiry?, notes?, tombstones?], parts, meta, last_part, flushes))
        };
        let (db, spaces, parts, meta, last_part, flushes) = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(opened) => opened.map_err(unopened)?,
            Err(panic) => {
                return Err(Unopened::Damaged(format!("sled panicked: {}", panic_text(&*panic))));
            }
        };

        let (commit, flushes_made) = Commit::open(dir, dir.join("db"), dir.join("blobs")).map_err(refused)?;
        let flushes_held = flushes.unwrap_or(0);
        let rolled_back = (flushes_held < flushes_made).then_some(RolledBack { flushes_held, flushes_made });
        let engine = SledEngine {
            db,
            spaces,
            parts,
            meta,
            commit: Mutex::new(commit.after(flushes_held)),
            next_parts_id: AtomicU64::new(last_part.map_or(0, |(id, _)| id) + 1),
            broken: AtomicBool::new(false),
        };
        engine.remove_orphaned_parts().map_err(|e| Unopened::Damaged(e.to_string()))?;
        Ok((engine, rolled_back))
    }

    fn space(&self, space: Space) -> &Tree {
        let [entries, names, expiry, notes, tombstones] = &self.spaces;
        match space {
            Space::Entries => entries,
            Space::Names => names,
            Space::Expiry => expiry,
            Space::Notes => notes,
            Space::Tombstones => tombstones,
        }
    }

    /// A crash between the writes of a large value leaves parts that no head names.
    fn remove_orphaned_parts(&self) -> Result<(), EngineError> {
        const DOING: &str = "look for orphaned parts";
        guarded(DOING, || {
            let mut from = part_key(0, 0);
            loop {
                let Some((key, first)) =
                    self.parts.range(from..).next().transpose().map_err(|e| failed(DOING, e))?
                else {
                    return Ok(());
                };
                let Some((id, number)) = read_part_key(&key) else {
                    return Err(damaged(DOING, "a part's key"));
                };
                let owner = (number == 0).then(|| read_owner(&first)).flatten();
                let Some((space, key)) = owner else {
                    return Err(damaged(DOING, "a part without its first"));
                };
                let stored = self.space(space).get(key).map_err(|e| failed(DOING, e))?;
                let named = matches!(stored.as_deref().and_then(read), Some(Stored::Cut(head)) if head.id.get() == id);
                if !named {
                    self.remove_parts(id).map_err(|e| failed(DOING, e))?;
                }
                let Some(next) = id.checked_add(1) else { return Ok(()) };
                from = part_key(next, 0);
            }
        })
    }

    /// From the last to the first, so that whatever a crash leaves still says whose it is.
    fn remove_parts(&self, id: u64) -> ::sled::Result<()> {
        for key in self.parts.range(part_key(id, 0)..=part_key(id, u32::MAX)).keys().rev() {
            self.parts.remove(key?)?;
        }
        Ok(())
    }

    /// `room` is memory to use.
    fn put(&self, space: Space, key: &[u8], value: &[u8], room: &mut Vec<u8>) -> ::sled::Result<()> {
        let before = if value.len() <= INLINE_BYTES_MAX {
            inline(value, room);
            self.space(space).insert(key, &room[..])?
        } else {
            let id = self.next_parts_id.fetch_add(1, Ordering::Relaxed);
            self.parts.insert(part_key(id, 0), owner(space, key))?;
            for (part, number) in value.chunks(PART_BYTES).zip(1..) {
                self.parts.insert(part_key(id, number), part)?;
            }
            let Some(id) = PartsId::new(id) else { return Ok(()) };
            self.space(space).insert(key, head(id, value))?
        };
        self.remove_replaced(before)
    }

    fn remove_replaced(&self, before: Option<IVec>) -> ::sled::Result<()> {
        match before.as_deref().and_then(read) {
            Some(Stored::Cut(head)) => self.remove_parts(head.id.get()),
            _ => Ok(()),
        }
    }

    fn write(&self, write: &Write, room: &mut Vec<u8>) -> ::sled::Result<()> {
        match write {
            Write::Put { space, key, value } => self.put(*space, key, value, room),
            Write::Remove { space, key } => {
                let before = self.space(*space).remove(key)?;
                self.remove_replaced(before)
            }
        }
    }

    /// The whole value that `stored`, just read under `key`, stands for; none if it is gone by now.
    fn whole(&self, space: Space, key: &[u8], mut stored: IVec) -> Result<Option<Bytes>, EngineError> {
        const DOING: &str = "read a value";
        for _ in 0..READ_TRIES_MAX {
            let head = match read(&stored) {
                None => return Err(damaged(DOING, "no stored form")),
                Some(Stored::Inline(_)) => {
                    return Ok(Some(Bytes::from_owner(stored).slice(INLINE_HEAD_BYTES..)));
                }
                Some(Stored::Cut(head)) => head,
            };
            if let Some(value) = self.join_parts(head)? {
                return Ok(Some(value));
            }
            // Replaced while it was read, or damaged: the head tells.
            match self.space(space).get(key).map_err(|e| failed(DOING, e))? {
                None => return Ok(None),
                Some(now) if now == stored => return Err(damaged(DOING, "a large value lacks parts")),
                Some(now) => stored = now,
            }
        }
        Err(damaged(DOING, "a value was replaced faster than it could be read"))
    }

    fn join_parts(&self, head: Head<'_>) -> Result<Option<Bytes>, EngineError> {
        let Ok(len) = usize::try_from(head.len) else { return Ok(None) };
        // Not the whole of a length that may be damaged at once.
        let mut value = Vec::with_capacity(len.min(32 << 20));
        let id = head.id.get();
        let mut expected = 1;
        for part in self.parts.range(part_key(id, 1)..=part_key(id, u32::MAX)) {
            let (key, part) = part.map_err(|e| failed("read a part", e))?;
            if read_part_key(&key) != Some((id, expected)) || value.len() + part.len() > len {
                return Ok(None);
            }
            value.extend_from_slice(&part);
            expected += 1;
        }
        let complete =
            value.len() == len && expected - 1 == part_count(head.len) && value.starts_with(head.first);
        Ok(complete.then(|| value.into()))
    }

    fn visit_stored(
        &self,
        space: Space,
        key: &[u8],
        stored: IVec,
        part: Part,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, EngineError> {
        match (read(&stored), part) {
            (None, _) => Err(damaged("read a range", "no stored form")),
            (Some(Stored::Inline(value)), _) => Ok(visit(key, value)),
            (Some(Stored::Cut(head)), Part::First(bytes)) if bytes <= head.first.len() => {
                Ok(visit(key, head.first))
            }
            (Some(Stored::Cut(_)), _) => Ok(match self.whole(space, key, stored)? {
                Some(value) => visit(key, &value),
                None => ControlFlow::Continue(()),
            }),
        }
    }

    /// Guards a write: after a panic in one, no other is tried.
    fn guarded_write(
        &self,
        doing: &'static str,
        write: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(EngineError::Panicked { doing, why: "an earlier write panicked".into() });
        }
        let result = guarded(doing, write);
        if matches!(result, Err(EngineError::Panicked { .. })) {
            self.broken.store(true, Ordering::Release);
        }
        result
    }
}

impl Engine for SledEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        const DOING: &str = "read a value";
        guarded(DOING, || match self.space(space).get(key).map_err(|e| failed(DOING, e))? {
            None => Ok(None),
            Some(stored) => self.whole(space, key, stored),
        })
    }

    fn range(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        part: Part,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        const DOING: &str = "read a range";
        if range_is_empty(from, to) {
            return Ok(());
        }
        guarded(DOING, || {
            for item in self.space(space).range::<&[u8], _>((from, to)) {
                let (key, stored) = item.map_err(|e| failed(DOING, e))?;
                if self.visit_stored(space, &key, stored, part, visit)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        const DOING: &str = "write";
        let too_large =
            |w: &Write| matches!(w, Write::Put { value, .. } if value.len() as u64 > VALUE_BYTES_MAX);
        if batch.writes().iter().any(too_large) {
            return Err(EngineError::io(DOING, &io::ErrorKind::FileTooLarge.into()));
        }
        self.guarded_write(DOING, || {
            let mut room = Vec::new();
            let mut each = batch.writes().iter();
            each.try_for_each(|write| self.write(write, &mut room)).map_err(|e| failed(DOING, e))
        })
    }

    fn flush(&self) -> Result<(), EngineError> {
        const DOING: &str = "flush";
        let mut commit = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let flushes = commit.flushes() + 1;
        self.guarded_write(DOING, || {
            self.meta.insert(FLUSHES, &flushes.to_be_bytes()).map_err(|e| failed(DOING, e))?;
            self.db.flush().map(|_| ()).map_err(|e| failed(DOING, e))
        })?;
        commit.make_durable(flushes).map_err(|e| EngineError::io(DOING, &e))
    }
}

/// Turns a panic into an error. Panics come from sled's assertions about bytes it has read.
fn guarded<T>(doing: &'static str, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(EngineError::Panicked { doing, why: panic_text(&*panic) }))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

fn damaged(doing: &'static str, why: &str) -> EngineError {
    EngineError::Damaged { doing, why: why.to_owned() }
}

fn failed(doing: &'static str, error: ::sled::Error) -> EngineError {
    match error {
        ::sled::Error::Io(error)
            if error.raw_os_error().is_none() && error.to_string().starts_with("could not acquire lock") =>
        {
            EngineError::InUse { doing, why: error.to_string() }
        }
        ::sled::Error::Io(error) => EngineError::io(doing, &error),
        error => EngineError::Damaged { doing, why: error.to_string() },
    }
}

/// Whether the folder's contents are at fault: what the operating system itself refuses is not, unless
/// it is a file that should be there or an offset that cannot be.
fn unopened(error: ::sled::Error) -> Unopened {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
    let from_contents = match &error {
        ::sled::Error::Io(error) => {
            error.raw_os_error().is_none()
                || matches!(error.kind(), NotFound | InvalidInput | IsADirectory | NotADirectory)
        }
        _ => true,
    };
    match failed("open the engine", error) {
        EngineError::InUse { doing, why } => Unopened::Refused(EngineError::InUse { doing, why }),
        error if from_contents => Unopened::Damaged(error.to_string()),
        error => Unopened::Refused(error),
    }
}

#[cfg(test)]
mod tests;
