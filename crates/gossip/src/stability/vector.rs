//! The summary vector, and time in steps.

use std::collections::BTreeMap;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};

use crate::roster::Roster;

/// Watermark and horizon move in steps of so many milliseconds, so that members mostly agree on them; so does a node's
/// own component while nothing happens.
pub const STEP_MS: u64 = 10_000;

/// The last step at or before this time.
pub fn step(at: Hlc) -> Hlc {
    Hlc::new(at.millis() / STEP_MS * STEP_MS, 0)
}

/// Times that are steps, as they travel: the number of the step.
pub mod in_steps {
    use model::Hlc;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::STEP_MS;

    /// The number of the last step at or before this time.
    pub fn serialize<S: Serializer>(at: &Hlc, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.millis() / STEP_MS)
    }

    /// The step of this number.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hlc, D::Error> {
        Ok(Hlc::new(u64::deserialize(from)?.saturating_mul(STEP_MS), 0))
    }
}

/// Of each member a time: all that the member held at that time of its own clock is durably held here. Components only
/// rise, but for a member that begins a life with a clock which lies before the times of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector(BTreeMap<NodeId, Hlc>);

impl Vector {
    /// A member's component; [`Hlc::ZERO`] where there is none.
    pub fn get(&self, member: NodeId) -> Hlc {
        self.0.get(&member).copied().unwrap_or_default()
    }

    /// A member's component, which begins with the time of its add: before that it held nothing (H11).
    pub fn of(&self, member: NodeId, roster: &Roster) -> Hlc {
        self.get(member).max(roster.added(member).map_or(Hlc::ZERO, |add| add.at))
    }

    /// Raises a component to at least this time. True if it was less.
    pub fn raise(&mut self, member: NodeId, to: Hlc) -> bool {
        let component = self.0.entry(member).or_default();
        let rises = to > *component;
        *component = to.max(*component);
        rises
    }

    /// Lowers a component to this time, where it is more.
    pub fn lower(&mut self, member: NodeId, to: Hlc) {
        if let Some(component) = self.0.get_mut(&member) {
            *component = to.min(*component);
        }
    }

    /// Takes the greater of each component, after a session that has shown that all which the other held is held here.
    /// Ids that were never added are not taken; those of removed members are kept for ever.
    pub fn merge(&mut self, other: &Self, roster: &Roster) {
        for (member, at) in &other.0 {
            if roster.added(*member).is_some() {
                self.raise(*member, *at);
            }
        }
    }

    /// The components of all members, with `own` for this node's.
    pub fn complete(&self, me: NodeId, own: Hlc, roster: &Roster) -> Self {
        let of =
            |member| if member == me { own.max(self.add_time(me, roster)) } else { self.of(member, roster) };
        Self(roster.members().map(|member| (member, of(member))).collect())
    }

    fn add_time(&self, member: NodeId, roster: &Roster) -> Hlc {
        roster.added(member).map_or(Hlc::ZERO, |add| add.at)
    }

    /// The least component: of a complete vector, the node's *stable*.
    pub fn least(&self) -> Hlc {
        self.0.values().copied().min().unwrap_or_default()
    }

    /// Whether some component has come to a later step than in `other`.
    pub fn is_steps_ahead_of(&self, other: &Self) -> bool {
        self.0.iter().any(|(member, at)| step(*at) > step(other.get(*member)))
    }

    /// The components, ascending by member.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Hlc)> {
        self.0.iter().map(|(member, at)| (*member, *at))
    }

    /// How many components there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(NodeId, Hlc)> for Vector {
    fn from_iter<I: IntoIterator<Item = (NodeId, Hlc)>>(components: I) -> Self {
        Self(components.into_iter().collect())
    }
}
