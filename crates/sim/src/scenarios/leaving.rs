//! Hazards of members that leave, and of members that are removed.

use std::time::Duration;

use gossip::core::Serving;
use gossip::meta::Meta;
use gossip::rules::Rule;
use model::Hlc;

use super::{Scenario, h, secs, without_rumors};
use crate::checks::Violation;
use crate::client::{Answer, Token, key};
use crate::disk::Kept;
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::{Setting, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H13,
        story: "One of three, whose clock is slow, deletes a value, and only the second hears of it; the third is cut off. The \
                first is removed. By what the two that are left hold of each other the watermark would pass the delete at \
                once: the second forgets it, and the third's value comes back.",
        setting: forgetting_soon,
        play: a_delete_of_a_member_that_was_removed,
    },
    Scenario {
        rule: Rule::H14,
        story: "A node that is cut off takes a write, and is told to leave. Were it to go at once, nobody would have the \
                write.",
        setting: without_rumors,
        play: a_node_that_leaves_with_a_write,
    },
    Scenario {
        rule: Rule::H32,
        story: "A member that is cut off lets a node in. The others remove that member, and their watermark passes the time of \
                the addition. What the new node wrote meanwhile lies under their floors: it cannot be one of them.",
        setting: forgetting,
        play: a_node_let_in_too_late,
    },
    Scenario {
        rule: Rule::H33,
        story: "A member that is cut off from the two others lets two nodes in, and with them it is three of five: they remove \
                the two, as those two remove it. The merged roster would hold none of the three.",
        setting: forgetting,
        play: a_majority_of_newcomers,
    },
    Scenario {
        rule: Rule::H38,
        story: "Two nodes are told to leave at once, each with a write that the third cannot be told yet. Were they to hand \
                over to each other, both would go, and the writes with them.",
        setting: without_rumors,
        play: two_that_leave_at_once,
    },
    Scenario {
        rule: Rule::H40,
        story: "A member that is cut off takes a write. The others remove it, and forget what everyone knows, them. A client \
                reads at one of them and writes at the removed one, which has not heard of that: what it alone took lies under \
                the floor of the client's token, and the client has never seen it.",
        setting: forgetting,
        play: a_token_of_those_that_removed_it,
    },
];

fn forgetting(setting: &mut Setting) {
    without_rumors(setting);
    setting.core.forgets_deletes = true;
}

fn forgetting_soon(setting: &mut Setting) {
    forgetting(setting);
    setting.core.grace = secs(1);
}

fn cut(group: &[u16], time: Duration) -> Fault {
    Fault::Cut { group: group.iter().copied().map(HostId).collect(), one_way: false, time }
}

impl World {
    fn meta(&self, host: HostId) -> Result<Meta, Violation> {
        let member = self.hosts.get(&host).and_then(|h| h.member());
        member.map_or_else(|| self.stuck("no member runs there"), |member| Ok(member.core.meta().clone()))
    }

    /// Their additions lie under the watermark of each: only then may most of them remove the others.
    fn all_known(&mut self, hosts: &[HostId]) -> Result<(), Violation> {
        let known = |world: &Self, host: &HostId| {
            let meta = world.meta(*host).ok();
            let knows = |meta: Meta| {
                let mut adds = meta.roster.members().filter_map(|id| meta.roster.added(id));
                adds.all(|add| add.at <= meta.stability.watermark)
            };
            meta.is_some_and(knows)
        };
        if self.until(secs(90), |world| hosts.iter().all(|host| known(world, host)))? {
            return Ok(());
        }
        self.stuck("the watermark does not pass the additions")
    }

    fn has_gone(&self, host: HostId) -> bool {
        self.hosts.get(&host).is_some_and(|host| host.given_up.is_some())
    }

    /// The roster of a host, as it is, does not name the node of another.
    fn has_removed(&self, host: HostId, other: HostId) -> bool {
        let node = self.hosts.get(&other).and_then(|h| h.record()).map(|record| record.node);
        let meta = self.meta(host).ok();
        meta.zip(node).is_some_and(|(meta, node)| meta.roster.removal(node).is_some())
    }
}

fn a_delete_of_a_member_that_was_removed(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(25))?;
    // Its times stand still for a minute; those of the others go on.
    world.inject(&Fault::Jump { host: h(3), by_ms: -60_000 });
    world.run_for(secs(25))?;
    world.inject(&cut(&[1], secs(20)));
    world.run_for(secs(8))?;
    let deleted = match world.delete(h(3), &key(1), None) {
        Answer::Written(Some(dot)) => dot,
        other => return world.stuck(&format!("the delete is not taken: {other:?}")),
    };
    world.run_for(secs(6))?;
    if world.read(h(2), 1, true)?.0 > 0 {
        return world.stuck("the second has not heard of the delete");
    }
    world.inject(&Fault::Crash {
        host: h(3),
        kept: Kept::Prefix(1_000),
        power: true,
        off: secs(300),
        moves: false,
    });
    world.inject(&Fault::Evict { host: h(2), target: h(3), force: true });
    // The first learns of that, and publishes; then nothing passes before they have exchanged what they hold.
    world.inject(&Fault::Slow { one: h(1), other: h(2), times: 400, time: secs(60) });
    let passed = |world: &World| {
        world
            .meta(h(2))
            .is_ok_and(|meta: Meta| meta.stability.watermark >= deleted.hlc && deleted.hlc > Hlc::ZERO)
    };
    if world.until(secs(30), passed)? {
        world.inject(&cut(&[1], secs(60)));
        world.run_for(secs(60))?;
    }
    world.run_for(secs(30))?;
    for host in [h(1), h(2)] {
        if world.read(host, 1, true)?.0 > 0 {
            world.judge(
                "quiet",
                Err(format!("a value that was deleted, and that {} knew of, is at {host}", h(2))),
            );
        }
    }
    world.check_all()
}

fn a_node_that_leaves_with_a_write(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&cut(&[1], secs(8)));
    world.put_surely(h(1), 1, "value", None)?;
    world.inject(&Fault::Leave { host: h(1), force: false });
    if world.until(secs(60), |world| world.has_gone(h(1)))? {
        return world.check_all();
    }
    world.stuck("it does not leave")
}

fn a_node_let_in_too_late(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.all_known(&[h(1), h(2), h(3)])?;
    world.inject(&cut(&[1, 4], secs(90)));
    world.join(h(4), "n4", &[h(1)], false);
    world.until_serving(&[h(4)])?;
    world.put_surely(h(4), 1, "under their floors", None)?;
    world.run_for(secs(10))?;
    world.inject(&Fault::Evict { host: h(2), target: h(1), force: false });
    if !world.until(secs(7), |world| world.has_removed(h(2), h(1)))? {
        return world.stuck("two of three do not remove the third");
    }
    let added = world.meta(h(4))?;
    let added = added.roster.added(added.node).map_or(Hlc::MAX, |add| add.at);
    let passed = |world: &World| {
        world.meta(h(2)).is_ok_and(|meta| meta.stability.watermark >= added.next().unwrap_or(added))
    };
    if !world.until(secs(60), passed)? {
        return world.stuck("the watermark does not pass the addition");
    }
    world.run_for(secs(10))?;
    let node = world.meta(h(4))?.node;
    let heard = |world: &World| world.meta(h(2)).is_ok_and(|meta| meta.roster.added(node).is_some());
    if !world.until(secs(120), heard)? {
        return world.stuck("the others do not hear of the addition");
    }
    world.put_surely(h(2), 1, "over their floors", None)?;
    world.run_for(secs(30))
}

fn a_majority_of_newcomers(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.all_known(&[h(1), h(2), h(3)])?;
    world.inject(&cut(&[1, 4, 5], secs(40)));
    for id in [4, 5] {
        world.join(h(id), &format!("n{id}"), &[h(1)], false);
    }
    world.until_serving(&[h(4), h(5)])?;
    world.run_for(secs(8))?;
    for (host, target) in [(1, 2), (1, 3), (2, 1)] {
        world.inject(&Fault::Evict { host: h(host), target: h(target), force: false });
        world.run_for(secs(1))?;
    }
    if !world.until(secs(8), |world| world.has_removed(h(2), h(1)))? {
        return world.stuck("two of three do not remove the third");
    }
    world.run_for(secs(60))?;
    let serves = |id: u16| {
        let member = world.hosts.get(&h(id)).and_then(|host| host.member());
        member.is_some_and(|member| member.status.as_ref().is_some_and(|s| s.serving == Serving::Yes))
    };
    if serves(2) && serves(3) { Ok(()) } else { world.stuck("the two do not go on") }
}

fn two_that_leave_at_once(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.inject(&cut(&[3], secs(12)));
    for host in [h(1), h(2)] {
        world.put_surely(host, host.0, "value", None)?;
    }
    for host in [h(1), h(2)] {
        world.inject(&Fault::Leave { host, force: false });
    }
    if world.until(secs(60), |world| world.has_gone(h(1)) && world.has_gone(h(2)))? {
        return world.check_all();
    }
    world.stuck("they do not leave")
}

fn a_token_of_those_that_removed_it(world: &mut World) -> Result<(), Violation> {
    let token = world.token_over_what_only_the_second_took()?;
    world.put_surely(h(2), 1, "over what was shown", Some(&token))?;
    world.run_for(secs(30))
}

impl World {
    /// The second is cut off, and removed without hearing of it. What it took lies under the others' floor.
    fn token_over_what_only_the_second_took(&mut self) -> Result<Token, Violation> {
        self.cluster(3)?;
        self.put_surely(h(1), 1, "known to all", None)?;
        self.all_known(&[h(1), h(2), h(3)])?;
        self.inject(&cut(&[2], secs(90)));
        let taken = match self.put(h(2), &key(1), "known to one".into(), None) {
            Answer::Written(Some(dot)) => dot.hlc,
            other => return self.stuck(&format!("the write is not taken: {other:?}")),
        };
        self.run_for(secs(10))?;
        self.inject(&Fault::Evict { host: h(1), target: h(2), force: false });
        if !self.until(secs(7), |world| world.has_removed(h(1), h(2)))? {
            return self.stuck("two of three do not remove the third");
        }
        let passed = |world: &World| world.meta(h(1)).is_ok_and(|meta| meta.stability.watermark > taken);
        if !self.until(secs(60), passed)? {
            return self.stuck("the watermark does not pass the write");
        }
        self.put_surely(h(1), 1, "known to two", None)?;
        self.run_for(secs(1))?;
        let (_, token) = self.read(h(1), 1, true)?;
        token.map_or_else(|| self.stuck("a read of one value gives no token"), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostSettings;
    use crate::world::seed_name;

    /// Its own watermark says nothing of the others' members, once it has removed those by force.
    #[test]
    fn a_token_of_those_that_it_has_removed_by_force_counts_for_what_was_shown() {
        let mut setting = Setting { seed: 1, ..Setting::default() };
        forgetting(&mut setting);
        let mut world = World::new(&setting);
        let mut play = || {
            let token = world.token_over_what_only_the_second_took()?;
            for target in [h(1), h(3)] {
                world.inject(&Fault::Evict { host: h(2), target, force: true });
            }
            world.run_for(secs(10))?;
            world.put_surely(h(2), 1, "over what was shown", Some(&token))?;
            assert_eq!(world.read(h(2), 1, true)?.0, 2, "what was not shown stays");
            Ok::<_, Violation>(())
        };
        assert_eq!(play(), Ok(()));
    }

    /// Seed 700049931: a node was let in, and its disk was full. Who had let it in is told to leave, and lets nobody in: but that
    /// one belongs, and nobody else can take what there is.
    #[test]
    fn one_that_was_let_in_and_could_not_note_it_is_let_in_by_one_that_leaves() {
        let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
        let mut play = || {
            world.cluster(1)?;
            world.put_surely(h(1), 1, "one", None)?;
            world.add_host(
                h(2),
                HostSettings { name: "n2".into(), seeds: vec![seed_name(h(1))], may_found: false },
            );
            world.inject(&Fault::DiskFull { host: h(2), time: secs(30) });
            world.start(h(2));
            let knows_two = |world: &World| world.meta(h(1)).is_ok_and(|meta| meta.roster.len() == 2);
            world.wait_until("the second is let in", knows_two)?;
            world.run_for(secs(1))?;
            assert!(world.hosts.get(&h(2)).is_some_and(crate::host::Host::is_down), "its disk was not full");
            world.inject(&Fault::Leave { host: h(1), force: false });
            world.run_for(secs(60))?;
            world.start(h(2));
            world.wait_until("the first has gone", |world| world.has_gone(h(1)))?;
            assert!(world.holds(h(2), &key(1)), "it was handed over");
            Ok::<_, Violation>(())
        };
        assert_eq!(play(), Ok(()));
    }

    /// Found by breaking: each of two members was told to leave before it heard that the other leaves, too. Neither has
    /// anybody to hand over to, until a node comes: one of them must let it in.
    #[test]
    fn where_all_leave_at_one_time_a_node_that_comes_is_let_in() {
        let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
        let mut play = || {
            world.cluster(2)?;
            world.put_surely(h(1), 1, "one", None)?;
            for host in [h(1), h(2)] {
                world.inject(&Fault::Leave { host, force: false });
            }
            world.run_for(secs(5))?;
            world.join(h(3), "n3", &[h(1), h(2)], false);
            world.until_serving(&[h(3)])?;
            world.wait_until("the others leave", |world| {
                [h(1), h(2)].iter().all(|id| world.hosts.get(id).is_some_and(|host| host.given_up.is_some()))
            })?;
            assert!(world.holds(h(3), &key(1)), "it was handed over");
            Ok::<_, Violation>(())
        };
        assert_eq!(play(), Ok(()));
    }
}
