//! What a search reads of a store: everything as of one instant.

use thiserror::Error;

use crate::{digest::RangeDigest, opening::Opening, prefix::Prefix, sketch::Cells};

/// An entry of a frozen view: its token, its key, its digest.
pub type FrozenEntry = (u64, Box<[u8]>, u128);

/// Why a frozen view cannot answer. A session that meets it ends and claims nothing; the next one freezes anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ViewLost {
    /// More changed since the freezing than the view may remember.
    #[error("more has changed since the view was frozen than it can remember")]
    Overflowed,
    /// The view was released, or never was.
    #[error("the view is not open")]
    Released,
    /// The range asked for is finer than the leaves, or the cells are more than go with so many leaves.
    #[error("the range is finer than the leaves of the tree, or more cells are asked for than are kept")]
    TooDeep,
    /// The store has grown past the field that the view's sketch was in. All else can still be read.
    #[error("the sketch is in another field since")]
    FieldChanged,
    /// The store could not read an entry.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
}

/// Called with the number of a span, and token, key and digest of an entry in it.
pub type VisitMany<'a> = &'a mut dyn FnMut(usize, u64, &[u8], u128);

/// A store as of one instant, whatever is written meanwhile. All answers of one value must be of the same instant.
pub trait Frozen {
    /// Root, leaf bits and size hint.
    ///
    /// # Errors
    /// The view cannot answer any more.
    fn opening(&self) -> Result<Opening, ViewLost>;

    /// The digest of everything.
    ///
    /// # Errors
    /// The view cannot answer any more.
    fn root(&self) -> Result<RangeDigest, ViewLost> {
        Ok(self.opening()?.root)
    }

    /// The digest of a range of at most as many bits as the opening's `leaf_bits`.
    ///
    /// # Errors
    /// The view cannot answer any more, or the range is finer than that.
    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost>;

    /// The digests of many ranges, in their order. Worth overriding where one lock can serve them all; at most
    /// 90,000 are asked for at a time.
    ///
    /// # Errors
    /// As [`Frozen::range`].
    fn ranges(&self, prefixes: &[Prefix]) -> Result<Vec<RangeDigest>, ViewLost> {
        prefixes.iter().map(|prefix| self.range(*prefix)).collect()
    }

    /// Cells `from..to` of the sketch. Three for each of the opening's leaves are kept.
    ///
    /// # Errors
    /// The view cannot answer any more, more cells are asked for than are kept, or the sketch is in another field now.
    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost>;

    /// Up to `limit` entries with tokens in `first..=last`, in (token, key) order, from the first one after `after`
    /// on. Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    /// The view cannot answer any more.
    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost>;

    /// Passes to `visit` (token, key, digest) of what [`Frozen::entries`] would give, in that order. Worth overriding:
    /// a search looks at some ten entries for each that it names, and this way their keys need not be copied.
    ///
    /// # Errors
    /// The view cannot answer any more. Some entries may have been visited.
    fn scan(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: &mut dyn FnMut(u64, &[u8], u128),
    ) -> Result<(), ViewLost> {
        for (token, key, digest) in self.entries(first, last, after, limit)? {
            visit(token, &key, digest);
        }
        Ok(())
    }

    /// Passes to `visit` the number of a span (first and last token) and what [`Frozen::scan`] would give of it, for
    /// many spans at once, which ascend and do not overlap: the first `limit` entries in all, of the first span from
    /// behind `after` on. Fewer than `limit` means that all were visited. Worth overriding where neighbouring spans
    /// can be read with one lock; at most 1,024 are asked for at a time.
    ///
    /// # Errors
    /// As [`Frozen::scan`].
    fn scan_many(
        &self,
        spans: &[(u64, u64)],
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: VisitMany<'_>,
    ) -> Result<(), ViewLost> {
        let mut left = limit;
        for (number, (first, last)) in spans.iter().enumerate() {
            if left == 0 {
                break;
            }
            self.scan(*first, *last, after.filter(|_| number == 0), left, &mut |token, key, digest| {
                left = left.saturating_sub(1);
                visit(number, token, key, digest);
            })?;
        }
        Ok(())
    }

    /// The digest of one key's entry, `None` when there is no entry.
    ///
    /// # Errors
    /// The view cannot answer any more.
    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost>;
}
