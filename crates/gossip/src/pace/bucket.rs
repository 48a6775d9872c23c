//! A bucket of bytes that fills at a rate and may be overdrawn by one piece of work: the work is done when it is
//! ready, and what it took is waited for afterwards (a virtual scheduling "leaky bucket", ITU-T I.371).

use std::time::Duration;

/// What a bucket may hold in reserve, as time at its rate: more would let a burst through that clients feel.
const RESERVE: Duration = Duration::from_millis(20);

/// Bytes spent at a rate.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Bytes a second; none lets everything through.
    rate: Option<f64>,
    /// Bytes spent and not yet made good, as of `at`; below zero: in reserve.
    debt: f64,
    at: Duration,
}

impl Bucket {
    /// Empty of debt.
    pub(super) fn new(rate: Option<f64>, now: Duration) -> Self {
        Self { rate, debt: 0.0, at: now }
    }

    /// Another rate from now on. What is owed stays owed, in bytes.
    pub(super) fn set_rate(&mut self, now: Duration, rate: Option<f64>) {
        self.settle(now);
        self.rate = rate;
    }

    /// These bytes were worked through.
    pub(super) fn spend(&mut self, now: Duration, bytes: u64) {
        self.settle(now);
        if self.rate.is_some() {
            self.debt += bytes as f64;
        }
    }

    /// These bytes were spent and will not be worked through.
    pub(super) fn forgive(&mut self, now: Duration, bytes: u64) {
        self.settle(now);
        self.debt -= bytes as f64;
        self.settle(now);
    }

    /// When the debt is made good.
    pub(super) fn ready_at(&self) -> Duration {
        match self.rate {
            Some(rate) if self.debt > 0.0 => {
                self.at.saturating_add(Duration::try_from_secs_f64(self.debt / rate).unwrap_or(Duration::MAX))
            }
            _ => self.at,
        }
    }

    fn settle(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.debt = match self.rate {
            Some(rate) => (self.debt - rate * passed.as_secs_f64()).max(-rate * RESERVE.as_secs_f64()),
            None => 0.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Does work in slices as soon as it may for ten seconds; gives the bytes done.
    fn ten_seconds(bucket: &mut Bucket, slice: u64) -> u64 {
        let (mut now, mut done) = (Duration::ZERO, 0);
        while now < 10_000 * MS {
            if bucket.ready_at() <= now {
                bucket.spend(now, slice);
                done += slice;
            }
            now = bucket.ready_at().max(now + MS / 10);
        }
        done
    }

    #[test]
    fn work_is_spread_at_the_rate() {
        for (rate, slice) in [(1_000_000.0, 65_536), (1_000_000.0, 1_000), (50_000.0, 524_288)] {
            let done = ten_seconds(&mut Bucket::new(Some(rate), Duration::ZERO), slice);
            let wanted = rate * 10.0;
            assert!((done as f64 - wanted).abs() <= slice as f64 + rate * 0.03, "{done} of {wanted}");
        }
    }

    #[test]
    fn a_pause_gathers_no_burst() {
        let mut bucket = Bucket::new(Some(1_000_000.0), Duration::ZERO);
        let late = 3_600_000 * MS;
        let mut burst = 0;
        while bucket.ready_at() <= late {
            bucket.spend(late, 1_000);
            burst += 1_000;
        }
        assert!(burst <= 21_000, "{burst}");
    }

    #[test]
    fn another_rate_keeps_the_debt_and_none_forgives_it() {
        let mut bucket = Bucket::new(Some(1_000.0), Duration::ZERO);
        bucket.spend(Duration::ZERO, 1_000);
        assert_eq!(bucket.ready_at(), 1_000 * MS);
        bucket.set_rate(500 * MS, Some(5_000.0));
        assert_eq!(bucket.ready_at(), 600 * MS);
        bucket.set_rate(550 * MS, None);
        bucket.spend(550 * MS, 1 << 40);
        assert!(bucket.ready_at() <= 550 * MS);
        bucket.set_rate(560 * MS, Some(1_000.0));
        assert!(bucket.ready_at() <= 560 * MS);
    }

    #[test]
    fn a_clock_that_stands_still_or_falls_harms_nothing() {
        let mut bucket = Bucket::new(Some(1_000.0), 5_000 * MS);
        bucket.spend(1_000 * MS, 100);
        assert_eq!(bucket.ready_at(), 5_100 * MS);
    }
}
