//! Taking in a message of the peer. Nothing in it is believed.

use super::{
    answer::Children,
    blob::Blob,
    choice::{Choice, Method, Reason},
    error::FindError,
    finder::{Finder, State, Way, sketchable},
    frontier::{Front, Segment},
    job::{Comparing, Job},
    limits::{MESSAGE_BYTES_MAX, TURN_PARTS_MAX},
    message::{Body, FindMessage},
    plan::Tagger,
    taking::Taking,
};
use crate::frozen::Frozen;

impl Finder {
    pub(super) fn hear(
        &mut self,
        frozen: &impl Frozen,
        message: FindMessage,
        parts: u32,
    ) -> Result<(), FindError> {
        self.count_message(&message, parts)?;
        self.heed_way(&message.0)?;
        let more = match message.0 {
            Body::Cells { more, cells } => return self.hear_cells(frozen, more, &cells, parts),
            body @ (Body::More { .. } | Body::Units { .. } | Body::Walk) => return self.hear_of_cells(body),
            Body::Digests { depth, answers, digests } => {
                self.take_answers(answers)?;
                self.hear_digests(frozen, depth.bits(), &digests)?;
                depth.more()
            }
            Body::Tags { more, answers, upto, counts, tags } => {
                self.take_answers(answers)?;
                self.hear_tags(upto, &counts, tags)?;
                more
            }
            Body::Answers { answers } => {
                self.take_answers(answers)?;
                return self.hear_nothing(parts);
            }
        };
        self.state = if more { State::Listening { parts: parts + 1 } } else { State::Heard };
        Ok(())
    }

    fn count_message(&mut self, message: &FindMessage, parts: u32) -> Result<(), FindError> {
        let bytes = message.bytes();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(FindError::MessageTooLong { bytes });
        }
        if parts >= TURN_PARTS_MAX {
            return Err(FindError::TurnTooLong);
        }
        // The messages of the sketch have bounds of their own.
        let is_walk = matches!(message.0, Body::Digests { .. } | Body::Tags { .. } | Body::Answers { .. });
        self.messages_heard += u64::from(is_walk);
        if self.messages_heard > self.plan.messages_max {
            return Err(FindError::TooManyMessages { allowed: self.plan.messages_max });
        }
        Ok(())
    }

    /// The first message that an initiator hears tells the way. A message of the walk ends a search by the sketch, if
    /// the peer was to give cells: it could not read them any more.
    fn heed_way(&mut self, body: &Body) -> Result<(), FindError> {
        let is_cells = matches!(body, Body::Cells { .. });
        let is_walk = matches!(body, Body::Digests { .. });
        match &self.way {
            Way::Walk if !self.is_way_heard => {
                self.is_way_heard = true;
                let method = if is_cells { Method::Sketch } else { Method::Tree };
                self.choice = Choice::heard(&self.mine, &self.theirs, self.width, method);
                match sketchable(&self.mine, &self.theirs, self.width) {
                    Some((field, kept)) if is_cells => {
                        self.way = Way::Take(Box::new(Taking::new(
                            field,
                            kept,
                            self.mine.differing_estimate(&self.theirs),
                        )));
                    }
                    _ if is_cells => return Err(FindError::OutOfPlace),
                    _ => {}
                }
            }
            Way::Take(_) if is_walk => self.walk_instead(Reason::FieldsDiffer),
            Way::Give(_) if is_walk => return Err(FindError::OutOfPlace),
            Way::Take(_) | Way::Give(_) if matches!(body, Body::Tags { .. } | Body::Answers { .. }) => {
                return Err(FindError::OutOfPlace);
            }
            _ => {}
        }
        Ok(())
    }

    /// The peer's digests of the ranges of `bits` bits under the first open ones.
    fn hear_digests(&mut self, frozen: &impl Frozen, bits: u8, digests: &Blob) -> Result<(), FindError> {
        let wrong = FindError::WrongDigests { bytes: digests.0.len() };
        let width = self.width.digest_bytes();
        let shown = digests.0.len() / width;
        if shown == 0 || !digests.0.len().is_multiple_of(width) {
            return Err(wrong);
        }
        if bits == 0 || bits > self.plan.leaf_bits || self.turn_depth.is_some_and(|depth| bits > depth) {
            return Err(FindError::WrongDepth { bits });
        }
        let children = match self.frontier.front() {
            Front::Fresh { .. } => {
                self.frontier.take_fresh(bits, shown).map(|ranges| Children::new(bits, 0, ranges))
            }
            Front::Ranges { bits: above, .. } if above < bits => {
                let spread = bits - above;
                let whole = shown.is_multiple_of(1 << spread);
                let parents = if whole { self.frontier.take(shown >> spread) } else { None };
                parents.map(|parents| Children::new(bits, spread, parents))
            }
            Front::Ranges { .. } => return Err(FindError::WrongDepth { bits }),
            Front::Empty => None,
        };
        self.turn_depth = Some(bits);
        self.compare_digests(frozen, &children.ok_or(wrong)?, &digests.0)
    }

    fn compare_digests(
        &mut self,
        frozen: &impl Frozen,
        children: &Children,
        theirs: &[u8],
    ) -> Result<(), FindError> {
        let own = frozen.ranges(&children.prefixes())?;
        if own.len() != children.len() {
            return Err(FindError::ViewChanged);
        }
        let width = self.width.digest_bytes();
        let mut mine = Vec::with_capacity(width);
        for ((value, own), theirs) in children.values().zip(own).zip(theirs.chunks_exact(width)) {
            mine.clear();
            self.width.push_digest(own, &mut mine);
            let differs = mine != theirs;
            self.answers.push(differs);
            if differs {
                Segment::push_to(&mut self.found, children.bits(), value);
            }
        }
        Ok(())
    }

    /// The peer's tags of the entries in the first open ranges, which must be leaves.
    fn hear_tags(&mut self, upto: Option<u64>, counts: &[u32], tags: Blob) -> Result<(), FindError> {
        let wrong = || FindError::WrongTags { bytes: tags.0.len(), ranges: counts.len() };
        let at_leaves = matches!(self.frontier.front(),
            Front::Ranges { bits, len } if bits == self.plan.leaf_bits && len >= counts.len());
        if !at_leaves || counts.is_empty() || self.plan.tagger == Tagger::Me || self.turn_depth.is_some() {
            return Err(wrong());
        }
        let shown: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        if shown.checked_mul(self.width.tag_bytes() as u64) != Some(tags.0.len() as u64) {
            return Err(wrong());
        }
        let too_many = FindError::TooManyTags { count: self.tags_claimed };
        self.tags_left = self.tags_left.checked_sub(shown).ok_or(too_many)?;
        let mut spans = Vec::with_capacity(counts.len());
        for (index, count) in counts.iter().enumerate() {
            spans.push((self.frontier.span(index).ok_or_else(wrong)?, *count as usize));
        }
        let whole = counts.len() - usize::from(upto.is_some());
        self.frontier.take(whole).ok_or_else(wrong)?;
        if let (Some(upto), Some((span, _))) = (upto, spans.last_mut()) {
            if !self.frontier.cut(upto) {
                return Err(wrong());
            }
            span.last = upto;
        }
        self.jobs.push_back(Job::Compare(Comparing::new(spans, tags.0)));
        Ok(())
    }

    /// The peer asks nothing: either nothing is open, or this side is to show its tags.
    fn hear_nothing(&mut self, parts: u32) -> Result<(), FindError> {
        let leaves_are_mine = self.plan.tagger == Tagger::Me
            && matches!(self.frontier.front(), Front::Ranges { bits, .. } if bits == self.plan.leaf_bits);
        self.state = match self.frontier.front() {
            _ if parts > 0 => return Err(FindError::EndedEarly),
            Front::Empty => State::Ending,
            _ if leaves_are_mine => State::Heard,
            _ => return Err(FindError::EndedEarly),
        };
        Ok(())
    }
}
