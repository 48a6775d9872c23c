//! The rate of repair that people see.

use std::time::Duration;

/// Bytes a second over about the last second: a mean of means, so that the slice that has just gone is no jump. Looked at
/// right behind a slice, as it is, a single mean would show more than a cap that is kept.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// The mean of what went, and the mean of that.
    recent: f64,
    shown: f64,
    at: Duration,
}

/// How long either mean takes to forget, seconds.
const METER_FORGETS: f64 = 0.5;

impl Meter {
    pub(super) fn new(now: Duration) -> Self {
        Self { recent: 0.0, shown: 0.0, at: now }
    }

    pub(super) fn add(&mut self, now: Duration, bytes: u64) {
        self.settle(now);
        self.recent += bytes as f64 / METER_FORGETS;
    }

    pub(super) fn settle(&mut self, now: Duration) {
        (self.recent, self.shown) = self.means(now);
        self.at = self.at.max(now);
    }

    pub(super) fn rate(&self, now: Duration) -> f64 {
        self.means(now).1
    }

    fn means(&self, now: Duration) -> (f64, f64) {
        let passed = now.saturating_sub(self.at).as_secs_f64() / METER_FORGETS;
        let kept = (-passed).exp();
        (self.recent * kept, (self.shown + self.recent * passed) * kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: u32 = 250;

    #[test]
    fn the_meter_shows_about_the_last_second() {
        let mut meter = Meter::new(Duration::ZERO);
        for n in 0..500_u32 {
            meter.add(n * 10 * MS, 1_000);
        }
        let now = 5_000 * MS;
        assert!((95_000.0..105_000.0).contains(&meter.rate(now)), "{}", meter.rate(now));
        assert!(meter.rate(now + 10_000 * MS) < 10.0);
    }

    /// People look right behind a slice, when it is highest.
    #[test]
    fn a_cap_that_is_kept_is_not_shown_as_exceeded() {
        let mut meter = Meter::new(Duration::ZERO);
        for n in 0..40_u32 {
            meter.add(n * WINDOW * MS, 32 << 10);
            let shown = meter.rate(n * WINDOW * MS);
            assert!(shown <= 1.03 * f64::from(128 << 10), "{shown}");
        }
    }
}
