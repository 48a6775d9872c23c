//! The governor before a plant: a node whose requests take the longer the more repair there is.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::control::SHARE_MIN;
use super::*;

const MS: Duration = Duration::from_millis(1);
const WINDOW: u32 = 250;
/// Bytes that repair moves in one piece.
const SLICE: u64 = 128 << 10;

/// A node under load.
struct Plant {
    /// Bytes a second that repair makes when nothing holds it back.
    unhindered: f64,
    /// The 99th percentile without repair, microseconds.
    base_us: f64,
    /// What it is multiplied by, less one, with repair going unhindered.
    harm: f64,
    requests_a_second: f64,
    /// Bytes that may be on their way to the other side, which takes them in at the unhindered rate.
    credit: u64,
    /// Noise of a window's percentile, as a share of it.
    noise: f64,
    rng: StdRng,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Run {
    bytes: u64,
    /// Each window's percentile over what it is without repair, and its requests.
    slowdowns: Vec<f64>,
}

impl Plant {
    fn new(seed: u64) -> Self {
        Self {
            unhindered: 20e6,
            base_us: 2_000.0,
            harm: 5.0,
            requests_a_second: 4_000.0,
            credit: SLICE,
            noise: 0.2,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn window(&mut self, bytes: u64) -> (Foreground, f64) {
        let rate = bytes as f64 * 1_000.0 / f64::from(WINDOW);
        let slowdown = 1.0 + self.harm * (rate / self.unhindered).min(1.0);
        let noise = self.rng.random_range(1.0 - self.noise..=1.0 + self.noise);
        let requests = (self.requests_a_second * f64::from(WINDOW) / 1_000.0) as u64;
        let p99_us = if requests == 0 { 0 } else { (self.base_us * slowdown * noise) as u64 };
        (Foreground { requests, p99_us }, slowdown)
    }

    /// Lets repair go on for a time, while there is any to do.
    fn run(&mut self, governor: &mut Governor, now: &mut Duration, seconds: u32, repair: bool) -> Run {
        let (mut run, mut window, end) = (Run::default(), 0, *now + seconds * 1_000 * MS);
        let (mut under_way, a_ms) = (0.0_f64, self.unhindered / 1_000.0);
        let mut window_at = *now + WINDOW * MS;
        while *now < end {
            if *now >= window_at {
                let (seen, slowdown) = self.window(window);
                governor.foreground(*now, seen);
                run.slowdowns.push(slowdown);
                run.bytes += std::mem::take(&mut window);
                window_at += WINDOW * MS;
            }
            while repair
                && under_way + SLICE as f64 <= self.credit as f64 + a_ms
                && governor.ready_at(*now) <= *now
            {
                governor.spend(*now, SLICE);
                under_way += SLICE as f64;
            }
            let done = under_way.min(a_ms);
            under_way -= done;
            window += done as u64;
            *now += MS;
        }
        run.bytes += window;
        run
    }
}

impl Run {
    fn mean(&self) -> f64 {
        self.slowdowns.iter().sum::<f64>() / self.slowdowns.len() as f64
    }

    /// The share of windows in which requests took more than so many times as long.
    fn above(&self, times: f64) -> f64 {
        self.slowdowns.iter().filter(|slowdown| **slowdown > times).count() as f64
            / self.slowdowns.len() as f64
    }
}

fn governor(max: Option<u64>, adaptive: bool) -> Governor {
    let max_bytes_per_second = max.and_then(NonZeroU64::new);
    Governor::new(GovernorConfig { max_bytes_per_second, adaptive }, Duration::ZERO)
}

#[test]
fn clients_are_spared_and_repair_keeps_its_share_where_it_hurts() {
    for seed in 0..20 {
        let mut plant = Plant::new(seed);
        let mut now = Duration::ZERO;
        let mut without = Plant::new(seed);
        let hindered = without.run(&mut governor(None, false), &mut now, 60, true);
        assert!(hindered.mean() > 5.0, "without the governor: {}", hindered.mean());
        let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
        plant.run(&mut governor, &mut now, 10, false);
        let before = plant.run(&mut governor, &mut now, 30, true);
        assert!(before.mean() < 2.3, "seed {seed}: {} before any measure", before.mean());
        let run = plant.run(&mut governor, &mut now, 60, true);
        assert!(run.mean() < 2.3, "seed {seed}: {}", run.mean());
        assert!(run.above(3.5) < 0.025, "seed {seed}: {}", run.above(3.5));
        let share = run.bytes as f64 / hindered.bytes as f64;
        assert!(share >= 0.2, "seed {seed}: repair keeps {share} of its rate");
    }
}

#[test]
fn a_burst_of_credit_is_not_taken_for_speed() {
    // Two mebibytes leave at once, and are taken in within most of a second.
    for seed in 0..10 {
        let slow = |seed| Plant { unhindered: 3e6, credit: 16 * SLICE, ..Plant::new(seed) };
        let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
        let mut plant = slow(seed);
        plant.requests_a_second = 0.0;
        plant.run(&mut governor, &mut now, 5, true);
        plant.requests_a_second = 4_000.0;
        plant.run(&mut governor, &mut now, 5, false);
        let run = plant.run(&mut governor, &mut now, 60, true);
        assert!(run.mean() < 2.6, "seed {seed}: {}", run.mean());
        let share = run.bytes as f64 / (60.0 * plant.unhindered);
        assert!(share >= 0.2, "seed {seed}: {share}");
    }
}

#[test]
fn repair_that_is_slow_for_a_while_is_not_held_to_that() {
    for seed in 0..10 {
        let mut plant = Plant { credit: 16 * SLICE, ..Plant::new(seed) };
        let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
        plant.run(&mut governor, &mut now, 5, false);
        plant.run(&mut governor, &mut now, 5, true);
        // The other side, its disk or the way there is slow, in steps, and then is not.
        for rate in [10e6, 5e6, 2e6, 1e6] {
            plant.unhindered = rate;
            plant.run(&mut governor, &mut now, 4, true);
        }
        plant.unhindered = 20e6;
        plant.run(&mut governor, &mut now, 45, true);
        let run = plant.run(&mut governor, &mut now, 60, true);
        let share = run.bytes as f64 / (60.0 * plant.unhindered);
        assert!(share >= 0.2, "seed {seed}: {share}");
    }
}

#[test]
fn repair_goes_on_as_fast_as_it_can_where_it_harms_nobody() {
    for (harm, requests_a_second) in [(0.1, 4_000.0), (50.0, 0.0), (50.0, 4.0)] {
        let mut plant = Plant { harm, requests_a_second, ..Plant::new(1) };
        let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
        plant.run(&mut governor, &mut now, 10, false);
        plant.run(&mut governor, &mut now, 20, true);
        let run = plant.run(&mut governor, &mut now, 60, true);
        let share = run.bytes as f64 / (60.0 * plant.unhindered);
        assert!(share > 0.8, "harm {harm}, {requests_a_second} requests/s: {share}");
    }
}

#[test]
fn it_is_never_slower_than_the_floor_however_it_hurts() {
    // Whatever repair does, requests take for ever: a disk that fails, or a baseline that was too good.
    for seed in 0..10 {
        let mut plant = Plant { harm: 1_000.0, noise: 0.9, ..Plant::new(seed) };
        let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
        plant.run(&mut governor, &mut now, 5, false);
        let run = plant.run(&mut governor, &mut now, 120, true);
        let share = run.bytes as f64 / (120.0 * plant.unhindered);
        assert!(share >= 0.2, "seed {seed}: {share}");
        assert!(share <= SHARE_MIN + 0.1, "seed {seed}: {share}");
        assert_eq!(governor.status(now).brake, Brake::Floor);
    }
}

/// A share of the rate is meant, not of a guess that knows nothing of the machine.
#[test]
fn what_was_seen_without_clients_sets_the_floor_before_anything_is_measured() {
    for seed in 0..10 {
        let mut plant = Plant { harm: 200.0, requests_a_second: 0.0, ..Plant::new(seed) };
        let (mut governor, mut now) = (governor(None, true), Duration::ZERO);
        plant.run(&mut governor, &mut now, 8, true);
        plant.requests_a_second = 4_000.0;
        // The second in which it is not yet known that somebody is there.
        plant.run(&mut governor, &mut now, 2, true);
        let kept = plant.run(&mut governor, &mut now, 8, true).bytes as f64 / 8.0;
        assert!(kept >= 0.6 * SHARE_MIN * plant.unhindered, "seed {seed}: {kept}");
    }
}

/// Right behind clients' last writes nobody knows yet that they have gone.
#[test]
fn a_little_repair_behind_the_last_client_is_not_paused() {
    for seed in 0..20 {
        let mut plant = Plant::new(seed);
        let (mut governor, mut now) = (governor(None, true), Duration::ZERO);
        plant.run(&mut governor, &mut now, 3, false);
        plant.requests_a_second = 0.0;
        for _ in 0..4 {
            governor.spend(now, 8 << 10);
            assert!(governor.ready_at(now) < now + 60 * MS, "seed {seed}");
            now += u32::try_from(20 + 50 * seed % 300).unwrap() * MS;
            governor.foreground(now, Foreground::default());
        }
    }
}

/// A pause is there to measure requests: without any it ends with the window.
#[test]
fn a_pause_ends_when_there_is_nobody_to_measure() {
    let mut plant = Plant::new(1);
    let (mut governor, mut now) = (governor(None, true), Duration::ZERO);
    plant.run(&mut governor, &mut now, 3, false);
    let paused = |governor: &Governor, now: Duration| governor.ready_at(now) > now + 300 * MS;
    for _ in 0..40 {
        if paused(&governor, now) {
            break;
        }
        plant.run(&mut governor, &mut now, 1, true);
    }
    assert!(paused(&governor, now), "it never paused");
    now += WINDOW * MS;
    governor.foreground(now, Foreground::default());
    assert!(!paused(&governor, now));
}

/// Little repair says nothing of how fast it could be.
#[test]
fn a_trickle_without_clients_does_not_lower_the_floor() {
    let mut plant = Plant { unhindered: 1e6, requests_a_second: 0.0, ..Plant::new(1) };
    let (mut governor, mut now) = (governor(None, true), Duration::ZERO);
    plant.run(&mut governor, &mut now, 8, true);
    (plant.unhindered, plant.harm, plant.requests_a_second) = (20e6, 200.0, 4_000.0);
    plant.run(&mut governor, &mut now, 2, true);
    let kept = plant.run(&mut governor, &mut now, 8, true).bytes as f64 / 8.0;
    assert!(kept >= 0.8 * SHARE_MIN * 4e6, "{kept}");
}

#[test]
fn it_never_exceeds_the_cap() {
    for (adaptive, requests_a_second) in [(false, 0.0), (true, 0.0), (true, 4_000.0)] {
        let mut plant = Plant { requests_a_second, harm: 0.0, ..Plant::new(2) };
        let (mut now, mut governor) = (Duration::ZERO, governor(Some(1 << 20), adaptive));
        let run = plant.run(&mut governor, &mut now, 60, true);
        assert!(run.bytes <= 61 << 20, "{}", run.bytes);
        assert!(run.bytes >= 40 << 20, "{}", run.bytes);
        let status = governor.status(now);
        assert!(status.limit_bytes_per_second.is_some_and(|limit| limit <= 1 << 20), "{status:?}");
        assert!(status.rate_bytes_per_second < 3 << 19, "{status:?}");
    }
}

#[test]
fn it_speeds_up_again_when_clients_leave_and_slows_down_when_they_return() {
    let mut plant = Plant::new(3);
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    plant.run(&mut governor, &mut now, 10, false);
    plant.run(&mut governor, &mut now, 20, true);
    assert_ne!(governor.status(now).brake, Brake::None);
    plant.requests_a_second = 0.0;
    plant.run(&mut governor, &mut now, 2, true);
    assert_eq!(governor.status(now).brake, Brake::None);
    let run = plant.run(&mut governor, &mut now, 10, true);
    assert!(run.bytes as f64 > 0.9 * 10.0 * plant.unhindered, "{}", run.bytes);
    plant.requests_a_second = 4_000.0;
    plant.run(&mut governor, &mut now, 2, true);
    let run = plant.run(&mut governor, &mut now, 30, true);
    assert!(run.mean() < 2.5, "{}", run.mean());
}

#[test]
fn a_second_without_clients_is_idle_however_many_there_were() {
    let mut plant = Plant { requests_a_second: 400_000.0, ..Plant::new(3) };
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    plant.run(&mut governor, &mut now, 10, false);
    plant.run(&mut governor, &mut now, 20, true);
    assert_ne!(governor.status(now).brake, Brake::None);
    governor.foreground(now + 250 * MS, Foreground::default());
    // A driver looks less often while there is nothing to see.
    governor.foreground(now + 1_250 * MS, Foreground::default());
    assert_eq!(governor.status(now + 1_250 * MS).brake, Brake::None);
}

#[test]
fn a_foreground_that_is_slower_for_reasons_of_its_own_does_not_starve_repair() {
    let mut plant = Plant { harm: 0.2, ..Plant::new(4) };
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    plant.run(&mut governor, &mut now, 10, false);
    plant.run(&mut governor, &mut now, 10, true);
    // More clients, larger values: five times as slow, with repair or without.
    plant.base_us *= 5.0;
    plant.run(&mut governor, &mut now, 120, true);
    let run = plant.run(&mut governor, &mut now, 30, true);
    let share = run.bytes as f64 / (30.0 * plant.unhindered);
    assert!(share > 0.7, "{share}");
}

#[test]
fn repair_cannot_pass_off_its_own_cost_as_normal() {
    // No moment without repair since the start, and hours of it.
    let mut plant = Plant::new(5);
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    plant.run(&mut governor, &mut now, 60, true);
    for _ in 0..60 {
        let run = plant.run(&mut governor, &mut now, 60, true);
        assert!(run.mean() < 2.3, "{}", run.mean());
        let baseline = governor.status(now).baseline_p99_us.unwrap();
        assert!((1_600..=2_600).contains(&baseline), "{baseline}");
    }
}

#[test]
fn it_is_steady() {
    // What is tolerated lies at about a third of the unhindered rate.
    let mut plant = Plant { harm: 1.2, noise: 0.3, ..Plant::new(6) };
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    plant.run(&mut governor, &mut now, 10, false);
    plant.run(&mut governor, &mut now, 20, true);
    let mut limits = Vec::new();
    for _ in 0..60 {
        plant.run(&mut governor, &mut now, 1, true);
        limits.extend(governor.status(now).limit_bytes_per_second.map(|limit| limit as f64));
    }
    let mean = limits.iter().sum::<f64>() / limits.len() as f64;
    let spread = limits.iter().map(|limit| (limit - mean).abs()).sum::<f64>() / limits.len() as f64;
    assert!(spread < 0.3 * mean, "{spread} about {mean}");
    assert!((0.3..0.7).contains(&(mean / plant.unhindered)), "{mean}");
}

#[test]
fn two_that_hold_each_other_back_do_not_drag_each_other_down() {
    // Both serve clients, and each sees the other's limit as its own slowness.
    for seed in 0..10 {
        let mut plant = Plant { harm: 50.0, ..Plant::new(seed) };
        let (mut one, mut other) = (governor(None, true), governor(None, true));
        let (mut now, mut bytes, mut window) = (Duration::ZERO, 0, 0);
        while now < 20_000 * MS {
            if now.as_millis().is_multiple_of(u128::from(WINDOW)) {
                for governor in [&mut one, &mut other] {
                    governor.foreground(now, plant.window(window).0);
                }
                bytes += std::mem::take(&mut window);
            }
            if one.ready_at(now) <= now && other.ready_at(now) <= now {
                one.spend(now, SLICE / 8);
                other.spend(now, SLICE / 8);
                window += SLICE / 8;
            }
            now += MS;
        }
        // The floor of what is guessed is a megabyte a second; now and then both pause.
        assert!(bytes >= 20 * 600_000, "seed {seed}: {bytes}");
    }
}

#[test]
fn credit_is_paid_for_when_it_is_given() {
    let (mut now, mut governor) = (Duration::ZERO, governor(Some(1 << 20), false));
    assert!(governor.slice() <= SLICE);
    let mut came = 0;
    // What has credit comes all at once, a second late.
    for _ in 0..10 {
        for _ in 0..8 {
            now = governor.ready_at(now);
            governor.gave(now, SLICE);
        }
        for _ in 0..8 {
            governor.came(now, SLICE + 20, SLICE);
            came += SLICE;
        }
        assert!(came as f64 <= (now.as_secs_f64() + 1.0) * (1 << 20) as f64 * 1.01, "{came} after {now:?}");
    }
    assert!(now <= 10_500 * MS, "{now:?}");
    governor.gave(now, 64 << 20);
    assert!(governor.ready_at(now) > now + 60_000 * MS);
    governor.ended(now);
    assert!(governor.ready_at(now) <= now + 1_000 * MS);
    // Without credit it is paid for as it comes.
    governor.came(now, 10 << 20, 10 << 20);
    assert!(governor.ready_at(now) > now + 9_000 * MS);
}

#[test]
fn without_windows_nothing_is_held_back() {
    let mut governor = governor(None, true);
    for n in 0..10_000_u32 {
        let now = n * MS;
        assert_eq!(governor.ready_at(now), now);
        governor.spend(now, SLICE);
    }
}

#[test]
fn windows_that_stop_coming_do_not_stop_repair() {
    let mut plant = Plant::new(7);
    let (mut now, mut governor) = (Duration::ZERO, governor(None, true));
    // With no baseline yet it pauses first; then the driver falls silent.
    plant.run(&mut governor, &mut now, 1, true);
    let mut done = 0;
    let until = now + 60_000 * MS;
    while now < until {
        if governor.ready_at(now) <= now {
            governor.spend(now, SLICE);
            done += SLICE;
        }
        now = governor.ready_at(now).max(now + MS);
    }
    assert!(done as f64 > 60.0 * 0.2 * plant.unhindered, "{done}");
}

#[test]
fn people_are_told_whether_clients_wait_now_or_repair_only_recovers() {
    let mut plant = Plant { harm: 50.0, noise: 0.0, ..Plant::new(1) };
    let (mut governor, mut now) = (governor(None, true), Duration::ZERO);
    plant.run(&mut governor, &mut now, 2, false);
    plant.run(&mut governor, &mut now, 8, true);
    assert!(matches!(governor.status(now).brake, Brake::Foreground | Brake::Floor));
    plant.harm = 0.0;
    plant.run(&mut governor, &mut now, 2, true);
    assert_eq!(governor.status(now).brake, Brake::Recovering);
}
