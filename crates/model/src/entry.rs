//! What is stored under a key, and the merge that makes two replicas' entries one.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Context, DigestKey, Dot, Expiry, Hash, Hlc, Key, canonical};

/// One of several concurrent values. Immutable; its hash covers everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SiblingForm")]
pub struct Sibling {
    dot: Dot,
    value: Bytes,
    content_type: Option<String>,
    expiry: Expiry,
    hash: Hash,
}

/// What a sibling is read from; its fields are those of [`Sibling`], in their order.
#[derive(Deserialize)]
struct SiblingForm {
    dot: Dot,
    value: Bytes,
    content_type: Option<String>,
    expiry: Expiry,
    hash: Hash,
}

/// Why what was read is no entry. Nothing is changed by such an error.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    /// A value does not match the hash that stands beside it.
    #[error("a value does not match its hash")]
    Hash,
    /// Siblings are not in strictly ascending order of their dots.
    #[error("siblings are not in ascending order")]
    Order,
    /// A sibling's dot is not covered by the entry's context.
    #[error("the context does not cover a sibling")]
    Uncovered,
    /// The last expiry lies before that of a sibling.
    #[error("the last expiry lies before a sibling's")]
    Expiry,
}

impl Sibling {
    /// The value written as `dot`.
    pub fn new(dot: Dot, value: Bytes, content_type: Option<String>, expiry: Expiry) -> Self {
        let hash = canonical::sibling_hash(dot, &value, content_type.as_deref(), expiry);
        Self { dot, value, content_type, expiry, hash }
    }

    /// The same, if `hash` is its hash: how one comes from elsewhere.
    pub fn checked(
        dot: Dot,
        value: Bytes,
        content_type: Option<String>,
        expiry: Expiry,
        hash: Hash,
    ) -> Result<Self, EntryError> {
        let sibling = Self::new(dot, value, content_type, expiry);
        if sibling.hash == hash { Ok(sibling) } else { Err(EntryError::Hash) }
    }

    /// The write that made it.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// The value itself.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// The media type that the writer gave, if any.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// When it expires.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// BLAKE3 over dot, value, content type and expiry.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    fn weight(&self) -> usize {
        80 + self.value.len() + self.content_type.as_ref().map_or(0, String::len)
    }
}

impl TryFrom<SiblingForm> for Sibling {
    type Error = EntryError;

    fn try_from(form: SiblingForm) -> Result<Self, EntryError> {
        Self::checked(form.dot, form.value, form.content_type, form.expiry, form.hash)
    }
}

/// All that is stored under a key. [`Entry::default`] is the empty one, of a key never written.
///
/// A dot that the context covers and that is no sibling has been replaced. Without siblings it is a
/// tombstone: it remembers what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EntryForm")]
pub struct Entry {
    context: Context,
    siblings: Vec<Sibling>,
    last_expiry: Expiry,
}

/// What an entry is read from; its fields are those of [`Entry`], in their order.
#[derive(Deserialize)]
struct EntryForm {
    context: Context,
    siblings: Vec<Sibling>,
    last_expiry: Expiry,
}

impl TryFrom<EntryForm> for Entry {
    type Error = EntryError;

    fn try_from(form: EntryForm) -> Result<Self, EntryError> {
        Self::from_parts(form.context, form.siblings, form.last_expiry)
    }
}

/// What a merge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Whether the entry is another than before.
    pub changed: bool,
    /// How many dots came with different contents on the two sides. Never happens while dots are
    /// unique; the greater hash was taken, and somebody should be told.
    pub clashes: usize,
}

impl Entry {
    /// An entry of these parts, if they hold together.
    pub fn from_parts(
        context: Context,
        siblings: Vec<Sibling>,
        last_expiry: Expiry,
    ) -> Result<Self, EntryError> {
        if !siblings.is_sorted_by(|a, b| a.dot < b.dot) {
            return Err(EntryError::Order);
        }
        if siblings.iter().any(|s| !context.covers(s.dot)) {
            return Err(EntryError::Uncovered);
        }
        if siblings.iter().any(|s| s.expiry > last_expiry) {
            return Err(EntryError::Expiry);
        }
        Ok(Self { context, siblings, last_expiry })
    }

    /// Which writes this entry has seen.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The concurrent values, in ascending order of their dots.
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// The value of this dot, if it is held. Takes time linear in the siblings.
    pub fn sibling(&self, dot: Dot) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.dot() == dot)
    }

    /// The greatest expiry of any dot the entry ever had, replaced ones included.
    pub fn last_expiry(&self) -> Expiry {
        self.last_expiry
    }

    /// When a sibling expires next, or where there is none the entry: [`Expiry::NEVER`] if nothing of it does.
    pub fn next_expiry(&self) -> Expiry {
        let next = self.siblings.iter().map(Sibling::expiry).min();
        let entry = Some(self.last_expiry).filter(|last| *last != Expiry::NONE_YET);
        next.or(entry).unwrap_or(Expiry::NEVER)
    }

    /// Whether every dot it ever had has expired at this time: then it may be forgotten altogether.
    pub fn is_over(&self, at: Hlc) -> bool {
        self.last_expiry != Expiry::NONE_YET && self.last_expiry.is_over(at)
    }

    /// Takes out the siblings that have expired at this time, and says how many there were. Its context goes on to
    /// cover them.
    pub fn remove_expired(&mut self, at: Hlc) -> usize {
        let before = self.siblings.len();
        self.siblings.retain(|sibling| !sibling.expiry.is_over(at));
        before - self.siblings.len()
    }

    /// The sibling of the greatest dot: what a plain GET answers.
    pub fn winner(&self) -> Option<&Sibling> {
        self.siblings.last()
    }

    /// Whether it was written once and holds no value now.
    pub fn is_tombstone(&self) -> bool {
        self.siblings.is_empty() && !self.is_blank()
    }

    /// Whether nothing was ever written.
    pub fn is_blank(&self) -> bool {
        self.siblings.is_empty() && self.context.is_empty() && self.last_expiry == Expiry::NONE_YET
    }

    /// About how many bytes its stored form takes; never less than its values.
    pub fn weight(&self) -> usize {
        32 + 18 * self.context.components() + self.siblings.iter().map(Sibling::weight).sum::<usize>()
    }

    /// The digest of this entry under its key: see [`canonical::digest`].
    pub fn digest(&self, key: &Key, digest_key: &DigestKey) -> u128 {
        canonical::digest(key, self, digest_key)
    }

    /// A client's write: everything that `seen` covers is replaced by `with`, or by nothing.
    ///
    /// `dot` is the write's own. It must be new: greater than every dot of its writer before. The
    /// dot's expiry is that of `with`, and never for a deletion. Where `seen` covers dots that the entry has not
    /// had, nobody here knows when they expire: never, then, or they could outlive what replaced them.
    pub fn write(&mut self, seen: &Context, dot: Dot, with: Option<Sibling>) {
        if !self.context.includes(seen) {
            self.last_expiry = Expiry::NEVER;
        }
        self.siblings.retain(|s| !seen.covers(s.dot));
        self.context.merge(seen);
        self.context.insert(dot);
        self.last_expiry = self.last_expiry.max(with.as_ref().map_or(Expiry::NEVER, Sibling::expiry));
        if let Some(sibling) = with {
            let at = self.siblings.partition_point(|s| s.dot < sibling.dot);
            self.siblings.insert(at, sibling);
        }
    }

    /// Raises the floor of the context: see [`Context::raise_floor`].
    pub fn raise_floor(&mut self, floor: Hlc) {
        self.context.raise_floor(floor);
    }

    /// Joins another replica's entry of the same key into this one.
    ///
    /// A sibling stays if both hold it, or if one holds it and the other's context does not cover it;
    /// contexts unite; the greater last expiry stays. Commutative, associative, idempotent. Of two
    /// siblings with one dot and different contents the greater hash stays.
    pub fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        let mut kept = Vec::with_capacity(self.siblings.len().max(other.siblings.len()));
        let mut mine = std::mem::take(&mut self.siblings).into_iter().peekable();
        let mut theirs = other.siblings.iter().peekable();
        loop {
            match order(&mut mine, &mut theirs) {
                None => break,
                Some(Ordering::Less) => {
                    let only_mine = mine.next().filter(|s| !other.context.covers(s.dot));
                    merged.changed |= only_mine.is_none();
                    kept.extend(only_mine);
                }
                Some(Ordering::Greater) => {
                    let only_theirs = theirs.next().filter(|s| !self.context.covers(s.dot)).cloned();
                    merged.changed |= only_theirs.is_some();
                    kept.extend(only_theirs);
                }
                Some(Ordering::Equal) => {
                    let (Some(a), Some(b)) = (mine.next(), theirs.next()) else { break };
                    merged.clashes += usize::from(a.hash != b.hash);
                    merged.changed |= b.hash > a.hash;
                    kept.push(if b.hash > a.hash { b.clone() } else { a });
                }
            }
        }
        self.siblings = kept;
        merged.changed |= self.context.merge(&other.context);
        merged.changed |= other.last_expiry > self.last_expiry;
        self.last_expiry = self.last_expiry.max(other.last_expiry);
        merged
    }
}

/// Which of two ascending rows comes next; none when both are at their end.
fn order<'a>(
    mine: &mut Peekable<vec::IntoIter<Sibling>>,
    theirs: &mut Peekable<impl Iterator<Item = &'a Sibling>>,
) -> Option<Ordering> {
    match (mine.peek(), theirs.peek()) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => Some(a.dot.cmp(&b.dot)),
    }
}
