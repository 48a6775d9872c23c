//! A member's side of a join, and of meeting another cluster: decisions only.

use model::{ClusterId, Hlc, NodeId};
use serde::{Deserialize, Serialize};

use super::exchange::{JoinRefusal, JoinRequest, WireVersions};
use crate::liveness::LivenessState;
use crate::roster::{Add, Contact, IDS_MAX, Roster, RosterChange, RosterError, check_address, check_name};

/// What a member does about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SponsorDecision {
    /// [`admit`] it, put the roster on disk, then answer with it.
    Add,
    /// It was let in already and has not heard of it, or moved: refresh its contact, answer with the roster.
    AlreadyMember,
    /// A member of that name is down: evict it by promises first (H23, H34), then decide again.
    ReplaceFirst {
        /// The member to evict.
        old: NodeId,
    },
    /// Answer with the reason.
    Refuse(JoinRefusal),
}

/// What member `me` does about a request, by its roster and by who answers. Changes nothing.
pub fn sponsor(
    roster: &Roster,
    me: NodeId,
    liveness: impl Fn(NodeId) -> LivenessState,
    wire: WireVersions,
    request: &JoinRequest,
) -> SponsorDecision {
    let refuse = SponsorDecision::Refuse;
    if let Err(error) = check_request(request) {
        return refuse(JoinRefusal::BadRequest(error.to_string()));
    }
    if !wire.meets(request.wire) {
        return refuse(JoinRefusal::Wire(wire));
    }
    if roster.removal(request.node).is_some() {
        return refuse(JoinRefusal::RemovedForEver);
    }
    if roster.contains(request.node) {
        return SponsorDecision::AlreadyMember;
    }
    // After a partition several members may have the name; all of them must be down.
    let owners = roster.all_by_name(&request.name);
    let answers = |id: &&NodeId| **id == me || liveness(**id) != LivenessState::Down;
    if let Some(by) = owners.iter().find(answers) {
        return refuse(JoinRefusal::NameInUse { by: *by });
    }
    // A replaced id stays in the roster as removed, so a full one has no room for its successor either.
    if roster.ids() >= IDS_MAX {
        return refuse(JoinRefusal::Full);
    }
    match owners.first() {
        Some(old) => SponsorDecision::ReplaceFirst { old: *old },
        None => SponsorDecision::Add,
    }
}

/// Adds the asker under the sponsor's clock `at` (H11), with its contact; for a member, refreshes the
/// contact alone. To be put on disk before it is answered.
///
/// # Errors
/// Those of [`Roster::add`] and [`Roster::set_contact`]. After a bad contact the add may have been made;
/// a request that [`sponsor`] accepted has none.
pub fn admit(
    roster: &mut Roster,
    me: NodeId,
    at: Hlc,
    request: &JoinRequest,
) -> Result<RosterChange, RosterError> {
    let mut change = RosterChange::default();
    if !roster.contains(request.node) {
        change = roster.add(request.node, Add { at, sponsor: me, name: request.name.clone() })?;
    }
    let contact = Contact { stamp: at, gossip: request.gossip.clone(), http: request.http.clone() };
    change.contacts |= roster.set_contact(request.node, contact)?.contacts;
    Ok(change)
}

fn check_request(request: &JoinRequest) -> Result<(), RosterError> {
    check_name(&request.name)?;
    check_address(&request.gossip)?;
    check_address(&request.http)
}

/// What matters of a cluster when two meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Which one.
    pub cluster: ClusterId,
    /// How many members it has.
    pub members: usize,
    /// How many entries this side has, tombstones included: a delete is data too.
    pub entries: u64,
}

/// Whether this node gives up its cluster to join the other: only one that is alone in it and has no
/// entries does, and of two such the one of the greater id (H16). All other clusters never merge.
pub fn should_dissolve(own: ClusterFacts, other: ClusterFacts) -> bool {
    let nothing_lost = |facts: ClusterFacts| facts.members == 1 && facts.entries == 0;
    own.cluster != other.cluster && nothing_lost(own) && (!nothing_lost(other) || own.cluster > other.cluster)
}
