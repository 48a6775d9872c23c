//! What is due when: one heap for the whole world, ordered by time and then by when it was put in.

use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that will happen, in order.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    due: BTreeMap<(Duration, u64), T>,
    numbered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), numbered: 0 }
    }
}

impl<T> Agenda<T> {
    /// Puts something in. What is due at one time happens in the order in which it was put in.
    pub(crate) fn push(&mut self, at: Duration, what: T) {
        self.numbered += 1;
        self.due.insert((at, self.numbered), what);
    }

    /// Takes out what is due next, if that is no later than `end`.
    pub(crate) fn pop(&mut self, end: Duration) -> Option<(Duration, T)> {
        let first = self.due.first_entry()?;
        if first.key().0 > end {
            return None;
        }
        let ((at, _), what) = first.remove_entry();
        Some((at, what))
    }
}
