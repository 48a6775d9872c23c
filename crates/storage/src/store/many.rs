//! Reading many token ranges of a frozen view, several of them in one critical section.

use std::ops::{Bound, ControlFlow};

use merkle::{Frozen, FrozenView, ViewLost, VisitMany};

use super::views::View;
use crate::engine::{Part, Space};
use crate::store::{Purged, State, record};

/// Live entries read in one critical section, those between the ranges included.
const ROWS_A_LOCK: usize = 1024;
/// Ranges looked at in one critical section.
const SPANS_A_LOCK: usize = 256;
/// Where about so many entries lie between two ranges, or fewer, it is quicker to step over them than to seek.
const ROWS_STEPPED_OVER: u64 = 8;

/// Where reading goes on: the number of a span, and the last entry of it that was visited, if it was read in part.
#[derive(Debug, Default)]
struct Place {
    span: usize,
    after: Option<(u64, Box<[u8]>)>,
}

/// One critical section's reading.
struct Reading<'a> {
    spans: &'a [(u64, u64)],
    at: Place,
    /// Entries that may still be visited, and rows that may still be read.
    visits_left: usize,
    rows_left: usize,
    visit: VisitMany<'a>,
}

impl View<'_> {
    /// What [`Frozen::scan_many`] asks for. A span in which something has changed since the freezing is read alone.
    pub(super) fn visit_many(
        &self,
        spans: &[(u64, u64)],
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: VisitMany<'_>,
    ) -> Result<(), ViewLost> {
        let mut at = Place { span: 0, after: after.map(|(token, key)| (token, key.into())) };
        let mut left = limit;
        while left > 0 && at.span < spans.len() {
            let mut reading =
                Reading { spans, at, visits_left: left, rows_left: ROWS_A_LOCK, visit: &mut *visit };
            let has_changed = self.with(|state, view| {
                view.root()?;
                self.read_unchanged(&mut reading, state, view)
            })?;
            (at, left) = (reading.at, reading.visits_left);
            if let Some((first, last)) = spans.get(at.span).copied().filter(|_| has_changed && left > 0) {
                let after = at.after.as_ref().map(|(token, key)| (*token, &**key));
                let allowed = left;
                self.scan(first, last, after, allowed, &mut |token, key, digest| {
                    left -= 1;
                    visit(at.span, token, key, digest);
                })?;
                at = Place { span: at.span + 1, after: None };
            }
        }
        Ok(())
    }

    /// Reads on, as far as one critical section goes. True when the next span has changed since the freezing.
    fn read_unchanged(
        &self,
        reading: &mut Reading<'_>,
        state: &State,
        view: &FrozenView,
    ) -> Result<bool, ViewLost> {
        let gap_max = (u64::MAX / state.tree.root().count.max(1)).saturating_mul(ROWS_STEPPED_OVER);
        let spans_end = reading.spans.len().min(reading.at.span + SPANS_A_LOCK);
        while reading.at.span < spans_end && reading.visits_left > 0 && reading.rows_left > 0 {
            let end = reading.neighbours_end(spans_end, gap_max, view);
            if end == reading.at.span {
                return Ok(true);
            }
            self.read_neighbours(reading, end, &state.purged)?;
        }
        Ok(false)
    }

    /// Reads spans that lie close together, up to `end`, in one scan.
    fn read_neighbours(
        &self,
        reading: &mut Reading<'_>,
        end: usize,
        purged: &Purged,
    ) -> Result<(), ViewLost> {
        let ends =
            (reading.spans.get(reading.at.span), end.checked_sub(1).and_then(|e| reading.spans.get(e)));
        let (Some((first, _)), Some((_, last))) = ends else { return Ok(()) };
        let after_key = reading.at.after.as_ref().map(|(token, key)| record::entry_key(*token, key));
        let first_key = record::from_token(*first);
        let from = after_key.as_deref().map_or(Bound::Included(&first_key[..]), Bound::Excluded);
        let mut room = [0; 8];
        let to = record::past_token(*last, &mut room);
        let (mut is_damaged, mut is_cut) = (false, false);
        let mut take = |at: &[u8], value: &[u8]| {
            let (Some((token, key)), Some(head)) = (record::read_entry_key(at), record::read_head(value))
            else {
                is_damaged = true;
                return ControlFlow::Break(());
            };
            let digest = (!head.has_left(at, purged)).then_some(head.digest);
            if reading.take(token, key, digest) {
                return ControlFlow::Continue(());
            }
            is_cut = true;
            ControlFlow::Break(())
        };
        let part = Part::First(record::HEAD_BYTES);
        let scan = self.engine().range(Space::Entries, from, to, part, &mut take);
        match scan {
            Ok(()) if is_damaged => return Err(self.cut_short()),
            Ok(()) => {}
            Err(error) => return Err(self.unreadable(&error)),
        }
        if !is_cut {
            reading.at = Place { span: end, after: None };
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// The number behind the last of the spans from the current one on that are unchanged and lie close together.
    fn neighbours_end(&self, spans_end: usize, gap_max: u64, view: &FrozenView) -> usize {
        let mut end = self.at.span;
        let mut last_before: Option<u64> = None;
        for (first, last) in self.spans.get(end..spans_end).unwrap_or(&[]) {
            let is_near = last_before.is_none_or(|before| first.saturating_sub(before) <= gap_max);
            if !is_near || (view.changes() > 0 && view.changed_in(*first, *last).next().is_some()) {
                break;
            }
            last_before = Some(*last);
            end += 1;
        }
        end
    }

    /// Takes one row, without a digest if it is not in the tree. False, with the place to go on from put down, when
    /// no more may be read.
    fn take(&mut self, token: u64, key: &[u8], digest: Option<u128>) -> bool {
        while self.spans.get(self.at.span).is_some_and(|(_, last)| token > *last) {
            self.at = Place { span: self.at.span + 1, after: None };
        }
        let is_inside = self.spans.get(self.at.span).is_some_and(|(first, _)| token >= *first);
        if let Some(digest) = digest.filter(|_| is_inside) {
            (self.visit)(self.at.span, token, key, digest);
            self.visits_left = self.visits_left.saturating_sub(1);
        }
        self.rows_left = self.rows_left.saturating_sub(1);
        let may_go_on = self.visits_left > 0 && self.rows_left > 0;
        if !may_go_on && is_inside {
            self.at.after = Some((token, key.into()));
        }
        may_go_on
    }
}
