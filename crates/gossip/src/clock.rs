//! The node's hybrid logical clock: where dots and published times come from.
//!
//! A timestamp must never be made twice, not even over a crash or a wall clock that steps back (H19).
//! So the clock only issues timestamps at or under a *reservation* that is already on disk, and a start
//! begins above the reservation it finds. The reservation is kept a little ahead of use, so that no write
//! waits for it, but not far: a restarted node begins there, and its clock would look fast.
//!
//! The guard against fast clocks acts on the clock alone, never on data: what carries a far timestamp is
//! stored as ever, this clock just does not follow it.

use model::Hlc;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// A remote timestamp further ahead of the wall clock than this does not move the clock, milliseconds.
pub const SKEW_MS_MAX: u64 = 5_000;

/// A new reservation is wanted when less than this is left of the last one, milliseconds.
pub const RESERVATION_LEFT_MS_MIN: u64 = 1_000;

/// How far over the wall clock a reservation reaches, milliseconds: the most that a restarted node's
/// clock is ahead of its wall clock by its own doing.
pub const RESERVATION_AHEAD_MS: u64 = 3_000;

/// What is reserved over the last timestamp when that is itself ahead of the wall clock, milliseconds.
/// Small, so that a node that restarts over and over does not climb by [`RESERVATION_AHEAD_MS`] each
/// time; each millisecond holds 65,536 timestamps.
pub const RESERVATION_CLIMB_MS: u64 = 100;

/// Wall clock readings beyond the year 9999 count as this, so that the counting room above can never be
/// used up, milliseconds since 1970.
pub const WALL_MS_MAX: u64 = 253_402_300_799_999;

/// Nothing was issued and the clock did not change: a reservation up to `at_least` must be on disk first.
///
/// [`Clock::wants_reservation`] at the same wall time names how much to reserve, never less than this.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the clock may go no further before a reservation of {at_least} or more is on disk")]
pub struct NeedReservation {
    /// The timestamp that could not be issued.
    pub at_least: Hlc,
}

/// How a remote timestamp compares with this node's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// How far the timestamp lies ahead of the wall clock, milliseconds; 0 when it does not.
    pub ahead_ms: u64,
    /// Whether that is more than [`SKEW_MS_MAX`], so that the clock was not moved by it.
    pub too_far: bool,
}

/// A hybrid logical clock that never issues above what is reserved on disk.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Greatest timestamp issued or observed.
    last: Hlc,
    /// Greatest timestamp that may be issued.
    reserved: Hlc,
}

impl Clock {
    /// The clock of a node that starts and finds `reserved` on its disk ([`Hlc::ZERO`] on a first start).
    /// All it issues lies above that, since anything up to it may have been issued before.
    pub fn new(reserved: Hlc) -> Self {
        Self { last: reserved, reserved }
    }

    /// Issues the next timestamp: at or after the wall clock, above all that was issued or observed.
    ///
    /// # Errors
    /// [`NeedReservation`] when it would lie above the reservation; the clock is unchanged.
    pub fn tick(&mut self, now_wall_ms: u64) -> Result<Hlc, NeedReservation> {
        let Some(after_last) = self.last.next() else {
            return Err(NeedReservation { at_least: Hlc::MAX });
        };
        let next = after_last.max(wall(now_wall_ms));
        if next > self.reserved {
            return Err(NeedReservation { at_least: next });
        }
        self.last = next;
        Ok(next)
    }

    /// Learns of a timestamp made elsewhere. What is issued from now on lies above it, unless it is too
    /// far ahead of the wall clock; then the clock is unchanged and the answer says how far.
    pub fn observe(&mut self, remote: Hlc, now_wall_ms: u64) -> Skew {
        let ahead_ms = remote.millis().saturating_sub(wall(now_wall_ms).millis());
        let too_far = ahead_ms > SKEW_MS_MAX;
        if !too_far {
            self.last = self.last.max(remote);
        }
        Skew { ahead_ms, too_far }
    }

    /// Moves the clock to `at` whatever the wall clock says: a joiner's timestamps must lie above its
    /// add's (H11), a node's above what it once published.
    pub fn start_above(&mut self, at: Hlc) {
        self.last = self.last.max(at.min(ceiling()));
    }

    /// The reservation to put on disk now, or none when enough is left of the last one. Asks again until
    /// [`Clock::reserved`] is called, so the caller keeps one write of it under way at a time.
    pub fn wants_reservation(&self, now_wall_ms: u64) -> Option<Hlc> {
        let wall_ms = wall(now_wall_ms).millis();
        let low =
            after(wall_ms, RESERVATION_LEFT_MS_MIN).max(after(self.last.millis(), RESERVATION_CLIMB_MS / 2));
        if self.reserved >= low {
            return None;
        }
        let upto = after(wall_ms, RESERVATION_AHEAD_MS).max(after(self.last.millis(), RESERVATION_CLIMB_MS));
        Some(upto)
    }

    /// The reservation up to `upto` is on disk. A lower one than before changes nothing.
    pub fn reserved(&mut self, upto: Hlc) {
        self.reserved = self.reserved.max(upto);
    }

    /// The greatest timestamp issued or observed so far; at a start, the reservation that was found.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// The greatest timestamp that may be issued.
    pub fn reservation(&self) -> Hlc {
        self.reserved
    }

    /// How far the clock is ahead of the wall clock, milliseconds; 0 when it is not. Large after the wall
    /// clock stepped back.
    pub fn ahead_ms(&self, now_wall_ms: u64) -> u64 {
        self.last.millis().saturating_sub(wall(now_wall_ms).millis())
    }
}

fn wall(now_wall_ms: u64) -> Hlc {
    Hlc::new(now_wall_ms.min(WALL_MS_MAX), 0)
}

/// A hostile sponsor must not push a joiner's clock to its end, where it could issue nothing.
fn ceiling() -> Hlc {
    Hlc::new(WALL_MS_MAX, 0)
}

/// All counters of the millisecond `more` after `millis`.
fn after(millis: u64, more: u64) -> Hlc {
    Hlc::new(millis.saturating_add(more), u16::MAX)
}
