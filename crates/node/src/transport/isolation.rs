//! A node that holds itself apart from all others for a bounded time, to practise a partition.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Until when nothing is sent or taken in.
#[derive(Debug)]
pub(super) struct Isolation(watch::Sender<Option<Instant>>);

impl Default for Isolation {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Isolation {
    /// From now on for this long, whatever was asked before; none ends it.
    pub(super) fn set(&self, how_long: Option<Duration>) {
        self.0.send_replace(how_long.and_then(|time| Instant::now().checked_add(time)));
    }

    /// Whether it holds now.
    pub(super) fn holds(&self) -> bool {
        holds(*self.0.borrow())
    }

    /// Waits until it holds.
    pub(super) async fn begun(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives in `self`.
        let _ = seen.wait_for(|until| holds(*until)).await;
    }

    /// Does something unless it holds, or begins meanwhile: then none.
    pub(super) async fn unless<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.begun() => None,
            done = doing => Some(done),
        }
    }
}

fn holds(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn it_ends_by_itself_or_when_told() {
        let isolation = Isolation::default();
        assert!(!isolation.holds());
        isolation.set(Some(100 * MS));
        isolation.begun().await;
        sleep(110 * MS).await;
        assert!(!isolation.holds());
        isolation.set(Some(3_600_000 * MS));
        assert!(isolation.holds());
        isolation.set(None);
        assert!(!isolation.holds());
        assert!(timeout(10 * MS, isolation.begun()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_done_is_cut_short_when_it_begins() {
        let isolation = Isolation::default();
        assert_eq!(isolation.unless(async { 7 }).await, Some(7));
        let long = isolation.unless(sleep(3_600_000 * MS));
        let cut = async {
            sleep(10 * MS).await;
            isolation.set(Some(10_000 * MS));
        };
        assert_eq!(tokio::join!(long, cut).0, None);
        assert_eq!(isolation.unless(async { 7 }).await, None);
    }
}
