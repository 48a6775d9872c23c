//! The engine of tests and of the simulator: a map in memory that can crash and fail on demand.

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::engine::{Batch, Engine, EngineError, Part, Space, Visit, Write, range_is_empty};
use crate::image::Image;

/// An engine in memory. What it shows is the live image; what [`MemoryEngine::crash`] leaves is the
/// durable one. The durable image is kept as the live one and the way back from it, so that a large
/// store is not held twice.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: [Image; 5],
    /// For each write since the last flush, what was there before it.
    unflushed: Vec<Undo>,
    fail_apply_after: Option<usize>,
    fail_flush: bool,
    fail_reads: bool,
    applies: u64,
    flushes: u64,
}

#[derive(Debug)]
struct Undo {
    space: Space,
    key: Box<[u8]>,
    before: Option<Bytes>,
}

impl MemoryEngine {
    /// An engine that holds nothing.
    #[must_use]
    pub fn new() -> MemoryEngine {
        MemoryEngine::default()
    }

    /// Forgets every write since the last flush, as a power cut would, and every fault asked for.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Like [`MemoryEngine::crash`], but the first `kept` unflushed writes had reached the disk: single
    /// writes, so that batches are torn too. A number above [`MemoryEngine::unflushed`] keeps all.
    pub fn crash_keeping(&self, kept: usize) {
        let mut state = self.lock();
        while state.unflushed.len() > kept {
            let Some(Undo { space, key, before }) = state.unflushed.pop() else { break };
            let image = state.image(space);
            match before {
                Some(value) => image.insert(&key, value),
                None => image.remove(&key),
            };
        }
        // What had reached the disk is what a restarted process finds there.
        state.unflushed.clear();
        state.fail_apply_after = None;
        state.fail_flush = false;
        state.fail_reads = false;
    }

    /// Like [`MemoryEngine::crash`], but of the unflushed single writes those had reached the disk that `kept` says,
    /// asked for each in their order: what a disk leaves that writes in an order of its own. That is more than an
    /// engine may do to a store, which counts on a prefix of what it wrote.
    pub fn crash_torn(&self, kept: &mut dyn FnMut() -> bool) {
        let mut state = self.lock();
        let mut written = Vec::with_capacity(state.unflushed.len());
        while let Some(Undo { space, key, before }) = state.unflushed.pop() {
            let image = state.image(space);
            let after = match before {
                Some(value) => image.insert(&key, value),
                None => image.remove(&key),
            };
            written.push((space, key, after));
        }
        for (space, key, after) in written.into_iter().rev() {
            if kept() {
                let image = state.image(space);
                match after {
                    Some(value) => image.insert(&key, value),
                    None => image.remove(&key),
                };
            }
        }
        drop(state);
        self.crash();
    }

    /// The first `count` of the unflushed single writes reach the disk: what a flush comes to that began when there
    /// were so many, while others were written.
    pub fn flush_first(&self, count: usize) {
        let mut state = self.lock();
        state.flushes += 1;
        let count = count.min(state.unflushed.len());
        state.unflushed.drain(..count);
    }

    /// Another engine that holds what is on this one's disk: what a crash would leave now.
    #[must_use]
    pub fn durable(&self) -> MemoryEngine {
        let state = self.lock();
        let mut copy = State { live: state.live.clone(), ..State::default() };
        for Undo { space, key, before } in state.unflushed.iter().rev() {
            let image = copy.image(*space);
            match before {
                Some(value) => image.insert(key, value.clone()),
                None => image.remove(key),
            };
        }
        MemoryEngine { state: Mutex::new(copy) }
    }

    /// How many single writes have not been flushed.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.lock().unflushed.len()
    }

    /// The next apply does the first `kept` writes of its batch and fails.
    pub fn fail_next_apply(&self, kept: usize) {
        self.lock().fail_apply_after = Some(kept);
    }

    /// Takes back [`MemoryEngine::fail_next_apply`].
    pub fn allow_applies(&self) {
        self.lock().fail_apply_after = None;
    }

    /// The next flush fails and makes nothing durable.
    pub fn fail_next_flush(&self) {
        self.lock().fail_flush = true;
    }

    /// Every read fails from now on until a crash.
    pub fn fail_reads(&self) {
        self.lock().fail_reads = true;
    }

    /// How many applies and how many flushes have been asked for since the engine was made.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        let state = self.lock();
        (state.applies, state.flushes)
    }

    /// Writes straight into both images, past every rule: a disk that changed what it held.
    pub fn damage(&self, space: Space, key: &[u8], value: Option<Bytes>) {
        let mut state = self.lock();
        let image = state.image(space);
        match value {
            Some(value) => image.insert(key, value),
            None => image.remove(key),
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is a single map operation: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn image(&mut self, space: Space) -> &mut Image {
        let [entries, names, expiry, notes, tombstones] = &mut self.live;
        match space {
            Space::Entries => entries,
            Space::Names => names,
            Space::Expiry => expiry,
            Space::Notes => notes,
            Space::Tombstones => tombstones,
        }
    }

    fn write(&mut self, write: &Write) {
        let (space, key, before) = match write {
            Write::Put { space, key, value } => (*space, key, self.image(*space).insert(key, value.clone())),
            Write::Remove { space, key } => (*space, key, self.image(*space).remove(key)),
        };
        self.unflushed.push(Undo { space, key: key.clone(), before });
    }

    fn readable(&self) -> Result<(), EngineError> {
        if self.fail_reads { Err(EngineError::Injected("read")) } else { Ok(()) }
    }
}

impl Engine for MemoryEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let mut state = self.lock();
        state.readable()?;
        Ok(state.image(space).get(key).cloned())
    }

    fn range(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        part: Part,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let mut state = self.lock();
        state.readable()?;
        if range_is_empty(from, to) {
            return Ok(());
        }
        state.image(space).visit(from, to, part, visit);
        Ok(())
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut state = self.lock();
        state.applies += 1;
        let kept = state.fail_apply_after.take();
        for write in batch.writes().iter().take(kept.unwrap_or(usize::MAX)) {
            state.write(write);
        }
        match kept {
            Some(_) => Err(EngineError::Injected("apply")),
            None => Ok(()),
        }
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut state = self.lock();
        state.flushes += 1;
        if std::mem::take(&mut state.fail_flush) {
            return Err(EngineError::Injected("flush"));
        }
        state.unflushed.clear();
        Ok(())
    }

    /// All of them would wait for one lock.
    fn readers_max(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(engine: &MemoryEngine, key: &str, value: &'static str) {
        let mut batch = Batch::new();
        batch.put(Space::Notes, key.as_bytes(), value.as_bytes());
        engine.apply(&batch).unwrap();
    }

    fn values(engine: &MemoryEngine) -> String {
        let mut all = String::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            all += &format!("{}={} ", String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            std::ops::ControlFlow::Continue(())
        };
        engine.range(Space::Notes, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut visit).unwrap();
        all
    }

    fn written() -> MemoryEngine {
        let engine = MemoryEngine::new();
        put(&engine, "a", "1");
        engine.flush().unwrap();
        for (key, value) in [("a", "2"), ("b", "3"), ("a", "4")] {
            put(&engine, key, value);
        }
        engine
    }

    #[test]
    fn a_torn_crash_keeps_what_it_is_told_to() {
        for (kept, left) in [
            ([false, false, false], "a=1 "),
            ([true, true, false], "a=2 b=3 "),
            ([false, true, true], "a=4 b=3 "),
            ([false, false, true], "a=4 "),
            ([true, true, true], "a=4 b=3 "),
        ] {
            let engine = written();
            let mut answers = kept.into_iter();
            engine.crash_torn(&mut || answers.next().unwrap());
            assert_eq!((values(&engine), engine.unflushed()), (left.to_owned(), 0));
        }
    }

    #[test]
    fn a_flush_that_began_earlier_keeps_what_was_there_then() {
        let engine = written();
        engine.flush_first(2);
        assert_eq!((values(&engine), values(&engine.durable())), ("a=4 b=3 ".into(), "a=2 b=3 ".into()));
        engine.crash();
        assert_eq!(values(&engine), "a=2 b=3 ");
    }
}
