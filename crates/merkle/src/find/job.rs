//! Reading entries of the own view, in bounded steps.

use super::{
    bits::Bits,
    error::FindError,
    frontier::Span,
    limits::{SCAN_ENTRIES, SPANS_A_READ, STEP_FOUND, STEP_SCANNED},
    units::NamingUnits,
    width::Width,
};
use crate::frozen::{Frozen, FrozenEntry, ViewLost};

/// What one step has found, and how much it has read.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) found: Vec<FrozenEntry>,
    pub(super) scanned: usize,
}

impl Output {
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= STEP_FOUND || self.scanned >= STEP_SCANNED
    }
}

/// Reading to be done before the search goes on.
#[derive(Debug)]
pub(super) enum Job {
    Name(Naming),
    Compare(Comparing),
    Units(NamingUnits),
}

impl Job {
    /// Reads one page. True when the job is done.
    pub(super) fn step(
        &mut self,
        frozen: &impl Frozen,
        width: Width,
        answers: &mut Bits,
        output: &mut Output,
    ) -> Result<bool, FindError> {
        match self {
            Job::Name(naming) => naming.step(frozen, output),
            Job::Units(naming) => naming.step(frozen, output),
            Job::Compare(comparing) => comparing.step(frozen, width, answers, output),
        }
    }
}

/// Reads spans in order, a page of entries at a time.
#[derive(Debug, Default)]
pub(super) struct Pages {
    spans: Vec<(u64, u64)>,
    after: Option<(u64, Box<[u8]>)>,
}

/// What one page had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) entries: usize,
    pub(super) spans: usize,
    /// All entries of these spans were visited. Otherwise the page ends in the span of the last entry visited, and the
    /// next one must begin with the rest of that span.
    pub(super) is_whole: bool,
}

impl Pages {
    /// Visits the entries of the next spans: the number of the span among them, and the entry.
    pub(super) fn read(
        &mut self,
        frozen: &impl Frozen,
        spans: impl Iterator<Item = Span>,
        mut visit: impl FnMut(usize, (u64, &[u8], u128)),
    ) -> Result<Page, ViewLost> {
        self.spans.clear();
        self.spans.extend(spans.take(SPANS_A_READ).map(|span| (span.first, span.last)));
        let after = self.after.take();
        let after = after.as_ref().map(|(token, key)| (*token, &**key));
        let mut entries = 0;
        frozen.scan_many(&self.spans, after, SCAN_ENTRIES, &mut |number, token, key, digest| {
            entries += 1;
            if entries == SCAN_ENTRIES {
                self.after = Some((token, key.into()));
            }
            visit(number, (token, key, digest));
        })?;
        Ok(Page { entries, spans: self.spans.len(), is_whole: entries < SCAN_ENTRIES })
    }
}

/// A span whose entries' tags were shown to the peer, and where the bits that answer them begin.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) span: Span,
    pub(super) count: usize,
    pub(super) first_bit: usize,
}

/// Names the entries whose tags the peer did not have. They are read again rather than kept: a turn shows up to a
/// million of them.
#[derive(Debug)]
pub(super) struct Naming {
    shown: Vec<Shown>,
    bits: Bits,
    at: usize,
    seen: usize,
    pages: Pages,
}

impl Naming {
    pub(super) fn new(shown: Vec<Shown>, bits: Bits) -> Naming {
        Naming { shown, bits, at: 0, seen: 0, pages: Pages::default() }
    }

    fn step(&mut self, frozen: &impl Frozen, output: &mut Output) -> Result<bool, FindError> {
        let (shown, bits, found) = (&self.shown, &self.bits, &mut output.found);
        let (at, seen) = (&mut self.at, &mut self.seen);
        let mut as_shown = true;
        let first = *at;
        let spans = shown.iter().skip(first).map(|shown| shown.span);
        let page = self.pages.read(frozen, spans, |number, entry| {
            while *at < first + number {
                as_shown &= shown.get(*at).is_some_and(|shown| shown.count == *seen);
                (*at, *seen) = (*at + 1, 0);
            }
            if shown.get(*at).is_some_and(|shown| bits.get(shown.first_bit + *seen)) {
                found.push((entry.0, entry.1.into(), entry.2));
            }
            *seen += 1;
        })?;
        output.scanned += page.entries + page.spans;
        while page.is_whole && *at < first + page.spans {
            as_shown &= shown.get(*at).is_some_and(|shown| shown.count == *seen);
            (*at, *seen) = (*at + 1, 0);
        }
        if as_shown { Ok(self.at == self.shown.len()) } else { Err(FindError::ViewChanged) }
    }
}

/// Compares the tags that the peer has shown with the own entries in the same spans: names the entries without a
/// tag, and answers with the tags without an entry.
#[derive(Debug)]
pub(super) struct Comparing {
    spans: Vec<(Span, usize)>,
    tags: Vec<u8>,
    at: usize,
    first_tag: usize,
    /// Of the span at `at`, once it has been entered.
    current: SpanTags,
    is_entered: bool,
    pages: Pages,
}

impl Comparing {
    pub(super) fn new(spans: Vec<(Span, usize)>, tags: Vec<u8>) -> Comparing {
        Comparing {
            spans,
            tags,
            at: 0,
            first_tag: 0,
            current: SpanTags::default(),
            is_entered: false,
            pages: Pages::default(),
        }
    }

    /// Compares everything with nothing, which names everything.
    pub(super) fn everything() -> Comparing {
        Comparing::new(vec![(Span { first: 0, last: u64::MAX }, 0)], Vec::new())
    }

    fn step(
        &mut self,
        frozen: &impl Frozen,
        width: Width,
        answers: &mut Bits,
        output: &mut Output,
    ) -> Result<bool, FindError> {
        let (spans, tags, found) = (&self.spans, &self.tags, &mut output.found);
        let (at, first_tag, current) = (&mut self.at, &mut self.first_tag, &mut self.current);
        let mut enter = |current: &mut SpanTags, at: usize| {
            let count = spans.get(at).map_or(0, |(_, count)| *count);
            let bytes = *first_tag * width.tag_bytes()..(*first_tag + count) * width.tag_bytes();
            current.enter(tags.get(bytes).unwrap_or(&[]), width);
            *first_tag += count;
        };
        if !self.is_entered {
            enter(current, *at);
            self.is_entered = true;
        }
        let first = *at;
        let mut pass_to = |current: &mut SpanTags, at: &mut usize, number: usize| {
            while *at < first + number {
                current.leave(answers);
                *at += 1;
                enter(current, *at);
            }
        };
        let page =
            self.pages.read(frozen, spans.iter().skip(first).map(|(span, _)| *span), |number, entry| {
                pass_to(current, at, number);
                if !current.mark(width.tag(entry.2)) {
                    found.push((entry.0, entry.1.into(), entry.2));
                }
            })?;
        if page.is_whole {
            pass_to(current, at, page.spans);
        }
        output.scanned += page.entries + page.spans;
        Ok(self.at == self.spans.len())
    }
}

/// The tags that the peer has shown of one span, and which of them have an entry here.
#[derive(Debug, Default)]
struct SpanTags {
    tags: Vec<u128>,
    has_entry: Vec<bool>,
    /// Where they are many: ascending, each with its place.
    sorted: Vec<(u128, usize)>,
}

impl SpanTags {
    /// More tags than this are looked up in order rather than one by one.
    const FEW: usize = 48;

    fn enter(&mut self, bytes: &[u8], width: Width) {
        self.tags.clear();
        self.tags.extend(bytes.chunks_exact(width.tag_bytes()).map(Width::read_tag));
        self.has_entry.clear();
        self.has_entry.resize(self.tags.len(), false);
        self.sorted.clear();
        if self.tags.len() > SpanTags::FEW {
            self.sorted.extend(self.tags.iter().copied().zip(0..));
            self.sorted.sort_unstable();
        }
    }

    /// Marks every tag equal to this one as having an entry; false when there is none.
    fn mark(&mut self, tag: u128) -> bool {
        let mut found = false;
        if self.sorted.is_empty() {
            for (other, has_entry) in self.tags.iter().zip(&mut self.has_entry) {
                if *other == tag {
                    *has_entry = true;
                    found = true;
                }
            }
            return found;
        }
        let from = self.sorted.partition_point(|(other, _)| *other < tag);
        for (_, place) in self.sorted.iter().skip(from).take_while(|(other, _)| *other == tag) {
            if let Some(has_entry) = self.has_entry.get_mut(*place) {
                *has_entry = true;
            }
            found = true;
        }
        found
    }

    /// A bit for each tag: set when it has no entry.
    fn leave(&mut self, answers: &mut Bits) {
        self.has_entry.drain(..).for_each(|has_entry| answers.push(!has_entry));
    }
}
