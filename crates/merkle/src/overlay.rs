//! Turns a scan of live entries into the entries of a frozen view.

use std::{iter::Peekable, ops::ControlFlow};

use crate::{
    frozen::{FrozenEntry, ViewLost},
    view::{Changed, FrozenView},
};

/// Collects one page of frozen entries while the store scans its live ones in (token, key) order.
///
/// The store pushes each live entry of the token range, from the first one after `after` on, into [`Overlay::live`]
/// until that breaks or the scan ends, then takes the page from [`Overlay::finish`].
pub struct Overlay<'a> {
    changed: Peekable<Box<dyn Iterator<Item = Changed<'a>> + 'a>>,
    page: Vec<FrozenEntry>,
    limit: usize,
}

impl<'a> Overlay<'a> {
    /// A page of at most `limit` frozen entries with tokens in `first..=last`, after `after`.
    ///
    /// # Errors
    /// The view is lost.
    pub fn new(
        view: &'a FrozenView,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Overlay<'a>, ViewLost> {
        view.root()?;
        let from = after.map_or(first, |(token, _)| token.max(first));
        let after: Option<(u64, Box<[u8]>)> = after.map(|(token, key)| (token, key.into()));
        let is_later = move |changed: &Changed<'a>| {
            after.as_ref().is_none_or(|(token, key)| (changed.token, changed.key) > (*token, &**key))
        };
        let changed: Box<dyn Iterator<Item = Changed<'a>> + 'a> =
            Box::new(view.changed_in(from, last).filter(is_later));
        Ok(Overlay { changed: changed.peekable(), page: Vec::new(), limit })
    }

    /// Takes the next live entry. Breaks when the page is full.
    pub fn live(&mut self, token: u64, key: &[u8], digest: u128) -> ControlFlow<()> {
        while let Some(changed) = self.changed.next_if(|changed| (changed.token, changed.key) < (token, key))
        {
            self.put(changed.token, changed.key, changed.then)?;
        }
        let same = self.changed.next_if(|changed| (changed.token, changed.key) == (token, key));
        let then = same.map_or(Some(digest), |changed| changed.then);
        self.put(token, key, then)
    }

    /// The page, in (token, key) order, once the scan has ended or [`Overlay::live`] has broken.
    pub fn finish(mut self) -> Vec<FrozenEntry> {
        while let Some(changed) = self.changed.next() {
            if self.put(changed.token, changed.key, changed.then).is_break() {
                break;
            }
        }
        self.page
    }

    fn put(&mut self, token: u64, key: &[u8], digest: Option<u128>) -> ControlFlow<()> {
        if let Some(digest) = digest
            && self.page.len() < self.limit
        {
            self.page.push((token, key.into(), digest));
        }
        if self.page.len() < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
