//! Times in which there is nothing to flush, and how whoever flushes learns of their end.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Store;

/// What is called by the first write after a rest, in its critical section.
pub(crate) type OnWrite = Box<dyn Fn() + Send + Sync>;

/// Whether someone rests until the next write, and how to wake it.
#[derive(Default)]
pub(super) struct Rest {
    awaited: AtomicBool,
    then: Mutex<Option<OnWrite>>,
}

impl fmt::Debug for Rest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rest").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

impl Rest {
    /// Something was written and has its number.
    pub(super) fn ends(&self) {
        if self.awaited.load(Ordering::SeqCst)
            && self.awaited.swap(false, Ordering::SeqCst)
            && let Some(then) = &*self.then.lock().unwrap_or_else(PoisonError::into_inner)
        {
            then();
        }
    }
}

impl Store {
    /// What the first write after [`Store::rests`] is to call, in place of what it was. It must not call the store.
    pub(crate) fn on_write_after_rest(&self, then: OnWrite) {
        *self.rest.then.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
    }

    /// Whether every write is durable; then the next one makes the call.
    pub(crate) fn rests(&self) -> bool {
        // Before the look at the number, as a write gives itself one before it looks at this: one of the two sees the
        // other, in the one order that all of these have.
        self.rest.awaited.store(true, Ordering::SeqCst);
        let rests = self.counted() <= self.durable();
        if !rests {
            self.rest.awaited.store(false, Ordering::SeqCst);
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use model::DigestKey;

    use super::*;
    use crate::{Marks, MemoryEngine};

    #[test]
    fn no_write_is_slept_through() {
        let engine = Arc::new(MemoryEngine::new());
        let store = Arc::new(Store::open(engine, DigestKey([7; 32]), Marks::default(), &mut |_| {}).unwrap());
        let (ring, rung) = mpsc::channel();
        store.on_write_after_rest(Box::new(move || ring.send(()).unwrap()));
        let (go, goes) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let writer = Arc::clone(&store);
        let writing = std::thread::spawn(move || {
            while goes.recv().is_ok() {
                tell.send(writer.count(1)).unwrap();
            }
        });
        let mut rested = 0;
        for _ in 0..20_000 {
            go.send(()).unwrap();
            if store.rests() {
                rested += 1;
                rung.recv_timeout(Duration::from_secs(20)).expect("slept through a write");
            }
            let written = told.recv().unwrap();
            assert_eq!(store.counted(), written);
            store.durable.store(written.0, Ordering::Release);
            while rung.try_recv().is_ok() {}
        }
        assert!(rested > 0);
        drop(go);
        writing.join().unwrap();
    }
}
