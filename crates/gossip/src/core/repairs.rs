//! What is remembered of ended sessions: reports for people, failures by reason.

use std::collections::{BTreeMap, VecDeque};

use crate::session::Report;

/// Ended sessions that are kept for people.
const ENDED_MAX: usize = 64;

/// The ended sessions of a node.
#[derive(Debug, Default)]
pub struct Repairs {
    /// The latest first.
    ended: VecDeque<Report>,
    /// Sessions that found equal roots.
    pub checks: u64,
    /// Sessions that failed, by reason.
    pub failures: BTreeMap<String, u64>,
}

impl Repairs {
    /// Keeps the report of a session that has ended.
    pub fn ended(&mut self, report: Report) {
        self.ended.push_front(report);
        self.ended.truncate(ENDED_MAX);
    }

    /// One more session failed for this reason.
    pub fn failed(&mut self, reason: &str) {
        match self.failures.get_mut(reason) {
            Some(count) => *count += 1,
            None => _ = self.failures.insert(reason.to_owned(), 1),
        }
    }

    /// The reports of ended sessions, the latest first.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.ended.iter()
    }
}
