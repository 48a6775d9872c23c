//! What one replica must send another so that both hold the same entry: only what the other lacks.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Context, Dot, Entry, Expiry, Sibling};

/// An entry without its values: what a session exchanges before it streams anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The entry's context.
    pub context: Context,
    /// The entry's last expiry.
    pub last_expiry: Expiry,
    /// Each sibling's dot, ascending, and the first 4 bytes of its hash: they only tell apart two contents of one dot,
    /// of which there are none while dots are unique.
    pub siblings: Vec<(Dot, u32)>,
}

impl Summary {
    /// Whether the entry it is of has anything that an entry with the summary `theirs` lacks: whether
    /// [`Entry::delta_for`] would give something.
    pub fn has_for(&self, theirs: &Summary) -> bool {
        let seen = |(dot, hash): &(Dot, u32)| match theirs.siblings.iter().find(|(other, _)| other == dot) {
            Some((_, other)) => hash == other,
            None => theirs.context.covers(*dot),
        };
        let held = |dot: &Dot| self.siblings.iter().any(|(own, _)| own == dot);
        !self.siblings.iter().all(seen)
            || theirs.siblings.iter().any(|(dot, _)| self.context.covers(*dot) && !held(dot))
            || !theirs.context.includes(&self.context)
            || theirs.last_expiry < self.last_expiry
    }
}

/// An entry as sent to a replica whose [`Summary`] is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The entry's context.
    pub context: Context,
    /// The entry's last expiry.
    pub last_expiry: Expiry,
    /// Its siblings, ascending.
    pub siblings: Vec<DeltaSibling>,
}

/// A sibling within a [`Delta`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeltaSibling {
    /// The receiver said that it has seen this one.
    Known(Dot),
    /// The receiver lacks this one.
    Full(Sibling),
}

impl DeltaSibling {
    /// The sibling's dot.
    pub fn dot(&self) -> Dot {
        match self {
            Self::Known(dot) => *dot,
            Self::Full(full) => full.dot(),
        }
    }

    /// The sibling, if it is there whole.
    pub fn full(&self) -> Option<&Sibling> {
        match self {
            Self::Known(_) => None,
            Self::Full(full) => Some(full),
        }
    }
}

/// A delta names a sibling that the receiver neither holds nor has seen replaced: it was made for
/// another state than the receiver's. Nothing is changed; the key is left out of the session.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the sibling {0} is named, but neither held nor covered here")]
pub struct MissingSibling(pub Dot);

impl Entry {
    /// This entry without its values.
    pub fn summary(&self) -> Summary {
        Summary {
            context: self.context().clone(),
            last_expiry: self.last_expiry(),
            siblings: self.siblings().iter().map(|s| (s.dot(), s.hash().brief())).collect(),
        }
    }

    /// What a replica with this summary lacks of this entry; none if it lacks nothing.
    pub fn delta_for(&self, theirs: &Summary) -> Option<Delta> {
        let seen = |s: &&Sibling| match theirs.siblings.iter().find(|(dot, _)| *dot == s.dot()) {
            Some((_, hash)) => *hash == s.hash().brief(),
            None => theirs.context.covers(s.dot()),
        };
        let lacks_sibling = self.siblings().iter().any(|s| !seen(&s));
        let replaced = theirs
            .siblings
            .iter()
            .any(|(dot, _)| self.context().covers(*dot) && self.sibling(*dot).is_none());
        let lacks = lacks_sibling
            || replaced
            || !theirs.context.includes(self.context())
            || theirs.last_expiry < self.last_expiry();
        lacks.then(|| Delta {
            context: self.context().clone(),
            last_expiry: self.last_expiry(),
            siblings: self
                .siblings()
                .iter()
                .map(|s| if seen(&s) { DeltaSibling::Known(s.dot()) } else { DeltaSibling::Full(s.clone()) })
                .collect(),
        })
    }

    /// All that this entry says, whether or not a replica with this summary lacks any of it: siblings whose dots it
    /// holds are named only. Blank for a blank entry.
    pub fn word_for(&self, theirs: &Summary) -> Delta {
        let held = |s: &Sibling| theirs.siblings.iter().any(|(dot, _)| *dot == s.dot());
        let say = |s: &Sibling| match held(s) {
            true => DeltaSibling::Known(s.dot()),
            false => DeltaSibling::Full(s.clone()),
        };
        let siblings = self.siblings().iter().map(say).collect();
        Delta { context: self.context().clone(), last_expiry: self.last_expiry(), siblings }
    }
}

impl Delta {
    /// About how many bytes it takes when sent.
    pub fn weight(&self) -> usize {
        let siblings = self.siblings.iter().map(|s| match s {
            DeltaSibling::Known(_) => 20,
            DeltaSibling::Full(s) => 80 + s.value().len() + s.content_type().map_or(0, str::len),
        });
        40 + 18 * self.context.components() + siblings.sum::<usize>()
    }

    /// Whether it rests on siblings that the receiver holds, so that [`Delta::resolve`] must be given them.
    pub fn rests_on_held(&self) -> bool {
        self.siblings.iter().any(|s| matches!(s, DeltaSibling::Known(_)))
    }

    /// The summary of the sender's entry; of siblings named only, the hash is not known and taken to be `held`'s.
    pub fn summary(&self, held: &Entry) -> Summary {
        let known = |dot: Dot| held.sibling(dot).map_or(0, |s| s.hash().brief());
        let siblings = self.siblings.iter().map(|sibling| match sibling {
            DeltaSibling::Known(dot) => (*dot, known(*dot)),
            DeltaSibling::Full(full) => (full.dot(), full.hash().brief()),
        });
        Summary { context: self.context.clone(), last_expiry: self.last_expiry, siblings: siblings.collect() }
    }

    /// The sender's entry, its known siblings filled in from what is held here. What was replaced here
    /// in the meantime stays away: merging the result gives the same as merging the sender's entry.
    pub fn resolve(self, held: &Entry) -> Result<Entry, MissingSibling> {
        let mut siblings = Vec::with_capacity(self.siblings.len());
        for sibling in self.siblings {
            match sibling {
                DeltaSibling::Full(full) => siblings.push(full),
                DeltaSibling::Known(dot) => match held.sibling(dot) {
                    Some(own) => siblings.push(own.clone()),
                    None if held.context().covers(dot) => {}
                    None => return Err(MissingSibling(dot)),
                },
            }
        }
        let dot =
            siblings.first().map_or(Dot { hlc: crate::Hlc::ZERO, writer: crate::WriterId(0) }, Sibling::dot);
        // A hostile delta may be out of order or uncovered: then it is no entry, and is left out alike.
        Entry::from_parts(self.context, siblings, self.last_expiry).map_err(|_| MissingSibling(dot))
    }
}
