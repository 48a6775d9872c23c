//! What members publish of themselves. It travels from member to member with the openings of sessions, whoever it is of.

use std::collections::BTreeMap;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};

use super::packed;
use super::vector::Vector;
use crate::roster::{Roster, RosterVersion};

/// Components in one opening at most, over all that is said in it: some 20 KB. Up to 64 members it holds all there is.
pub const SAID_COMPONENTS_MAX: usize = 4_096;

/// What one member said of itself at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// When, by its own clock; its own component. A later one takes the place of an earlier one.
    pub at: Hlc,
    /// Under which roster.
    pub roster: RosterVersion,
    /// Its own time at its last adoption.
    pub adopted: Hlc,
    /// Its vector over all members of that roster.
    pub vector: Vector,
}

/// The latest that is known of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publications(BTreeMap<NodeId, Published>);

impl Publications {
    /// Keeps the later of two under one roster; of two under different ones the one given. True if that is kept. What
    /// was published under a former roster is not heard any more: see [`Said::hear`].
    pub fn take(&mut self, of: NodeId, published: Published) -> bool {
        // A member whose disk and clock were put back begins again with earlier times.
        let is_later = |known: &Published| known.roster == published.roster && known.at >= published.at;
        if self.0.get(&of).is_some_and(is_later) {
            return false;
        }
        self.0.insert(of, published);
        true
    }

    /// What this member published last, as far as known.
    pub fn get(&self, of: NodeId) -> Option<&Published> {
        self.0.get(&of)
    }

    /// All, in order of members, beginning with the first at or behind `from`.
    pub fn iter_from(&self, from: NodeId) -> impl Iterator<Item = (NodeId, &Published)> {
        let all = self.0.range(from..).chain(self.0.range(..from));
        all.map(|(of, published)| (*of, published))
    }

    /// All, ascending by member.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Published)> {
        self.0.iter().map(|(of, published)| (*of, published))
    }

    /// Forgets those of nodes that are no members.
    pub fn keep_members(&mut self, roster: &Roster) {
        self.0.retain(|of, _| roster.contains(*of));
    }
}

/// A publication as it travels between two members of one roster: members by their place in it, times as differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whose, by its place among the members.
    of: u32,
    at: Hlc,
    /// How far these lie before `at`, in the last bits of a timestamp.
    adopted: i64,
    #[serde(with = "packed")]
    vector: Vec<i64>,
}

impl Said {
    /// The form of what is known of a member; none under another roster than this one, which would not be of use.
    pub fn of(roster: &Roster, version: RosterVersion, of: NodeId, published: &Published) -> Option<Self> {
        if published.roster != version {
            return None;
        }
        let place = roster.members().position(|member| member == of)?;
        let before = |at: Hlc| published.at.as_u64().wrapping_sub(at.as_u64()).cast_signed();
        let vector = roster.members().map(|member| before(published.vector.get(member))).collect();
        let of = u32::try_from(place).ok()?;
        Some(Self { of, at: published.at, adopted: before(published.adopted), vector })
    }

    /// How many components it has.
    pub fn components(&self) -> usize {
        self.vector.len()
    }

    /// What it says, under this roster; none if it cannot be.
    pub fn hear(&self, roster: &Roster, version: RosterVersion) -> Option<(NodeId, Published)> {
        let of = roster.members().nth(usize::try_from(self.of).ok()?)?;
        if self.vector.len() != roster.len() {
            return None;
        }
        let at = |before: i64| Hlc::from_u64(self.at.as_u64().wrapping_sub(before.cast_unsigned()));
        let vector: Vector = roster.members().zip(self.vector.iter().map(|before| at(*before))).collect();
        let adopted = at(self.adopted);
        let holds_together = vector.get(of) == self.at && adopted <= self.at;
        holds_together.then_some((of, Published { at: self.at, roster: version, adopted, vector }))
    }
}
