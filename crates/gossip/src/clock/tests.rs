use proptest::prelude::*;

use super::*;

const NOON: u64 = 1_750_000_000_000;

/// A clock whose reservation is always written at once.
fn tick(clock: &mut Clock, wall_ms: u64) -> Hlc {
    if let Some(upto) = clock.wants_reservation(wall_ms) {
        clock.reserved(upto);
    }
    clock.tick(wall_ms).unwrap()
}

#[test]
fn a_new_clock_needs_a_reservation_first() {
    let mut clock = Clock::new(Hlc::ZERO);
    let need = clock.tick(NOON).unwrap_err();
    assert_eq!(need.at_least, Hlc::new(NOON, 0));
    let upto = clock.wants_reservation(NOON).unwrap();
    assert!(upto >= need.at_least);
    clock.reserved(upto);
    assert_eq!(clock.tick(NOON), Ok(Hlc::new(NOON, 0)));
    assert_eq!(clock.wants_reservation(NOON), None);
}

#[test]
fn the_reservation_stays_one_to_three_seconds_ahead() {
    let mut clock = Clock::new(Hlc::ZERO);
    for ms in 0..20_000 {
        let wall_ms = NOON + ms;
        let t = tick(&mut clock, wall_ms);
        let ahead = clock.reservation().millis() - t.millis();
        assert!((1_000..=3_000).contains(&ahead), "{ahead} ms ahead");
    }
}

#[test]
fn the_counter_runs_over_into_the_next_millisecond() {
    let mut clock = Clock::new(Hlc::ZERO);
    let mut last = Hlc::ZERO;
    for _ in 0..200_000 {
        let t = tick(&mut clock, NOON);
        assert!(t > last);
        last = t;
    }
    assert_eq!(last.millis(), NOON + 3);
}

#[test]
fn a_wall_clock_that_steps_back_is_outwaited() {
    let mut clock = Clock::new(Hlc::ZERO);
    let before = tick(&mut clock, NOON);
    let after = tick(&mut clock, NOON - 3_600_000);
    assert_eq!(after, before.next().unwrap());
    assert_eq!(clock.ahead_ms(NOON - 3_600_000), 3_600_000);
}

#[test]
fn a_wall_clock_that_jumps_years_is_followed_and_never_exhausts_the_clock() {
    let mut clock = Clock::new(Hlc::ZERO);
    let before = tick(&mut clock, NOON);
    let far = tick(&mut clock, NOON * 2);
    let mad = tick(&mut clock, u64::MAX);
    let back = tick(&mut clock, NOON);
    assert!(before < far && far < mad && mad < back);
    assert_eq!(mad.millis(), WALL_MS_MAX);
}

#[test]
fn a_clock_at_its_end_issues_nothing() {
    let mut clock = Clock::new(Hlc::MAX);
    assert_eq!(clock.tick(NOON), Err(NeedReservation { at_least: Hlc::MAX }));
    assert_eq!(clock.wants_reservation(NOON), None);
}

#[test]
fn a_timestamp_far_ahead_is_named_and_not_followed() {
    let mut clock = Clock::new(Hlc::ZERO);
    tick(&mut clock, NOON);
    let near = Hlc::new(NOON + SKEW_MS_MAX, 3);
    assert_eq!(clock.observe(near, NOON), Skew { ahead_ms: 5_000, too_far: false });
    assert!(tick(&mut clock, NOON) > near);
    let far = Hlc::new(NOON + SKEW_MS_MAX + 1, 0);
    assert_eq!(clock.observe(far, NOON), Skew { ahead_ms: 5_001, too_far: true });
    assert_eq!(clock.observe(Hlc::new(1, 0), NOON), Skew { ahead_ms: 0, too_far: false });
    assert!(tick(&mut clock, NOON) < far);
}

#[test]
fn a_joiner_starts_above_its_add_whatever_the_skew() {
    let mut clock = Clock::new(Hlc::ZERO);
    let add = Hlc::new(NOON + 86_400_000, 9);
    clock.start_above(add);
    assert!(tick(&mut clock, NOON) > add);
    clock.start_above(Hlc::MAX);
    tick(&mut clock, NOON);
}

#[test]
fn restarting_over_and_over_does_not_run_away_from_the_wall_clock() {
    let mut on_disk = Hlc::ZERO;
    for start in 0..100 {
        let wall_ms = NOON + start * 200;
        let mut clock = Clock::new(on_disk);
        tick(&mut clock, wall_ms);
        on_disk = clock.reservation();
        let ahead = on_disk.millis() - wall_ms;
        assert!(ahead <= RESERVATION_AHEAD_MS + RESERVATION_CLIMB_MS, "{ahead} ms ahead");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Tick,
    Observe(u64),
    Wall(i64),
    Reserve,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Tick),
        2 => (0..20_000_u64).prop_map(Step::Observe),
        2 => prop_oneof![-10_000..10_000_i64, -100_000_000_000..100_000_000_000_i64].prop_map(Step::Wall),
        4 => Just(Step::Reserve),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Over any wall clock, reservations and crashes: strictly rising, so unique, and never above what
    /// was on disk.
    #[test]
    fn timestamps_rise_and_stay_reserved(steps in steps()) {
        let mut wall_ms = NOON;
        let mut on_disk = Hlc::ZERO;
        let mut clock = Clock::new(on_disk);
        let mut last = Hlc::ZERO;
        for step in steps {
            match step {
                Step::Tick => match clock.tick(wall_ms) {
                    Ok(t) => {
                        prop_assert!(t > last);
                        prop_assert!(t <= on_disk);
                        last = t;
                    }
                    Err(need) => {
                        let wanted = clock.wants_reservation(wall_ms);
                        prop_assert!(wanted.is_some_and(|upto| upto >= need.at_least));
                    }
                },
                Step::Observe(ahead) => {
                    let remote = Hlc::new(wall_ms + ahead, 1);
                    let skew = clock.observe(remote, wall_ms);
                    prop_assert_eq!(skew.too_far, ahead > SKEW_MS_MAX);
                }
                Step::Wall(by) => wall_ms = wall_ms.saturating_add_signed(by),
                Step::Reserve => {
                    if let Some(upto) = clock.wants_reservation(wall_ms) {
                        prop_assert!(upto > on_disk);
                        on_disk = upto;
                        clock.reserved(upto);
                    }
                }
                Step::Crash => clock = Clock::new(on_disk),
            }
        }
    }
}
