//! Group commit: nothing that was acknowledged is lost, and one flush serves many.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use model::Key;
use storage::{
    Batch, Engine, EngineError, Flusher, MemoryEngine, Part, Seq, Space, Store, StoreError, Visit,
};

/// A memory engine whose flushes take a while, as a disk's do.
struct Slow {
    inner: MemoryEngine,
    flush: Duration,
}

impl Engine for Slow {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(space, key)
    }
    fn range(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        part: Part,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.inner.range(space, from, to, part, visit)
    }
    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.inner.apply(batch)
    }
    fn flush(&self) -> Result<(), EngineError> {
        std::thread::sleep(self.flush);
        self.inner.flush()
    }
}

fn slow(flush: Duration) -> (Arc<Slow>, Arc<Store>) {
    let engine = Arc::new(Slow { inner: MemoryEngine::new(), flush });
    let store = Arc::new(open(engine.clone()));
    (engine, store)
}

fn wait(flusher: &Flusher, seq: Seq) -> Result<(), StoreError> {
    let (tell, told) = mpsc::channel();
    flusher.when_durable(seq, Box::new(move |result| tell.send(result).unwrap()));
    told.recv_timeout(Duration::from_secs(20)).expect("never told")
}

/// Threads write and wait; at a random moment the machine stops. Whatever was acknowledged is there.
#[test]
fn nothing_acknowledged_is_lost_in_a_crash() {
    for round in 0..8_u64 {
        let (engine, store) = slow(Duration::from_micros(200));
        let flusher = Flusher::spawn(store.clone()).unwrap();
        let acknowledged: Mutex<BTreeSet<Key>> = Mutex::default();
        let clock = AtomicU64::new(1);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (store, flusher, acknowledged, clock) = (&store, &flusher, &acknowledged, &clock);
                scope.spawn(move || {
                    for i in 0..1000 {
                        let key = key(format!("{thread}/{i}"));
                        let time = clock.fetch_add(1, Ordering::Relaxed);
                        let new = |entry| Ok::<_, ()>(Some(written(entry, dot(time, thread), Some(b"v"))));
                        let Ok(updated) = store.update(&key, new) else { return };
                        if wait(flusher, updated.seq).is_err() {
                            return;
                        }
                        acknowledged.lock().unwrap().insert(key);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(15 + round * 5));
            while acknowledged.lock().unwrap().len() <= 20 {
                std::thread::yield_now();
            }
            // From here on no flush succeeds: what is acknowledged now never will be more.
            loop {
                engine.inner.fail_next_flush();
                if store.failure().is_some() {
                    break;
                }
                std::thread::yield_now();
            }
        });
        drop(flusher);
        engine.inner.crash_keeping(round as usize);
        let store = open(engine);
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.len() > 20, "{}", acknowledged.len());
        for key in &acknowledged {
            assert!(store.get(key).unwrap().is_some(), "{key} was acknowledged and is lost");
        }
    }
}

#[test]
fn one_flush_serves_all_who_wait() {
    let (engine, store) = slow(Duration::from_millis(20));
    let flusher = Flusher::spawn(store.clone()).unwrap();
    let (tell, told) = mpsc::channel();
    let began = Instant::now();
    for i in 0..200_u64 {
        let seq = put(&store, &key(i.to_be_bytes()), dot(i + 1, 1), b"v").seq;
        let tell = tell.clone();
        flusher.when_durable(seq, Box::new(move |result| tell.send(result).unwrap()));
    }
    for _ in 0..200 {
        told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    }
    let (_, flushes) = engine.inner.calls();
    // Each takes 20 ms: as many as there was time for, and by far not one a write.
    assert!(flushes <= 2 + began.elapsed().as_millis() as u64 / 20, "{flushes}");
    assert!(flushes < 100, "{flushes}");
}

#[test]
fn a_flush_without_writes_does_nothing() {
    let (engine, store) = slow(Duration::ZERO);
    let seq = put(&store, &key("k"), dot(1, 1), b"v").seq;
    let at_opening = 1;
    for _ in 0..5 {
        assert_eq!(store.flush().unwrap(), seq);
    }
    assert_eq!(engine.inner.calls().1, at_opening + 1);
    let flusher = Flusher::spawn(store.clone()).unwrap();
    for _ in 0..5 {
        wait(&flusher, seq).unwrap();
        wait(&flusher, Seq(0)).unwrap();
    }
    drop(flusher);
    assert_eq!(engine.inner.calls().1, at_opening + 1);
}

#[test]
fn all_who_wait_learn_of_a_failure() {
    let (engine, store) = slow(Duration::from_millis(5));
    let flusher = Flusher::spawn(store.clone()).unwrap();
    engine.inner.fail_next_flush();
    let waiting: Vec<_> = (0..20_u64)
        .map(|i| put_unless_stopped(&store, i).map(|seq| flusher.durable(seq)))
        .take_while(Option::is_some)
        .flatten()
        .collect();
    assert!(!waiting.is_empty());
    for future in waiting {
        assert!(matches!(pollster(future), Err(StoreError::Stopped(_))));
    }
    assert!(matches!(wait(&flusher, store.written()), Err(StoreError::Stopped(_))));
}

fn put_unless_stopped(store: &Store, i: u64) -> Option<Seq> {
    let new = |entry| Ok::<_, ()>(Some(written(entry, dot(i + 1, 1), Some(b"v"))));
    store.update(&key(i.to_be_bytes()), new).ok().map(|updated| updated.seq)
}

/// Runs a future that another thread completes.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

#[test]
fn a_number_never_given_is_refused() {
    let (_, store) = slow(Duration::ZERO);
    let flusher = Flusher::spawn(store.clone()).unwrap();
    assert!(matches!(wait(&flusher, Seq(1)), Err(StoreError::NeverWritten(Seq(1)))));
}

#[test]
fn a_waiter_that_panics_harms_no_other() {
    let (_, store) = slow(Duration::from_millis(10));
    let flusher = Flusher::spawn(store.clone()).unwrap();
    let first = put(&store, &key("a"), dot(1, 1), b"v").seq;
    let second = put(&store, &key("b"), dot(2, 1), b"v").seq;
    flusher.when_durable(first, Box::new(|_| panic!("on purpose")));
    wait(&flusher, second).unwrap();
    let third = put(&store, &key("c"), dot(3, 1), b"v").seq;
    wait(&flusher, third).unwrap();
}

#[test]
fn writes_nobody_waits_for_become_durable_too() {
    let (_, store) = slow(Duration::ZERO);
    let flusher = Flusher::spawn(store.clone()).unwrap();
    // The second one comes while the flusher rests.
    for (name, time) in [("a", 1), ("aa", 2)] {
        let seq = put(&store, &key(name), dot(time, 1), b"v").seq;
        let began = Instant::now();
        while store.durable() < seq {
            assert!(began.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let last = put(&store, &key("b"), dot(3, 1), b"v").seq;
    drop(flusher);
    assert_eq!(store.durable(), last, "dropping it flushes");
}

#[test]
fn writes_nobody_waits_for_are_flushed_together() {
    let (engine, store) = slow(Duration::ZERO);
    let flusher = Flusher::spawn(store.clone()).unwrap();
    let began = Instant::now();
    for i in 0..100_u64 {
        put(&store, &key(i.to_be_bytes()), dot(i + 1, 1), b"v");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (flushes, seconds) = (engine.inner.calls().1, began.elapsed().as_secs());
    assert!(flushes <= 2 + seconds, "{flushes} in {seconds} s");
    drop(flusher);
    assert_eq!(store.durable(), store.written());
}

#[test]
fn a_waiter_may_drop_the_flusher() {
    let (_, store) = slow(Duration::from_millis(5));
    let flusher = Arc::new(Flusher::spawn(store.clone()).unwrap());
    let seq = put(&store, &key("a"), dot(1, 1), b"v").seq;
    let (tell, told) = mpsc::channel();
    let last = flusher.clone();
    flusher.when_durable(
        seq,
        Box::new(move |result| {
            drop(last);
            tell.send(result).unwrap();
        }),
    );
    drop(flusher);
    told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
}
