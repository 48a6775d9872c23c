//! Hazards of values that expire.

use std::time::Duration;

use gossip::rules::Rule;

use super::{Scenario, as_it_is, h, secs};
use crate::checks::Violation;
use crate::client::key;
use crate::disk::Kept;
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::World;

const DAY_MS: i64 = 86_400_000;
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H20,
        story: "One clock is a day fast, and values are there that expire within the hour. Were they to leave by that \
                clock alone, its node would tell the others that they are gone. And those that have expired leave all \
                disks although a member is down.",
        setting: as_it_is,
        play: a_clock_a_day_fast,
    },
    Scenario {
        rule: Rule::H35,
        story: "A lasting value is replaced by one that expires, while a member that has the first is away. Did the entry \
                leave with the second, the first would be back with that member.",
        setting: as_it_is,
        play: a_lasting_value_replaced_by_one_that_expires,
    },
    Scenario {
        rule: Rule::H36,
        story: "A coordinator whose clock has stood still for a minute takes a value for thirty seconds: acknowledged \
                there, it would have expired everywhere else before it was written.",
        setting: as_it_is,
        play: a_slow_coordinator,
    },
    Scenario {
        rule: Rule::H37,
        story: "Two members, one a day fast, the other stalls for some seconds. The one that goes on is no majority: what \
                expires within the hour must not go by its clock.",
        setting: as_it_is,
        play: two_members_and_one_stalls,
    },
];

fn shown(world: &mut World, host: HostId, number: u16) -> Result<bool, Violation> {
    Ok(world.read(host, number, true)?.0 > 0)
}

fn must_show(world: &mut World, host: HostId, number: u16) -> Result<(), Violation> {
    if shown(world, host, number)? {
        Ok(())
    } else {
        world.stuck("a value that has not expired is not shown")
    }
}

fn a_clock_a_day_fast(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&Fault::Jump { host: h(1), by_ms: DAY_MS });
    world.put_surely_for(h(2), 1, "within the hour", HOUR)?;
    world.run_for(secs(30))?;
    must_show(world, h(2), 1)?;
    world.inject(&Fault::Crash { host: h(3), kept: Kept::Nothing, power: true, off: secs(60), moves: false });
    for number in 10..30 {
        world.put_surely_for(h(2), number, "a session", secs(5))?;
    }
    world.run_for(secs(50))?;
    let left = (10..30).filter(|number| world.holds(h(2), &key(*number))).count();
    if left > 0 {
        return world.stuck("what has expired waits for a member that is down");
    }
    must_show(world, h(2), 1)
}

fn a_lasting_value_replaced_by_one_that_expires(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&Fault::Crash { host: h(2), kept: Kept::Nothing, power: true, off: secs(4), moves: false });
    world.put_surely(h(1), 1, "lasting", None)?;
    world.run_for(secs(2))?;
    world.inject(&Fault::Cut { group: vec![h(3)], one_way: false, time: secs(60) });
    world.put_surely_for(h(1), 1, "for three seconds", secs(3))?;
    world.run_for(secs(80))
}

fn a_slow_coordinator(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&Fault::Jump { host: h(1), by_ms: -DAY_MS });
    world.run_for(secs(75))?;
    world.put_surely_for(h(1), 1, "for thirty seconds", secs(30))?;
    world.run_for(secs(3))?;
    must_show(world, h(2), 1)
}

fn two_members_and_one_stalls(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.inject(&Fault::Jump { host: h(1), by_ms: DAY_MS });
    world.put_surely_for(h(2), 1, "within the hour", HOUR)?;
    world.run_for(secs(25))?;
    world.inject(&Fault::Pause { host: h(2), time: secs(14) });
    world.run_for(secs(45))?;
    must_show(world, h(2), 1)
}
