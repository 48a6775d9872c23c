//! Which writes an entry or a client has seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Dot, Hlc, WriterId};

/// A causal context: a floor, and the greatest timestamp seen of each writer.
///
/// It covers every dot at or under the floor, and each writer's dots up to that writer's timestamp.
/// Always in normal form: no component lies at or under the floor, so equal sets of dots have equal
/// forms and equal digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form")]
pub struct Context {
    floor: Hlc,
    greatest: BTreeMap<WriterId, Hlc>,
}

/// What a context is read from: its fields, in their order. Brought to normal form, whoever made it.
#[derive(Deserialize)]
struct Form {
    floor: Hlc,
    greatest: BTreeMap<WriterId, Hlc>,
}

impl From<Form> for Context {
    fn from(form: Form) -> Self {
        let mut context = Self { floor: form.floor, greatest: form.greatest };
        context.drop_covered();
        context
    }
}

impl Context {
    /// The time at or under which every dot is covered.
    pub fn floor(&self) -> Hlc {
        self.floor
    }

    /// The greatest timestamp seen of each writer, all above the floor.
    pub fn greatest(&self) -> &BTreeMap<WriterId, Hlc> {
        &self.greatest
    }

    /// The greatest timestamp it covers a dot of; [`Hlc::ZERO`] when it covers none.
    pub fn newest(&self) -> Hlc {
        self.greatest.values().copied().max().unwrap_or_default().max(self.floor)
    }

    /// How many writers are named: what the limit on components counts.
    pub fn components(&self) -> usize {
        self.greatest.len()
    }

    /// Whether no dot is covered.
    pub fn is_empty(&self) -> bool {
        self.floor == Hlc::ZERO && self.greatest.is_empty()
    }

    /// Whether this dot has been seen.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.hlc <= self.floor || self.greatest.get(&dot.writer).is_some_and(|seen| dot.hlc <= *seen)
    }

    /// Whether every dot that `other` covers is covered here.
    ///
    /// Judged on the forms: a floor counts as covered only by a floor, since it speaks of all writers.
    pub fn includes(&self, other: &Self) -> bool {
        other.floor <= self.floor
            && other.greatest.iter().all(|(writer, hlc)| self.covers(Dot { hlc: *hlc, writer: *writer }))
    }

    /// Covers this dot, and with it the writer's earlier ones.
    pub fn insert(&mut self, dot: Dot) {
        if dot.hlc > self.floor {
            let seen = self.greatest.entry(dot.writer).or_insert(dot.hlc);
            *seen = dot.hlc.max(*seen);
        }
    }

    /// Raises the floor to at least `floor` and drops the components it covers.
    pub fn raise_floor(&mut self, floor: Hlc) {
        if floor > self.floor {
            self.floor = floor;
            self.drop_covered();
        }
    }

    /// The union: covers what either covered. Returns whether anything was added.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.includes(other) {
            return false;
        }
        self.raise_floor(other.floor);
        for (writer, hlc) in &other.greatest {
            self.insert(Dot { hlc: *hlc, writer: *writer });
        }
        true
    }

    fn drop_covered(&mut self) {
        let floor = self.floor;
        self.greatest.retain(|_, hlc| *hlc > floor);
    }
}
