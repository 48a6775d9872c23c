//! Drills: a node that is told to hold itself apart from the others for a bounded time, so that its operators can
//! practise a partition.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock::wall_ms;
use crate::transport::Transport;

/// How long a drill may last: long enough to be seen, and short enough to be forgotten without harm.
pub const DRILL_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Why no drill was begun. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillRefused {
    /// The node was not started with `--allow-drills`.
    NotAllowed,
    /// It would be shorter or longer than [`DRILL_TIMES`].
    TimeOutOfRange,
}

impl fmt::Display for DrillRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAllowed => "this node was not started with --allow-drills",
            Self::TimeOutOfRange => "a drill may last from 1 second to 10 minutes",
        })
    }
}

/// The drills of one node.
pub struct Drills {
    allowed: bool,
    transport: Transport,
    until_ms: Arc<Mutex<u64>>,
}

impl Drills {
    /// None runs yet.
    pub fn new(allowed: bool, transport: Transport) -> Self {
        Self { allowed, transport, until_ms: Arc::default() }
    }

    /// Whether drills may be begun at all.
    pub fn may(&self) -> bool {
        self.allowed
    }

    /// Holds the node apart from all others for this long, in place of a drill that runs; says until when, in
    /// milliseconds since 1970 by this machine's clock. Called within a tokio runtime.
    ///
    /// # Errors
    /// [`DrillRefused`].
    pub fn isolate(&self, how_long: Duration) -> Result<u64, DrillRefused> {
        if !self.allowed {
            return Err(DrillRefused::NotAllowed);
        }
        if !DRILL_TIMES.contains(&how_long) {
            return Err(DrillRefused::TimeOutOfRange);
        }
        let mut until_ms = self.until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        self.transport.isolate(Some(how_long));
        *until_ms = wall_ms().saturating_add(u64::try_from(how_long.as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(
            seconds = how_long.as_secs_f64(),
            "a drill: this node holds itself apart from all others"
        );
        self.tell_end(how_long, *until_ms);
        Ok(*until_ms)
    }

    /// Says so in the log when this drill is over, if no other has taken its place.
    fn tell_end(&self, how_long: Duration, this: u64) {
        let until_ms = Arc::clone(&self.until_ms);
        tokio::spawn(async move {
            tokio::time::sleep(how_long).await;
            if *until_ms.lock().unwrap_or_else(PoisonError::into_inner) == this {
                tracing::warn!("the drill is over: this node takes part again");
            }
        });
    }

    /// Until when the drill lasts that runs now, in milliseconds since 1970.
    pub fn until_ms(&self) -> Option<u64> {
        let until_ms = *self.until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        self.transport.is_isolated().then_some(until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{DurableGate, Limits};

    async fn drills(allowed: bool) -> Drills {
        let any = "127.0.0.1:0".parse().unwrap();
        let (transport, _inbox) =
            Transport::start(any, Limits::default(), DurableGate::open()).await.unwrap();
        Drills::new(allowed, transport)
    }

    #[tokio::test]
    async fn only_where_allowed_and_only_for_a_bounded_time() {
        let refused = drills(false).await;
        assert_eq!(refused.isolate(Duration::from_secs(5)), Err(DrillRefused::NotAllowed));
        assert!(!refused.may() && !refused.transport.is_isolated());
        let drills = drills(true).await;
        for bad in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(601)] {
            assert_eq!(drills.isolate(bad), Err(DrillRefused::TimeOutOfRange));
        }
        assert_eq!(drills.until_ms(), None);
        let until = drills.isolate(Duration::from_secs(600)).unwrap();
        assert!(until >= wall_ms() + 590_000);
        assert_eq!(drills.until_ms(), Some(until));
        let sooner = drills.isolate(Duration::from_secs(1)).unwrap();
        assert!(sooner < until);
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(drills.until_ms(), None, "it ends by itself");
    }
}
