//! What a side brings to an exchange: what a search has found, or everything it holds.

use std::collections::VecDeque;

use merkle::Frozen;
use model::Key;
use storage::View;

use super::super::{Failure, Found};

/// Entries read from the frozen view at a time.
const PAGE: usize = 1_024;

/// Entries in ascending order of token and key.
#[derive(Debug)]
pub enum Own {
    /// What a search has found.
    Found {
        /// What is left of it.
        rest: VecDeque<Found>,
        /// Whether there was more than this.
        cut: bool,
    },
    /// All of the frozen view, a page at a time.
    All {
        /// The page.
        page: VecDeque<Found>,
        /// The last entry read.
        last: Option<(u64, Key)>,
        /// Whether the page is the last one.
        ended: bool,
        /// How many entries are left, with those of the page.
        left: u64,
    },
}

impl Own {
    /// All of a frozen view of so many entries.
    pub fn all(count: u64) -> Self {
        Self::All { page: VecDeque::new(), last: None, ended: count == 0, left: count }
    }

    /// Whether there is more than was brought.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Found { cut: true, .. })
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        match self {
            Self::Found { rest, .. } => rest.len() as u64,
            Self::All { left, .. } => *left,
        }
    }

    /// The next one.
    pub fn peek(&mut self, view: &View<'_>) -> Result<Option<&Found>, Failure> {
        match self {
            Self::Found { rest, .. } => Ok(rest.front()),
            Self::All { page, last, ended, .. } => {
                if page.is_empty() && !*ended {
                    let after = last.as_ref().map(|(token, key)| (*token, key.as_bytes()));
                    let first = after.map_or(0, |(token, _)| token);
                    let rows = view.entries(first, u64::MAX, after, PAGE);
                    let rows = rows.map_err(|_| Failure::ViewLost)?;
                    *ended = rows.len() < PAGE;
                    for row in rows {
                        page.push_back(Found::new(row)?);
                    }
                    *last = page.back().map(|found| (found.token, found.key.clone()));
                }
                Ok(page.front())
            }
        }
    }

    /// Takes the next one, if there is one that was looked at.
    pub fn next(&mut self) -> Option<Found> {
        match self {
            Self::Found { rest, .. } => rest.pop_front(),
            Self::All { page, left, .. } => {
                *left = left.saturating_sub(1);
                page.pop_front()
            }
        }
    }
}
