//! What each side says of its frozen view when a session opens.

use serde::{Deserialize, Serialize};

use crate::{digest::RangeDigest, hint::SizeHint};

/// Root, size and hint of one frozen view; about 50 bytes on the wire at a million keys.
///
/// Equal roots end a session right here. What a peer claims in the rest decides only where a search starts and who
/// sends tags; [`crate::Finder`] holds the peer to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The digest of everything in the view.
    pub root: RangeDigest,
    /// Bits of the leaves' prefixes.
    pub leaf_bits: u8,
    /// Counters to estimate the number of differing keys from.
    pub hint: SizeHint,
}

impl Opening {
    /// About how many keys differ between the two views, 0 when the roots are equal. Right within a third
    /// on average when both sides are honest. It is the same on both sides.
    pub fn differing_estimate(&self, other: &Opening) -> u64 {
        if self.root == other.root {
            return 0;
        }
        let apart = self.root.count.abs_diff(other.root.count);
        let together = self.root.count.saturating_add(other.root.count);
        self.hint.distance(&other.hint).max(apart).min(together).max(1)
    }
}
