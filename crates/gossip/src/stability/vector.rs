//! The summary vector, and time in steps.

use std::collections::BTreeMap;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize, Serializer};

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
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::STEP_MS;

    /// The number of the last step at or before this time.
    pub fn serialize<S: Serializer>(at: &Hlc, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.millis() / STEP_MS)
    }

    /// The step of this number. Refused where no time is as late: taken for the last time there is, it would be no step, and
    /// another one once it is sent on.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hlc, D::Error> {
        let number = u64::deserialize(from)?;
        if number > Hlc::MAX.millis() / STEP_MS {
            return Err(D::Error::custom(format!("step {number} is later than any time")));
        }
        Ok(Hlc::new(number * STEP_MS, 0))
    }
}

/// Of each member a time: all that the member held at that time of its own clock is durably held here. Components only
/// rise, but for a member that begins a life with a clock which lies before the times of an earlier one.
///
/// A list in the order of members: in a large cluster whole vectors are made and merged in each session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<NodeId, Hlc>")]
pub struct Vector(Vec<(NodeId, Hlc)>);

impl Vector {
    fn place(&self, member: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&member, |(of, _)| *of)
    }

    fn component(&mut self, member: NodeId) -> Option<&mut Hlc> {
        let place = self.place(member).ok()?;
        self.0.get_mut(place).map(|(_, at)| at)
    }

    /// A member's component; [`Hlc::ZERO`] where there is none.
    pub fn get(&self, member: NodeId) -> Hlc {
        let known = self.place(member).ok().and_then(|place| self.0.get(place));
        known.map_or(Hlc::ZERO, |(_, at)| *at)
    }

    /// A member's component, which begins with the time of its add: before that it held nothing (H11).
    pub fn of(&self, member: NodeId, roster: &Roster) -> Hlc {
        self.get(member).max(roster.added(member).map_or(Hlc::ZERO, |add| add.at))
    }

    /// Raises a component to at least this time. True if it was less.
    pub fn raise(&mut self, member: NodeId, to: Hlc) -> bool {
        match self.component(member) {
            Some(at) => {
                let rises = to > *at;
                *at = to.max(*at);
                rises
            }
            None => {
                let place = self.0.partition_point(|(of, _)| *of < member);
                self.0.insert(place, (member, to));
                to > Hlc::ZERO
            }
        }
    }

    /// Lowers a component to this time, where it is more.
    pub fn lower(&mut self, member: NodeId, to: Hlc) {
        if let Some(at) = self.component(member) {
            *at = to.min(*at);
        }
    }

    /// Takes the greater of each component, after a session that has shown that all which the other held is held here.
    /// Ids that were never added are not taken; those of removed members are kept for ever. The time of an add is not
    /// taken either: it claims nothing, and another sponsor may have let the same node in before.
    pub fn merge(&mut self, other: &Self, roster: &Roster) {
        let mut new = Vec::new();
        let mut own = self.0.iter_mut().peekable();
        for (member, at) in &other.0 {
            while own.next_if(|(of, _)| of < member).is_some() {}
            let is_claim = || roster.added(*member).is_some_and(|add| *at > add.at);
            match own.peek_mut() {
                Some((of, known)) if of == member && (*at <= *known || !is_claim()) => {}
                Some((of, known)) if of == member => *known = *at,
                _ if is_claim() => new.push((*member, *at)),
                _ => {}
            }
        }
        for (member, at) in new {
            self.raise(member, at);
        }
    }

    /// The components of all members, with `own` for this node's. None lies before the time of the member's add (H11).
    pub fn complete(&self, me: NodeId, own: Hlc, roster: &Roster) -> Self {
        let mut known = self.0.iter().peekable();
        let of = |(member, added): (NodeId, Hlc)| {
            while known.next_if(|(of, _)| *of < member).is_some() {}
            let held = known.next_if(|(of, _)| *of == member).map_or(Hlc::ZERO, |(_, at)| *at);
            (member, added.max(if member == me { own } else { held }))
        };
        Self(roster.member_adds().map(|(member, add)| (member, add.at)).map(of).collect())
    }

    /// The least component: of a complete vector, the node's *stable*.
    pub fn least(&self) -> Hlc {
        self.0.iter().map(|(_, at)| *at).min().unwrap_or_default()
    }

    /// The components, ascending by member.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Hlc)> {
        self.0.iter().copied()
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

impl From<BTreeMap<NodeId, Hlc>> for Vector {
    fn from(components: BTreeMap<NodeId, Hlc>) -> Self {
        Self(components.into_iter().collect())
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(member, at)| (member, at)))
    }
}

impl FromIterator<(NodeId, Hlc)> for Vector {
    fn from_iter<I: IntoIterator<Item = (NodeId, Hlc)>>(components: I) -> Self {
        let components: Vec<_> = components.into_iter().collect();
        if components.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Self(components);
        }
        components.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}
