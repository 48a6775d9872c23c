//! Making the messages of one's own turn.

use super::{
    answer::{Asked, Children},
    blob::Blob,
    error::FindError,
    finder::{Finder, State, Way},
    frontier::{Front, Frontier, Span},
    job::Pages,
    limits::{HEADER_BYTES, MESSAGE_BYTES_MAX, SPANS_A_READ, TURN_PARTS_MAX},
    message::{Body, Depth, FindMessage, varint_bytes},
    plan::Tagger,
    width::Width,
};
use crate::frozen::Frozen;

/// Bytes that the number of tags in one range takes at most.
const COUNT_BYTES: usize = 5;

impl Finder {
    /// The next message of the own turn; `parts` is how many it has had.
    pub(super) fn speak(&mut self, frozen: &impl Frozen, parts: u32) -> Result<FindMessage, FindError> {
        match self.way {
            Way::Give(_) => self.speak_cells(frozen, parts),
            Way::Take(_) => self.speak_of_cells(parts),
            Way::Walk => self.speak_walk(frozen, parts),
        }
    }

    fn speak_walk(&mut self, frozen: &impl Frozen, parts: u32) -> Result<FindMessage, FindError> {
        let answers = Blob(std::mem::take(&mut self.answers).into_bytes());
        let room = MESSAGE_BYTES_MAX.saturating_sub(HEADER_BYTES + answers.0.len());
        let body = match self.frontier.front() {
            _ if !self.may_ask() => Body::Answers { answers },
            Front::Ranges { bits, .. } if bits >= self.plan.leaf_bits => {
                let mut tags = self.show_tags(frozen, room)?;
                self.remember(Asked::Tags(tags.spans));
                let counts = std::mem::take(&mut tags.counts);
                Body::Tags {
                    more: self.has_more(parts),
                    answers,
                    upto: tags.upto,
                    counts,
                    tags: Blob(tags.tags),
                }
            }
            _ => {
                let (bits, digests) = self.show_digests(frozen, room)?;
                Body::Digests {
                    depth: Depth::new(bits, self.has_more(parts)),
                    answers,
                    digests: Blob(digests),
                }
            }
        };
        let is_end = matches!(body, Body::Answers { .. }) && self.frontier.front() == Front::Empty;
        self.state = match &body {
            _ if is_end => State::Ending,
            Body::Digests { depth, .. } if depth.more() => State::Speaking { parts: parts + 1 },
            Body::Tags { more: true, .. } => State::Speaking { parts: parts + 1 },
            _ => State::Listening { parts: 0 },
        };
        self.turn_depth = None;
        Ok(FindMessage(body))
    }

    fn has_more(&self, parts: u32) -> bool {
        parts + 1 < TURN_PARTS_MAX && self.may_ask()
    }

    /// True when something is open that this side may ask about.
    fn may_ask(&self) -> bool {
        match self.frontier.front() {
            Front::Empty => false,
            Front::Fresh { .. } => true,
            Front::Ranges { bits, .. } => bits < self.plan.leaf_bits || self.plan.tagger != Tagger::Peer,
        }
    }

    /// Takes as many open ranges as fit and gives the digests one step under them, with their depth.
    fn show_digests(&mut self, frozen: &impl Frozen, room: usize) -> Result<(u8, Vec<u8>), FindError> {
        let fit = room / self.width.digest_bytes();
        let (bits, spread, parents) = match self.frontier.front() {
            Front::Fresh { first } => {
                let bits = self.plan.start_bits;
                let left = (1_u64 << bits) - (first >> (64 - bits));
                (bits, 0, self.frontier.take_fresh(bits, fit.min(left as usize)))
            }
            Front::Ranges { bits: above, len } => {
                let bits = self.plan.next_bits(above);
                let spread = bits - above;
                (bits, spread, self.frontier.take(len.min(fit >> spread)))
            }
            Front::Empty => (0, 0, None),
        };
        let children = Children::new(bits, spread, parents.unwrap_or_default());
        let mut digests = Vec::with_capacity(children.len() * self.width.digest_bytes());
        for digest in frozen.ranges(&children.prefixes())? {
            self.width.push_digest(digest, &mut digests);
        }
        self.remember(Asked::Digests(children));
        Ok((bits, digests))
    }

    /// Takes as many open leaves as fit, the last one maybe in part, and gives the tags of their entries.
    fn show_tags(&mut self, frozen: &impl Frozen, room: usize) -> Result<ShownTags, FindError> {
        let mut shown = ShownTags::default();
        let mut rows = Rows::default();
        let mut whole = 0;
        while self.frontier.span(whole).is_some() {
            let page = rows.read(frozen, &self.frontier, whole)?;
            let fitted = shown.show_whole(&rows, page, self.width, room);
            whole += fitted;
            if fitted == page {
                continue;
            }
            let Some(span) = self.frontier.span(whole) else { break };
            match shown.show_part(frozen, self.width, span, room)? {
                Fit::Whole => whole += 1,
                Fit::Upto(upto) => {
                    shown.upto = Some(upto);
                    break;
                }
                Fit::None { token } if shown.counts.is_empty() => return Err(FindError::Crowded { token }),
                Fit::None { .. } => break,
            }
        }
        let taken = self.frontier.take(whole);
        let cut = shown.upto.is_none_or(|upto| self.frontier.cut(upto));
        if taken.is_none() || !cut { Err(FindError::ViewChanged) } else { Ok(shown) }
    }
}

/// A page of rows: spans, the number of entries in each, and the digests of all.
#[derive(Debug, Default)]
struct Rows {
    pages: Pages,
    spans: Vec<Span>,
    counts: Vec<usize>,
    digests: Vec<u128>,
}

impl Rows {
    /// Reads the open spans from `index` on. Gives how many were read whole, at least one: a span of more than a page
    /// counts as one, with too few entries, if it is the first; see [`ShownTags::show_whole`].
    fn read(&mut self, frozen: &impl Frozen, frontier: &Frontier, index: usize) -> Result<usize, FindError> {
        self.spans.clear();
        self.spans.extend((index..).map_while(|index| frontier.span(index)).take(SPANS_A_READ));
        self.counts.clear();
        self.counts.resize(self.spans.len(), 0);
        self.digests.clear();
        self.pages = Pages::default();
        let (counts, digests) = (&mut self.counts, &mut self.digests);
        let mut last = 0;
        let page = self.pages.read(frozen, self.spans.iter().copied(), |number, (_, _, digest)| {
            last = number;
            if let Some(count) = counts.get_mut(number) {
                *count += 1;
            }
            digests.push(digest);
        })?;
        if page.is_whole {
            return Ok(page.spans);
        }
        // The last span may go on.
        self.counts.truncate(last);
        Ok(last.max(1))
    }
}

/// Tags of the entries in some spans.
#[derive(Debug, Default)]
struct ShownTags {
    spans: Vec<(Span, usize)>,
    counts: Vec<u32>,
    counts_bytes: usize,
    tags: Vec<u8>,
    upto: Option<u64>,
}

/// How much of a span fitted.
enum Fit {
    Whole,
    /// All of its tokens up to this one.
    Upto(u64),
    /// Nothing: the entries of its first token, this one, are too many.
    None {
        token: u64,
    },
}

impl ShownTags {
    /// Entries whose tags fit beside what is there.
    fn fit(&self, room: usize, width: Width) -> usize {
        let used = self.tags.len() + self.counts_bytes + COUNT_BYTES;
        room.saturating_sub(used) / width.tag_bytes()
    }

    fn add_span(&mut self, span: Span, count: usize) {
        self.counts.push(count as u32);
        self.counts_bytes += varint_bytes(count as u64);
        self.spans.push((span, count));
    }

    /// Adds the tags of the first `page` spans that were read, as many as fit whole, and gives how many did.
    fn show_whole(&mut self, rows: &Rows, page: usize, width: Width, room: usize) -> usize {
        let mut digests = rows.digests.as_slice();
        for (number, (span, count)) in rows.spans.iter().zip(&rows.counts).take(page).enumerate() {
            let Some((own, rest)) = digests.split_at_checked(*count) else { return number };
            if self.fit(room, width) < (*count).max(1) {
                return number;
            }
            own.iter().for_each(|digest| width.push_tag(*digest, &mut self.tags));
            self.add_span(*span, *count);
            digests = rest;
        }
        page.min(rows.counts.len())
    }

    /// Adds the tags of a span's entries if they fit, else of as many whole tokens as fit.
    fn show_part(
        &mut self,
        frozen: &impl Frozen,
        width: Width,
        mut span: Span,
        room: usize,
    ) -> Result<Fit, FindError> {
        let fit = self.fit(room, width);
        if fit == 0 {
            return Ok(Fit::None { token: span.first });
        }
        let tags_before = self.tags.len();
        let mut tokens: Vec<u64> = Vec::new();
        let mut too_many = None;
        let mut pages = Pages::default();
        loop {
            let page = pages.read(frozen, std::iter::once(span), |_, (token, _, digest)| {
                if tokens.len() < fit {
                    tokens.push(token);
                    width.push_tag(digest, &mut self.tags);
                } else {
                    too_many.get_or_insert(token);
                }
            })?;
            if page.is_whole || too_many.is_some() {
                break;
            }
        }
        let mut fitted = Fit::Whole;
        if let Some(token) = too_many {
            let kept = tokens.partition_point(|shown| *shown < token);
            tokens.truncate(kept);
            self.tags.truncate(tags_before + kept * width.tag_bytes());
            if kept == 0 {
                return Ok(Fit::None { token });
            }
            span.last = token - 1;
            fitted = Fit::Upto(span.last);
        }
        self.add_span(span, tokens.len());
        Ok(fitted)
    }
}
