//! What is not promised, shown: docs/guarantees.md names these.

use std::time::Duration;

use gossip::core::Serving;
use model::Hlc;

use super::{h, secs};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::fault::Fault;
use crate::world::{Setting, World};

impl World {
    /// The third, which cannot be reached for so long, has a write of that time alone.
    pub(super) fn two_put_back_to_before_the_third(&mut self, away: Duration) -> Result<Hlc, Violation> {
        self.cluster(2)?;
        self.run_for(secs(12))?;
        self.inject(&Fault::BackUp { host: h(1) });
        self.inject(&Fault::BackUp { host: h(2) });
        self.join(h(3), "n3", &[h(1)], false);
        self.until_serving(&[h(3)])?;
        self.put_surely(h(3), 1, "forgotten by two", None)?;
        let written = self.newest(h(3), 1);
        self.run_for(secs(2))?;
        self.inject(&Fault::Pause { host: h(3), time: away });
        for host in [h(1), h(2)] {
            self.inject(&Fault::Restore { host, off: Duration::from_millis(100) });
        }
        Ok(written)
    }
}

/// After a minute in which none of those that they have forgotten called, they take themselves for the cluster.
#[test]
fn several_put_back_to_before_others_were_added_forget_those_that_do_not_call_within_a_minute() {
    let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
    let written = world.two_put_back_to_before_the_third(secs(150)).unwrap();
    world.run_for(secs(140)).unwrap();
    assert!(world.watermark(h(1)) >= written, "they do not go on without it");
    world.run_for(secs(60)).unwrap();
    // It was added under their watermark. It had been proven identical with them before, and counts on them to have it.
    let third = world.hosts.get(&h(3)).and_then(|host| host.member()).unwrap();
    assert_eq!(third.status.as_ref().map(|status| status.serving.clone()), Some(Serving::Removed));
    assert_eq!(
        (world.newest(h(3), 1), world.newest(h(1), 1)),
        (written, Hlc::ZERO),
        "it is on its disk, and nowhere else"
    );
}

/// What it takes lies under the others' watermark: they hold it for long replaced.
#[test]
fn a_restored_node_whose_clock_is_behind_takes_writes_that_are_lost() {
    let mut world = World::new(&Setting { seed: 1, ..Setting::default() });
    world.cluster(3).unwrap();
    world.run_for(secs(20)).unwrap();
    world.inject(&Fault::BackUp { host: h(3) });
    world.run_for(secs(40)).unwrap();
    world.inject(&Fault::Cut { group: vec![h(3)], one_way: false, time: secs(20) });
    world.inject(&Fault::Jump { host: h(3), by_ms: -3_600_000 });
    world.inject(&Fault::Restore { host: h(3), off: Duration::from_millis(100) });
    world.run_for(secs(5)).unwrap();
    assert!(matches!(world.put(h(3), &key(1), "too late".into(), None), Answer::Written(Some(_))));
    world.run_for(secs(40)).unwrap();
    assert_eq!((world.count().lost, world.newest(h(1), 1)), (1, Hlc::ZERO));
    world.check_all().unwrap();
}
