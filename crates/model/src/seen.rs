//! What a client has seen of a key, and how much of that a node may act on.

use crate::{Context, Dot, Entry, Hlc};

/// What a client was shown of a key: the entry's context, by name those siblings that only the floor covers, and whom that
/// floor speaks of.
///
/// A floor says that every member knows what lies at or under it. A node that was removed, and has not heard of that yet, is
/// none of them: what it alone took lies under the floor of the others all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    context: Context,
    under_floor: Vec<Dot>,
    roster: u64,
}

impl Seen {
    /// What a client has seen that is shown all of this entry's siblings, by a node with this roster: a hash of who belongs.
    pub fn of(entry: &Entry, roster: u64) -> Self {
        let context = entry.context().clone();
        let dots = entry.siblings().iter().map(|sibling| sibling.dot());
        let under_floor = dots.filter(|dot| dot.hlc <= context.floor()).collect();
        Self { context, under_floor, roster }
    }

    /// From its parts, as a token carries them.
    pub fn from_parts(context: Context, under_floor: Vec<Dot>, roster: u64) -> Self {
        Self { context, under_floor, roster }
    }

    /// The context of the entry that was shown.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The siblings that were shown and are covered by the floor alone, ascending.
    pub fn under_floor(&self) -> &[Dot] {
        &self.under_floor
    }

    /// The hash of those whom the floor speaks of.
    pub fn roster(&self) -> u64 {
        self.roster
    }

    /// What a write replaces at a node with this roster and this watermark: what the client was shown, and what lies under the
    /// floor as far as that node can say the same: of the same members, and up to its own watermark. What else the node
    /// holds and the client was not shown stays as a sibling; where it was replaced long ago the next merge drops it.
    #[must_use]
    pub fn within(&self, roster: u64, watermark: Hlc) -> Context {
        let mut context = Context::default();
        if roster == self.roster {
            context.raise_floor(self.context.floor().min(watermark));
        }
        let greatest = self.context.greatest().iter().map(|(writer, hlc)| Dot { hlc: *hlc, writer: *writer });
        greatest.chain(self.under_floor.iter().copied()).for_each(|dot| context.insert(dot));
        context
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Expiry, Sibling, WriterId};

    fn dot(t: u64, w: u64) -> Dot {
        Dot { hlc: Hlc::new(t, 0), writer: WriterId(w) }
    }

    fn sibling(dot: Dot) -> Sibling {
        Sibling::new(dot, Bytes::from_static(b"v"), None, Expiry::NEVER)
    }

    /// Two values, one of them under the floor.
    fn shown() -> Entry {
        let mut entry = Entry::default();
        for at in [dot(5, 1), dot(20, 2)] {
            entry.write(&Context::default(), at, Some(sibling(at)));
        }
        entry.raise_floor(Hlc::new(10, 0));
        entry
    }

    #[test]
    fn what_was_shown_is_covered_at_any_watermark() {
        let seen = Seen::of(&shown(), 7);
        assert_eq!(seen.under_floor(), [dot(5, 1)]);
        for watermark in 0..30 {
            for roster in [7, 8] {
                let context = seen.within(roster, Hlc::new(watermark, 0));
                assert!(context.covers(dot(5, 1)) && context.covers(dot(20, 2)), "{watermark}");
                assert!(seen.context().includes(&context) && context.floor() <= Hlc::new(watermark, 0));
            }
        }
    }

    #[test]
    fn what_was_not_shown_is_covered_by_the_floor_up_to_the_watermark() {
        let seen = Seen::of(&shown(), 7);
        let covers = |roster, watermark, dot| seen.within(roster, Hlc::new(watermark, 0)).covers(dot);
        assert!(!covers(7, 7, dot(8, 3)), "who has it has not been heard by all");
        assert!(covers(7, 8, dot(8, 3)));
        assert!(!covers(7, 30, dot(11, 3)), "no more than the token says");
        assert!(!covers(8, 30, dot(8, 3)), "the floor speaks of others");
    }
}
