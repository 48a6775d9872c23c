//! What share of its unhindered rate repair may use, from how long clients' requests take.
//!
//! The share follows the gradient law of Netflix's concurrency-limits ("Performance Under Load", 2018; after TCP
//! Vegas, Brakmo and Peterson 1994): it is scaled by how much longer requests take than is tolerated, and grows by a
//! small step. What they take without repair, and how fast repair is unhindered, are measured as in BBR (Cardwell et
//! al. 2016): neither can be seen while the other is at work, so now and then repair pauses for a moment, and
//! goes unhindered for an even shorter one. Hence repair cannot pass off its own cost as the clients' normal.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Brake, Foreground};

/// Repair never uses less than this share of its unhindered rate.
pub(super) const SHARE_MIN: f64 = 0.25;
/// Repair that begins while clients are served begins at this share.
const SHARE_FIRST: f64 = 0.25;
/// By how much the share grows with each sample of the foreground.
const SHARE_STEP: f64 = 0.02;
/// How much longer requests may take than without repair before repair is slowed down...
const TOLERANCE: f64 = 1.4;
/// ...and at least by how much, in microseconds, so that noise among short times counts for nothing.
const TOLERANCE_MIN_US: f64 = 200.0;
/// The least factor that a single sample may scale the share by.
const GRADIENT_MIN: f64 = 0.5;
/// Requests that make a sample; fewer within [`SAMPLE_WINDOWS_MAX`] make one too.
const SAMPLE_REQUESTS: u64 = 50;
const SAMPLE_WINDOWS_MAX: u32 = 4;
/// Fewer requests a second than this over about the last second, and nobody is there to be made to wait.
const IDLE_BELOW: f64 = 5.0;
const IDLE_OVER: f64 = 0.99;
/// Weight of a new sample in what requests take now, and in what they take without repair.
const NOW_WEIGHT: f64 = 0.4;
const BASELINE_WEIGHT: f64 = 0.15;
/// Repair pauses to measure the baseline anew when the last measure is this old.
const BASELINE_FRESH: Duration = Duration::from_secs(10);
/// Without any measure yet, a pause that brought none is tried again after this long.
const BASELINE_RETRY: Duration = Duration::from_secs(3);
/// Repair that has moved less than this is over sooner than a pause.
const PAUSE_FROM_BYTES: u64 = 256 << 10;
/// A pause ends after this long at the latest.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Repair goes unhindered to be measured when the last measure is this old, and not before it has run for a while: all
/// measures together take less than a hundredth of the time, so that clients' 99th percentile does not show them.
const RATE_FRESH: Duration = Duration::from_secs(40);
const RATE_FRESH_FIRST: Duration = Duration::from_secs(25);
const MEASURE_FROM: Duration = Duration::from_secs(25);
/// A measure leaves out the first moments, in which windows fill, and then takes this long.
const MEASURE_AFTER: Duration = Duration::from_millis(40);
const MEASURE_FOR: Duration = Duration::from_millis(150);
/// Bytes a second of unhindered repair that shares are of before it was measured, if no more was seen while nobody was
/// served. Until then the share may be more than all of it, and grows by a part of what it is.
const UNHINDERED_GUESS: f64 = 4e6;
/// Weight of a window without clients in what repair was seen to do then; and how much of that is expected to be left when
/// clients take their part of the processors.
const FREE_WEIGHT: f64 = 0.3;
const FREE_TELLS: f64 = 0.8;
const GUESSED_SHARE_MAX: f64 = 1_000.0;
const GUESSED_GROWTH: f64 = 0.1;
/// Repair that is slower than this share of its limit, over some windows, is not held by it: then the limit rests on
/// a measure that was too good.
const HELD_FROM: f64 = 0.8;
/// Weight of a window in the mean rate of repair: frames leave in bursts of a whole window of credit.
const RATE_WEIGHT: f64 = 0.2;
/// Fewer bytes measured tell nothing.
const MEASURE_BYTES_MIN: u64 = 16 << 10;
/// Without repair for this long, the next one is taken for a new beginning.
const OVER_AFTER: Duration = Duration::from_secs(5);

/// What repair is doing, as far as its pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nobody is made to wait: as fast as it can.
    Free,
    /// At its share.
    Paced,
    /// Not at all, until a window has passed without any.
    Pausing { since: Duration },
    /// Unhindered, to be measured: since when, when counting began, bytes and the time of the last of them.
    Measuring { since: Duration, first: Option<Duration>, bytes: u64, last: Duration },
}

/// Windows gathered until they make a sample.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    requests: u64,
    p99_us: u64,
    windows: u32,
    /// Repair was at work in one of them or right before.
    disturbed: bool,
}

/// The windows of the last second: how long each was, and its requests.
#[derive(Clone, Debug, Default)]
struct Lately(VecDeque<(f64, u64)>);

impl Lately {
    /// One more window. However many requests there were, a second without any is idle.
    fn requests_a_second(&mut self, seconds: f64, requests: u64) -> f64 {
        self.0.push_back((seconds, requests));
        let mut sum: f64 = self.0.iter().map(|(seconds, _)| seconds).sum();
        while let Some((oldest, _)) = self.0.front().filter(|(oldest, _)| sum - oldest >= IDLE_OVER) {
            sum -= oldest;
            self.0.pop_front();
        }
        self.0.iter().map(|(_, requests)| *requests as f64).sum::<f64>() / sum
    }
}

/// The controller. Times are [`crate::time::Now::mono`].
#[derive(Clone, Debug)]
pub(super) struct Control {
    phase: Phase,
    share: f64,
    /// Bytes a second of unhindered repair while clients are served, and when that was measured last.
    unhindered: Option<f64>,
    /// The same before any measure, from what it was when nobody was served.
    guess: f64,
    measured_at: Duration,
    began_at: Duration,
    /// Bytes since then.
    moved: u64,
    measures: u32,
    /// The rate of the window before, and how many with repair there were in a row, all without clients.
    free_before: f64,
    free_windows: u32,
    /// Bytes a second over about the last five windows, and how many there were since repair began.
    mean_rate: f64,
    busy_windows: u32,
    /// The last measure was found too good.
    corrected: bool,
    gathered: Gathered,
    lately: Lately,
    p99_us: Option<f64>,
    baseline_us: Option<f64>,
    baseline_at: Option<Duration>,
    paused_at: Option<Duration>,
    repaired_at: Option<Duration>,
    window_began: Duration,
    window_bytes: u64,
    /// Whether repair was at work in the window before.
    disturbed_before: bool,
}

impl Control {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            phase: Phase::Free,
            share: SHARE_FIRST,
            unhindered: None,
            guess: UNHINDERED_GUESS,
            measured_at: now,
            began_at: now,
            moved: 0,
            measures: 0,
            free_before: 0.0,
            free_windows: 0,
            mean_rate: 0.0,
            busy_windows: 0,
            corrected: false,
            gathered: Gathered::default(),
            lately: Lately::default(),
            p99_us: None,
            baseline_us: None,
            baseline_at: None,
            paused_at: None,
            repaired_at: None,
            window_began: now,
            window_bytes: 0,
            disturbed_before: false,
        }
    }

    /// Bytes a second that repair is held to; none where it is not.
    pub(super) fn limit(&self) -> Option<f64> {
        match self.phase {
            Phase::Paced if self.share >= 1.0 && self.unhindered.is_some() => None,
            Phase::Paced | Phase::Pausing { .. } => Some(self.of_unhindered()),
            _ => None,
        }
    }

    /// Whether nobody is made to wait.
    pub(super) fn is_free(&self) -> bool {
        self.phase == Phase::Free
    }

    fn of_unhindered(&self) -> f64 {
        self.unhindered.unwrap_or(self.guess) * self.share
    }

    /// Unhindered repair is this fast: a share of that which comes to what repair is held to now.
    fn learn(&mut self, unhindered: f64) {
        self.share = (self.of_unhindered() / unhindered.max(1.0)).clamp(SHARE_MIN, 1.0);
        self.unhindered = Some(unhindered);
        // The mean so far is of another limit.
        (self.mean_rate, self.busy_windows) = (0.0, 0);
    }

    /// Until when repair pauses.
    pub(super) fn pause_until(&self) -> Option<Duration> {
        match self.phase {
            Phase::Pausing { since } => Some(since.saturating_add(PAUSE_MAX)),
            _ => None,
        }
    }

    pub(super) fn brake(&self) -> Brake {
        match self.limit() {
            None => Brake::None,
            Some(_) if self.slowdown().is_some_and(|slowdown| slowdown >= 1.0) => Brake::Recovering,
            Some(_) if self.share <= SHARE_MIN => Brake::Floor,
            Some(_) => Brake::Foreground,
        }
    }

    /// The factor by which clients' waiting slows repair down: 1 or more where they wait no longer than is tolerated.
    fn slowdown(&self) -> Option<f64> {
        let (p99, baseline) = (self.p99_us?, self.baseline_us?);
        let tolerated = (baseline * TOLERANCE).max(baseline + TOLERANCE_MIN_US);
        Some(tolerated / p99.max(1.0))
    }

    pub(super) fn p99_us(&self) -> Option<f64> {
        self.p99_us
    }

    pub(super) fn baseline_us(&self) -> Option<f64> {
        self.baseline_us
    }

    /// Repair has moved these bytes.
    pub(super) fn spent(&mut self, now: Duration, bytes: u64) {
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        let begins = self.repaired_at.is_none_or(|at| now >= at.saturating_add(OVER_AFTER));
        self.repaired_at = Some(now);
        if begins {
            self.share = self.share.min(SHARE_FIRST);
            (self.began_at, self.moved) = (now, 0);
        }
        self.moved = self.moved.saturating_add(bytes);
        if self.phase == Phase::Paced && self.measure_is_due(now) {
            self.phase = Phase::Measuring { since: now, first: None, bytes: 0, last: now };
        }
        self.measure(now, bytes);
    }

    /// A window has ended.
    pub(super) fn window(&mut self, now: Duration, window: Foreground) {
        let passed = now.saturating_sub(self.window_began).as_secs_f64().max(0.05);
        let disturbed = self.window_bytes > 0;
        let rate = self.window_bytes as f64 / passed;
        (self.window_began, self.window_bytes) = (now, 0);
        let before = std::mem::replace(&mut self.disturbed_before, disturbed);
        if self.lately.requests_a_second(passed, window.requests) < IDLE_BELOW {
            if self.phase == Phase::Free {
                self.see_free(rate);
            }
            self.phase = Phase::Free;
            self.gathered = Gathered::default();
            self.p99_us = None;
            return;
        }
        self.free_windows = 0;
        if self.phase == Phase::Free {
            self.phase = Phase::Paced;
        }
        self.weigh(rate);
        self.gather(now, window, disturbed || before);
        self.turn(now, window.requests);
    }

    /// A window without clients. Only those count that repair was at work in from end to end: the ones between two more.
    fn see_free(&mut self, rate: f64) {
        let before = std::mem::replace(&mut self.free_before, rate);
        self.free_windows = if rate > 0.0 { self.free_windows.saturating_add(1) } else { 0 };
        if self.free_windows >= 3 {
            // Little repair says nothing of how fast it could be.
            self.guess = mean(Some(self.guess), before * FREE_TELLS, FREE_WEIGHT).max(UNHINDERED_GUESS);
        }
    }

    /// Keeps what is known of the unhindered rate in step with what is seen of it.
    fn weigh(&mut self, rate: f64) {
        if rate == 0.0 || matches!(self.phase, Phase::Pausing { .. }) {
            (self.mean_rate, self.busy_windows) = (0.0, 0);
            return;
        }
        self.busy_windows += 1;
        let weight = RATE_WEIGHT.max(1.0 / f64::from(self.busy_windows));
        self.mean_rate += weight * (rate - self.mean_rate);
        if self.busy_windows < 6 {
            return;
        }
        match self.limit() {
            None => self.unhindered = self.unhindered.map(|known| known.max(self.mean_rate)),
            // A guess is of nothing that was seen: only what follows from it is put right, never below its floor.
            Some(limit) if self.unhindered.is_none() => {
                if self.phase == Phase::Paced && self.mean_rate < HELD_FROM * limit {
                    self.share = (self.mean_rate / HELD_FROM / self.guess).max(SHARE_MIN);
                }
            }
            // Once a measure: else a limit that repair misses by its own unevenness would fall for ever.
            Some(limit)
                if self.phase == Phase::Paced && !self.corrected && self.mean_rate < HELD_FROM * limit =>
            {
                self.corrected = true;
                self.unhindered = Some(self.mean_rate);
                self.busy_windows = 0;
                // It may have been slow for reasons of its own: measured again soon.
                self.measures = self.measures.min(1);
            }
            Some(_) => {}
        }
    }

    fn gather(&mut self, now: Duration, window: Foreground, disturbed: bool) {
        let gathered = &mut self.gathered;
        if gathered.disturbed != disturbed {
            // A sample is of one kind.
            *gathered = Gathered { disturbed, ..Gathered::default() };
        }
        gathered.requests += window.requests;
        gathered.p99_us = gathered.p99_us.max(window.p99_us);
        gathered.windows += 1;
        let pausing = matches!(self.phase, Phase::Pausing { .. });
        let enough = gathered.requests >= SAMPLE_REQUESTS || gathered.windows >= SAMPLE_WINDOWS_MAX;
        if (enough || pausing && !disturbed) && gathered.requests > 0 {
            let sample = std::mem::take(gathered);
            self.sample(now, sample);
        }
    }

    fn sample(&mut self, now: Duration, sample: Gathered) {
        let took = sample.p99_us as f64;
        if !sample.disturbed {
            self.baseline_us = Some(mean(self.baseline_us, took, BASELINE_WEIGHT));
            self.baseline_at = Some(now);
        } else if let Some(baseline) = self.baseline_us.filter(|baseline| took < *baseline) {
            // Repair makes nothing faster: the baseline was too high.
            self.baseline_us = Some(mean(Some(baseline), took, BASELINE_WEIGHT));
        }
        self.p99_us = Some(mean(self.p99_us, took, NOW_WEIGHT));
        if let (Some(slowdown), Phase::Paced) = (self.slowdown(), self.phase) {
            let gradient = slowdown.clamp(GRADIENT_MIN, 1.0);
            let (step, most) = match self.unhindered {
                Some(_) => (SHARE_STEP, 1.0),
                None => (SHARE_STEP.max(self.share * GUESSED_GROWTH), GUESSED_SHARE_MAX),
            };
            self.share = (self.share * gradient + step).clamp(SHARE_MIN, most);
        }
    }

    /// From one phase to the next.
    fn turn(&mut self, now: Duration, requests: u64) {
        let repairing = self.disturbed_before;
        match self.phase {
            Phase::Pausing { since } => {
                let measured = self.baseline_at.is_some_and(|at| at > since);
                // Without requests there is nothing to be measured.
                if measured || requests == 0 || now >= since.saturating_add(PAUSE_MAX) {
                    self.phase = Phase::Paced;
                }
            }
            Phase::Measuring { .. } if !repairing => {
                self.phase = Phase::Paced;
                self.measured_at = now;
            }
            Phase::Paced if repairing && self.moved >= PAUSE_FROM_BYTES => {
                let fresh = if self.baseline_us.is_some() { BASELINE_FRESH } else { BASELINE_RETRY };
                let tried = self.paused_at.max(self.baseline_at);
                if tried.is_none_or(|at| now >= at.saturating_add(fresh)) {
                    self.paused_at = Some(now);
                    self.phase = Phase::Pausing { since: now };
                }
            }
            _ => {}
        }
    }

    fn measure_is_due(&self, now: Duration) -> bool {
        let fresh = if self.measures < 2 { RATE_FRESH_FIRST } else { RATE_FRESH };
        now >= self.began_at.saturating_add(MEASURE_FROM) && now >= self.measured_at.saturating_add(fresh)
    }

    fn measure(&mut self, now: Duration, more: u64) {
        let Phase::Measuring { since, first, bytes, last } = &mut self.phase else { return };
        match *first {
            None if now >= since.saturating_add(MEASURE_AFTER) => *first = Some(now),
            None => {}
            Some(_) => (*bytes, *last) = (bytes.saturating_add(more), now),
        }
        let (Some(began), bytes, last) = (*first, *bytes, *last) else { return };
        let passed = last.saturating_sub(began);
        if passed < MEASURE_FOR {
            return;
        }
        self.phase = Phase::Paced;
        self.measured_at = now;
        if bytes >= MEASURE_BYTES_MIN {
            let rate = bytes as f64 / passed.as_secs_f64();
            self.learn(rate);
            self.corrected = false;
            self.measures += 1;
        }
    }
}

fn mean(known: Option<f64>, new: f64, weight: f64) -> f64 {
    known.map_or(new, |known| known + weight * (new - known))
}
