//! What this side has shown, and what the peer's answers to it mean.

use super::{
    bits::Bits,
    blob::Blob,
    error::FindError,
    finder::Finder,
    frontier::{Segment, Span},
    job::{Job, Naming, Shown},
};
use crate::prefix::Prefix;

/// One message's worth of what was shown, to be answered by a bit for each digest or tag.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Digests(Children),
    Tags(Vec<(Span, usize)>),
}

/// The ranges of `bits` bits under some ranges that lie `spread` bits above, in token order.
#[derive(Clone, Debug)]
pub(super) struct Children {
    bits: u8,
    spread: u8,
    parents: Vec<u64>,
}

impl Children {
    pub(super) fn new(bits: u8, spread: u8, parents: Vec<u64>) -> Children {
        Children { bits, spread, parents }
    }

    pub(super) fn len(&self) -> usize {
        self.parents.len() << self.spread
    }

    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    pub(super) fn values(&self) -> impl Iterator<Item = u64> {
        let spread = self.spread;
        self.parents
            .iter()
            .flat_map(move |parent| (0..1_u64 << spread).map(move |child| parent << spread | child))
    }

    pub(super) fn prefixes(&self) -> Vec<Prefix> {
        self.values().filter_map(|value| Prefix::new(self.bits, value)).collect()
    }
}

impl Finder {
    pub(super) fn remember(&mut self, asked: Asked) {
        self.asked_bits += match &asked {
            Asked::Digests(children) => children.len(),
            Asked::Tags(spans) => spans.iter().map(|(_, count)| count).sum(),
        };
        self.asked.push(asked);
    }

    /// The first message of the peer's turn answers all that this side has shown; the others answer nothing.
    pub(super) fn take_answers(&mut self, answers: Blob) -> Result<(), FindError> {
        let wrong = FindError::WrongAnswers { bytes: answers.0.len(), asked: self.asked_bits };
        let bits = Bits::from_bytes(answers.0, self.asked_bits).ok_or(wrong)?;
        let mut differing = Vec::new();
        let mut shown = Vec::new();
        let mut at = 0;
        for asked in self.asked.drain(..) {
            match asked {
                Asked::Digests(children) => {
                    let answered = children.values().zip(at..);
                    for (value, _) in answered.filter(|(_, bit)| bits.get(*bit)) {
                        Segment::push_to(&mut differing, children.bits(), value);
                    }
                    at += children.len();
                }
                Asked::Tags(spans) => {
                    for (span, count) in spans {
                        if bits.any(at, count) {
                            shown.push(Shown { span, count, first_bit: at });
                        }
                        at += count;
                    }
                }
            }
        }
        self.asked_bits = 0;
        self.frontier.put_front(differing);
        if !shown.is_empty() {
            self.jobs.push_back(Job::Name(Naming::new(shown, bits)));
        }
        Ok(())
    }
}
