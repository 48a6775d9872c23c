//! Hazards of nodes that hold less than the others count on: they lost a record, or have only just joined.

use std::time::Duration;

use gossip::rules::Rule;

use super::{Scenario, as_it_is, h, secs};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::fault::Fault;
use crate::world::{Setting, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H17,
        story: "A node loses the record of a delete and meets the one member that has the deleted value still. Did it go \
                on to claim that it holds all that the others held, that member would be believed to know of the delete: \
                the others forget it, and the value is back.",
        setting: forgetting_soon,
        play: a_lost_delete,
    },
    Scenario {
        rule: Rule::H21,
        story: "Two members with the same data. Had each a digest key of its own, they would differ for ever.",
        setting: as_it_is,
        play: one_key_for_all_digests,
    },
    Scenario {
        rule: Rule::H24,
        story: "A write reaches one member, which is then cut off; its coordinator loses the record, is filled by another \
                that never had it, and writes the key again. Were it the same writer still, the second write would claim \
                to have seen the first.",
        setting: as_it_is,
        play: a_record_lost_in_mid_life,
    },
    Scenario {
        rule: Rule::H27,
        story: "A key has an old value and a new one, which is told on while a node joins. It knows how far the others \
                have forgotten and holds nothing yet: it would take the old value for replaced, and tell that on.",
        setting: as_it_is,
        play: a_rumor_for_a_joiner,
    },
    Scenario {
        rule: Rule::H28,
        story: "Two nodes have each lost another record, and meet while they are cut off from the two that know. Neither \
                can say what was replaced. Did they serve after that, a write would replace what its node has not got.",
        setting: as_it_is,
        play: two_that_are_behind_meet,
    },
    Scenario {
        rule: Rule::H29,
        story: "Two members, and each loses a record. Nobody is left to wait for.",
        setting: as_it_is,
        play: all_are_behind,
    },
    Scenario {
        rule: Rule::H30,
        story: "A node that is cut off loses a record. Did it serve before it has met another, a write of that key would \
                claim, by how far all have forgotten, to have seen what it lost.",
        setting: as_it_is,
        play: a_write_over_a_lost_record,
    },
];

fn forgetting_soon(setting: &mut Setting) {
    setting.core.grace = secs(2);
}

/// Nothing passes between any of these pairs for so long.
fn apart(world: &mut World, pairs: &[(u16, u16)], time: Duration) {
    for (one, other) in pairs {
        world.inject(&Fault::CutPair { one: h(*one), other: h(*other), time });
    }
}

fn a_lost_delete(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(3))?;
    apart(world, &[(1, 3), (2, 3)], secs(40));
    if let Answer::Refused(why) = world.delete(h(1), &key(1), None) {
        return world.stuck(&why);
    }
    world.run_for(secs(40))?;
    apart(world, &[(1, 2), (1, 3)], secs(40));
    world.lose_record(h(2), &key(1))?;
    world.run_for(secs(40))?;
    apart(world, &[(1, 3), (2, 3)], secs(50));
    world.run_for(secs(60))
}

fn one_key_for_all_digests(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(5))
}

fn a_record_lost_in_mid_life(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    apart(world, &[(2, 3)], secs(40));
    apart(world, &[(1, 2)], secs(4));
    world.put_surely(h(1), 1, "first", None)?;
    world.run_for(secs(3))?;
    apart(world, &[(1, 3)], secs(35));
    world.lose_record(h(1), &key(1))?;
    world.run_for(secs(2))?;
    world.until_serving(&[h(1)])?;
    world.put_surely(h(1), 1, "second", None)?;
    world.run_for(secs(50))?;
    let (siblings, _) = world.read(h(2), 1, true)?;
    if siblings == 2 { Ok(()) } else { world.stuck("the two writes are not both there") }
}

fn a_rumor_for_a_joiner(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(1), 1, "replaced by both", None)?;
    let (_, token) = world.read(h(1), 1, true)?;
    world.put_surely(h(1), 1, "old", token.as_ref())?;
    for host in 1..=3 {
        world.until_forgotten_so_far(h(host))?;
    }
    let so_far = world.watermark_at(h(2));
    world.join(h(4), "n4", &[h(1)], false);
    for _ in 0..100_000 {
        if world.watermark_at(h(4)) >= so_far {
            break;
        }
        world.run_for(Duration::from_micros(50))?;
    }
    // It hears, and is not heard: no session goes on.
    world.inject(&Fault::Cut { group: vec![h(4)], one_way: true, time: secs(2) });
    if world.holds(h(4), &key(1)) {
        return world.stuck("the joiner was filled at once");
    }
    // One of them knows already that it is there.
    for host in 1..=3 {
        world.put_surely(h(host), 1, "new", token.as_ref())?;
    }
    world.run_for(secs(20))?;
    let (siblings, _) = world.read(h(4), 1, true)?;
    if siblings == 4 { Ok(()) } else { world.stuck("the values are not all there") }
}

fn two_that_are_behind_meet(world: &mut World) -> Result<(), Violation> {
    world.cluster(4)?;
    world.put_surely(h(1), 1, "one", None)?;
    world.put_surely(h(1), 2, "two", None)?;
    for host in 1..=4 {
        world.until_forgotten_so_far(h(host))?;
    }
    world.inject(&Fault::Cut { group: vec![h(3), h(4)], one_way: false, time: secs(20) });
    world.lose_record(h(3), &key(1))?;
    world.lose_record(h(4), &key(2))?;
    // Refused, or taken for what it is: the checkers look. Did they serve, they would soon fill each other.
    for _ in 0..5_000 {
        let _ = world.put(h(3), &key(1), "newer".into(), None);
        world.run_for(Duration::from_millis(1))?;
    }
    world.run_for(secs(20))
}

fn all_are_behind(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "one", None)?;
    world.put_surely(h(1), 2, "two", None)?;
    for host in 1..=2 {
        world.until_forgotten_so_far(h(host))?;
    }
    world.lose_record(h(1), &key(1))?;
    world.lose_record(h(2), &key(2))?;
    world.run_for(secs(10))
}

fn a_write_over_a_lost_record(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(2), 1, "value", None)?;
    world.until_forgotten_so_far(h(1))?;
    world.inject(&Fault::Cut { group: vec![h(1)], one_way: false, time: secs(10) });
    world.lose_record(h(1), &key(1))?;
    world.run_for(secs(1))?;
    // Refused, or taken for what it is: the checkers look.
    let _ = world.put(h(1), &key(1), "newer".into(), None);
    world.run_for(secs(15))
}
