//! Hazards of who belongs, and of who may answer.

use std::time::Duration;

use gossip::rules::Rule;

use super::{Scenario, as_it_is, h, secs};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::fault::Fault;
use crate::host::{HostId, HostSettings};
use crate::world::{World, seed_name};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H15,
        story: "Two members are cut apart, and on each side a new node asks to come in under the other's name. Were each to \
                remove the other, the merged roster would hold neither.",
        setting: as_it_is,
        play: two_that_would_remove_each_other,
    },
    Scenario {
        rule: Rule::H16,
        story: "Two nodes that may found are started apart from each other and found two clusters. When they meet, both \
                with data, they stay two.",
        setting: as_it_is,
        play: two_foundings,
    },
    Scenario {
        rule: Rule::H22,
        story: "A node joins a cluster with data, and clients ask it at once: it must not say that there is nothing.",
        setting: as_it_is,
        play: a_joiner_that_is_asked_at_once,
    },
    Scenario {
        rule: Rule::H23,
        story: "A member is wiped and comes back under its name with a new id: were it let in beside its former self, that \
                one would stay in the roster for ever.",
        setting: as_it_is,
        play: a_wiped_member_comes_back,
    },
    Scenario {
        rule: Rule::H34,
        story: "A member is cut off from one other, and beside that one a second machine with the member's name asks to \
                come in. One alone must not let it take the member's place.",
        setting: as_it_is,
        play: a_second_machine_with_a_members_name,
    },
];

fn two_that_would_remove_each_other(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.join(h(3), "n2", &[h(1)], false);
    world.join(h(4), "n1", &[h(2)], false);
    world.inject(&Fault::Cut { group: vec![h(1), h(3)], one_way: false, time: secs(20) });
    world.run_for(secs(15))?;
    world.put_surely(h(1), 1, "one", None)?;
    world.put_surely(h(2), 1, "two", None)?;
    world.run_for(secs(15))
}

fn two_foundings(world: &mut World) -> Result<(), Violation> {
    for (id, other) in [(1, 2), (2, 1)] {
        let settings =
            HostSettings { name: format!("n{id}"), seeds: vec![seed_name(h(other))], may_found: true };
        world.add_host(h(id), settings);
    }
    world.inject(&Fault::Cut { group: vec![h(1)], one_way: false, time: secs(12) });
    world.start(h(1));
    world.start(h(2));
    let both: [HostId; 2] = [h(1), h(2)];
    world.until_serving(&both)?;
    world.put_surely(h(1), 1, "one", None)?;
    world.put_surely(h(2), 1, "two", None)?;
    world.run_for(secs(20))?;
    // Alone each had long forgotten all that the other had: one of the two values would lie in a quarantine file.
    for (id, value) in both.iter().zip(["one", "two"]) {
        let answer = world.get(*id, &key(1), true);
        if !matches!(&answer, Answer::Read(values, _) if *values == [value]) {
            let why = format!("{id} answers {answer:?}, where its own cluster holds {value}");
            world.judge("knowing", Err(why));
        }
    }
    world.check_all()
}

fn a_joiner_that_is_asked_at_once(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    for number in 0..30 {
        world.put_surely(h(1), number, "value", None)?;
    }
    world.run_for(secs(3))?;
    world.join(h(3), "n3", &[h(1)], false);
    for _ in 0..40_000 {
        world.run_for(Duration::from_micros(50))?;
        // Refused, or answered rightly: the checkers look.
        let _ = world.get(h(3), &key(7), false);
        if world.refuses(h(3), true).is_none() {
            return world.run_for(secs(2));
        }
    }
    world.stuck("the joiner never serves")
}

fn a_wiped_member_comes_back(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(3), 1, "value", None)?;
    world.run_for(secs(2))?;
    world.inject(&Fault::Wipe { host: h(3), off: secs(1) });
    world.run_for(secs(2))?;
    world.until_serving(&[h(1), h(2), h(3)])
}

fn a_second_machine_with_a_members_name(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.join(h(4), "n3", &[h(1)], false);
    world.inject(&Fault::Cut { group: vec![h(1), h(4)], one_way: false, time: secs(20) });
    world.run_for(secs(15))?;
    world.put_surely(h(3), 1, "value", None)?;
    world.run_for(secs(10))
}
