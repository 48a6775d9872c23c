//! How long clients' requests take, in windows: what the governor of repair goes by.
//!
//! A request costs two looks at the clock and one addition to a counter that no lock guards. Buckets are
//! log-linear, as in HdrHistogram (Tene): each power of two of microseconds is cut into 16, so that a percentile is
//! right to 1/16.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gossip::pace::Foreground;

/// Every so often a window ends.
pub const WINDOW: Duration = Duration::from_millis(250);

/// A power of two is cut into this many buckets, as a power of two.
const CUT_BITS: u32 = 4;
/// Requests that take longer count as this long: about a minute.
const MICROS_MAX: u64 = (1 << 26) - 1;
const BUCKETS: usize = bucket(MICROS_MAX) + 1;

/// The requests of the window that runs.
#[derive(Debug)]
pub struct Requests {
    ended: [AtomicU64; BUCKETS],
}

/// A request under way; ends when dropped.
#[derive(Debug)]
pub struct UnderWay<'a> {
    requests: &'a Requests,
    since: Instant,
}

impl Default for Requests {
    fn default() -> Self {
        Self { ended: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Requests {
    /// A request begins.
    pub fn begin(&self) -> UnderWay<'_> {
        UnderWay { requests: self, since: Instant::now() }
    }

    fn ended(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(MICROS_MAX);
        if let Some(count) = self.ended.get(bucket(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the window and begins the next.
    pub fn take(&self) -> Foreground {
        let counts: Vec<u64> = self
            .ended
            .iter()
            .map(
                |count| if count.load(Ordering::Relaxed) == 0 { 0 } else { count.swap(0, Ordering::Relaxed) },
            )
            .collect();
        let requests: u64 = counts.iter().sum();
        let slower = requests / 100;
        let mut seen = 0;
        let at = counts.iter().rposition(|count| {
            seen += count;
            seen > slower
        });
        Foreground { requests, p99_us: at.map_or(0, greatest) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.requests.ended(self.since.elapsed());
    }
}

/// The bucket of a time in microseconds.
const fn bucket(micros: u64) -> usize {
    let power = micros.checked_ilog2();
    match power {
        Some(power) if power > CUT_BITS => {
            let shift = power - CUT_BITS;
            ((shift as usize) << CUT_BITS) + (micros >> shift) as usize
        }
        _ => micros as usize,
    }
}

/// The greatest time in microseconds of a bucket.
fn greatest(bucket: usize) -> u64 {
    let shift = (bucket >> CUT_BITS).saturating_sub(1);
    let first = (bucket - (shift << CUT_BITS)) as u64;
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_touch() {
        for micros in
            (0..4_096).chain((12..26).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 77]))
        {
            let at = bucket(micros);
            assert!(greatest(at) >= micros, "{micros}");
            assert!(greatest(at) - micros <= micros / 16, "{micros} shows as {}", greatest(at));
            assert!(at == 0 || greatest(at - 1) < micros, "{micros}");
        }
        assert_eq!(greatest(BUCKETS - 1), MICROS_MAX);
    }

    #[test]
    fn a_window_holds_what_ended_in_it() {
        let requests = Requests::default();
        assert_eq!(requests.take(), Foreground::default());
        for n in 1..=1_000 {
            requests.ended(n * 10 * US);
        }
        let window = requests.take();
        assert_eq!(window.requests, 1_000);
        assert!((9_900..=10_600).contains(&window.p99_us), "{window:?}");
        assert_eq!(requests.take(), Foreground::default());
        requests.ended(3_600_000_000 * US);
        assert_eq!(requests.take(), Foreground { requests: 1, p99_us: MICROS_MAX });
    }

    #[test]
    fn one_slow_request_in_a_hundred_and_one_is_not_the_99th_percentile() {
        let requests = Requests::default();
        (0..100).for_each(|_| requests.ended(10 * US));
        requests.ended(1_000_000 * US);
        assert_eq!(requests.take().p99_us, 10);
        (0..98).for_each(|_| requests.ended(10 * US));
        (0..2).for_each(|_| requests.ended(1_000 * US));
        assert!(requests.take().p99_us >= 1_000);
    }

    #[test]
    fn a_request_is_counted_when_it_ends_however_it_ends() {
        let requests = Requests::default();
        let under_way = requests.begin();
        assert_eq!(requests.take().requests, 0);
        drop(under_way);
        assert_eq!(requests.take().requests, 1);
    }
}
