//! The ranges that are still open. Both sides of a search keep the same ones.

use std::collections::VecDeque;

use crate::prefix::Prefix;

/// Ranges of one depth, in token order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) bits: u8,
    values: VecDeque<u64>,
    /// The first token of the first range that has not been shown, when a part of it has.
    resume: Option<u64>,
}

/// The first of the open ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// `len` ranges of `bits` bits, found to differ.
    Ranges { bits: u8, len: usize },
    /// The token space from `first` on, of which nothing has been shown yet.
    Fresh { first: u64 },
    /// Nothing is open.
    Empty,
}

/// The tokens of a range that are still open, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// All open ranges in token order: those found to differ, then what has not been looked at.
/// Depths never rise along it, so lower tokens are always further on.
#[derive(Clone, Debug)]
pub(crate) struct Frontier {
    segments: VecDeque<Segment>,
    fresh: Option<u64>,
}

impl Frontier {
    /// Nothing has been looked at.
    pub(crate) fn new() -> Frontier {
        Frontier { segments: VecDeque::new(), fresh: Some(0) }
    }

    pub(crate) fn front(&self) -> Front {
        match (self.segments.front(), self.fresh) {
            (Some(segment), _) => Front::Ranges { bits: segment.bits, len: segment.values.len() },
            (None, Some(first)) => Front::Fresh { first },
            (None, None) => Front::Empty,
        }
    }

    /// Takes out the `count` fresh ranges of `bits` bits that come next; `None`, with nothing taken, when there are
    /// not as many or the fresh part does not begin at such a range. `bits` lies in 1..=63.
    pub(crate) fn take_fresh(&mut self, bits: u8, count: usize) -> Option<Vec<u64>> {
        let first = self.fresh.filter(|_| self.segments.is_empty() && (1..=63).contains(&bits))?;
        let range = Prefix::of(first, bits);
        let left = (1_u64 << bits) - range.value();
        if range.first_token() != first || count as u64 > left {
            return None;
        }
        let end = range.value() + count as u64;
        self.fresh = Prefix::new(bits, end).map(|next| next.first_token());
        Some((range.value()..end).collect())
    }

    /// Takes the first `count` ranges out of the first segment; `None`, with nothing taken, when it has fewer.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<u64>> {
        let segment = self.segments.front_mut().filter(|segment| segment.values.len() >= count)?;
        let taken = segment.values.drain(..count).collect();
        if count > 0 {
            segment.resume = None;
        }
        if segment.values.is_empty() {
            self.segments.pop_front();
        }
        Some(taken)
    }

    /// What is open of the range at `index` of the first segment.
    pub(crate) fn span(&self, index: usize) -> Option<Span> {
        let segment = self.segments.front()?;
        let range = Prefix::new(segment.bits, *segment.values.get(index)?)?;
        let resume = segment.resume.filter(|_| index == 0);
        Some(Span { first: resume.unwrap_or(range.first_token()), last: range.last_token() })
    }

    /// Leaves only what lies above `upto` open of the first range; false, with nothing done, when `upto` is not
    /// inside what is open of it, or nothing would be left.
    pub(crate) fn cut(&mut self, upto: u64) -> bool {
        let inside = self.span(0).is_some_and(|span| span.first <= upto && upto < span.last);
        if let Some(segment) = self.segments.front_mut().filter(|_| inside) {
            segment.resume = upto.checked_add(1);
        }
        inside
    }

    /// Puts ranges found to differ before all that is open. They are given in token order, and lie before it.
    pub(crate) fn put_front(&mut self, found: Vec<Segment>) {
        for segment in found.into_iter().rev().filter(|segment| !segment.values.is_empty()) {
            self.segments.push_front(segment);
        }
    }
}

impl Segment {
    pub(crate) fn new(bits: u8) -> Segment {
        Segment { bits, values: VecDeque::new(), resume: None }
    }

    pub(crate) fn push(&mut self, value: u64) {
        self.values.push_back(value);
    }

    /// Adds a range to the last of `segments`, or to a new one when that is of another depth.
    pub(crate) fn push_to(segments: &mut Vec<Segment>, bits: u8, value: u64) {
        match segments.last_mut().filter(|last| last.bits == bits) {
            Some(last) => last.push(value),
            None => {
                let mut segment = Segment::new(bits);
                segment.push(value);
                segments.push(segment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fresh_part_is_taken_whole_and_in_order() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.take_fresh(2, 5), None);
        assert_eq!(frontier.take_fresh(2, 3), Some(vec![0, 1, 2]));
        assert_eq!(frontier.front(), Front::Fresh { first: 3 << 62 });
        assert_eq!(frontier.take_fresh(1, 1), None, "not at a range of one bit");
        assert_eq!(frontier.take_fresh(3, 2), Some(vec![6, 7]));
        assert_eq!(frontier.front(), Front::Empty);
        assert_eq!(frontier.take_fresh(3, 0), None);
    }

    #[test]
    fn a_range_can_be_shown_in_pieces() {
        let mut frontier = Frontier::new();
        frontier.take_fresh(4, 16).unwrap();
        let mut found = Vec::new();
        Segment::push_to(&mut found, 4, 1);
        Segment::push_to(&mut found, 4, 3);
        frontier.put_front(found);
        let whole = frontier.span(0).unwrap();
        assert!(!frontier.cut(whole.last) && !frontier.cut(0));
        assert!(frontier.cut(whole.first));
        assert_eq!(frontier.span(0).unwrap(), Span { first: whole.first + 1, last: whole.last });
        assert!(!frontier.cut(whole.first), "shown already");
        assert_eq!(frontier.take(3), None);
        assert_eq!(frontier.take(1), Some(vec![1]));
        assert_eq!(frontier.span(0).unwrap().first, 3 << 60);
        assert_eq!(frontier.span(1), None);
    }
}
