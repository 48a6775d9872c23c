//! A cluster that was formed before: its members start together, each with the record of all. Joining one by one would
//! take a thousand nodes a million messages, and is not what is looked at here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gossip::meta::Meta;
use gossip::roster::{Add, Roster, RosterError};
use model::{ClusterId, DigestKey, Hlc, NodeId};
use rand::RngExt;
use storage::MemoryEngine;

use crate::disk::Record;
use crate::host::{HostId, HostSettings};
use crate::wall::Wall;
use crate::world::{Due, World, address, contact};

/// More nodes than that have no generator for each pair of them.
const PAIRS_MAX: u16 = 64;
/// They start within this time.
const STARTED_WITHIN: Duration = Duration::from_millis(500);

impl World {
    /// Machines 1 to `nodes`, members of one cluster, all about to start.
    ///
    /// # Errors
    /// There are more than a roster holds.
    pub(crate) fn form(&mut self, nodes: u16) -> Result<(), RosterError> {
        if nodes > PAIRS_MAX {
            self.net.crowd();
        }
        let mut rng = self.dice.of("form", (0, 0));
        let ids: Vec<(HostId, NodeId)> = (1..=nodes).map(|n| (HostId(n), NodeId(rng.random()))).collect();
        let roster = roster(&ids)?;
        let (cluster, digest_key) = (ClusterId(rng.random()), DigestKey(rng.random()));
        for (id, node) in ids {
            let name = format!("n{}", id.0);
            self.add_host(id, HostSettings { name: name.clone(), seeds: Vec::new(), may_found: false });
            let meta = Meta {
                node,
                name,
                cluster,
                digest_key: digest_key.clone(),
                roster: roster.clone(),
                promises: Default::default(),
                caught_up: true,
                stability: Default::default(),
                identical: Default::default(),
                unsearched: false,
            };
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.formed = true;
            host.disk.engine = Some(Arc::new(MemoryEngine::new()));
            let mut small = host.disk.small.borrow_mut();
            (small.node, small.member) = (Some(node), Some(Record::new(Rc::new(meta))));
            drop(small);
            let at = STARTED_WITHIN.mul_f64(rng.random_range(0.0..1.0));
            self.agenda.push(at, Due::Start { host: id });
        }
        Ok(())
    }
}

fn roster(ids: &[(HostId, NodeId)]) -> Result<Roster, RosterError> {
    // Before any of them started.
    let at = |n: u16| Hlc::new(Wall::default().ms(Duration::ZERO).saturating_sub(1), n);
    let mut roster = Roster::default();
    let sponsor = ids.first().map_or(NodeId(0), |(_, node)| *node);
    for (id, node) in ids {
        roster.add(*node, Add { at: at(id.0), sponsor, name: format!("n{}", id.0) })?;
        roster.set_contact(*node, contact(&address(*id, 0), at(id.0)))?;
    }
    Ok(roster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::world::Setting;

    /// In a large cluster nobody tells everyone anything, and yet all learn where a member is that has moved.
    #[test]
    fn a_large_cluster_learns_where_a_member_has_moved_to() {
        let mut setting = Setting { seed: 4, ..Setting::default() };
        setting.core.forgets_deletes = false;
        let mut world = World::new(&setting);
        world.form(70).unwrap();
        world.run_for(Duration::from_secs(6)).unwrap();
        let moved = world.hosts.get(&HostId(3)).and_then(|host| host.member()).unwrap().node;
        world.inject(&Fault::Restart { host: HostId(3), off: Duration::from_millis(500), moves: true });
        let knows = |host: &crate::host::Host| {
            let meta = host.member().map(|member| member.core.meta());
            meta.and_then(|meta| meta.roster.contact(moved)).is_some_and(|known| known.gossip == "h3-1:7711")
        };
        let mut waited = 0;
        while world.hosts.values().filter(|host| knows(host)).count() < 70 {
            assert!(waited < 20, "not all know after {waited} s");
            world.run_for(Duration::from_secs(1)).unwrap();
            waited += 1;
        }
        world.check_all().unwrap();
    }

    /// Each member says of itself that it lives, and all hear of each. That is news of all members in a frame now and
    /// then, not a frame for each two of them, nor whole rosters again and again.
    #[test]
    fn a_large_cluster_that_starts_together_does_not_flood_itself() {
        const NODES: u16 = 100;
        let mut setting = Setting { seed: 5, ..Setting::default() };
        setting.core.forgets_deletes = false;
        let mut world = World::new(&setting);
        world.form(NODES).unwrap();
        world.watch = Some(Box::default());
        world.run_for(Duration::from_secs(12)).unwrap();
        let versions: std::collections::BTreeSet<_> = world
            .hosts
            .values()
            .filter_map(|host| host.member().map(|member| member.core.roster_version()))
            .collect();
        assert_eq!(versions.len(), 1, "not all know of each life");
        let sent = &world.watch.as_ref().unwrap().sent;
        let frames = sent.values().map(|sent| sent.frames).sum::<u64>() / u64::from(NODES);
        let bytes = sent.values().map(|sent| sent.bytes).sum::<u64>() / u64::from(NODES);
        assert!(frames < 300 && bytes < 400_000, "{frames} frames, {bytes} bytes by each");
    }
}
