//! A line that everything leaves in order, each thing a fixed time after it came: a longer round trip, for tests and
//! benchmarks. Any number of things may be on the line at once, so it adds no limit on bandwidth; its users bound how
//! many they put on it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(super) struct DelayLine<T> {
    delay: Duration,
    held: VecDeque<(Instant, T)>,
}

impl<T> DelayLine<T> {
    pub(super) fn new(delay: Duration) -> Self {
        DelayLine { delay, held: VecDeque::new() }
    }

    /// How many things are on the line.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn push(&mut self, now: Instant, thing: T) {
        self.held.push_back((now + self.delay, thing));
    }

    /// What has been on the line for long enough, first in first out.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        self.held.front().filter(|(due, _)| *due <= now)?;
        self.held.pop_front().map(|(_, thing)| thing)
    }

    /// Waits until [`DelayLine::pop`] has something; for ever where nothing is on the line.
    pub(super) async fn due(&self) {
        match self.held.front() {
            Some((due, _)) => sleep_until(*due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn all_are_late_by_the_same_however_many_there_are() {
        let zero = Instant::now();
        let mut line = DelayLine::new(50 * MS);
        // A thousand in one millisecond: none waits for those before it.
        for n in 0..1_000_u32 {
            line.push(zero + MS * n / 1_000, n);
        }
        assert_eq!(line.pop(zero + 49 * MS), None);
        assert_eq!(line.pop(zero + 50 * MS), Some(0));
        assert_eq!(line.len(), 999);
        for n in 1..1_000 {
            assert_eq!(line.pop(zero + 51 * MS), Some(n));
        }
        assert_eq!(line.pop(zero + 3_600_000 * MS), None);
    }

    #[test]
    fn a_line_without_delay_holds_nothing_back() {
        let zero = Instant::now();
        let mut line = DelayLine::new(Duration::ZERO);
        line.push(zero, 'a');
        assert_eq!(line.pop(zero), Some('a'));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_first_is_due() {
        let mut line = DelayLine::new(20 * MS);
        assert!(tokio::time::timeout(30 * MS, line.due()).await.is_err());
        let pushed = Instant::now();
        line.push(pushed, ());
        line.due().await;
        assert!(pushed.elapsed() >= 20 * MS);
        assert_eq!(line.pop(Instant::now()), Some(()));
    }
}
