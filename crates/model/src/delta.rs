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
    /// Each sibling's dot, ascending, and the first 8 bytes of its hash.
    pub siblings: Vec<(Dot, u64)>,
}

/// An entry as sent to a replica whose [`Summary`] is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    context: Context,
    last_expiry: Expiry,
    siblings: Vec<DeltaSibling>,
}

/// A sibling within a [`Delta`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeltaSibling {
    /// The receiver said that it has seen this one.
    Known(Dot),
    /// The receiver lacks this one.
    Full(Sibling),
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
            siblings: self.siblings().iter().map(|s| (s.dot(), s.hash().short())).collect(),
        }
    }

    /// What a replica with this summary lacks of this entry; none if it lacks nothing.
    pub fn delta_for(&self, theirs: &Summary) -> Option<Delta> {
        let seen = |s: &&Sibling| match theirs.siblings.iter().find(|(dot, _)| *dot == s.dot()) {
            Some((_, hash)) => *hash == s.hash().short(),
            None => theirs.context.covers(s.dot()),
        };
        let lacks_sibling = self.siblings().iter().any(|s| !seen(&s));
        let replaced = theirs
            .siblings
            .iter()
            .any(|(dot, _)| self.context().covers(*dot) && !self.siblings().iter().any(|s| s.dot() == *dot));
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

    /// The sender's entry, its known siblings filled in from what is held here. What was replaced here
    /// in the meantime stays away: merging the result gives the same as merging the sender's entry.
    pub fn resolve(self, held: &Entry) -> Result<Entry, MissingSibling> {
        let mut siblings = Vec::with_capacity(self.siblings.len());
        for sibling in self.siblings {
            match sibling {
                DeltaSibling::Full(full) => siblings.push(full),
                DeltaSibling::Known(dot) => match held.siblings().iter().find(|s| s.dot() == dot) {
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
