//! Searching a band of seeds with several threads, with a bar that says how far it is.

use std::io::IsTerminal;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sim::Count;
use sim::plan::{Plan, PlanOptions};
use sim::run::run;

use super::super::output;

/// More threads than that no machine has processors for.
const JOBS_MAX: usize = 1_024;
/// Between two lines where output is piped.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// What a search came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Seeds run.
    pub(super) seeds: u64,
    /// What happened in all of them together.
    pub(super) count: Count,
    /// The least seed that failed, if one did.
    pub(super) failed: Option<u64>,
    /// How long it took.
    pub(super) took: Duration,
}

struct State {
    next: u64,
    found: Found,
    said: Instant,
}

/// Runs seeds, so many at a time, until all are done, one has failed, or the time is over.
pub(super) fn search(seeds: Range<u64>, (jobs, time): (usize, Duration), options: PlanOptions) -> Found {
    let began = Instant::now();
    let bar = std::io::stderr().is_terminal().then(|| bar(seeds.end - seeds.start));
    let state = Mutex::new(State { next: seeds.start, found: Found::default(), said: began });
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let mut state = lock();
            if state.next >= seeds.end || state.found.failed.is_some() || began.elapsed() >= time {
                return;
            }
            let seed = state.next;
            state.next += 1;
            drop(state);
            let outcome = run(&Plan::random(seed, options), false);
            let mut state = lock();
            state.found.take(seed, outcome.count, outcome.violation.is_some());
            tell(bar.as_ref(), &mut state, seeds.end - seeds.start);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads(jobs, &seeds) {
            scope.spawn(work);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let found = lock().found;
    Found { took: began.elapsed(), ..found }
}

/// A thread without a seed of its own would do nothing.
fn threads(jobs: usize, seeds: &Range<u64>) -> usize {
    let seeds = usize::try_from(seeds.end.saturating_sub(seeds.start)).unwrap_or(usize::MAX);
    jobs.min(seeds).min(JOBS_MAX)
}

impl Found {
    fn take(&mut self, seed: u64, count: Count, failed: bool) {
        self.seeds += 1;
        self.count = self.count.plus(count);
        if failed {
            self.failed = Some(self.failed.map_or(seed, |known| known.min(seed)));
        }
    }
}

fn tell(bar: Option<&ProgressBar>, state: &mut State, all: u64) {
    let (seeds, faults) = (state.found.seeds, state.found.count.faults);
    if let Some(bar) = bar {
        bar.set_position(seeds);
        bar.set_message(format!("{faults} faults"));
    } else if state.said.elapsed() >= LINE_EVERY {
        state.said = Instant::now();
        output::say(&format!("{seeds} of {all} seeds, {faults} faults"));
    }
}

fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_threads_than_seeds_and_never_very_many() {
        assert_eq!((threads(100_000_000, &(5..9)), threads(100_000_000, &(0..u64::MAX))), (4, JOBS_MAX));
        assert_eq!((threads(3, &(0..1_000)), threads(1, &(0..1))), (3, 1));
    }
}
