//! What expires, and when: at the greatest time that more than half of the members have published, of two members the
//! lesser of both, or by the time that has passed while one is down. And no value is acknowledged that has expired before
//! it was written.

use std::time::Duration;

use gossip::meta::Meta;
use model::{Dot, Expiry, Hlc};

use crate::host::HostId;
use crate::world::World;

/// A horizon moves in steps of so long.
const STEP: Duration = Duration::from_secs(10);

/// How far the members of a cluster agree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreed {
    /// The greatest time that more than half have published.
    published: Hlc,
    /// The one of those times from which on a clock that only counts is furthest by now, and when it was published.
    counts_from: (Hlc, Duration),
    /// The greatest horizon that any of them has rightly had.
    pub(crate) horizon: Hlc,
}

impl World {
    /// A host has put its record on disk: its horizon is one that the members agree on.
    pub(crate) fn check_horizon(&mut self, host: HostId, now: &Meta) {
        let said = self.ledger.published.entry((now.cluster, now.node)).or_default();
        let added = now.roster.added(now.node).map_or(Hlc::ZERO, |add| add.at);
        *said = now.stability.published.max(added).max(*said);
        let of = |id| self.ledger.published.get(&(now.cluster, id)).copied().unwrap_or_default();
        let mut times: Vec<Hlc> = now.roster.members().map(of).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let most = times.get(times.len() / 2).copied().unwrap_or_default();
        let agreed = self.ledger.agreed.entry(now.cluster).or_default();
        agreed.published = agreed.published.max(most);
        let (from, since) = agreed.counts_from;
        let counted = from.millis() + self.now.saturating_sub(since).as_millis() as u64;
        if most.millis() > counted {
            agreed.counts_from = (most, self.now);
        }
        let (horizon, known) = (now.stability.horizon, agreed.published.max(agreed.horizon));
        let until = counted.max(most.millis()) + STEP.as_millis() as u64;
        let found = if horizon <= known || (times.len() == 2 && horizon.millis() <= until) {
            agreed.horizon = agreed.horizon.max(horizon);
            Ok(())
        } else {
            Err(format!(
                "{host} lets values go that expire until {horizon}, where more than half of the members agree on {most} only"
            ))
        };
        self.judge("expired", found);
    }

    /// A value was taken: it has not expired yet.
    pub(crate) fn check_lives(&mut self, host: HostId, dot: Dot, expiry: Expiry) {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        let horizon = member.store.marks().horizon;
        let found = if expiry.is_over(horizon) {
            Err(format!("{host} took {dot}, which for everybody else had expired before, at {horizon}"))
        } else {
            Ok(())
        };
        self.judge("expired", found);
    }
}
