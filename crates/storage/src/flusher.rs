//! Group commit: one thread flushes, and one flush serves every writer that waits.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::{Seq, Store, StoreError};

/// Writes that nobody waits for are made durable within this time, about.
const FLUSH_AT_LATEST: Duration = Duration::from_secs(1);

/// What is called once a write is durable, or will never be known to be.
pub type WhenDurable = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A thread that makes a store's writes durable. While one flush runs, those who come wait for the next,
/// which serves them all. It sleeps while there is nothing to flush. Dropping it flushes what is left and ends the thread.
pub struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    state: Mutex<State>,
    /// Rung when someone waits, at the first write after a rest, and on shutdown.
    bell: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Seq, Vec<WhenDurable>>,
    ending: bool,
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(store: Arc<Store>) -> io::Result<Flusher> {
        let shared = Arc::new(Shared { store, state: Mutex::default(), bell: Condvar::new() });
        let of_store = Arc::downgrade(&shared);
        shared.store.on_write_after_rest(Box::new(move || {
            if let Some(shared) = of_store.upgrade() {
                // Taken once, so that the bell cannot ring between the thread's last look and its sleep.
                drop(shared.lock());
                shared.bell.notify_one();
            }
        }));
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flusher".into()).spawn(move || of_thread.run())?;
        Ok(Flusher { shared, thread: Some(thread) })
    }

    /// Calls `then` once the write of this number is durable, or with the error that says it may never
    /// be: at once on this thread if that is known already, otherwise on the flusher's, which it must not
    /// hold up.
    pub fn when_durable(&self, seq: Seq, then: WhenDurable) {
        let store = &self.shared.store;
        if seq <= store.durable() {
            return then(Ok(()));
        }
        if seq > store.counted() {
            return then(Err(StoreError::NeverWritten(seq)));
        }
        let mut state = self.shared.lock();
        if state.ending {
            drop(state);
            return then(Err(StoreError::FlusherGone));
        }
        state.waiting.entry(seq).or_default().push(then);
        drop(state);
        self.shared.bell.notify_one();
    }

    /// Resolves once the write of this number is durable. It waits whether or not it is polled, and may be
    /// dropped at any time.
    ///
    /// # Errors
    /// When the store has stopped, so that it may never be; or no write has this number.
    pub fn durable(&self, seq: Seq) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let (tell, told) = oneshot::channel();
        // Nobody may be listening any more, which is fine.
        self.when_durable(seq, Box::new(move |result| drop(tell.send(result))));
        async move { told.await.unwrap_or(Err(StoreError::FlusherGone)) }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.bell.notify_one();
        let on_its_own_thread = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        // A waiter may hold the last handle: then the thread ends by itself.
        if let Some(thread) = self.thread.take().filter(|thread| !on_its_own_thread(thread)) {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let ending = self.wait_for_work();
            // An error stays in the store: a stopped one has nothing more to flush.
            let flushed = self.store.flush();
            self.release(flushed);
            if ending {
                return self.release(Err(StoreError::FlusherGone));
            }
        }
    }

    /// Waits until someone waits, or something has been written for a while, or the thread is to end: says whether.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.ending && self.store.rests() {
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Whoever waits ends this; a write that rings late does not.
        let idle = |state: &mut State| state.waiting.is_empty() && !state.ending;
        let waited = self.bell.wait_timeout_while(state, FLUSH_AT_LATEST, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Tells those whose writes are durable; after an error, all.
    fn release(&self, flushed: Result<Seq, StoreError>) {
        let mut state = self.lock();
        let released = match &flushed {
            Ok(Seq(durable)) => {
                let later = state.waiting.split_off(&Seq(durable.saturating_add(1)));
                std::mem::replace(&mut state.waiting, later)
            }
            Err(_) => std::mem::take(&mut state.waiting),
        };
        drop(state);
        let result = flushed.map(|_| ());
        for then in released.into_values().flatten() {
            let result = result.clone();
            // One waiter's panic must not leave the others waiting.
            if catch_unwind(AssertUnwindSafe(|| then(result))).is_err() {
                tracing::error!("a waiter for durability panicked");
            }
        }
    }
}
