//! A member that is down for a month and comes back with what it held then.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use sim::client::{Op, OpKind};
use sim::fault::Fault;
use sim::plan::Plan;
use sim::run::run;
use sim::{HostId, HostSettings, Kept, Setting};

const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// When the third member goes down. It holds all that was written until then.
const DOWN_AT: Duration = Duration::from_secs(30);

fn h(number: u16) -> HostId {
    HostId(number)
}

fn host(number: u16) -> (HostId, HostSettings, Duration) {
    let seeds = if number == 1 { Vec::new() } else { vec!["h1.example:7711".to_owned()] };
    (h(number), HostSettings { name: format!("n{number}"), seeds, may_found: false }, Duration::ZERO)
}

fn op(at: Duration, host: u16, key: u16, kind: OpKind) -> (Duration, Op) {
    (at, Op { host: h(host), key, kind, token: None })
}

/// Eight keys are written; then the third member is down, and of these some are deleted, some overwritten, some expire, all
/// within `down`. What it brings back is all of them.
fn plan(down: Duration) -> Plan {
    let mut ops = Vec::new();
    for key in 0..8 {
        let at = Duration::from_secs(10 + u64::from(key));
        let kind = if key < 2 { OpKind::PutFor(1, MONTH / 2) } else { OpKind::Put(1) };
        ops.push(op(at, 1 + key % 3, key, kind));
    }
    for (part, key) in (2..6).enumerate() {
        let at =
            DOWN_AT + Duration::from_secs(5) + (down - Duration::from_secs(10)).mul_f64(part as f64 / 4.0);
        let kind = if key % 2 == 0 { OpKind::Delete } else { OpKind::Put(2) };
        ops.push(op(at, 1 + key % 2, key, kind));
    }
    let back = DOWN_AT + down;
    ops.push(op(back + Duration::from_secs(20), 3, 9, OpKind::Put(3)));
    let crash = Fault::Crash { host: h(3), kept: Kept::Prefix(1_000), power: false, off: down, moves: false };
    Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: (1..=3).map(host).collect(),
        ops,
        faults: vec![(DOWN_AT, crash)],
        end: back + Duration::from_secs(30),
    }
}

/// A month by the clocks of all machines, of which the two that are left run for two minutes.
#[test]
fn who_was_down_for_a_month_brings_nothing_back() {
    let mut plan = plan(Duration::from_secs(120));
    let by_ms = i64::try_from(MONTH.as_millis()).unwrap();
    let passed = DOWN_AT + Duration::from_secs(60);
    plan.faults.extend((1..=3).map(|host| (passed, Fault::Jump { host: h(host), by_ms })));
    let outcome = run(&plan, false);
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.count.acknowledged, plan.ops.len() as u64);
}

/// Every second of it; some minutes of a release build.
#[test]
#[ignore = "takes minutes: cargo test --release -p mangrove-sim --test month -- --ignored"]
fn who_was_down_for_every_second_of_a_month_brings_nothing_back() {
    let plan = plan(MONTH);
    let outcome = run(&plan, false);
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.count.acknowledged, plan.ops.len() as u64);
    println!("{:?}", outcome.count);
}
