//! Hazards of summary vectors and of the watermark: of what members say of each other.

use std::time::Duration;

use gossip::core::Event;
use gossip::rules::Rule;

use super::{Scenario, as_it_is, h, secs, told_when_to_meet};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::disk::Kept;
use crate::fault::Fault;
use crate::host::{HostId, HostSettings};
use crate::world::{World, seed_name};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H10,
        story: "A session brings a delete to a node whose disk is slow: roots are equal, and nothing is durable yet. Did the \
                node say now that it holds what the other held, and lost power, the others would forget the delete while \
                the value is still on its disk.",
        setting: told_when_to_meet,
        play: a_slow_disk,
    },
    Scenario {
        rule: Rule::H11,
        story: "A node joins whose clock is an hour slow, and writes. Did its times not lie above the watermark, the others \
                would take what it writes for something that was replaced long ago.",
        setting: as_it_is,
        play: a_joiner_with_a_slow_clock,
    },
    Scenario {
        rule: Rule::H12,
        story: "Two members that are cut apart each let a node in. Were a roster's version the number of its changes, both \
                would hold the same one for different members, and each count on publications that leave one out.",
        setting: as_it_is,
        play: two_additions_at_once,
    },
    Scenario {
        rule: Rule::H25,
        story: "A node is put back to a backup from before one of its writes, which the others have, and which lies under \
                the watermark. The clocks of the others are fast, its own stands at now: by its vector nothing is missing. \
                A write there folds the watermark over what it does not hold.",
        setting: told_when_to_meet,
        play: a_restored_node_that_does_not_look_behind,
    },
    Scenario {
        rule: Rule::H26,
        story: "A write is on two disks of three, and one of the two is put back to a backup from before. That node meets \
                the third, then the second. All vectors are complete, and the third has never seen the write: the second's \
                clock is fast, so that what it held long ago looks late.",
        setting: told_when_to_meet,
        play: a_restored_node_lifts_a_vector,
    },
];

fn a_slow_disk(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.all_meet(&[h(1), h(2)])?;
    if let Answer::Refused(why) = world.delete(h(1), &key(1), None) {
        return world.stuck(&why);
    }
    world.next_step(secs(8))?;
    world.inject(&Fault::SlowDisk { host: h(2), times: 200_000, time: secs(30) });
    let Some(peer) = world.hosts.get(&h(2)).and_then(|h| h.member()).map(|member| member.node) else {
        return world.stuck("no member runs there");
    };
    world.tell(h(1), Event::RepairWanted { peer });
    world.run_for(secs(6))?;
    world.inject(&Fault::Crash { host: h(2), kept: Kept::Nothing, power: true, off: secs(1), moves: false });
    world.run_for(secs(3))?;
    world.meet_by_themselves()
}

fn a_joiner_with_a_slow_clock(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(25))?;
    let seeds = vec![seed_name(h(1))];
    world.add_host(h(3), HostSettings { name: "n3".to_owned(), seeds, may_found: false });
    world.inject(&Fault::Jump { host: h(3), by_ms: -3_600_000 });
    world.start(h(3));
    world.until_serving(&[h(3)])?;
    world.put_surely(h(3), 2, "from an hour ago", None)?;
    world.run_for(secs(5))
}

fn two_additions_at_once(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(15))?;
    for (id, seed) in [(3, 1), (4, 2)] {
        let seeds = vec![seed_name(h(seed))];
        world.add_host(h(id), HostSettings { name: format!("n{id}"), seeds, may_found: false });
    }
    world.inject(&Fault::Cut { group: vec![h(1), h(3)], one_way: false, time: secs(8) });
    world.start(h(3));
    world.start(h(4));
    world.until_serving(&[h(3), h(4)])?;
    if let Answer::Refused(why) = world.delete(h(3), &key(1), None) {
        return world.stuck(&why);
    }
    world.run_for(secs(40))
}

/// A backup is taken of a host, and then the host writes; the others have it, the backup has not.
fn a_write_behind_the_backup(world: &mut World, host: HostId) -> Result<(), Violation> {
    world.inject(&Fault::BackUp { host });
    world.run_for(secs(1))?;
    world.put_surely(host, 1, "behind the backup", None)
}

fn a_restored_node_that_does_not_look_behind(world: &mut World) -> Result<(), Violation> {
    let all = [h(1), h(2), h(3)];
    world.cluster(3)?;
    for host in [h(1), h(3)] {
        world.inject(&Fault::Jump { host, by_ms: 120_000 });
    }
    world.next_step(secs(1))?;
    world.all_meet(&all)?;
    a_write_behind_the_backup(world, h(2))?;
    let written = world.newest(h(2), 1);
    world.all_meet(&all)?;
    world.next_step(secs(1))?;
    world.all_meet(&all)?;
    if world.watermark(h(1)) < written {
        return world.stuck("the watermark does not pass the write");
    }
    world.inject(&Fault::Restore { host: h(2), off: Duration::from_millis(100) });
    let Some(peer) = world.hosts.get(&h(1)).and_then(|h| h.member()).map(|member| member.node) else {
        return world.stuck("no member runs there");
    };
    world.run_for(Duration::from_millis(150))?;
    world.tell(h(2), Event::RepairWanted { peer });
    // It serves as soon as it may: at once, or once it has been filled.
    let offered = |world: &World| world.watermark(h(2)) >= written && world.refuses(h(2), true).is_none();
    if !world.until(secs(5), offered)? {
        return world.stuck("the restored node does not serve");
    }
    world.put_surely(h(2), 1, "after", None)?;
    world.run_for(secs(1))?;
    world.meet_by_themselves()
}

fn a_restored_node_lifts_a_vector(world: &mut World) -> Result<(), Violation> {
    let all = [h(1), h(2), h(3)];
    world.cluster(3)?;
    world.inject(&Fault::Jump { host: h(2), by_ms: 120_000 });
    world.next_step(secs(1))?;
    world.all_meet(&all)?;
    a_write_behind_the_backup(world, h(3))?;
    let written = world.newest(h(3), 1);
    world.meet(h(3), h(2))?;
    world.inject(&Fault::Restore { host: h(3), off: Duration::from_millis(100) });
    world.run_for(secs(2))?;
    world.next_step(secs(1))?;
    // The first that it meets lacks the write, and proves it; the second gives it back.
    world.meet(h(3), h(1))?;
    world.meet(h(3), h(1))?;
    world.meet(h(3), h(2))?;
    world.meet(h(3), h(2))?;
    let Some(peer) = world.hosts.get(&h(3)).and_then(|h| h.member()).map(|member| member.node) else {
        return world.stuck("no member runs there");
    };
    world.tell(h(1), Event::RepairWanted { peer });
    // As soon as the watermark has passed the write, or the write has come.
    let may = |world: &World| world.watermark(h(1)) >= written || world.newest(h(1), 1) >= written;
    world.until(secs(5), may)?;
    world.put_surely(h(1), 1, "after", None)?;
    world.run_for(secs(1))?;
    world.meet_by_themselves()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Setting;

    /// Found by reading: a node whose clock was fast is put back to a backup, and its clock is right. What the others held
    /// of its times then vouches for nothing that it writes when they come again: else the watermark would pass a write
    /// that nobody else has, as soon as the node has published.
    #[test]
    fn times_that_come_again_are_not_held_yet() {
        let mut setting = Setting { seed: 1, ..Setting::default() };
        told_when_to_meet(&mut setting);
        let mut world = World::new(&setting);
        let all = [h(1), h(2), h(3)];
        let mut play = || {
            world.cluster(3)?;
            world.inject(&Fault::BackUp { host: h(2) });
            for (host, by_ms) in [(h(1), 60_000), (h(3), 60_000), (h(2), 120_000)] {
                world.inject(&Fault::Jump { host, by_ms });
            }
            world.next_step(secs(1))?;
            world.all_meet(&all)?;
            world.inject(&Fault::Jump { host: h(2), by_ms: -120_000 });
            world.inject(&Fault::Restore { host: h(2), off: Duration::from_millis(100) });
            world.until_serving(&[h(2)])?;
            for _ in 0..2 {
                world.next_step(secs(1))?;
                world.all_meet(&all)?;
            }
            world.put_surely(h(2), 1, "under its old times", None)?;
            let written = world.newest(h(2), 1);
            // Everyone has published since, and h2 knows of it but for what itself says.
            world.next_step(secs(1))?;
            world.next_step(secs(1))?;
            assert!(world.watermark(h(2)) < written, "nobody else has the write");
            world.meet(h(2), h(1))?;
            world.meet_by_themselves()
        };
        assert_eq!(play(), Ok(()));
    }

    /// Two are put back to before the third was added, which cannot be reached for some seconds. To each other they are all
    /// there is; that they prove each other must wait.
    #[test]
    fn who_is_put_back_with_all_it_knows_waits_for_those_it_does_not_know() {
        let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
        let mut play = || {
            let written = world.two_put_back_to_before_the_third(secs(40))?;
            world.run_for(secs(38))?;
            assert!(world.watermark(h(1)) < written && world.watermark(h(2)) < written, "h3 alone has it");
            world.run_for(secs(40))?;
            assert_eq!((world.newest(h(1), 1), world.newest(h(2), 1)), (written, written), "h3 is back");
            Ok::<_, Violation>(())
        };
        assert_eq!(play(), Ok(()));
    }

    /// Seed 10037219: a founder is put back to a backup from when it was alone, and lets a node in before it meets those
    /// that it has forgotten. Neither knows what these hold: no watermark may rise by what the two tell each other.
    #[test]
    fn who_was_let_in_by_a_restored_founder_proves_nothing() {
        let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
        let mut play = || {
            world.cluster(1)?;
            world.run_for(secs(12))?;
            world.inject(&Fault::BackUp { host: h(1) });
            world.put_surely(h(1), 1, "forgotten", None)?;
            let written = world.newest(h(1), 1);
            world.join(h(2), "n2", &[h(1)], false);
            world.until_serving(&[h(2)])?;
            world.run_for(secs(2))?;
            world.inject(&Fault::Pause { host: h(2), time: secs(60) });
            world.inject(&Fault::Restore { host: h(1), off: Duration::from_millis(100) });
            world.join(h(3), "n3", &[h(1)], false);
            world.until_serving(&[h(1), h(3)])?;
            world.run_for(secs(30))?;
            assert!(world.watermark(h(1)) < written && world.watermark(h(3)) < written, "h2 alone has it");
            world.run_for(secs(40))?;
            assert_eq!(world.newest(h(3), 1), written, "h2 is back");
            Ok::<_, Violation>(())
        };
        assert_eq!(play(), Ok(()));
    }
}
