//! What members publish of themselves: a summary of their vector, of the same length however many members there are. It
//! travels from member to member with the openings of sessions, whoever it is of.

use std::collections::{BTreeMap, BTreeSet};

use blake3::Hasher;
use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};

use super::vector::Vector;
use crate::roster::{Roster, RosterVersion};

/// What one member said of itself at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// When, by its own clock. Its own component, once it is proven. A later one takes the place of an earlier one.
    pub at: Hlc,
    /// Under which roster.
    pub roster: RosterVersion,
    /// Its own time at its last adoption.
    pub adopted: Hlc,
    /// Whether its disk may have been an old one then: no session had shown otherwise since its start.
    pub unproven: bool,
    /// The least component of its vector over all members of that roster: its *stable*.
    pub least: Hlc,
    /// Of whom that component is.
    pub least_of: NodeId,
    /// The adoptions of all members, as far as it knew; none where one had not published, or where it did not hold all
    /// that each of them held at its adoption.
    pub meets: Option<Adoptions>,
}

impl Published {
    /// What `me` publishes of this vector, which is complete over the roster, where `known` is what it knows of the others.
    pub fn new(
        me: NodeId,
        Own { roster, adopted, unproven }: Own,
        vector: &Vector,
        known: &Publications,
    ) -> Self {
        let (least_of, least) = vector.iter().min_by_key(|(_, at)| *at).unwrap_or((me, Hlc::ZERO));
        let of = |member| match known.under(roster, member) {
            _ if member == me => Some(adopted),
            published => published.map(|published| published.adopted),
        };
        let held = vector.iter().map(|(member, at)| of(member).filter(|adopted| *adopted <= at));
        let meets = Adoptions::of(vector.iter().map(|(member, _)| member).zip(held));
        Self { at: vector.get(me), roster, adopted, unproven, least, least_of, meets }
    }
}

/// What a member publishes of itself beside its vector.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Under which roster.
    pub roster: RosterVersion,
    /// Its own time at its last adoption.
    pub adopted: Hlc,
    /// Whether its disk may be an old one.
    pub unproven: bool,
}

/// The times of the last adoptions of all members, as a hash: two that are equal mean the same times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoptions([u8; 8]);

impl Adoptions {
    /// Of these members, ascending; none where one of the times is not known.
    pub fn of(adopted: impl IntoIterator<Item = (NodeId, Option<Hlc>)>) -> Option<Self> {
        let mut hasher = Hasher::new_derive_key("mangrove adoptions 1");
        for (member, at) in adopted {
            hasher.update(&member.0.to_be_bytes());
            hasher.update(&at?.as_u64().to_be_bytes());
        }
        hasher.finalize().as_bytes().first_chunk().copied().map(Self)
    }
}

/// The latest that is known of each member.
#[derive(Clone, Debug, Default)]
pub struct Publications {
    of: BTreeMap<NodeId, Known>,
    /// Whose was learned when.
    order: BTreeMap<u64, NodeId>,
    learned: u64,
}

#[derive(Clone, Debug)]
struct Known {
    published: Published,
    from: NodeId,
    learned: u64,
}

impl Publications {
    /// Keeps the later of two under one roster; of two under different ones the one given, which came from this member.
    /// True if that is kept. What was published under a former roster is not heard any more: see [`super::Said::hear`].
    pub fn take(&mut self, of: NodeId, published: Published, from: NodeId) -> bool {
        let known = self.of.get(&of);
        // A member whose disk and clock were put back begins again with earlier times.
        let is_later = |known: &Published| known.roster == published.roster && known.at >= published.at;
        if known.is_some_and(|known| is_later(&known.published)) {
            return false;
        }
        if let Some(known) = known {
            self.order.remove(&known.learned);
        }
        self.learned += 1;
        self.order.insert(self.learned, of);
        self.of.insert(of, Known { published, from, learned: self.learned });
        true
    }

    /// What this member published last, as far as known.
    pub fn get(&self, of: NodeId) -> Option<&Published> {
        self.of.get(&of).map(|known| &known.published)
    }

    /// The same, if it was published under this roster: nothing else counts.
    pub fn under(&self, roster: RosterVersion, of: NodeId) -> Option<&Published> {
        self.get(of).filter(|published| published.roster == roster)
    }

    /// How many have been learned so far.
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// Those that were learned after so many, the latest first; not what `peer` published itself or was the one to tell.
    fn since(&self, learned: u64, peer: NodeId) -> impl Iterator<Item = (NodeId, &Published)> {
        let after = self.order.range(learned + 1..).rev();
        let known = after.filter_map(|(_, of)| self.of.get(of).map(|known| (*of, known)));
        let news = known.filter(move |(of, known)| *of != peer && known.from != peer);
        news.map(|(of, known)| (of, &known.published))
    }

    /// What one opening tells to `peer`, who was told what had been learned here up to `learned`: all that is new, or where
    /// there is more than that, the newest, which spreads so, and some of all, so that none is left out for ever: those
    /// around the member `from`. Says whether it is all.
    pub fn news(
        &self,
        (learned, peer): (u64, NodeId),
        max: usize,
        from: NodeId,
    ) -> (Vec<(NodeId, &Published)>, bool) {
        let mut news: Vec<(NodeId, &Published)> = self.since(learned, peer).take(max + 1).collect();
        if news.len() <= max {
            return (news, true);
        }
        news.truncate(max / 2);
        let told: BTreeSet<NodeId> = news.iter().map(|(of, _)| *of).collect();
        let others = self.of.range(from..).chain(self.of.range(..from));
        let others = others.filter(|(of, known)| **of != peer && known.from != peer && !told.contains(of));
        news.extend(others.map(|(of, known)| (*of, &known.published)).take(max - max / 2));
        (news, false)
    }

    /// All, ascending by member.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Published)> {
        self.of.iter().map(|(of, known)| (*of, &known.published))
    }

    /// Forgets those of nodes that are no members.
    pub fn keep_members(&mut self, roster: &Roster) {
        self.of.retain(|of, _| roster.contains(*of));
        self.order.retain(|_, of| roster.contains(*of));
    }
}
