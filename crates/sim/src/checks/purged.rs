//! Once a tombstone is off any disk, no member that is not behind holds or takes what it replaced; and whoever has taken
//! one off its disk does not take it in anew, or it would go round for ever.

use model::{ClusterId, Context, Dot, Entry, Hlc, Key, Sibling};

use super::covered::is_purged;
use crate::host::{Host, HostId};
use crate::ledger::Written;
use crate::world::World;

impl World {
    /// A member's entry of a key is another now.
    pub(super) fn check_purged(
        &mut self,
        host: HostId,
        key: &Key,
        before: Option<&Entry>,
        now: Option<&Entry>,
    ) {
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        let (cluster, watermark) = (member.cluster, member.store.marks().watermark);
        match (before, now) {
            (Some(gone), None) if is_purged(gone, watermark) => {
                member.seen.forgotten.entry(key.clone()).or_default().merge(gone.context());
                // A delete that was taken under the watermark, by one that was put back, is lost when that one learns of it.
                let was_lost =
                    |(dot, of): (Dot, &Written)| of.lost && of.hash.is_none() && gone.context().covers(dot);
                if self.ledger.of_key(cluster, key).any(was_lost) {
                    return;
                }
                let of_key = self.ledger.purged.entry((cluster, key.clone())).or_default();
                of_key.merge(gone.context());
                for other in self.hosts.keys().copied().collect::<Vec<_>>() {
                    self.check_returned(other, cluster, key);
                }
            }
            (None, Some(came)) if came.is_tombstone() => {
                let known = member.seen.forgotten.get(key);
                if known.is_some_and(|known| known.includes(came.context())) && is_purged(came, watermark) {
                    let why = format!("{host} took a tombstone of {key} in that it had taken off its disk");
                    self.judge("purged", Err(why));
                }
            }
            (_, Some(_)) => self.check_returned(host, cluster, key),
            _ => {}
        }
    }

    /// Whether a member holds what a tombstone replaced that is off some disk.
    fn check_returned(&mut self, host: HostId, cluster: ClusterId, key: &Key) {
        let Some(purged) = self.ledger.purged.get(&(cluster, key.clone())) else { return };
        let found = self.hosts.get(&host).filter(|h| self.must_know(h, cluster)).and_then(|h| {
            let entry = h.member()?.seen.entries.get(key)?;
            let expired = self.ledger.agreed.get(&cluster).map_or(Hlc::ZERO, |agreed| agreed.horizon);
            let may_return = |dot| self.ledger.may_return(dot);
            Some(holds_none_of(entry, purged, expired, &may_return).map_err(|dot| {
                format!(
                    "{host} holds {dot} of {key}, and what replaced it was taken off a disk already: it is not \
                     remembered any more that it is gone"
                )
            }))
        });
        self.judge("purged", found.unwrap_or(Ok(())));
    }

    /// Everything that a member holds: it has begun a life, or is not behind any more.
    pub(super) fn check_all_returned(&mut self, host: HostId) {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        let cluster = member.cluster;
        for key in member.seen.entries.keys().cloned().collect::<Vec<_>>() {
            self.check_returned(host, cluster, &key);
        }
    }

    /// Whether a member is one, and not behind. Of one whose disk was put back nobody can say before its first
    /// session with a member that was there all along, nor of those who have met only it.
    fn must_know(&self, host: &Host, cluster: ClusterId) -> bool {
        let Some(member) = host.member() else { return false };
        let meta = member.core.meta();
        let unsure = !self.ledger.put_back.is_empty() && meta.stability.unproven.is_some();
        member.cluster == cluster
            && meta.caught_up
            && !unsure
            && meta.roster.contains(member.node)
            && !self.ledger.removed.contains(&member.node)
    }
}

/// What has expired for everybody goes by itself, elsewhere a little sooner.
fn holds_none_of(
    entry: &Entry,
    purged: &Context,
    expired: Hlc,
    may_return: &dyn Fn(Dot) -> bool,
) -> Result<(), Dot> {
    let lives = entry.siblings().iter().filter(|sibling| !sibling.expiry().is_over(expired));
    lives.map(Sibling::dot).find(|dot| purged.covers(*dot) && !may_return(*dot)).map_or(Ok(()), Err)
}
