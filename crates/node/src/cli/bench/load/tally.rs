//! What became of the requests: latencies of those that were answered, errors by kind.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::super::wire::Fault;
use super::mix::Operation;

/// Latencies are kept in microseconds, to three digits, up to this.
const MICROS_MAX: u64 = 120_000_000;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered as asked.
    Done,
    /// Answered with this status instead.
    Refused(u16),
    /// Not answered.
    Fault(Fault),
}

/// The requests of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// Latencies in microseconds, answered requests only.
    pub(crate) latencies: Histogram<u64>,
    /// Errors by kind: a status or a word.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Kind {
    fn new() -> Option<Self> {
        let latencies = Histogram::new_with_bounds(1, MICROS_MAX, 3).ok()?;
        Some(Self { latencies, errors: BTreeMap::new() })
    }
}

/// All requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    kinds: BTreeMap<Operation, Kind>,
    /// Requests that were due and never sent.
    pub(crate) unsent: u64,
}

impl Tally {
    pub(crate) fn note(&mut self, operation: Operation, outcome: Outcome, took: Duration) {
        let Some(kind) = self.kind(operation) else { return };
        let error = match outcome {
            Outcome::Done => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX);
                kind.latencies.saturating_record(micros.clamp(1, MICROS_MAX));
                return;
            }
            Outcome::Refused(status) => status.to_string(),
            Outcome::Fault(fault) => fault.word().to_owned(),
        };
        *kind.errors.entry(error).or_default() += 1;
    }

    fn kind(&mut self, operation: Operation) -> Option<&mut Kind> {
        match self.kinds.entry(operation) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => Some(new.insert(Kind::new()?)),
        }
    }

    /// Takes in what another counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.unsent += other.unsent;
        for (operation, theirs) in other.kinds {
            let Some(ours) = self.kind(operation) else { continue };
            // The same bounds on both sides: nothing can be left out.
            let _ = ours.latencies.add(&theirs.latencies);
            for (error, count) in theirs.errors {
                *ours.errors.entry(error).or_default() += count;
            }
        }
    }

    /// Each kind of request that there was.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Operation, &Kind)> {
        self.kinds.iter().map(|(operation, kind)| (*operation, kind))
    }

    /// How many requests were answered.
    pub(crate) fn done(&self) -> u64 {
        self.kinds.values().map(|kind| kind.latencies.len()).sum()
    }

    /// How many were not answered as asked.
    pub(crate) fn failed(&self) -> u64 {
        self.kinds.values().flat_map(|kind| kind.errors.values()).sum()
    }
}
