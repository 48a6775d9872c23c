//! The closing check: what is left of a frozen root when all that was named is taken out.

use crate::{
    digest::RangeDigest,
    frozen::{Frozen, ViewLost},
};

/// A frozen root minus the digests of the keys named so far. Both sides name the same keys, each takes out its own
/// digests of them, and equal remainders, at full width, prove that everything that differed was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    left: RangeDigest,
}

impl Remainder {
    /// Nothing named yet: the remainder is the root.
    pub fn of(root: RangeDigest) -> Remainder {
        Remainder { left: root }
    }

    /// Takes out one named key, by its frozen digest on this side; `None` when this side had no entry. Each key must
    /// be named once, whichever side named it and even if both did.
    pub fn name(&mut self, digest: Option<u128>) {
        self.left = self.left.add(RangeDigest::change(digest, None));
    }

    /// What is left.
    pub fn left(&self) -> RangeDigest {
        self.left
    }
}

/// The remainder of `frozen` when the keys `named` are taken out of it. `named` is a set of (token, key): no key may
/// come twice.
///
/// # Errors
/// The view cannot answer any more.
pub fn closing<'a>(
    frozen: &impl Frozen,
    named: impl IntoIterator<Item = (u64, &'a [u8])>,
) -> Result<RangeDigest, ViewLost> {
    let mut remainder = Remainder::of(frozen.root()?);
    for (token, key) in named {
        remainder.name(frozen.digest_of(token, key)?);
    }
    Ok(remainder.left())
}
