//! The watermark never falls, crashes included; it lies at or under its node's own stable unless that node is behind;
//! and every write at or under it is known where it is.

use std::ops::Bound;

use gossip::meta::Meta;
use model::{Dot, Entry, Hlc, Key, WriterId};

use crate::host::{HostId, Member, context};
use crate::world::World;

impl World {
    /// A host has put its record on disk, over the one before.
    pub(super) fn check_watermark(&mut self, host: HostId, before: &Meta, now: &Meta) {
        let (from, to) = (before.stability.watermark, now.stability.watermark);
        let found = if to < from {
            Err(format!("{host} put its watermark back from {from} to {to}"))
        } else if now.caught_up
            && now.roster.contains(now.node)
            && now.stability.holds_too_little(now.node, &now.roster)
        {
            let stable = now.stability.stable(now.node, &now.roster);
            Err(format!(
                "{host} has a watermark of {to}, above its own stable of {stable}, and is not behind"
            ))
        } else if now.caught_up {
            // What a new member has written must be known, too, however long ago.
            let joined = now.roster.ids() > before.roster.ids();
            let from = if before.caught_up && !joined { from } else { Hlc::ZERO };
            self.knows_all(host, now, (from, to))
        } else {
            Ok(())
        };
        self.judge("watermark", found);
    }

    /// Whether all acknowledged writes between two watermarks are known at a host.
    fn knows_all(&self, host: HostId, record: &Meta, (from, to): (Hlc, Hlc)) -> Result<(), String> {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return Ok(()) };
        if from >= to || self.ledger.removed.contains(&member.node) {
            return Ok(());
        }
        let last = |hlc| Dot { hlc, writer: WriterId(u64::MAX) };
        let between = (Bound::Excluded(last(from)), Bound::Included(last(to)));
        for (dot, written) in self.ledger.dots.range(between) {
            // Nothing is said of who was let in by a member that is cut off: when it is met it must join anew (H32).
            let unheard_of = record.roster.added(written.node).is_none();
            if !written.acknowledged
                || written.is_excused()
                || written.cluster != record.cluster
                || unheard_of
            {
                continue;
            }
            let key = &written.key;
            let known = context(member.seen.entries.get(key));
            let covers = |dot| known.covers(dot);
            let is_known = covers(*dot)
                // A delete is known where nothing is that it deleted.
                || (written.hash.is_none() && !self.still_holds_of(member, *dot, key))
                || (written.hash.is_some() && self.ledger.is_forgotten(*dot, to, &covers))
                || self.is_stranded(&record.roster, *dot, written)
                || self.only_removed_hold(*dot)
                || self.is_rotten(host, Some(key))
                // Where nobody else is known there is nobody to be behind of.
                || (written.hurt && record.roster.len() == 1);
            if !is_known {
                return Err(format!(
                    "{host} has a watermark of {to} and has not seen {dot} of {key}, written at {}: its next write \
                     would claim that it has",
                    written.host
                ));
            }
        }
        Ok(())
    }

    /// Whether a member holds something that this write was meant to replace.
    fn still_holds_of(&self, member: &Member, dot: Dot, key: &Key) -> bool {
        let held = member.seen.entries.get(key).into_iter().flat_map(Entry::siblings);
        let mut replaced = held.filter_map(|sibling| self.ledger.dots.get(&sibling.dot()));
        replaced.any(|of| {
            let may_be_here = of.is_excused() || of.may_return || self.ledger.is_expired(of);
            of.replaced_by.contains(&dot) && !may_be_here
        })
    }
}
