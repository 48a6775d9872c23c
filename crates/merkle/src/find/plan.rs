//! Where a search starts, how fast it goes down, who shows tags, and how long it may take.

use super::{limits::MESSAGE_BYTES_MAX, width::Width};
use crate::{
    opening::Opening,
    tree::{LEAF_BITS_MAX, LEAF_BITS_MIN},
};

/// Levels that one step goes down at most. Two bits a step would cost a quarter less and half as many round trips
/// more; four a half more and one round trip less.
const STEP_BITS: u8 = 3;

/// Who shows tags at the leaves. Where one side holds far fewer entries, it does: the other side answers with a bit
/// for each instead of showing all of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tagger {
    WhoseTurnItIs,
    Me,
    Peer,
}

/// What both openings say about the search to come. All but `tagger`, which is mirrored, is the same on both sides
/// when both are honest; nothing goes wrong when it is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Depth of the deepest ranges that both sides have digests of.
    pub(crate) leaf_bits: u8,
    /// Depth of the ranges shown first.
    pub(crate) start_bits: u8,
    pub(crate) tagger: Tagger,
    /// Messages the peer may send in all.
    pub(crate) messages_max: u64,
}

impl Plan {
    pub(crate) fn new(mine: &Opening, theirs: &Opening, width: Width) -> Plan {
        let leaf_bits = mine.leaf_bits.min(theirs.leaf_bits).clamp(LEAF_BITS_MIN, LEAF_BITS_MAX);
        Plan {
            leaf_bits,
            start_bits: start_bits(mine.differing_estimate(theirs), leaf_bits),
            tagger: tagger(mine.root.count, theirs.root.count),
            messages_max: messages_max(mine.root.count.min(theirs.root.count), leaf_bits, width),
        }
    }

    /// The depth that follows `bits` on the way down: the fewest steps to the leaves, as even as they come.
    pub(crate) fn next_bits(&self, bits: u8) -> u8 {
        let left = self.leaf_bits.saturating_sub(bits);
        let steps = left.div_ceil(STEP_BITS).max(1);
        bits + left.div_ceil(steps)
    }
}

/// A depth with about twice to four times as many ranges as keys differ: there, each differing range mostly holds
/// one of them. When that is within one bit of the leaves, the leaves, which saves a step.
fn start_bits(differing: u64, leaf_bits: u8) -> u8 {
    let doublings = u64::BITS - differing.saturating_sub(1).leading_zeros();
    let bits = (doublings as u8 + 1).max(STEP_BITS);
    if bits + 1 >= leaf_bits { leaf_bits } else { bits }
}

fn tagger(mine: u64, theirs: u64) -> Tagger {
    if mine <= theirs / 2 {
        Tagger::Me
    } else if theirs <= mine / 2 {
        Tagger::Peer
    } else {
        Tagger::WhoseTurnItIs
    }
}

/// All digests of all levels and all tags, in messages a quarter full, and some more for a search that ends quickly.
/// `fewer` is the lesser number of entries: the greater is less than twice that, or its side shows no tags.
fn messages_max(fewer: u64, leaf_bits: u8, width: Width) -> u64 {
    let leaves = 1_u64 << leaf_bits;
    let digests = leaves * 2 * width.digest_bytes() as u64;
    let tags = fewer.saturating_mul(2 * width.tag_bytes() as u64).saturating_add(leaves * 5);
    64 + digests.saturating_add(tags).saturating_mul(4) / MESSAGE_BYTES_MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(count: u64, leaf_bits: u8) -> Opening {
        let mut opening = Opening { leaf_bits, ..Opening::default() };
        opening.root.count = count;
        opening.root.sum = u128::from(count);
        opening
    }

    #[test]
    fn starts_near_the_number_of_differing_keys() {
        let starts = [1, 2, 100, 1_000, 10_000, 100_000, u64::MAX].map(|differing| start_bits(differing, 17));
        assert_eq!(starts, [3, 3, 8, 11, 15, 17, 17]);
        assert_eq!(start_bits(1, 4), 4);
    }

    #[test]
    fn steps_end_at_the_leaves_and_never_cross() {
        for leaf_bits in LEAF_BITS_MIN..=LEAF_BITS_MAX {
            let plan = Plan::new(&opening(9, leaf_bits), &opening(7, leaf_bits), Width::Short);
            for bits in 1..leaf_bits {
                let next = plan.next_bits(bits);
                assert!(next > bits && next <= leaf_bits && next - bits <= STEP_BITS);
                assert!(plan.next_bits(bits - 1) <= next, "deeper ranges go at least as deep");
            }
        }
    }

    #[test]
    fn hostile_openings_give_a_plan_within_bounds() {
        let mine = opening(10, 4);
        for theirs in [opening(u64::MAX, 255), opening(0, 0)] {
            let plan = Plan::new(&mine, &theirs, Width::Full);
            assert_eq!((plan.leaf_bits, plan.start_bits), (4, 4));
            assert!(plan.messages_max < 70);
        }
        assert_eq!(tagger(0, u64::MAX), Tagger::Me);
        assert_eq!(tagger(u64::MAX, u64::MAX / 2), Tagger::Peer);
        assert_eq!(tagger(10, 11), Tagger::WhoseTurnItIs);
    }
}
