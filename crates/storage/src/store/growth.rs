//! Growing the tree without a pause, and shrinking it: a few entries with each write, more when there is time.

use std::ops::{Bound, ControlFlow};

use crate::engine::{Part, Space};
use crate::store::{Purged, State, Store, StoreError, record};

/// Read for a growing tree within a write: twice as many keys as there are must be written before the
/// tree wants to grow again, so anything above one is in time. Each costs about as much as a write's own upkeep.
pub(super) const ENTRIES_A_WRITE: usize = 8;
/// Read for a growing tree within a section of merged entries, at most.
const ENTRIES_A_SECTION_MAX: usize = 1024;
/// Read for a growing tree in one call of [`Store::maintain`].
pub(super) const ENTRIES_A_CALL: usize = 512;

/// How many entries to read for a growing tree within a section that has written so many.
pub(super) fn entries_a_section(writes: usize) -> usize {
    (writes * 4).clamp(ENTRIES_A_WRITE, ENTRIES_A_SECTION_MAX)
}

/// Tokens and digests in token order, and the token that follows them; none at the end.
type Digests = (Vec<(u64, u128)>, Option<u64>);

impl Store {
    /// Does one bounded step (well under a millisecond where pages are in memory) of what can wait, and
    /// says whether there is more. For idle time; nothing breaks if it is never called.
    ///
    /// # Errors
    /// When the store has stopped, or stops because the tree turns out not to match the entries.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        let mut state = self.lock_to_write()?;
        self.grow(&mut state, ENTRIES_A_CALL)
    }

    /// Takes one step, if the tree is growing or shrinking, or should be. True if there is more to do. A tree shrinks
    /// while no view is open: none could be read of more leaves than there are.
    pub(super) fn grow(&self, state: &mut State, entries: usize) -> Result<bool, StoreError> {
        let may_shrink = state.views.is_empty();
        if state.tree.growth_wanted() {
            state.tree.begin_growth();
        } else if may_shrink && state.tree.shrinking_wanted() {
            state.tree.begin_shrinking();
        }
        let Some(cursor) = state.tree.growth_cursor() else { return Ok(false) };
        if state.tree.is_shrinking() && !may_shrink {
            return Ok(false);
        }
        let (batch, next) = self.digests_from(cursor, entries, &state.purged)?;
        let grown = state
            .tree
            .grow_step(batch, next)
            .map_err(|error| self.stop(&format!("the tree cannot grow: {error}")))?;
        Ok(!grown || state.tree.growth_wanted() || (may_shrink && state.tree.shrinking_wanted()))
    }

    /// Tokens and digests of all entries in the tree from a token on, about so many.
    fn digests_from(&self, token: u64, entries: usize, purged: &Purged) -> Result<Digests, StoreError> {
        let mut batch: Vec<(u64, u128)> = Vec::with_capacity(entries);
        let (mut next, mut unreadable, mut rows, mut last) = (None, false, 0, None);
        let from = record::from_token(token);
        let mut visit = |key: &[u8], value: &[u8]| {
            let (Some((token, _)), Some(head)) = (record::read_entry_key(key), record::read_head(value))
            else {
                unreadable = true;
                return ControlFlow::Break(());
            };
            // Keys of one token are never cut apart.
            if rows >= entries && last.is_some_and(|last| last != token) {
                next = Some(token);
                return ControlFlow::Break(());
            }
            (rows, last) = (rows + 1, Some(token));
            if !head.has_left(key, purged) {
                batch.push((token, head.digest));
            }
            ControlFlow::Continue(())
        };
        let part = Part::First(record::HEAD_BYTES);
        let scan =
            self.engine.range(Space::Entries, Bound::Included(&from), Bound::Unbounded, part, &mut visit);
        scan.map_err(|error| self.stop(&format!("entries cannot be read: {error}")))?;
        if unreadable {
            return Err(self.stop_for_damage("a record is cut short"));
        }
        Ok((batch, next))
    }
}
