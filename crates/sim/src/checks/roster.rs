//! A member is removed only by the promises of more than half of the members, each on a disk; and a name is given to one
//! member at a time, as far as its sponsor can see.

use std::collections::BTreeSet;
use std::rc::Rc;

use gossip::core::LeavingStatus;
use gossip::meta::Meta;
use model::NodeId;

use crate::host::{Host, HostId};
use crate::world::World;

impl World {
    /// A host has put its record on disk, over the one before.
    pub(crate) fn check_record(&mut self, host: HostId, before: Option<&Meta>, now: &Meta) {
        for (target, evictor, _) in now.promises.iter() {
            self.ledger.promised.insert((now.node, target, evictor));
        }
        let removed_before = self.ledger.removed.clone();
        self.ledger.removed.extend(now.roster.removed().map(|(id, _)| id));
        let was_unproven = before.is_some_and(|before| before.stability.unproven.is_some());
        let proven = now.stability.unproven.is_none() && was_unproven;
        if proven {
            self.ledger.put_back.remove(&now.node);
        }
        let proven_now = now.stability.unproven.is_none();
        if proven_now && now.stability.watermark >= self.marks_on_disks(now.cluster, Some(host)).watermark {
            self.ledger.unaware.remove(&now.node);
        }
        let watermark = self.ledger.watermarks.entry(now.cluster).or_default();
        *watermark = now.stability.watermark.max(*watermark);
        let horizon = self.ledger.horizons.entry(now.cluster).or_default();
        *horizon = now.stability.horizon.max(*horizon);
        self.check_version(host, now);
        self.check_vector(host, before.filter(|before| before.node == now.node), now);
        let Some(before) = before.filter(|before| before.cluster == now.cluster && before.node == now.node)
        else {
            return;
        };
        self.note_all_behind(before, now);
        self.check_watermark(host, before, now);
        if proven || (now.caught_up && !before.caught_up) {
            self.check_all_returned(host);
        }
        let own = now.node;
        // One that was put back to before that, and hears of it, has handed over nothing of what it wrote since.
        let leaving = self.hosts.get(&host).and_then(|host| host.member()?.core.leaving_status());
        if leaving == Some(LeavingStatus::Telling)
            && before.roster.contains(own)
            && !self.ledger.forced.contains(&(own, own))
        {
            self.note_handed_over(host);
        }
        self.check_removed(host, &removed_before, before, now);
        self.check_added(host, before, now);
    }

    /// Who was removed was promised to be, by more than half.
    fn check_removed(&mut self, host: HostId, removed_before: &BTreeSet<NodeId>, before: &Meta, now: &Meta) {
        for (removed, removal) in now.roster.removed() {
            // Who leaves needs nobody's promise, and whom an operator removes by force neither.
            let asked = removed != now.node && !self.ledger.forced.contains(&(now.node, removed));
            // One that it had removed before its disk was put back, and hears of again, was looked at then.
            let is_new = before.roster.contains(removed) && !removed_before.contains(&removed);
            // Who turns out to have been let in too late is removed at once (H32).
            let is_late = |meta: &Meta| {
                let add = meta.roster.added(removed);
                add.is_some_and(|add| add.at <= now.stability.watermark)
            };
            let is_new = is_new && (is_late(before) || !is_late(now));
            if is_new && removal.by == now.node && asked {
                let found = self.was_promised(before, removed);
                self.judge("roster", found.map_err(|why| format!("{host} {why}")));
            }
        }
    }

    /// A name is given to one. Adds only come.
    fn check_added(&mut self, host: HostId, before: &Meta, now: &Meta) {
        let is_new = |id: &NodeId| before.roster.added(*id).is_none();
        let grew = now.roster.ids() > before.roster.ids();
        for added in now.roster.members().filter(|id| grew && is_new(id)) {
            let Some(add) = now.roster.added(added).filter(|add| add.sponsor == now.node) else { continue };
            // One that it had let in before its disk was put back, and hears of again, was looked at then.
            if !self.ledger.let_in.insert((now.cluster, added)) {
                continue;
            }
            // An addition and the removal that made room for it may be in one record.
            let same = now.roster.all_by_name(&add.name).into_iter().find(|other| *other != added);
            let found = same.map_or(Ok(()), |other| {
                Err(format!("{host} let {added} in under the name {}, which {other} has", add.name))
            });
            self.judge("roster", found);
        }
    }

    /// Where no member knows what the others have forgotten, they go on with what they hold together.
    fn note_all_behind(&mut self, before: &Meta, now: &Meta) {
        let knows = |meta: Rc<Meta>| {
            let other = meta.cluster == now.cluster && meta.node != now.node;
            other && meta.caught_up && now.roster.contains(meta.node)
        };
        if now.caught_up && !before.caught_up && !self.hosts.values().filter_map(Host::record).any(knows) {
            self.ledger.deletes_may_return(now.cluster);
        }
    }

    /// A version names one set of members: what two publish under one version is of the same members.
    fn check_version(&mut self, host: HostId, now: &Meta) {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        // Of the core as it is: a record may be of a moment before.
        let (version, roster) = (member.core.roster_version(), &member.core.meta().roster);
        let as_it_is = (version, roster.ids(), roster.removed().count());
        if self.ledger.versions_of.insert(host, as_it_is) == Some(as_it_is) {
            return;
        }
        let members = roster.version();
        let known = *self.ledger.versions.entry((now.cluster, version)).or_insert(members);
        let found = if known == members {
            Ok(())
        } else {
            Err(format!(
                "{host} calls its roster by the version by which another member calls one of other members: what one \
                 publishes the other takes for its own members'"
            ))
        };
        self.judge("roster", found);
    }

    fn was_promised(&self, before: &Meta, target: NodeId) -> Result<(), String> {
        let members: BTreeSet<NodeId> = before.roster.members().collect();
        let promised = |id: &NodeId| self.ledger.promised.contains(&(*id, target, before.node));
        let promisers = members.iter().filter(|id| promised(id)).count();
        let needed = members.len() / 2 + 1;
        let watermark = before.stability.watermark;
        let is_elder = |id: &&NodeId| before.roster.added(**id).is_some_and(|add| add.at <= watermark);
        let elders: Vec<&NodeId> = members.iter().filter(is_elder).collect();
        let of_elders = elders.iter().filter(|id| promised(id)).count();
        if promisers >= needed && !elders.is_empty() && of_elders <= elders.len() / 2 {
            return Err(format!(
                "removed {target} by the promises of {of_elders} of the {} members whose additions everybody knows",
                elders.len()
            ));
        }
        if promisers >= needed {
            return Ok(());
        }
        Err(format!(
            "removed {target} by {promisers} promises, where {needed} of {} are needed",
            members.len()
        ))
    }
}
