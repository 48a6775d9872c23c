//! What random runs found wrong, in the checkers themselves for the most part, each in a small form.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use sim::client::{Op, OpKind};
use sim::fault::Fault;
use sim::plan::Plan;
use sim::run::run;
use sim::{HostId, HostSettings, Kept, Setting};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn h(number: u16) -> HostId {
    HostId(number)
}

/// A machine that is switched on at this time and asks one other to let it in; the one that asks nobody founds.
fn host(number: u16, asks: Option<u16>, at: u64) -> (HostId, HostSettings, Duration) {
    let seeds = asks.map(|seed| format!("h{seed}.example:7711")).into_iter().collect();
    (h(number), HostSettings { name: format!("n{number}"), seeds, may_found: false }, ms(at))
}

fn put(host: u16, key: u16, micros: u64) -> (Duration, Op) {
    (Duration::from_micros(micros), Op { host: h(host), key, kind: OpKind::Put(1), token: None })
}

/// Seed 1807 with `--restores`: a backup of a node that was asking to be let in is put back after the node was wiped and
/// replaced. Its id was removed, so it is never let in; it says so.
#[test]
fn a_node_whose_id_was_removed_before_it_had_a_record_waits_for_ever() {
    let plan = Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: vec![host(1, None, 0), host(2, Some(1), 10), host(3, Some(1), 20), host(4, Some(1), 30)],
        ops: Vec::new(),
        faults: vec![
            (ms(1), Fault::Cut { group: vec![h(4)], one_way: false, time: ms(3_000) }),
            (ms(1_000), Fault::BackUp { host: h(4) }),
            (ms(10_000), Fault::Wipe { host: h(4), off: ms(500) }),
            (ms(40_000), Fault::Restore { host: h(4), off: ms(500) }),
        ],
        end: ms(45_000),
    };
    assert_eq!(run(&plan, false).violation, None);
}

/// Seed 314 with `--forget-deletes`: a member that was replaced is put back to an old backup, on a slow clock, and takes
/// writes before it hears that it was removed. Nobody takes them for its members' any more.
#[test]
fn a_removed_member_may_write_under_a_watermark() {
    let plan = Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: vec![host(1, None, 0), host(2, Some(1), 10), host(3, Some(1), 20), host(4, Some(1), 30)],
        ops: (0..40).map(|number| put(4, 1, 80_500_020 + number * 50)).collect(),
        faults: vec![
            (ms(3_000), Fault::Jump { host: h(4), by_ms: -940_000 }),
            (ms(10_000), Fault::BackUp { host: h(4) }),
            (ms(20_000), Fault::Wipe { host: h(4), off: ms(500) }),
            (ms(80_000), Fault::Restore { host: h(4), off: ms(500) }),
        ],
        end: ms(85_000),
    };
    let outcome = run(&plan, false);
    assert_eq!(outcome.violation, None);
    assert!(outcome.count.acknowledged > 0, "it took nothing");
}

/// Seed 1081 with `--forget-deletes`: a member that is behind does not know of the one member that could fill it, since
/// that one was let in while it was away; they have no wire version in common until faults stop.
#[test]
fn a_member_that_another_knows_of_can_be_filled_by_it() {
    let plan = Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: vec![host(1, Some(2), 2_100), host(2, None, 0), host(3, Some(2), 10)],
        ops: vec![put(3, 1, 6_700_000), put(3, 4, 6_750_000)],
        faults: vec![
            (ms(2_000), Fault::Upgrade { host: h(3), off: ms(3_400), oldest: 2, newest: 2 }),
            (ms(4_140), Fault::Wipe { host: h(2), off: ms(800) }),
            (ms(8_000), Fault::Rot { host: h(3), record: 500, bit: 300, found: ms(800) }),
        ],
        end: ms(20_000),
    };
    assert_eq!(run(&plan, false).violation, None);
}

/// Seed 268 with `--restores`: a record rots while its node is stopped, after a stop that lets it begin by its digests alone.
/// The search for damage comes to it later than faults stop.
#[test]
fn what_rots_while_a_node_is_down_is_found_before_all_is_called_well() {
    let plan = Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: vec![host(1, None, 0), host(2, Some(1), 10), host(3, Some(1), 20)],
        ops: vec![put(1, 1, 5_000_000)],
        faults: vec![
            (ms(10_000), Fault::Restart { host: h(2), off: ms(2_000), moves: false }),
            (ms(11_000), Fault::Rot { host: h(2), record: 0, bit: 300, found: ms(10) }),
        ],
        end: ms(11_500),
    };
    assert_eq!(run(&plan, false).violation, None);
}

/// Seed 3552 with `--forget-deletes`, 787 with `--restores`: two members each lose a record, and come back elsewhere at the
/// same time. Each asks the other, by its name, where the members are, and neither serves before it has met the other.
#[test]
fn two_that_are_behind_and_have_moved_find_each_other() {
    let moved =
        |number, off| Fault::Crash { host: h(number), kept: Kept::Nothing, power: true, off, moves: true };
    let rot = |number| Fault::Rot { host: h(number), record: 0, bit: 300, found: ms(10) };
    let plan = Plan {
        setting: Setting { seed: 1, ..Setting::default() },
        hosts: vec![host(1, Some(2), 10), host(2, None, 0)],
        ops: vec![put(1, 1, 5_000_000)],
        faults: vec![
            (ms(14_000), rot(1)),
            (ms(14_000), rot(2)),
            (ms(14_005), moved(1, ms(1_000))),
            (ms(14_006), moved(2, ms(1_200))),
        ],
        end: ms(18_000),
    };
    assert_eq!(run(&plan, false).violation, None);
}
