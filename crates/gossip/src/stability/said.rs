//! Publications and vectors as they travel between two members of one roster: members by their place in it, times as
//! distances.

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};

use super::packed;
use super::published::{Adoptions, Published};
use super::vector::Vector;
use crate::roster::RosterVersion;

/// Publications in one opening at most: some 7 KB.
pub const SAID_MAX: usize = 256;

/// Who belongs, ascending, under one version of the roster.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The members.
    pub members: &'a [NodeId],
    /// The version.
    pub version: RosterVersion,
}

impl Places<'_> {
    fn of(self, member: NodeId) -> Option<u32> {
        self.members.binary_search(&member).ok().and_then(|place| u32::try_from(place).ok())
    }

    fn at(self, place: u32) -> Option<NodeId> {
        self.members.get(usize::try_from(place).ok()?).copied()
    }
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whose.
    of: u32,
    /// How far it lies before a time that both sides know.
    #[serde(with = "packed::one")]
    at: i64,
    /// How far these lie before it.
    #[serde(with = "packed::one")]
    adopted: i64,
    #[serde(with = "packed::one")]
    least: i64,
    least_of: u32,
    unproven: bool,
    meets: Option<Adoptions>,
}

impl Said {
    /// The form of what is known of a member, beside this time; none under another roster than this one, which would not
    /// be of use.
    pub fn of(places: Places<'_>, base: Hlc, of: NodeId, published: &Published) -> Option<Self> {
        if published.roster != places.version {
            return None;
        }
        Some(Self {
            of: places.of(of)?,
            at: before(base, published.at),
            adopted: before(published.at, published.adopted),
            least: before(published.at, published.least),
            least_of: places.of(published.least_of)?,
            unproven: published.unproven,
            meets: published.meets,
        })
    }

    /// What it says, under this roster and beside this time; none if it cannot be.
    pub fn hear(&self, places: Places<'_>, base: Hlc) -> Option<(NodeId, Published)> {
        let of = places.at(self.of)?;
        let at = after(base, self.at);
        let (adopted, least) = (after(at, self.adopted), after(at, self.least));
        let least_of = places.at(self.least_of)?;
        let holds_together = adopted <= at && least <= at;
        let (roster, unproven, meets) = (places.version, self.unproven, self.meets);
        let published = Published { at, roster, adopted, unproven, least, least_of, meets };
        holds_together.then_some((of, published))
    }
}

/// A vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidVector(#[serde(with = "packed")] Vec<i64>);

impl SaidVector {
    /// The form of a vector over these members, beside this time.
    pub fn of(places: Places<'_>, base: Hlc, vector: &Vector) -> Self {
        let is_complete = vector.iter().map(|(member, _)| member).eq(places.members.iter().copied());
        debug_assert!(is_complete, "a vector of others than the roster's members");
        Self(vector.iter().map(|(_, at)| before(base, at)).collect())
    }

    /// What it says, under this roster and beside this time; none if it cannot be.
    pub fn hear(&self, places: Places<'_>, base: Hlc) -> Option<Vector> {
        let components = self.0.iter().map(|distance| after(base, *distance));
        (self.0.len() == places.members.len())
            .then(|| places.members.iter().copied().zip(components).collect())
    }
}

/// How far `at` lies before `base`, in the last bits of a timestamp.
fn before(base: Hlc, at: Hlc) -> i64 {
    base.as_u64().wrapping_sub(at.as_u64()).cast_signed()
}

fn after(base: Hlc, distance: i64) -> Hlc {
    Hlc::from_u64(base.as_u64().wrapping_sub(distance.cast_unsigned()))
}
