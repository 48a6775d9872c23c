//! Clocks: what a machine takes for the time, and the hybrid clock of the node on it with its reservation on disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gossip::clock::{Clock, NeedReservation, Skew};
use gossip::core::Time;
use model::Hlc;

use crate::disk::Small;

/// The true time at the beginning of every run, milliseconds since 1970.
const START_MS: i64 = 1_700_000_000_000;

/// A machine's clock: off by something, too fast or too slow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wall {
    ahead_ms: i64,
    drift_ppm: i64,
    /// Since when it drifts so.
    since: Duration,
}

impl Wall {
    /// What it shows, milliseconds since 1970.
    pub(crate) fn ms(&self, now: Duration) -> u64 {
        let shown = START_MS + whole(now) + self.ahead(now);
        u64::try_from(shown).unwrap_or(0)
    }

    fn ahead(&self, now: Duration) -> i64 {
        self.ahead_ms + whole(now.saturating_sub(self.since)) * self.drift_ppm / 1_000_000
    }

    /// Sets it by so much, forwards or back.
    pub(crate) fn jump(&mut self, by_ms: i64) {
        self.ahead_ms += by_ms;
    }

    /// From now on it gains (or loses) so many millionths.
    pub(crate) fn drift(&mut self, now: Duration, ppm: i64) {
        *self = Self { ahead_ms: self.ahead(now), drift_ppm: ppm, since: now };
    }
}

fn whole(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The hybrid clock of a running node: shared by its core and by the coordinators of its clients' writes.
#[derive(Debug)]
pub(crate) struct NodeClock {
    clock: RefCell<Clock>,
    disk: Rc<RefCell<Small>>,
}

impl NodeClock {
    /// The clock of a node that starts: above the reservation that it finds.
    pub(crate) fn start(disk: Rc<RefCell<Small>>) -> Self {
        let found = disk.borrow().reserved;
        Self { clock: RefCell::new(Clock::new(found)), disk }
    }

    /// A new timestamp above `seen`, unless that lies too far ahead.
    pub(crate) fn stamp(&self, seen: Hlc, wall_ms: u64) -> Result<Hlc, NeedReservation> {
        let mut clock = self.clock.borrow_mut();
        clock.observe(seen, wall_ms);
        clock.tick(wall_ms)
    }

    /// Puts a reservation on disk; says whether the disk took it.
    pub(crate) fn reserve(&self, at_least: Hlc, wall_ms: u64) -> bool {
        let mut clock = self.clock.borrow_mut();
        let upto = clock.wants_reservation(wall_ms).unwrap_or(at_least).max(at_least);
        let mut disk = self.disk.borrow_mut();
        if disk.full {
            return false;
        }
        disk.reserved = upto;
        clock.reserved(upto);
        true
    }

    /// The timestamp that would come next, without taking it.
    pub(crate) fn next(&self, wall_ms: u64) -> Option<Hlc> {
        let mut clock = self.clock.borrow().clone();
        clock.reserved(Hlc::MAX);
        clock.tick(wall_ms).ok()
    }
}

impl Time for NodeClock {
    fn tick(&self, wall_ms: u64) -> Option<Hlc> {
        loop {
            match self.stamp(Hlc::ZERO, wall_ms) {
                Ok(stamp) => return Some(stamp),
                Err(need) => self.reserve(need.at_least, wall_ms).then_some(())?,
            }
        }
    }

    fn observe(&self, remote: Hlc, wall_ms: u64) -> Skew {
        self.clock.borrow_mut().observe(remote, wall_ms)
    }

    fn start_above(&self, at: Hlc) {
        self.clock.borrow_mut().start_above(at);
    }
}
