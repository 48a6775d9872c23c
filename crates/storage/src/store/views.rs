//! Frozen views: the store as of one instant, while writes go on.

use std::ops::{Bound, ControlFlow};

use merkle::{Cells, Frozen, FrozenEntry, FrozenView, Opening, Overlay, Prefix, RangeDigest, ViewLost};

use crate::engine::{Engine, EngineError, Part, Space};
use crate::store::{Purged, Seq, State, Store, StoreError, record};

/// So many views may be open at once.
pub const VIEWS_MAX: usize = 16;
/// A view is lost once so many keys have changed since it was frozen.
pub const VIEW_CHANGES_MAX: usize = 262_144;
/// Live entries read in one critical section.
const ROWS_A_LOCK: usize = 512;

/// Names a frozen view of one store. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(u64);

/// A frozen view, for reading. Once it was released, has overflowed, or the store has stopped, every
/// answer is [`ViewLost`].
#[derive(Clone, Copy)]
pub struct View<'a> {
    store: &'a Store,
    id: ViewId,
}

impl Store {
    /// Freezes a view of the store as it is now. All that it shows was written at or under the number
    /// returned. It must be released.
    ///
    /// # Errors
    /// When [`VIEWS_MAX`] are open, or the store has stopped.
    pub fn freeze(&self) -> Result<(ViewId, Seq), StoreError> {
        let mut state = self.lock_to_write()?;
        if state.views.len() >= VIEWS_MAX {
            return Err(StoreError::TooManyViews(VIEWS_MAX));
        }
        state.views_made += 1;
        let id = ViewId(state.views_made);
        let view = FrozenView::freeze(&state.tree, VIEW_CHANGES_MAX);
        state.views.insert(id, view);
        Ok((id, self.counted()))
    }

    /// A frozen view by its name.
    #[must_use]
    pub fn view(&self, id: ViewId) -> View<'_> {
        View { store: self, id }
    }

    /// Gives a view's memory back. No effect if it was released before.
    pub fn release(&self, id: ViewId) {
        // Dropped outside the critical section: there may be much to free.
        let released = self.lock().views.remove(&id);
        drop(released);
    }
}

impl View<'_> {
    /// Runs `read` in the critical section on the live tree and the frozen view.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&State, &FrozenView) -> Result<T, ViewLost>,
    ) -> Result<T, ViewLost> {
        let state = self.store.lock();
        // A failed write may have changed entries and no view.
        if let Some(reason) = self.store.failure() {
            return Err(ViewLost::Unreadable(reason));
        }
        let view = state.views.get(&self.id).ok_or(ViewLost::Released)?;
        read(&state, view)
    }

    /// Visits about `rows_max` entries that are in the tree now, and gives the last token whose keys were all visited. Call it in
    /// the critical section.
    fn visit_live(
        &self,
        purged: &Purged,
        (first, last): (u64, u64),
        after: Option<(u64, &[u8])>,
        rows_max: usize,
        visit: &mut dyn FnMut(u64, &[u8], u128),
    ) -> Result<u64, ViewLost> {
        let (mut rows, mut token_now, mut up_to, mut cut_short) = (0, None, last, false);
        let after_key = after.map(|(token, key)| record::entry_key(token, key));
        let first_key = record::from_token(first);
        let from = after_key.as_deref().map_or(Bound::Included(&first_key[..]), Bound::Excluded);
        let mut room = [0; 8];
        let to = record::past_token(last, &mut room);
        let mut visit = |at: &[u8], value: &[u8]| {
            let (Some((token, key)), Some(head)) = (record::read_entry_key(at), record::read_head(value))
            else {
                cut_short = true;
                return ControlFlow::Break(());
            };
            // Keys of one token are never cut apart.
            if let Some(read) = token_now.replace(token)
                && rows >= rows_max
                && read != token
            {
                up_to = read;
                return ControlFlow::Break(());
            }
            rows += 1;
            if !head.has_left(at, purged) {
                visit(token, key, head.digest);
            }
            ControlFlow::Continue(())
        };
        let part = Part::First(record::HEAD_BYTES);
        let scan = self.store.engine.range(Space::Entries, from, to, part, &mut visit);
        match scan {
            Ok(()) if !cut_short => Ok(up_to),
            Ok(()) => Err(self.cut_short()),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.store.engine
    }

    /// A record has no head.
    pub(super) fn cut_short(&self) -> ViewLost {
        ViewLost::Unreadable(self.store.stop_for_damage("a record is cut short").to_string())
    }

    pub(super) fn unreadable(&self, why: &EngineError) -> ViewLost {
        ViewLost::Unreadable(self.store.stop(&format!("entries cannot be read: {why}")).to_string())
    }
}

impl Frozen for View<'_> {
    fn opening(&self) -> Result<Opening, ViewLost> {
        self.with(|_, view| view.opening())
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.with(|state, view| view.range(&state.tree, prefix))
    }

    fn ranges(&self, prefixes: &[Prefix]) -> Result<Vec<RangeDigest>, ViewLost> {
        let mut ranges = Vec::with_capacity(prefixes.len());
        for some in prefixes.chunks(ROWS_A_LOCK) {
            let more = self.with(|state, view| {
                some.iter().map(|p| view.range(&state.tree, *p)).collect::<Result<Vec<_>, _>>()
            })?;
            ranges.extend(more);
        }
        Ok(ranges)
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        let mut page = Vec::new();
        let mut after = after.filter(|(token, _)| *token >= first);
        let mut first = after.map_or(first, |(token, _)| token);
        // Each turn is a critical section of its own; the view makes them one instant.
        while page.len() < limit && first <= last {
            let wanted = limit - page.len();
            let up_to = self.with(|state, view| {
                let mut rows: Vec<FrozenEntry> = Vec::new();
                let mut collect = |token, key: &[u8], digest| rows.push((token, key.into(), digest));
                let rows_max = wanted.min(ROWS_A_LOCK);
                let up_to = self.visit_live(&state.purged, (first, last), after, rows_max, &mut collect)?;
                let mut overlay = Overlay::new(view, first, up_to, after, wanted)?;
                for (token, key, digest) in &rows {
                    if overlay.live(*token, key, *digest).is_break() {
                        break;
                    }
                }
                page.extend(overlay.finish());
                Ok(up_to)
            })?;
            let Some(next) = up_to.checked_add(1) else { break };
            (first, after) = (next, None);
        }
        Ok(page)
    }

    /// Where nothing has changed since the freezing, live entries are visited in place.
    fn scan(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: &mut dyn FnMut(u64, &[u8], u128),
    ) -> Result<(), ViewLost> {
        let mut after = after.filter(|(token, _)| *token >= first);
        let mut first = after.map_or(first, |(token, _)| token);
        let mut left = limit;
        while left > 0 && first <= last {
            let up_to = self.with(|state, view| {
                view.root()?;
                if view.changed_in(first, last).next().is_some() {
                    return Ok(None);
                }
                let mut visit_some = |token, key: &[u8], digest| {
                    if left > 0 {
                        left -= 1;
                        visit(token, key, digest);
                    }
                };
                let rows_max = limit.min(ROWS_A_LOCK);
                self.visit_live(&state.purged, (first, last), after, rows_max, &mut visit_some).map(Some)
            })?;
            let Some(up_to) = up_to else {
                let rest = self.entries(first, last, after, left)?;
                rest.iter().for_each(|(token, key, digest)| visit(*token, key, *digest));
                break;
            };
            let Some(next) = up_to.checked_add(1) else { break };
            (first, after) = (next, None);
        }
        Ok(())
    }

    /// What has changed since the freezing is taken back outside of the critical section.
    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost> {
        Ok(self.with(|state, view| view.cells(&state.tree, from, to))?.undo())
    }

    fn scan_many(
        &self,
        spans: &[(u64, u64)],
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: &mut dyn FnMut(usize, u64, &[u8], u128),
    ) -> Result<(), ViewLost> {
        self.visit_many(spans, after, limit, visit)
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        self.with(|state, view| {
            let at = record::entry_key(token, key);
            let mut now = None;
            let mut visit = |_: &[u8], value: &[u8]| {
                now = Some(record::read_head(value));
                ControlFlow::Break(())
            };
            let bound = Bound::Included(&at[..]);
            let scan = self.store.engine.range(
                Space::Entries,
                bound,
                bound,
                Part::First(record::HEAD_BYTES),
                &mut visit,
            );
            match (scan, now) {
                (Ok(()), None) => view.digest_now_to_then(token, key, None),
                (Ok(()), Some(Some(head))) => {
                    let now = (!head.has_left(&at, &state.purged)).then_some(head.digest);
                    view.digest_now_to_then(token, key, now)
                }
                (Ok(()), Some(None)) => Err(self.cut_short()),
                (Err(error), _) => Err(self.unreadable(&error)),
            }
        })
    }
}
