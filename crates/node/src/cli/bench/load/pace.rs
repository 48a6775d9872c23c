//! When requests are due at a fixed rate.
//!
//! A request that is sent late because earlier ones were slow still counts from when it was due: else a node that
//! stops for a second would look as if it had delayed one request a client only ("coordinated omission", after Gil
//! Tene). A thread of its own wakes the clients, since tokio's timers go by whole milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The shortest sleep: what becomes due in between is handed out together.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// The longest, so that the end is seen.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Requests at even times, handed to whichever client is free.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    every: Duration,
    due: Semaphore,
    counted: AtomicU64,
    given: AtomicU64,
}

impl Pace {
    /// One request every so often, from now on.
    pub(crate) fn new(every: Duration) -> Self {
        let (counted, given) = (AtomicU64::new(0), AtomicU64::new(0));
        let every = every.max(Duration::from_nanos(100));
        Self { began: Instant::now(), every, due: Semaphore::new(0), counted, given }
    }

    /// Counts what becomes due until [`Pace::end`]. Takes the thread.
    pub(crate) fn run(&self) {
        while !self.due.is_closed() {
            let passed = self.began.elapsed().as_nanos() / self.every.as_nanos().max(1);
            let passed = u64::try_from(passed).unwrap_or(u64::MAX);
            let new = passed.saturating_sub(self.counted.swap(passed, Ordering::Relaxed));
            let room = Semaphore::MAX_PERMITS.saturating_sub(self.due.available_permits());
            self.due.add_permits(usize::try_from(new).unwrap_or(usize::MAX).min(room));
            let next = self.moment(passed.saturating_add(1)).saturating_duration_since(Instant::now());
            std::thread::sleep(next.clamp(SLEEP_MIN, SLEEP_MAX));
        }
    }

    fn moment(&self, number: u64) -> Instant {
        let nanos = self.every.as_nanos().saturating_mul(u128::from(number));
        self.began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
    }

    /// Waits until a request is due and gives back when that was; `None` once [`Pace::end`] was called.
    pub(crate) async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.moment(self.given.fetch_add(1, Ordering::Relaxed).saturating_add(1)))
    }

    /// Nothing is due any more. Gives back how many requests were due and never sent.
    pub(crate) fn end(&self) -> u64 {
        self.due.close();
        self.counted.load(Ordering::Relaxed).saturating_sub(self.given.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_while_nobody_asked_is_due_from_its_own_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pace = Pace::new(Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| pace.run());
            std::thread::sleep(Duration::from_millis(50));
            runtime.block_on(async {
                // Due 49 ms ago or more, and the next one a millisecond later than it.
                let first = pace.next().await.unwrap();
                assert!(first.elapsed() >= Duration::from_millis(45), "{:?}", first.elapsed());
                assert_eq!(pace.next().await.unwrap() - first, Duration::from_millis(1));
            });
            assert!(pace.end() >= 40);
            assert!(runtime.block_on(pace.next()).is_none());
        });
    }
}
