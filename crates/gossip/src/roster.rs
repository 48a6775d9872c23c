//! Who belongs to the cluster: a replicated set of adds and removes, and where each member is reached.
//!
//! A roster is a join: [`Roster::merge`] is commutative, associative and idempotent, so members may
//! exchange rosters in any order and end equal. A removed id never returns; its add and its removal are
//! kept for ever. Whether two members mean the same roster is told by [`Roster::version`], a hash of the
//! whole set and not a number, since two sponsors may each add somebody at one time (H12).
//!
//! Names are unique as far as one member can see. Two sponsors cut off from each other can add different
//! ids under one name; both stay members, because dropping one could drop acknowledged writes. The elder
//! add (by time, then id) owns the name in [`Roster::by_name`], and both are shown with the start of their
//! id behind it ([`Roster::shown_name`]), until an operator removes one.
//!
//! Belonging is not liveness: a member that is down is a member. So is one that is leaving: a mark says so, which
//! every member learns with the roster, and which counts in its version: no two members exchange data before
//! both know who is leaving (H38). A mark goes with its member, and never before.

use std::collections::BTreeMap;
use std::fmt;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod form;
mod part;
#[cfg(test)]
mod tests;

pub use form::{ADDRESS_BYTES_MAX, NAME_BYTES_MAX, check_address, check_name};

/// How many ids, removed ones included, a sponsor lets a roster grow to.
pub const IDS_MAX: usize = 1_024;

/// How many ids a roster that arrives may hold. Above [`IDS_MAX`], since sponsors cut off from each other
/// may each fill theirs, and what they agree on later must not be refused.
pub const IDS_HARD_MAX: usize = 4 * IDS_MAX;

/// Why a roster or a change of it was refused. The roster is unchanged.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RosterError {
    /// Not 1 to 63 bytes of `a-z A-Z 0-9 - _ .`.
    #[error("a node's name is 1 to {NAME_BYTES_MAX} of the characters a-z A-Z 0-9 - _ . and {0:?} is not")]
    Name(String),
    /// Not `host:port`, or over 255 bytes.
    #[error("an address is host:port, at most {ADDRESS_BYTES_MAX} bytes, and {0:?} is not")]
    Address(String),
    /// The id was removed once, and removed ids never return.
    #[error("node {0} was removed from the cluster and can never be a member again")]
    Removed(NodeId),
    /// The id is not one that was ever added.
    #[error("node {0} is not in the roster")]
    Unknown(NodeId),
    /// The roster holds as many ids as it may.
    #[error("a roster holds at most {0} ids, removed ones included")]
    Full(usize),
}

/// How a node became a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Add {
    /// The sponsor's clock at the add, on the sponsor's disk before the joiner learned of it. All times of
    /// the new member lie above it (H11).
    pub at: Hlc,
    /// The member that let it in; the founder's sponsor is the founder.
    pub sponsor: NodeId,
    /// Its name, for people; see [`check_name`].
    pub name: String,
}

/// How a node stopped being a member, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Removal {
    /// The remover's clock.
    pub at: Hlc,
    /// The member that removed it: itself when it left.
    pub by: NodeId,
}

/// Where a member is reached. Only the member itself changes its contact, and stamps it with its own
/// clock; the one exception is its first, stamped by the sponsor with the time of the add.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contact {
    /// When it was true; the greater stamp wins.
    pub stamp: Hlc,
    /// `host:port` of frames (TCP) and heartbeats (UDP).
    pub gossip: String,
    /// `host:port` of the HTTP API.
    pub http: String,
}

impl Contact {
    /// Whether it names the same addresses, whenever that was stamped.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.gossip, &self.http) == (&other.gossip, &other.http)
    }
}

/// The hash of who belongs: equal versions mean equal adds, removes and marks of leaving. Contacts do not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RosterVersion(pub [u8; 16]);

impl RosterVersion {
    /// Half of it: what a context token carries.
    pub fn short(self) -> u64 {
        (u128::from_be_bytes(self.0) >> 64) as u64
    }
}

impl fmt::Display for RosterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RosterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RosterVersion({self})")
    }
}

/// What a merge changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// An add, a removal, or a member that is leaving now: the version is another.
    pub members: bool,
    /// A contact: the contacts' version is another.
    pub contacts: bool,
}

impl RosterChange {
    /// Whether anything changed and must be put on disk.
    pub fn any(self) -> bool {
        self.members || self.contacts
    }
}

/// The replicated set of members. Always within its bounds, decoded ones too: see [`Roster::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "form::RosterForm")]
pub struct Roster {
    adds: BTreeMap<NodeId, Add>,
    removes: BTreeMap<NodeId, Removal>,
    contacts: BTreeMap<NodeId, Contact>,
    /// Members that are leaving, each since a time of its own clock.
    leaving: BTreeMap<NodeId, Hlc>,
}

impl Roster {
    /// The roster of a node that founds, which is reached there: itself alone, its own sponsor, added when that was stamped.
    ///
    /// # Errors
    /// Those of [`Roster::add`] and [`Roster::set_contact`].
    pub fn found(id: NodeId, name: &str, contact: Contact) -> Result<Self, RosterError> {
        let mut roster = Self::default();
        roster.add(id, Add { at: contact.stamp, sponsor: id, name: name.to_owned() })?;
        roster.set_contact(id, contact)?;
        Ok(roster)
    }

    /// Adds a member. Adding an id again keeps the earlier add.
    ///
    /// # Errors
    /// A bad name, a removed id, a roster that holds [`IDS_MAX`] ids; the roster is unchanged.
    pub fn add(&mut self, id: NodeId, add: Add) -> Result<RosterChange, RosterError> {
        check_name(&add.name)?;
        if self.removes.contains_key(&id) {
            return Err(RosterError::Removed(id));
        }
        if self.adds.len() >= IDS_MAX && !self.adds.contains_key(&id) {
            return Err(RosterError::Full(IDS_MAX));
        }
        Ok(RosterChange { members: join_add(&mut self.adds, id, &add), contacts: false })
    }

    /// Removes a member for ever, and forgets its contact. Removing it again keeps the earlier removal.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] for an id that was never added; the roster is unchanged.
    pub fn remove(&mut self, id: NodeId, removal: Removal) -> Result<RosterChange, RosterError> {
        if !self.adds.contains_key(&id) {
            return Err(RosterError::Unknown(id));
        }
        let members = join_removal(&mut self.removes, id, removal);
        let contacts = self.contacts.remove(&id).is_some();
        self.leaving.remove(&id);
        Ok(RosterChange { members, contacts })
    }

    /// Notes that a member is leaving, since this time of its own clock. Noting it again keeps the earlier time.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] for an id that is no member; the roster is unchanged.
    pub fn leave(&mut self, id: NodeId, since: Hlc) -> Result<RosterChange, RosterError> {
        if !self.contains(id) {
            return Err(RosterError::Unknown(id));
        }
        Ok(RosterChange { members: join_leaving(&mut self.leaving, id, since), contacts: false })
    }

    /// Sets where a member is reached, if the stamp is greater than the known one's.
    ///
    /// # Errors
    /// A bad address, or an id that is no member; the roster is unchanged.
    pub fn set_contact(&mut self, id: NodeId, contact: Contact) -> Result<RosterChange, RosterError> {
        check_address(&contact.gossip)?;
        check_address(&contact.http)?;
        if !self.contains(id) {
            return Err(RosterError::Unknown(id));
        }
        Ok(RosterChange { members: false, contacts: join_contact(&mut self.contacts, id, &contact) })
    }

    /// Takes in all that another roster knows: the join of both.
    ///
    /// # Errors
    /// [`RosterError::Full`] when both together hold more than [`IDS_HARD_MAX`] ids; this roster is
    /// unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<RosterChange, RosterError> {
        let new = other.adds.keys().filter(|id| !self.adds.contains_key(id)).count();
        if self.adds.len() + new > IDS_HARD_MAX {
            return Err(RosterError::Full(IDS_HARD_MAX));
        }
        let mut change = RosterChange::default();
        for (id, add) in &other.adds {
            change.members |= join_add(&mut self.adds, *id, add);
        }
        for (id, removal) in &other.removes {
            change.members |= join_removal(&mut self.removes, *id, *removal);
            change.contacts |= self.contacts.remove(id).is_some();
            self.leaving.remove(id);
        }
        for (id, since) in &other.leaving {
            if !self.removes.contains_key(id) {
                change.members |= join_leaving(&mut self.leaving, *id, *since);
            }
        }
        for (id, contact) in &other.contacts {
            if !self.removes.contains_key(id) {
                change.contacts |= join_contact(&mut self.contacts, *id, contact);
            }
        }
        Ok(change)
    }

    /// The members, ascending by id: added and not removed.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        self.member_adds().map(|(id, _)| id)
    }

    /// The members, ascending by id, and how each was added.
    pub fn member_adds(&self) -> impl Iterator<Item = (NodeId, &Add)> {
        let adds = self.adds.iter().filter(|(id, _)| !self.removes.contains_key(id));
        adds.map(|(id, add)| (*id, add))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members().count()
    }

    /// How many ids there are, removed ones included.
    pub fn ids(&self) -> usize {
        self.adds.len()
    }

    /// Whether nobody belongs: the roster of a node that has not joined yet.
    pub fn is_empty(&self) -> bool {
        self.members().next().is_none()
    }

    /// Whether the id is a member's.
    pub fn contains(&self, id: NodeId) -> bool {
        self.adds.contains_key(&id) && !self.removes.contains_key(&id)
    }

    /// Whether the member is leaving.
    pub fn is_leaving(&self, id: NodeId) -> bool {
        self.leaving.contains_key(&id)
    }

    /// How the id was removed, or none.
    pub fn removal(&self, id: NodeId) -> Option<Removal> {
        self.removes.get(&id).copied()
    }

    /// How the id was added, removed since or not.
    pub fn added(&self, id: NodeId) -> Option<&Add> {
        self.adds.get(&id)
    }

    /// Every id that was removed, ascending.
    pub fn removed(&self) -> impl Iterator<Item = (NodeId, Removal)> {
        self.removes.iter().map(|(id, removal)| (*id, *removal))
    }

    /// Where the member is reached, when known.
    pub fn contact(&self, id: NodeId) -> Option<&Contact> {
        self.contacts.get(&id)
    }

    /// The name the id was added under, removed since or not.
    pub fn name(&self, id: NodeId) -> Option<&str> {
        self.adds.get(&id).map(|add| add.name.as_str())
    }

    /// The member of this name; of several (see the module's words on names) the one of the elder add.
    pub fn by_name(&self, name: &str) -> Option<NodeId> {
        self.all_by_name(name).into_iter().next()
    }

    /// All members of this name, the elder add first.
    pub fn all_by_name(&self, name: &str) -> Vec<NodeId> {
        let mut found: Vec<(Hlc, NodeId)> = self
            .adds
            .iter()
            .filter(|(id, add)| add.name == name && !self.removes.contains_key(id))
            .map(|(id, add)| (add.at, *id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// What people see: the name, and where several members have it, `name#` and the first eight digits of
    /// the id. An id that was never added is shown as its digits.
    pub fn shown_name(&self, id: NodeId) -> String {
        let Some(name) = self.name(id) else { return id.to_string() };
        let shared = self.all_by_name(name).iter().any(|other| *other != id);
        if !shared || !self.contains(id) {
            return name.to_owned();
        }
        with_digits(name, id)
    }

    /// All members and what people see of each, ascending by id.
    pub fn shown_names(&self) -> Vec<(NodeId, String)> {
        let named = || self.members().filter_map(|id| Some((id, self.name(id)?)));
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        named().for_each(|(_, name)| *times.entry(name).or_default() += 1);
        let shown = |(id, name): (NodeId, &str)| {
            let shared = times.get(name).is_some_and(|times| *times > 1);
            (id, if shared { with_digits(name, id) } else { name.to_owned() })
        };
        named().map(shown).collect()
    }

    /// The version: a hash of all adds and removes, and of who is leaving.
    pub fn version(&self) -> RosterVersion {
        form::members_version(&self.adds, &self.removes, &self.leaving)
    }

    /// The same, with the stamps of all members' contacts: each life of a member stamps its own anew. Equal ones mean
    /// that the same members are known in the same lives.
    pub fn lives_version(&self) -> RosterVersion {
        form::lives_version(self.version(), &self.contacts)
    }

    /// A hash of all contacts, so that peers can tell whether one knows newer addresses.
    pub fn contacts_version(&self) -> RosterVersion {
        form::contacts_version(&self.contacts)
    }
}

/// A name that several members have.
fn with_digits(name: &str, id: NodeId) -> String {
    let digits = id.to_string();
    format!("{name}#{}", digits.get(..8).unwrap_or(&digits))
}

/// The earlier add stands. A joiner that asked two sponsors has all its times above the later of the two
/// it was told, so the earlier is the safe one to count from.
fn join_add(adds: &mut BTreeMap<NodeId, Add>, id: NodeId, add: &Add) -> bool {
    match adds.get(&id) {
        Some(known) if known <= add => false,
        _ => {
            adds.insert(id, add.clone());
            true
        }
    }
}

/// The earlier removal stands.
fn join_removal(removes: &mut BTreeMap<NodeId, Removal>, id: NodeId, removal: Removal) -> bool {
    match removes.get(&id) {
        Some(known) if *known <= removal => false,
        _ => {
            removes.insert(id, removal);
            true
        }
    }
}

/// The earlier time stands.
fn join_leaving(leaving: &mut BTreeMap<NodeId, Hlc>, id: NodeId, since: Hlc) -> bool {
    match leaving.get(&id) {
        Some(known) if *known <= since => false,
        _ => {
            leaving.insert(id, since);
            true
        }
    }
}

/// The later contact stands; of two with one stamp, which a member never makes, the greater.
fn join_contact(contacts: &mut BTreeMap<NodeId, Contact>, id: NodeId, contact: &Contact) -> bool {
    match contacts.get(&id) {
        Some(known) if known >= contact => false,
        _ => {
            contacts.insert(id, contact.clone());
            true
        }
    }
}
