//! The watermark: at or under it every write is known to every member.

use model::{Hlc, NodeId};

use super::horizon::majority;
use super::published::{Adoptions, Publications, Published};
use super::vector::{Vector, step};
use crate::roster::{Roster, RosterVersion};

/// A member that has published nothing for so many milliseconds longer than most is the one that is waited for.
const QUIET_MS: u64 = 60_000;

/// What holds the watermark where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The member that it waits for.
    pub member: NodeId,
    /// The last of that member's own times, or of what it holds, that is known.
    pub since: Hlc,
}

/// What was reckoned from all that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reckoned {
    /// The watermark; none while not all members have published under this roster, or have not yet exchanged whole
    /// states since the last adoption of each.
    pub watermark: Option<Hlc>,
    /// What it would be were it no matter whether all have exchanged whole states since.
    pub unmet: Option<Hlc>,
    /// What holds it; none in a roster of nobody.
    pub waits: Option<Waits>,
}

/// Reckons the watermark: the least component over what all members have published under this roster. It counts only
/// once every member holds all that each other one held at its last adoption, each clock compared with itself alone:
/// then all have exchanged whole states since, and nothing that a departed member or an earlier life wrote is stranded
/// (H13, H26). `version` is the roster's; `own` is this node's vector, to tell since when a member is waited for that has
/// not published. Costs no more than the number of members.
pub fn reckon(roster: &Roster, version: RosterVersion, known: &Publications, own: &Vector) -> Reckoned {
    let mut all: Vec<(NodeId, &Published)> = Vec::new();
    let mut silent: Option<Waits> = None;
    for member in roster.members() {
        match known.under(version, member) {
            Some(published) => all.push((member, published)),
            None => {
                let heard = known.get(member).map_or(Hlc::ZERO, |published| published.at);
                let since = heard.max(own.of(member, roster));
                if silent.is_none_or(|longer| since < longer.since) {
                    silent = Some(Waits { member, since });
                }
            }
        }
    }
    if silent.is_some() {
        return Reckoned { watermark: None, unmet: None, waits: silent };
    }
    let adoptions = Adoptions::of(all.iter().map(|(member, published)| (*member, Some(published.adopted))));
    let apart = all.iter().filter(|(_, published)| published.meets != adoptions);
    let unadopted = apart.min_by_key(|(_, published)| published.least);
    let unadopted = unadopted.map(|(member, published)| Waits { member: *member, since: published.least });
    let least = all.iter().min_by_key(|(_, published)| published.least).map(|(holder, published)| {
        // What a member has not published itself nobody can hold of it.
        let has_said_more =
            known.get(published.least_of).is_some_and(|theirs| step(theirs.at) > step(published.least));
        let member = if has_said_more { *holder } else { published.least_of };
        Waits { member, since: published.least }
    });
    let unmet = least.map(|waits| step(waits.since));
    let watermark = unmet.filter(|_| unadopted.is_none());
    Reckoned { watermark, unmet, waits: quiet(&all).or(unadopted).or(least) }
}

/// The member that has published nothing for long, where the others have: it is down, or its clock is slow. Nothing that
/// the others say of each other matters then.
fn quiet(all: &[(NodeId, &Published)]) -> Option<Waits> {
    let latest = majority(all.iter().map(|(_, published)| published.at), all.len())?;
    let (member, published) = all.iter().min_by_key(|(_, published)| published.at)?;
    let is_quiet = published.at.millis().saturating_add(QUIET_MS) < latest.millis();
    is_quiet.then_some(Waits { member: *member, since: published.at })
}
