//! The additive digest of a range.

use serde::{Deserialize, Serialize};

/// How many entries a token range holds, and the wrapping sum of their digests.
///
/// It depends on the data alone, never on the order of writes or the depth of a tree. All arithmetic wraps, so a
/// difference of two digests is a digest too. The sum never leaves the members of a cluster: people and tools see
/// [`RangeDigest::root_hash`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RangeDigest {
    /// Number of entries, modulo 2^64.
    pub count: u64,
    /// Sum of the entries' digests, modulo 2^128.
    #[serde(with = "raw_sum")]
    pub sum: u128,
}

impl RangeDigest {
    /// The digest of an empty range.
    pub const ZERO: RangeDigest = RangeDigest { count: 0, sum: 0 };

    /// The digest of a range that holds exactly one entry, whose digest is given.
    pub fn of(digest: u128) -> RangeDigest {
        RangeDigest { count: 1, sum: digest }
    }

    /// What a range changes by when one entry goes from `old` to `new`; `None` stands for no entry.
    pub fn change(old: Option<u128>, new: Option<u128>) -> RangeDigest {
        let side = |entry: Option<u128>| entry.map_or(RangeDigest::ZERO, RangeDigest::of);
        side(new).sub(side(old))
    }

    /// The digest of two disjoint ranges together.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "the sum wraps by design, which an operator would hide"
    )]
    pub fn add(self, other: RangeDigest) -> RangeDigest {
        RangeDigest { count: self.count.wrapping_add(other.count), sum: self.sum.wrapping_add(other.sum) }
    }

    /// What is left of this range when `other`, a part of it, is taken out.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "the difference wraps by design, which an operator would hide"
    )]
    pub fn sub(self, other: RangeDigest) -> RangeDigest {
        RangeDigest { count: self.count.wrapping_sub(other.count), sum: self.sum.wrapping_sub(other.sum) }
    }

    /// True for the digest of an empty range.
    pub fn is_zero(&self) -> bool {
        *self == RangeDigest::ZERO
    }

    /// The 16 bytes that people and tools are shown in place of the sum: keyed BLAKE3 over sum and count, cut short.
    /// Who could read many sums could solve for a forgery; a keyed hash of them gives nothing away.
    pub fn root_hash(&self, key: &[u8; 32]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&self.sum.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        let mut shown = [0; 16];
        hasher.finalize_xof().fill(&mut shown);
        shown
    }
}

/// A sum as its 16 bytes: a variable-length number would take 17 of them.
mod raw_sum {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(sum: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        sum.to_le_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        <[u8; 16]>::deserialize(deserializer).map(u128::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_undoes_itself() {
        let start = RangeDigest { count: 3, sum: u128::MAX - 1 };
        let up = RangeDigest::change(None, Some(7));
        assert_eq!(start.add(up), RangeDigest { count: 4, sum: 5 });
        assert_eq!(start.add(up).add(RangeDigest::change(Some(7), None)), start);
        assert!(RangeDigest::change(Some(7), Some(7)).is_zero());
    }

    #[test]
    fn root_hash_needs_key_sum_and_count() {
        let digest = RangeDigest { count: 1, sum: 2 };
        let shown = digest.root_hash(&[1; 32]);
        assert_ne!(shown, digest.root_hash(&[2; 32]));
        assert_ne!(shown, RangeDigest { count: 2, sum: 2 }.root_hash(&[1; 32]));
        assert_ne!(shown, RangeDigest { count: 1, sum: 3 }.root_hash(&[1; 32]));
    }
}
