//! What goes to a quarantine file at a member was replaced, deleted or has expired, or was taken by a node that was removed,
//! or is excused by a fault: nobody who belongs loses a write to that file. What a removed member alone had goes there as it
//! must.

use model::{Dot, Entry, Key, Sibling};

use crate::host::HostId;
use crate::ledger::Written;
use crate::world::World;

impl World {
    /// Looks at what leaves a host's store for its file.
    pub(crate) fn check_quarantined(&mut self, host: HostId, entries: &[(Key, Entry)]) {
        let dots = || entries.iter().flat_map(|(_, gone)| gone.siblings()).map(Sibling::dot);
        let wrongly = dots().find_map(|dot| {
            let written = self.ledger.dots.get(&dot)?;
            (!self.may_be_quarantined(host, dot, written)).then(|| {
                format!("{dot} of {}, written at {}, goes to quarantine at {host}", written.key, written.host)
            })
        });
        for dot in dots() {
            if let Some(written) = self.ledger.dots.get_mut(&dot) {
                written.quarantined = true;
            }
        }
        self.judge("quarantined", wrongly.map_or(Ok(()), Err));
    }

    fn may_be_quarantined(&self, host: HostId, dot: Dot, written: &Written) -> bool {
        let Some(member) = self.hosts.get(&host).and_then(|host| host.member()) else { return true };
        let is_removed = |node| self.ledger.removed.contains(&node);
        let is_there =
            |dot, later: &Written| (later.acknowledged || !later.lost) && !self.only_removed_hold(dot);
        // All knew what had replaced it, and nobody needs that any more: who has it still, or had it last, does not matter.
        let is_forgotten = || self.ledger.is_forgotten(dot, self.watermark_of(written.cluster), &|_| false);
        !written.acknowledged
            || written.is_excused()
            || written.may_return
            || self.ledger.is_replaced(written, &is_there)
            || self.ledger.is_expired(written)
            || is_forgotten()
            || is_removed(member.node)
            || ((is_removed(written.node) || written.hurt) && !self.is_with_another(host, dot, written))
    }

    /// Whether another member holds a value, and serves it.
    fn is_with_another(&self, but: HostId, dot: Dot, written: &Written) -> bool {
        let others = self.hosts.iter().filter(|(id, _)| **id != but).filter_map(|(_, host)| host.member());
        let mut members = others
            .filter(|member| !self.ledger.removed.contains(&member.node) && member.core.meta().caught_up);
        members.any(|member| {
            let held = member.seen.entries.get(&written.key).filter(|_| member.cluster == written.cluster);
            held.is_some_and(|entry| entry.sibling(dot).is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::key;
    use crate::fault::Fault;
    use crate::world::Setting;

    fn world_with_a_value() -> (World, Entry) {
        let mut world = World::new(&Setting::default());
        world.form(3).unwrap();
        world.run_for(Duration::from_secs(8)).unwrap();
        world.put(HostId(1), &key(1), "value".into(), None);
        world.run_for(Duration::from_secs(2)).unwrap();
        let held = world.hosts.get(&HostId(2)).and_then(|host| host.member()).unwrap().store.get(&key(1));
        (world, held.unwrap().unwrap())
    }

    #[test]
    fn a_write_that_nothing_replaced_must_not_go_to_quarantine_at_a_member() {
        let (mut world, held) = world_with_a_value();
        world.check_quarantined(HostId(2), &[(key(1), held)]);
        assert!(world.broken.is_some_and(|found| found.check == "quarantined"));
    }

    #[test]
    fn what_was_replaced_or_is_with_a_removed_member_may() {
        let (mut world, held) = world_with_a_value();
        world.put(HostId(1), &key(1), "later".into(), None);
        world.check_quarantined(HostId(2), &[(key(1), held)]);
        let (mut other, held) = world_with_a_value();
        other.inject(&Fault::Crash {
            host: HostId(2),
            kept: crate::disk::Kept::Nothing,
            power: false,
            off: Duration::from_secs(60),
            moves: false,
        });
        other.run_for(Duration::from_secs(10)).unwrap();
        other.inject(&Fault::Evict { host: HostId(1), target: HostId(2), force: false });
        other.run_for(Duration::from_secs(2)).unwrap();
        assert!(!other.ledger.removed.is_empty(), "nobody was removed");
        other.check_quarantined(HostId(2), &[(key(1), held)]);
        assert_eq!((world.broken, other.broken), (None, None));
    }
}
