//! Once faults stop, nothing is there that an acknowledged write has replaced: not even where what replaced it was
//! forgotten since.

use gossip::core::Serving;
use model::{Dot, Entry, Sibling};

use super::acknowledged::on_disk;
use crate::host::Host;
use crate::ledger::Written;
use crate::world::World;

impl World {
    /// Looks at every value of every member that serves.
    pub(crate) fn nothing_returned(&self) -> Result<(), String> {
        for (id, member) in self.hosts.iter().filter_map(|(id, host)| Some((id, host.member()?))) {
            let serves = member.status.as_ref().is_some_and(|status| status.serving == Serving::Yes);
            if !serves {
                continue;
            }
            let held = member.seen.entries.iter();
            for (key, sibling) in held.flat_map(|(key, entry)| entry.siblings().iter().map(move |s| (key, s)))
            {
                // One that was lost, and has expired by its own clock, a client may have taken for gone who saw a time above it.
                let counts = |of: &&Written| !(of.may_return || of.lost && self.ledger.is_expired(of));
                let Some(written) = self.ledger.dots.get(&sibling.dot()).filter(counts) else {
                    continue;
                };
                if let Some(by) = written.replaced_by.iter().find(|by| self.is_kept(**by)) {
                    let dot = sibling.dot();
                    return Err(format!(
                        "{dot} of {key} is at {id}, where {by} was acknowledged and replaced it"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a write was acknowledged, and no fault took it since.
    fn is_kept(&self, dot: Dot) -> bool {
        let written = self.ledger.dots.get(&dot);
        written.is_some_and(|written| {
            written.acknowledged && !written.lost && !written.quarantined && !self.only_removed_hold(dot)
        })
    }

    /// Whether an entry shows that a write was taken in. One that holds what the write has replaced does not, whatever its context
    /// covers.
    pub(crate) fn has_seen(&self, entry: &Entry, dot: Dot) -> bool {
        let replaced = |sibling: &Sibling| {
            self.ledger.dots.get(&sibling.dot()).is_some_and(|old| old.replaced_by.contains(&dot))
        };
        entry.context().covers(dot) && !entry.siblings().iter().any(replaced)
    }

    /// Whether a write is on the disks of removed members alone: they keep it, for people to look at.
    pub(crate) fn only_removed_hold(&self, dot: Dot) -> bool {
        let Some(written) = self.ledger.dots.get(&dot) else { return false };
        let has_seen = |entry: &Entry| self.has_seen(entry, dot);
        let holds = |host: &&Host| match host.member() {
            Some(member) => {
                let held =
                    member.seen.entries.get(&written.key).filter(|_| member.cluster == written.cluster);
                held.is_some_and(has_seen)
            }
            None => matches!(on_disk(host), Ok(Some((cluster, rows)))
                if cluster == written.cluster && rows.get(&written.key).is_some_and(has_seen)),
        };
        let removed = |host: &Host| {
            let member = host.member();
            member.is_some_and(|m| m.status.as_ref().is_some_and(|s| s.serving == Serving::Removed))
                || host.given_up.is_some()
                || host.record().is_some_and(|record| self.ledger.removed.contains(&record.node))
        };
        let holders: Vec<&Host> = self.hosts.values().filter(holds).collect();
        !holders.is_empty() && holders.iter().all(|host| removed(host))
    }
}
