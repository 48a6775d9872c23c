//! The expiry horizon: by it, not by anybody's clock alone, values expire for good.

use std::time::Duration;

use model::Hlc;

use super::vector::step;

/// The greatest time that a majority of so many members has published; in a cluster of two the lesser of both (H37).
/// None while fewer than a majority have published.
pub fn majority(published: impl IntoIterator<Item = Hlc>, members: usize) -> Option<Hlc> {
    let mut times: Vec<Hlc> = published.into_iter().collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.get(members / 2).copied().map(step)
}

/// How the horizon moves in a cluster of two while one is down: by the time that passes here, and by no clock (H37).
#[derive(Clone, Copy, Debug, Default)]
pub struct Elapsed {
    alone: Option<(Duration, Hlc)>,
}

impl Elapsed {
    /// The horizon by now, which stood at `horizon`; none where there are not two members of which one is down.
    /// `alone` says whether that is so.
    pub fn horizon(&mut self, alone: bool, now: Duration, horizon: Hlc) -> Option<Hlc> {
        if !alone {
            self.alone = None;
            return None;
        }
        let (since, stood) = *self.alone.get_or_insert((now, horizon));
        // Before anybody has published there is no time to count from.
        if stood == Hlc::ZERO {
            return None;
        }
        let passed = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
        Some(step(Hlc::new(stood.millis().saturating_add(passed), 0)))
    }
}
