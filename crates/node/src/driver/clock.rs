//! The node's hybrid logical clock: shared by the coordinators of client writes and the protocol, its
//! reservation kept on disk ahead of use.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gossip::clock::{Clock, NeedReservation, Skew};
use gossip::core::Time;
use gossip::time::Now;
use model::Hlc;
use storage::small_file::{self, SmallFileError};
use tokio::time::Instant;

/// The version of the reservation's file.
const FORM: u32 = 1;
/// How often the reservation is looked after while the clock is in use.
const LOOKED_AFTER: Duration = Duration::from_millis(500);

/// Milliseconds since 1970 by this machine's clock; 0 for a clock before that.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The protocol's time: an instant that was zero.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    zero: Instant,
}

impl Timeline {
    /// Zero is now.
    pub fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// This instant.
    pub fn now(&self) -> Now {
        Now { mono: self.zero.elapsed(), wall_ms: wall_ms() }
    }

    /// The instant of a time on the line.
    pub fn instant(&self, at: Duration) -> Instant {
        self.zero + at
    }
}

/// The clock and the file of its reservation.
#[derive(Debug)]
pub struct SharedClock {
    clock: Mutex<Clock>,
    /// Held while the file is written, so that reservations reach the disk in order.
    file: Mutex<PathBuf>,
    used: AtomicBool,
    /// Looks after the reservation, and sleeps while the clock is not used.
    keeper: OnceLock<Thread>,
    /// Why the last reservation could not be written.
    failure: Mutex<Option<String>>,
}

impl SharedClock {
    /// The clock of the node whose reservation is kept in `file`; all it issues lies above what was ever
    /// reserved there. A file that is missing is a first start.
    ///
    /// # Errors
    /// A file that cannot be read. Nothing is changed.
    pub fn open(file: PathBuf) -> Result<Arc<Self>, SmallFileError> {
        let kept = small_file::load(&file)?;
        let bits = kept.and_then(|kept| Some(u64::from_be_bytes(kept.bytes.try_into().ok()?))).unwrap_or(0);
        let clock = Arc::new(Self {
            clock: Mutex::new(Clock::new(Hlc::from_u64(bits))),
            file: Mutex::new(file),
            used: AtomicBool::new(true),
            keeper: OnceLock::new(),
            failure: Mutex::default(),
        });
        let weak = Arc::downgrade(&clock);
        // Without the thread each write would wait for its own reservation: slower, nothing worse.
        let _ = thread::Builder::new().name("clock".into()).spawn(move || look_after(&weak));
        Ok(clock)
    }

    /// The first use after a while wakes the thread that renews the reservation.
    fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::AcqRel) {
            self.wake_keeper();
        }
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new timestamp, above `seen` unless that lies too far ahead of this machine's clock.
    ///
    /// # Errors
    /// No reservation is left: call [`SharedClock::reserve`] and try again.
    pub fn stamp(&self, seen: Hlc) -> Result<Hlc, NeedReservation> {
        let now = wall_ms();
        self.note_use();
        let mut clock = self.lock();
        clock.observe(seen, now);
        clock.tick(now)
    }

    /// Puts a reservation on disk that covers at least `at_least`. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The file cannot be written; no timestamp is issued above the former reservation.
    pub fn reserve(&self, at_least: Hlc) -> Result<(), SmallFileError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = self.lock();
        if clock.reservation() >= at_least {
            return Ok(());
        }
        let upto = clock.wants_reservation(wall_ms()).unwrap_or(at_least).max(at_least);
        drop(clock);
        let saved = small_file::save(&file, FORM, &upto.as_u64().to_be_bytes());
        let why = saved.as_ref().err().map(ToString::to_string);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
        saved?;
        self.lock().reserved(upto);
        Ok(())
    }

    /// Why no reservation can be written at the moment, if that is so: then no write is taken. It is tried again.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn renew(&self) -> Result<(), SmallFileError> {
        let wanted = self.lock().wants_reservation(wall_ms());
        wanted.map_or(Ok(()), |upto| self.reserve(upto))
    }
}

impl Time for SharedClock {
    fn tick(&self, _wall_ms: u64) -> Option<Hlc> {
        loop {
            match self.stamp(Hlc::ZERO) {
                Ok(stamp) => return Some(stamp),
                Err(need) => self.reserve(need.at_least).ok()?,
            }
        }
    }

    fn observe(&self, remote: Hlc, wall_ms: u64) -> Skew {
        self.lock().observe(remote, wall_ms)
    }

    fn start_above(&self, at: Hlc) {
        self.lock().start_above(at);
    }
}

impl Drop for SharedClock {
    fn drop(&mut self) {
        self.wake_keeper();
    }
}

/// Renews the reservation ahead of use, for as long as the clock lives and is used.
fn look_after(clock: &Weak<SharedClock>) {
    if let Some(clock) = clock.upgrade() {
        clock.keeper.get_or_init(thread::current);
    }
    thread::sleep(LOOKED_AFTER);
    while let Some(clock) = clock.upgrade() {
        let used = clock.used.swap(false, Ordering::AcqRel) || clock.failure().is_some();
        if used && let Err(error) = clock.renew() {
            tracing::error!(%error, "the clock's reservation cannot be written");
        }
        drop(clock);
        if used {
            thread::sleep(LOOKED_AFTER);
        } else {
            // A use or the clock's end since then has left word: this returns at once.
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keeper sleeps once the clock is not used, and the next use wakes it before the reservation is used up.
    #[test]
    fn a_clock_used_after_a_rest_has_its_reservation_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let clock = SharedClock::open(dir.path().join("clock")).unwrap();
        let weak = Arc::downgrade(&clock);
        clock.reserve(Hlc::new(wall_ms(), 0)).unwrap();
        let first = clock.lock().reservation();
        thread::sleep(3 * LOOKED_AFTER);
        assert!(!clock.used.load(Ordering::Relaxed), "it rests");
        let began = std::time::Instant::now();
        while clock.lock().reservation() <= first {
            assert!(began.elapsed() < Duration::from_secs(30), "never renewed");
            let _ = clock.stamp(Hlc::ZERO);
            thread::sleep(Duration::from_millis(20));
        }
        drop(clock);
        // Nothing but the keeper could hold it, for a moment.
        while weak.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
