//! A cluster that was formed before: its members start together, each with the record of all. Joining one by one would
//! take a thousand nodes a million messages, and is not what is looked at here.

use std::sync::Arc;
use std::time::Duration;

use gossip::meta::Meta;
use gossip::roster::{Add, Contact, Roster, RosterError};
use model::{ClusterId, DigestKey, Hlc, NodeId};
use rand::RngExt;
use storage::MemoryEngine;

use crate::disk::Record;
use crate::host::{HostId, HostSettings};
use crate::wall::Wall;
use crate::world::{Due, World, address};

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
            };
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.disk.engine = Some(Arc::new(MemoryEngine::new()));
            let mut small = host.disk.small.borrow_mut();
            (small.node, small.member) = (Some(node), Some(Record::new(&meta)));
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
        let gossip = address(*id, 0);
        let http = gossip.replace(":7711", ":7710");
        roster.set_contact(*node, Contact { stamp: at(id.0), gossip, http })?;
    }
    Ok(roster)
}
