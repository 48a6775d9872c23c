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
/// Who seems to wait for ever is looked at again for so long: two that do not know of each other may meet by their seeds.
const WAITS_FOR_EVER_AFTER: Duration = Duration::from_secs(90);

/// How far the members of a cluster are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unity {
    Whole,
    /// Some wait for members that are gone for good.
    ButForThoseThatWait,
}

impl World {
    /// Ends all faults, starts every machine, and waits until all are one.
    ///
    /// # Errors
    /// They do not become one in time, or something else that must not be.
    pub fn quiet(&mut self) -> Result<(), Violation> {
        self.end_all_faults();
        let (begun, end) = (self.now, self.now + QUIET_MAX);
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
            let is_one = self.is_one();
            let seems_to_wait = is_one == Ok(Unity::ButForThoseThatWait);
            match is_one.and_then(|_| forgotten(self, &mut goals)) {
                Ok(()) if seems_to_wait && self.now < begun + WAITS_FOR_EVER_AFTER => {}
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
    fn is_one(&self) -> Result<Unity, String> {
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
        if of_cluster.is_empty() && !nobody_knows && !waits && !self.are_of_two_clusters() {
            return Err("no member is left that serves".into());
        }
        Ok(if nobody_knows { Unity::ButForThoseThatWait } else { Unity::Whole })
    }

    /// Whether all have ended since their seeds are of another cluster: a founder whose disk was lost has founded anew while it
    /// was cut off.
    fn are_of_two_clusters(&self) -> bool {
        let of = |host: &Host| host.given_up.as_ref().and(host.record()).map(|record| record.cluster);
        self.hosts.values().filter_map(of).collect::<BTreeSet<_>>().len() > 1
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
        let members = || self.hosts.values().filter_map(|other| Some(other.member()?.core.meta()));
        for meta in members() {
            // Who is left leaves, and lets nobody in: those that are looked for, to stay, are gone.
            if self.nobody_knows(meta) || (meta.roster.is_leaving(meta.node) && self.nobody_stays(meta)) {
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
            // Who has promised to remove this one promises it nothing. Where who was promised has lost its disk since, that
            // stays so until a person asks another.
            let may_promise = members().filter(|other| !other.promises.has_promised_to_remove(meta.node));
            let may_promise: BTreeSet<NodeId> = may_promise.map(|other| other.node).collect();
            // Of all, and of those whose addition everybody knows (H33).
            let watermark = meta.stability.watermark;
            let old = |id: &NodeId| meta.roster.added(*id).is_some_and(|add| add.at <= watermark);
            let more_than_half = |of: Vec<NodeId>| {
                of.is_empty() || of.iter().filter(|id| may_promise.contains(id)).count() > of.len() / 2
            };
            let majority = more_than_half(meta.roster.members().collect())
                && more_than_half(meta.roster.members().filter(old).collect());
            let in_use = owners.iter().any(|owner| members().any(|other| other.node == *owner));
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
                let there = entry.is_some_and(|entry| entry.sibling(*dot).is_some());
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

#[cfg(test)]
mod tests {
    use model::{Entry, Key};

    use super::*;
    use crate::client::key;
    use crate::disk::Kept;
    use crate::fault::Fault;
    use crate::world::Setting;

    /// Three members that hold a second value of one key, and the entry with the first.
    fn world() -> (World, Entry) {
        let mut world = World::new(&Setting::default());
        world.form(3).unwrap();
        world.run_for(Duration::from_secs(8)).unwrap();
        let mut before = None;
        for value in ["first", "second"] {
            before = world
                .hosts
                .get(&HostId(2))
                .and_then(|host| host.member())
                .unwrap()
                .store
                .get(&key(1))
                .unwrap();
            world.put(HostId(1), &key(1), value.into(), None);
            world.run_for(Duration::from_secs(2)).unwrap();
        }
        assert_eq!(world.is_one(), Ok(Unity::Whole));
        assert_eq!((world.all_there(), world.nothing_returned()), (Ok(()), Ok(())));
        (world, before.unwrap())
    }

    fn seen(world: &mut World) -> &mut BTreeMap<Key, Entry> {
        &mut world.hosts.get_mut(&HostId(2)).and_then(Host::member_mut).unwrap().seen.entries
    }

    #[test]
    fn one_that_is_down_or_holds_something_else_is_not_one_with_the_others() {
        let (mut world, _) = world();
        let off = Duration::from_secs(60);
        world.inject(&Fault::Crash { host: HostId(3), kept: Kept::Nothing, power: true, off, moves: false });
        assert_eq!(world.is_one(), Err("h3 is down".to_owned()));
        let (mut world, before) = self::world();
        let member = world.hosts.get_mut(&HostId(2)).and_then(Host::member_mut).unwrap();
        member.store.merge(&[(key(2), before)]).unwrap();
        assert!(world.is_one().is_err_and(|why| why.contains("root")), "{:?}", world.is_one());
    }

    #[test]
    fn an_acknowledged_write_that_a_member_lacks_is_missed() {
        let (mut world, before) = world();
        seen(&mut world).remove(&key(1));
        assert!(world.all_there().is_err_and(|why| why.contains("is not at h2")), "{:?}", world.all_there());
        seen(&mut world).insert(key(1), before);
        assert!(world.all_there().is_err_and(|why| why.contains("is not at h2")), "{:?}", world.all_there());
    }

    #[test]
    fn a_value_that_was_replaced_is_noticed_when_it_is_back() {
        let (mut world, before) = world();
        seen(&mut world).insert(key(1), before);
        let found = world.nothing_returned();
        assert!(found.clone().is_err_and(|why| why.contains("replaced it")), "{found:?}");
    }

    #[test]
    fn a_watermark_that_does_not_rise_is_noticed() {
        let (world, _) = world();
        let found = world.is_forgotten_by_all(&world.goals());
        assert!(found.is_err(), "what was written this moment cannot be forgotten yet");
    }
}
