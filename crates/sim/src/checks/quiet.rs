//! What holds once faults stop: within bounded time rosters and roots are equal, everyone serves, every acknowledged
//! write that was not replaced is a sibling at every member, and deletes are forgotten (see `forgotten`).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use gossip::core::Serving;
use gossip::meta::Meta;
use model::{ClusterId, NodeId};

use super::Violation;
use super::forgotten::Goals;
use crate::host::{Host, HostId, State};
use crate::world::World;

/// How long after the last fault all must be one: longer than the longest time for which a member is left alone after
/// failed sessions.
pub const QUIET_MAX: Duration = Duration::from_secs(420);
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl World {
    /// Ends all faults, starts every machine, and waits until all are one.
    ///
    /// # Errors
    /// They do not become one in time, or something else that must not be.
    pub fn quiet(&mut self) -> Result<(), Violation> {
        self.end_all_faults();
        let end = self.now + QUIET_MAX;
        let mut goals = None;
        loop {
            self.run_for(LOOK_EVERY)?;
            // The search for damage goes on where a node was down before.
            for id in self.hosts.keys().copied().collect::<Vec<_>>() {
                if self.is_rotten(id, None) {
                    self.scrub(id);
                    self.heal_stopped();
                }
            }
            let forgotten = |world: &Self, goals: &mut Option<Goals>| {
                let set = goals.take().filter(|set| !world.are_outdated(set));
                let goals = goals.insert(set.unwrap_or_else(|| world.goals()));
                if world.config.forgets_deletes { world.is_forgotten_by_all(goals) } else { Ok(()) }
            };
            match self.is_one().and_then(|()| forgotten(self, &mut goals)) {
                Ok(()) => break,
                Err(why) if self.now >= end => {
                    self.judge("quiet", Err(format!("{} s after the last fault {why}", QUIET_MAX.as_secs())));
                    break;
                }
                Err(_) => {}
            }
        }
        let found = self.all_there().and_then(|()| self.nothing_returned());
        self.judge("quiet", found);
        self.check_all()
    }

    /// Whether the members of each cluster agree on everything, or why not.
    fn is_one(&self) -> Result<(), String> {
        let mut of_cluster: BTreeMap<ClusterId, (HostId, &Meta, merkle::RangeDigest)> = BTreeMap::new();
        let (mut nobody_knows, mut waits) = (false, false);
        for (id, host) in self.hosts.iter().filter(|(_, host)| host.given_up.is_none()) {
            match &host.state {
                State::Down => return Err(format!("{id} is down")),
                State::Looking(_) => {
                    self.may_look(*id, host)?;
                    waits = true;
                }
                State::Member(member) => {
                    let meta = member.core.meta();
                    let serving = member.status.as_ref().map(|status| &status.serving);
                    if serving == Some(&Serving::Removed) {
                        continue;
                    }
                    if serving == Some(&Serving::Behind) && self.nobody_knows(meta) {
                        nobody_knows = true;
                        continue;
                    }
                    if serving == Some(&Serving::Leaving) && self.nobody_stays(meta) {
                        nobody_knows = true;
                        continue;
                    }
                    if serving != Some(&Serving::Yes) {
                        return Err(format!("{id} does not serve: {serving:?}"));
                    }
                    let root = member.store.root();
                    let (other, theirs, their_root) =
                        of_cluster.entry(meta.cluster).or_insert((*id, meta, root));
                    if theirs.roster != meta.roster {
                        return Err(format!("{id} and {other} have different rosters"));
                    }
                    if *their_root != root {
                        return Err(format!("{id} and {other} have different roots"));
                    }
                }
            }
        }
        if of_cluster.is_empty() && !nobody_knows && !waits {
            return Err("no member is left that serves".into());
        }
        Ok(())
    }

    /// Whether all that are left of a cluster are behind, since the disks of the others are lost: then they wait for ever,
    /// for somebody who says what is to be given up.
    fn nobody_knows(&self, meta: &Meta) -> bool {
        // One that has ended since its seeds are of another cluster waits for a person, and tells nobody anything.
        let is_of = |host: &Host| host.record().is_some_and(|record| record.cluster == meta.cluster);
        let of_cluster = |host: &&Host| host.given_up.is_none() && is_of(host);
        let records: Vec<Rc<Meta>> =
            self.hosts.values().filter(of_cluster).filter_map(Host::record).collect();
        // Its roster may be an old one: who counts it as a member is one, too.
        let is_member = |record: &Meta| {
            meta.roster.contains(record.node)
                || (record.roster.contains(meta.node) && record.roster.contains(record.node))
        };
        let knows = records.iter().any(|record| record.caught_up && is_member(record));
        let gone = meta.roster.members().any(|id| !records.iter().any(|record| record.node == id));
        gone && !knows
    }

    /// Whether a node that is leaving waits for ever: all others leave, too, or their disks are lost.
    fn nobody_stays(&self, meta: &Meta) -> bool {
        // One that asked two clusters at a time and was let in by both is of the other.
        let is = |record: &Meta, id| record.node == id && record.cluster == meta.cluster;
        let gone = |id: NodeId| !self.hosts.values().filter_map(Host::record).any(|record| is(&record, id));
        meta.roster.members().all(|id| meta.roster.is_leaving(id) || gone(id))
    }

    /// A node may look for its cluster for ever where its name belongs to one that answers, or to one that is gone and
    /// too few are left to remove.
    fn may_look(&self, id: HostId, host: &Host) -> Result<(), String> {
        // Whom it was told to ask has left, or looks for its cluster, too, and nobody has told it of others.
        let seeds = host.settings.seeds.iter().filter_map(|seed| self.hosts.get(&self.net.at(seed)?));
        let (left, others): (Vec<&Host>, Vec<&Host>) = seeds.partition(|seed| seed.given_up.is_some());
        if !left.is_empty() && others.iter().all(|seed| seed.record().is_none()) {
            return Ok(());
        }
        let mut seen = false;
        for meta in self.hosts.values().filter_map(|other| Some(other.member()?.core.meta())) {
            if self.nobody_knows(meta) {
                return Ok(());
            }
            // A backup of the time before it was let in, put back after it was replaced: it says that it was removed, and
            // waits for somebody to empty its directory.
            let node = host.disk.small.borrow().node;
            if node.is_some_and(|node| meta.roster.removal(node).is_some()) {
                return Ok(());
            }
            seen = true;
            let owners = meta.roster.all_by_name(&host.settings.name);
            let alive: BTreeSet<NodeId> =
                self.hosts.values().filter_map(|h| Some(h.member()?.node)).collect();
            // Of all, and of those whose addition everybody knows (H33).
            let watermark = meta.stability.watermark;
            let old = |id: &NodeId| meta.roster.added(*id).is_some_and(|add| add.at <= watermark);
            let more_than_half = |of: Vec<NodeId>| {
                of.is_empty() || of.iter().filter(|id| alive.contains(id)).count() > of.len() / 2
            };
            let majority = more_than_half(meta.roster.members().collect())
                && more_than_half(meta.roster.members().filter(old).collect());
            let in_use = owners.iter().any(|owner| alive.contains(owner));
            if in_use || (!owners.is_empty() && !majority) {
                return Ok(());
            }
        }
        Err(if seen { format!("{id} was never let in") } else { format!("{id} found nobody to let it in") })
    }

    /// Every acknowledged write that nothing replaced is a sibling at every member of its cluster.
    fn all_there(&self) -> Result<(), String> {
        for (id, member) in self.hosts.iter().filter_map(|(id, host)| Some((id, host.member()?))) {
            if member.status.as_ref().is_none_or(|status| status.serving != Serving::Yes) {
                continue;
            }
            let known = &member.seen.entries;
            for (dot, written) in &self.ledger.dots {
                let counts = written.acknowledged && !written.is_excused() && written.hash.is_some();
                if !counts
                    || written.cluster != member.cluster
                    || self.only_removed_hold(*dot)
                    || self.is_stranded(&member.core.meta().roster, *dot, written)
                {
                    continue;
                }
                let entry = known.get(&written.key);
                let there = entry.is_some_and(|entry| entry.siblings().iter().any(|s| s.dot() == *dot));
                let replaced = entry.is_some_and(|entry| {
                    written.replaced_by.iter().any(|later| entry.context().covers(*later))
                });
                let covers = |dot| entry.is_some_and(|entry| entry.context().covers(dot));
                let forgotten = || self.ledger.is_forgotten(*dot, self.watermark_of(member.cluster), &covers);
                if !there && !replaced && !forgotten() {
                    return Err(format!("{dot} of {} was acknowledged and is not at {id}", written.key));
                }
            }
            for claim in self.ledger.claims.iter().filter(|claim| claim.cluster == member.cluster) {
                let Some(entry) = known.get(&claim.key) else { continue };
                let is_back = |dot: model::Dot| claim.gone.contains(&dot) && !self.ledger.may_return(dot);
                if let Some(back) = entry.siblings().iter().find(|s| is_back(s.dot())) {
                    let (dot, key) = (back.dot(), &claim.key);
                    if self.claim_is_kept(claim) {
                        return Err(format!("{dot} of {key} was deleted at {} and is at {id}", claim.host));
                    }
                }
            }
        }
        Ok(())
    }

    /// A delete counts unless the disks that had it were lost by a fault, or only a removed member has it.
    fn claim_is_kept(&self, claim: &crate::ledger::Claim) -> bool {
        claim.gone.iter().all(|gone| {
            let Some(written) = self.ledger.dots.get(gone) else { return true };
            let deleted_by = written.replaced_by.iter();
            let dots: Vec<_> = deleted_by.filter_map(|dot| Some((dot, self.ledger.dots.get(dot)?))).collect();
            dots.is_empty()
                || dots.iter().any(|(dot, by)| by.acknowledged && !by.lost && !self.only_removed_hold(**dot))
        })
    }
}
