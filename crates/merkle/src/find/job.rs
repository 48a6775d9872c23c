//! Reading entries of the own view, in bounded steps.

use super::{
    bits::Bits,
    error::FindError,
    frontier::Span,
    limits::{SCAN_ENTRIES, STEP_FOUND, STEP_SCANNED},
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

/// How far a span has been read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    after: Option<(u64, Box<[u8]>)>,
}

impl Cursor {
    /// Visits the next page of `span`, at most `limit` entries, and tells how many there were. Fewer than `limit`
    /// are the last ones, and the cursor is ready for another span.
    pub(super) fn read(
        &mut self,
        frozen: &impl Frozen,
        span: Span,
        limit: usize,
        mut visit: impl FnMut(u64, &[u8], u128),
    ) -> Result<usize, ViewLost> {
        let after = self.after.take();
        let after = after.as_ref().map(|(token, key)| (*token, &**key));
        let mut read = 0;
        frozen.scan(span.first, span.last, after, limit, &mut |token, key, digest| {
            read += 1;
            if read == limit {
                self.after = Some((token, key.into()));
            }
            visit(token, key, digest);
        })?;
        Ok(read)
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
    cursor: Cursor,
}

impl Naming {
    pub(super) fn new(shown: Vec<Shown>, bits: Bits) -> Naming {
        Naming { shown, bits, at: 0, seen: 0, cursor: Cursor::default() }
    }

    fn step(&mut self, frozen: &impl Frozen, output: &mut Output) -> Result<bool, FindError> {
        let Some(shown) = self.shown.get(self.at) else { return Ok(true) };
        let (bits, seen) = (&self.bits, &mut self.seen);
        let read = self.cursor.read(frozen, shown.span, SCAN_ENTRIES, |token, key, digest| {
            if bits.get(shown.first_bit + *seen) {
                output.found.push((token, key.into(), digest));
            }
            *seen += 1;
        })?;
        output.scanned += read + 1;
        let is_last = read < SCAN_ENTRIES;
        let as_shown = if is_last { self.seen == shown.count } else { self.seen <= shown.count };
        if !as_shown {
            return Err(FindError::ViewChanged);
        }
        if is_last {
            self.at += 1;
            self.seen = 0;
        }
        Ok(self.at == self.shown.len())
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
    /// The current span's tags, ascending, each with its place among them; `None` until it is entered.
    sorted: Option<Vec<(u128, usize)>>,
    /// Which of the current span's tags have an entry.
    has_entry: Vec<bool>,
    cursor: Cursor,
}

impl Comparing {
    pub(super) fn new(spans: Vec<(Span, usize)>, tags: Vec<u8>) -> Comparing {
        Comparing {
            spans,
            tags,
            at: 0,
            first_tag: 0,
            sorted: None,
            has_entry: Vec::new(),
            cursor: Cursor::default(),
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
        let Some((span, count)) = self.spans.get(self.at).copied() else { return Ok(true) };
        if self.sorted.is_none() {
            self.enter(count, width);
        }
        let (sorted, has_entry) = (self.sorted.as_deref().unwrap_or(&[]), &mut self.has_entry);
        let read = self.cursor.read(frozen, span, SCAN_ENTRIES, |token, key, digest| {
            if !mark(sorted, has_entry, width.tag(digest)) {
                output.found.push((token, key.into(), digest));
            }
        })?;
        output.scanned += read + 1;
        let is_last = read < SCAN_ENTRIES;
        if is_last {
            for has_entry in self.has_entry.drain(..) {
                answers.push(!has_entry);
            }
            self.at += 1;
            self.first_tag += count;
            self.sorted = None;
        }
        Ok(self.at == self.spans.len())
    }

    fn enter(&mut self, count: usize, width: Width) {
        let tags = self.tags.chunks_exact(width.tag_bytes()).skip(self.first_tag).take(count);
        let mut sorted: Vec<(u128, usize)> = tags.map(Width::read_tag).zip(0..).collect();
        sorted.sort_unstable();
        self.has_entry = vec![false; sorted.len()];
        self.sorted = Some(sorted);
    }
}

/// Marks every tag equal to this one as having an entry; false when there is none.
fn mark(sorted: &[(u128, usize)], has_entry: &mut [bool], tag: u128) -> bool {
    let from = sorted.partition_point(|(other, _)| *other < tag);
    let mut equal = sorted.iter().skip(from).take_while(|(other, _)| *other == tag).peekable();
    let found = equal.peek().is_some();
    for (_, place) in equal {
        if let Some(has_entry) = has_entry.get_mut(*place) {
            *has_entry = true;
        }
    }
    found
}
