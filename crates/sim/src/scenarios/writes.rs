//! Hazards of writes, and of what members exchange.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip::coordinator::{self, NewValue};
use gossip::rules::Rule;
use gossip::session::Prefer;
use model::{Dot, Entry, Expiry, Hlc};

use super::{Scenario, as_it_is, h, secs, without_rumors};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::{Setting, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H2,
        story: "A node writes a key, everyone has it; its disk is put back to a backup from before, and it writes the key \
                again while it is cut off. Were it the same writer, the second write would claim to have seen the first.",
        setting: as_it_is,
        play: a_restored_disk_writes_again,
    },
    Scenario {
        rule: Rule::H4,
        story: "Two write one key on two sides of a cut. A client reads it afterwards, is shown one of the two siblings, \
                and writes with what it got. Did it get a token, the sibling that it never saw would be gone.",
        setting: as_it_is,
        play: a_client_that_saw_one_of_two,
    },
    Scenario {
        rule: Rule::H5,
        story: "Forty siblings on each side of a cut: more together than a coordinator accepts. Were members to refuse \
                them, they would never be equal again.",
        setting: as_it_is,
        play: more_siblings_than_any_client_may_make,
    },
    Scenario {
        rule: Rule::H7,
        story: "Two values of one key, written on two sides of a cut, have digests that are equal in the field of the \
                sketch: it shows no difference, now and at every retry.",
        setting: by_sketch_alone,
        play: a_difference_that_the_sketch_cannot_see,
    },
    Scenario {
        rule: Rule::H19,
        story: "A clock is a year fast. What its node writes must reach all others all the same.",
        setting: as_it_is,
        play: a_clock_a_year_fast,
    },
    Scenario {
        rule: Rule::H31,
        story: "A client reads a value at one node and deletes it, with the token, at another that does not have it yet. \
                It was told that the value is gone, and then the value arrives.",
        setting: without_rumors,
        play: a_delete_before_the_value,
    },
];

fn cut(group: &[u16], time: Duration) -> Fault {
    Fault::Cut { group: group.iter().copied().map(HostId).collect(), one_way: false, time }
}

fn a_restored_disk_writes_again(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&Fault::BackUp { host: h(1) });
    world.put_surely(h(1), 1, "first", None)?;
    world.run_for(secs(2))?;
    world.inject(&cut(&[1], secs(5)));
    world.inject(&Fault::Restore { host: h(1), off: Duration::from_millis(100) });
    world.run_for(secs(1))?;
    world.put_surely(h(1), 1, "second", None)?;
    world.run_for(secs(10))?;
    let (siblings, _) = world.read(h(2), 1, true)?;
    if siblings == 2 { Ok(()) } else { world.stuck("the two writes are not both there") }
}

/// One key written at hosts 1 and 2 while nothing passes between them.
fn two_siblings(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.inject(&cut(&[1], secs(2)));
    world.put_surely(h(1), 1, "one", None)?;
    world.put_surely(h(2), 1, "two", None)?;
    world.run_for(secs(8))
}

fn a_client_that_saw_one_of_two(world: &mut World) -> Result<(), Violation> {
    two_siblings(world)?;
    let (shown, token) = world.read(h(1), 1, false)?;
    if shown != 1 {
        return world.stuck("a plain read shows one value");
    }
    if let Some(token) = token {
        world.put_surely(h(1), 1, "three", Some(&token))?;
    }
    let (siblings, _) = world.read(h(2), 1, true)?;
    if siblings == 2 { Ok(()) } else { world.stuck("there are not two siblings") }
}

fn more_siblings_than_any_client_may_make(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "base", None)?;
    world.run_for(secs(2))?;
    let tokens = [world.read(h(1), 1, true)?.1, world.read(h(2), 1, true)?.1];
    world.inject(&cut(&[1], secs(6)));
    for (host, token) in [h(1), h(2)].into_iter().zip(&tokens) {
        for number in 0..40 {
            world.put_surely(host, 1, &format!("{host} {number}"), token.as_ref())?;
        }
    }
    world.run_for(secs(8))
}

fn by_sketch_alone(setting: &mut Setting) {
    setting.core.fanout = 0;
    setting.core.sessions.prefer = Prefer::Sketch;
}

fn a_difference_that_the_sketch_cannot_see(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    for number in 10..50 {
        world.put_surely(h(1), number, "the same on both", None)?;
    }
    world.run_for(secs(10))?;
    world.inject(&cut(&[1], secs(1)));
    let (one, two) = (values(world, h(1)), values(world, h(2)));
    let pair = one.iter().find_map(|(shown, value)| Some((*value, *two.get(shown)?)));
    let Some((one, two)) = pair else { return world.stuck("no two values have one digest in the field") };
    // Nothing has happened since: the dots are those that were reckoned with.
    for (host, value) in [(h(1), one), (h(2), two)] {
        if let Answer::Refused(why) = world.put(host, &key(1), value.to_string().into(), None) {
            return world.stuck(&why);
        }
    }
    world.run_for(secs(20))
}

/// What the sketch shows of each of many values, were it the next write at this host.
fn values(world: &World, host: HostId) -> BTreeMap<u32, u32> {
    /// 2^24 - 3: the field of small stores' sketches.
    const PRIME: u128 = (1 << 24) - 3;
    let Some(host) = world.hosts.get(&host) else { return BTreeMap::new() };
    let Some(member) = host.member() else { return BTreeMap::new() };
    let Some(hlc) = member.clock.next(host.wall.ms(world.now())) else { return BTreeMap::new() };
    let dot = Dot { hlc, writer: member.life };
    let watermark = member.status.as_ref().map_or(Hlc::ZERO, |status| status.forgetting.watermark);
    let shown = |number: u32| {
        let new = NewValue { value: number.to_string().into(), content_type: None, expiry: Expiry::NEVER };
        let entry = coordinator::put(Entry::default(), None, dot, new, watermark, &world.limits).ok()?;
        let digest = entry.digest(&key(1), &member.digest_key);
        Some(((u128::from(digest as u64) * (PRIME - 1)) >> 64) as u32)
    };
    (0..20_000).filter_map(|number| Some((shown(number)?, number))).collect()
}

fn a_clock_a_year_fast(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&Fault::Jump { host: h(1), by_ms: 365 * 86_400_000 });
    world.put_surely(h(1), 1, "from the future", None)?;
    world.put_surely(h(2), 2, "from now", None)?;
    world.run_for(secs(5))
}

fn a_delete_before_the_value(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.inject(&cut(&[1], secs(3)));
    world.put_surely(h(1), 1, "value", None)?;
    let (_, token) = world.read(h(1), 1, false)?;
    let Some(token) = token else { return world.stuck("a read of one value gives no token") };
    if let Answer::Refused(why) = world.delete(h(2), &key(1), Some(&token)) {
        return world.stuck(&why);
    }
    world.run_for(secs(10))?;
    let (left, _) = world.read(h(1), 1, true)?;
    if left == 0 { Ok(()) } else { world.stuck("the value was not deleted") }
}
