//! The clock of a node under test.

use std::cell::RefCell;

use gossip::clock::{Clock, Skew};
use gossip::core::Time;
use model::Hlc;

/// A clock whose reservations are on disk at once.
pub struct TestClock(RefCell<Clock>);

impl TestClock {
    /// The clock of a node that finds this reservation.
    pub fn new(reserved: Hlc) -> Self {
        Self(RefCell::new(Clock::new(reserved)))
    }
}

impl Time for TestClock {
    fn tick(&self, wall_ms: u64) -> Option<Hlc> {
        let mut clock = self.0.borrow_mut();
        if let Some(upto) = clock.wants_reservation(wall_ms) {
            clock.reserved(upto);
        }
        clock.tick(wall_ms).ok()
    }

    fn observe(&self, remote: Hlc, wall_ms: u64) -> Skew {
        self.0.borrow_mut().observe(remote, wall_ms)
    }

    fn start_above(&self, at: Hlc) {
        self.0.borrow_mut().start_above(at);
    }
}
