//! The tree as of one instant: the live one minus what has changed since.

use std::{
    collections::{BTreeMap, btree_map},
    slice,
};

use crate::{
    digest::RangeDigest,
    frozen::ViewLost,
    opening::Opening,
    prefix::Prefix,
    sketch::{CellsThen, Field, kept_cells},
    tree::Tree,
};

/// Bytes of keys that a view may remember for each change it may remember, on average; beside them one whole key.
const KEY_BYTES_PER_CHANGE: usize = 64;
const KEY_BYTES_SPARE: usize = 1024;

/// What one key's entry was when the view was frozen, and what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    then: Option<u128>,
    now: Option<u128>,
}

impl Change {
    /// What must be added to a live digest to get the frozen one.
    fn back(self) -> RangeDigest {
        RangeDigest::change(self.now, self.then)
    }
}

type KeyChange = (Box<[u8]>, Change);
/// The changed keys of one token, ascending; nearly always one.
type AtToken = Vec<KeyChange>;

/// A key that has changed since a view was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<'a> {
    /// The key's token.
    pub token: u64,
    /// The key.
    pub key: &'a [u8],
    /// Its digest when the view was frozen, `None` for no entry.
    pub then: Option<u128>,
    /// Its digest now, `None` for no entry.
    pub now: Option<u128>,
}

/// A frozen view of a [`Tree`]: root and hint of the instant it was made, and every key changed since with what it
/// was then. Digests are additive, so "live minus what changed" is exact.
///
/// Whoever changes the tree calls [`FrozenView::record`] in the same critical section. What is remembered is
/// bounded; past the bound the view is lost for good and says so.
#[derive(Clone, Debug)]
pub struct FrozenView {
    opening: Opening,
    changes: BTreeMap<u64, AtToken>,
    changes_len: usize,
    key_bytes: usize,
    changes_max: usize,
    overflowed: bool,
}

impl FrozenView {
    /// Freezes `tree` as it is now. The view remembers at most `limit_changes` keys changed since, whose keys are 64
    /// bytes long on average.
    pub fn freeze(tree: &Tree, limit_changes: usize) -> FrozenView {
        FrozenView {
            opening: tree.opening(),
            changes: BTreeMap::new(),
            changes_len: 0,
            key_bytes: 0,
            changes_max: limit_changes,
            overflowed: false,
        }
    }

    /// Takes in that a key went from `old` to `new` in the live tree. Past the limit the view is lost, and its
    /// memory given back at once.
    pub fn record(&mut self, token: u64, key: &[u8], old: Option<u128>, new: Option<u128>) {
        if self.overflowed || old == new {
            return;
        }
        let at_token = self.changes.entry(token).or_default();
        match at_token.binary_search_by(|(other, _)| (**other).cmp(key)) {
            Err(place) => {
                at_token.insert(place, (key.into(), Change { then: old, now: new }));
                self.changes_len += 1;
                self.key_bytes += key.len();
            }
            Ok(place) => {
                if let Some((_, change)) = at_token.get_mut(place) {
                    change.now = new;
                    // Back to what it was: nothing to remember.
                    if change.then == new {
                        at_token.remove(place);
                        self.changes_len -= 1;
                        self.key_bytes -= key.len();
                    }
                }
                if at_token.is_empty() {
                    self.changes.remove(&token);
                }
            }
        }
        let key_bytes_max =
            self.changes_max.saturating_mul(KEY_BYTES_PER_CHANGE).saturating_add(KEY_BYTES_SPARE);
        if self.changes_len > self.changes_max || self.key_bytes > key_bytes_max {
            self.overflowed = true;
            self.changes = BTreeMap::new();
        }
    }

    /// True when more has changed than the view may remember: it answers nothing any more.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Number of keys that differ from what they were when the view was frozen; 0 once it is lost.
    pub fn changes(&self) -> usize {
        if self.overflowed { 0 } else { self.changes_len }
    }

    /// Root, leaf bits and hint of the frozen instant.
    ///
    /// # Errors
    /// The view is lost.
    pub fn opening(&self) -> Result<Opening, ViewLost> {
        self.whole().map(|()| self.opening)
    }

    /// The digest of everything at the frozen instant.
    ///
    /// # Errors
    /// The view is lost.
    pub fn root(&self) -> Result<RangeDigest, ViewLost> {
        Ok(self.opening()?.root)
    }

    /// The digest of a range at the frozen instant; `tree` is the live tree that was frozen, however grown since.
    ///
    /// # Errors
    /// The view is lost, or the range is finer than the live leaves.
    pub fn range(&self, tree: &Tree, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.whole()?;
        let live = tree.range(prefix)?;
        if self.changes.is_empty() {
            return Ok(live);
        }
        let changes = self.changes.range(prefix.first_token()..=prefix.last_token());
        let back = changes.flat_map(|(_, at_token)| at_token).map(|(_, change)| change.back());
        Ok(back.fold(live, RangeDigest::add))
    }

    /// Cells `from..to` of the sketch and what has changed since the frozen instant; taking that back gives the cells
    /// of that instant. `tree` is the live tree that was frozen.
    ///
    /// # Errors
    /// The view is lost, cells that the frozen tree did not keep are asked for, or the tree has grown past the field
    /// that its sketch was in.
    pub fn cells(&self, tree: &Tree, from: usize, to: usize) -> Result<CellsThen, ViewLost> {
        let opening = self.opening()?;
        if from > to || to > kept_cells(opening.leaf_bits) {
            return Err(ViewLost::TooDeep);
        }
        if tree.sketch.field() != Field::of_leaves(opening.leaf_bits) {
            return Err(ViewLost::FieldChanged);
        }
        let mut cells = CellsThen::new(tree.cells(from, to));
        for (token, changes) in &self.changes {
            changes.iter().for_each(|(_, change)| cells.changed(*token, change.then, change.now));
        }
        Ok(cells)
    }

    /// The digest that a key's entry had at the frozen instant, given what it has `now` in the live store; `None`
    /// stands for no entry.
    ///
    /// # Errors
    /// The view is lost.
    pub fn digest_now_to_then(
        &self,
        token: u64,
        key: &[u8],
        now: Option<u128>,
    ) -> Result<Option<u128>, ViewLost> {
        self.whole()?;
        let at_token = self.changes.get(&token).map_or(&[][..], Vec::as_slice);
        let change = at_token.iter().find(|(other, _)| **other == *key);
        Ok(change.map_or(now, |(_, change)| change.then))
    }

    /// The keys with tokens in `first..=last` that are not what they were, in (token, key) order. Nothing when
    /// `first` is above `last`, or the view is lost; see [`FrozenView::overflowed`].
    pub fn changed_in(&self, first: u64, last: u64) -> impl Iterator<Item = Changed<'_>> {
        ChangedIn { tokens: self.changes.range(first..=last.max(first)), at_token: None }
            .filter(move |_| first <= last)
    }

    fn whole(&self) -> Result<(), ViewLost> {
        if self.overflowed { Err(ViewLost::Overflowed) } else { Ok(()) }
    }
}

/// Walks tokens, then the keys of each.
struct ChangedIn<'a> {
    tokens: btree_map::Range<'a, u64, AtToken>,
    at_token: Option<(u64, slice::Iter<'a, KeyChange>)>,
}

impl<'a> Iterator for ChangedIn<'a> {
    type Item = Changed<'a>;

    fn next(&mut self) -> Option<Changed<'a>> {
        loop {
            if let Some((token, keys)) = &mut self.at_token
                && let Some((key, change)) = keys.next()
            {
                return Some(Changed { token: *token, key, then: change.then, now: change.now });
            }
            let (token, keys) = self.tokens.next()?;
            self.at_token = Some((*token, keys.iter()));
        }
    }
}
