//! A few signed counters from which two sides can tell about how many keys differ between them.

use serde::{Deserialize, Serialize};

/// How many counters there are. More sharpen the estimate (with 16 it is off by a third on average) and make every
/// opening longer by seven bytes for each four.
pub(crate) const COUNTERS: usize = 16;
/// Bits of a counter. When the difference of two wraps it is as good as random, and the estimate about 45 million: a
/// search begins at the leaves then, which is right, or by the sketch, which gives up after its first cells.
const COUNTER_BITS: u32 = 14;
/// Counters packed together.
const PACKED: usize = 4;
const PACKED_BYTES: usize = PACKED * COUNTER_BITS as usize / 8;
/// Bytes of all counters.
const BYTES: usize = COUNTERS * COUNTER_BITS as usize / 8;

/// Counter j is the sum over all entries of sign_j(token) * bit_j(digest), modulo 2^14.
///
/// The mean square of the difference of two hints is half the number of keys that differ, for any mix of changed and
/// missing keys. It decides only where a search starts, so a wrong or hostile hint costs bytes and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u8; 28]", into = "[u8; 28]")]
pub struct SizeHint {
    counters: [i16; COUNTERS],
}

impl SizeHint {
    /// Takes in that the entry at `token` went from `old` to `new`; `None` stands for no entry.
    pub fn change(&mut self, token: u64, old: Option<u128>, new: Option<u128>) {
        let (old, new) = (bits_of(old), bits_of(new));
        for (j, counter) in self.counters.iter_mut().enumerate() {
            let bit = |bits: u16| (bits >> j & 1) as i16;
            let sign = 1 - 2 * ((token >> j & 1) as i16);
            *counter = wrapped(*counter + sign * (bit(new) - bit(old)));
        }
    }

    /// About how many keys differ between the two stores these hints were taken from.
    pub fn distance(&self, other: &SizeHint) -> u64 {
        let squares = self.counters.iter().zip(&other.counters).map(|(mine, theirs)| {
            let apart = u64::from(wrapped(mine - theirs).unsigned_abs());
            apart * apart
        });
        2 * squares.sum::<u64>() / COUNTERS as u64
    }
}

/// The bits of a digest that the counters look at: its top ones, which no truncated digest shows.
fn bits_of(digest: Option<u128>) -> u16 {
    digest.map_or(0, |digest| (digest >> 112) as u16)
}

/// A number of a few more bits as a counter: its low bits, the top one of them the sign.
fn wrapped(counter: i16) -> i16 {
    let unused = i16::BITS - COUNTER_BITS;
    (counter << unused) >> unused
}

/// Four counters to seven bytes.
impl From<[u8; BYTES]> for SizeHint {
    fn from(bytes: [u8; BYTES]) -> SizeHint {
        let mut hint = SizeHint::default();
        for (pair, packed) in hint.counters.chunks_exact_mut(PACKED).zip(bytes.chunks_exact(PACKED_BYTES)) {
            let packed = packed.iter().rev().fold(0, |packed, byte| packed << 8 | u64::from(*byte));
            for (place, counter) in (0..).zip(pair) {
                *counter = wrapped((packed >> (place * COUNTER_BITS)) as i16);
            }
        }
        hint
    }
}

impl From<SizeHint> for [u8; BYTES] {
    fn from(hint: SizeHint) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (packed, pair) in bytes.chunks_exact_mut(PACKED_BYTES).zip(hint.counters.chunks_exact(PACKED)) {
            let number = (0..).zip(pair).fold(0, |number, (place, counter)| {
                number | (u64::from(*counter as u16) & ((1 << COUNTER_BITS) - 1)) << (place * COUNTER_BITS)
            });
            packed.copy_from_slice(number.to_le_bytes().get(..PACKED_BYTES).unwrap_or(&[0; PACKED_BYTES]));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn changes_undo_themselves_and_survive_the_wire_form() {
        let mut hint = SizeHint::default();
        hint.change(7, None, Some(u128::MAX));
        hint.change(9, None, Some(u128::MAX / 3));
        let before = hint;
        hint.change(7, Some(u128::MAX), Some(1));
        hint.change(7, Some(1), Some(u128::MAX));
        assert_eq!(hint, before);
        for token in 0..40_000 {
            hint.change(token & 0x5555, None, Some(u128::MAX));
            hint.change(!token, Some(u128::from(token) << 112), None);
        }
        assert!(hint.counters.iter().any(|counter| *counter < 0));
        assert!(hint.counters.iter().all(|counter| (-8192..8192).contains(counter)));
        assert_eq!(SizeHint::from(<[u8; BYTES]>::from(hint)), hint);
    }

    #[test]
    fn distance_is_near_the_number_of_keys_that_differ() {
        for differ in [10_u64, 1_000, 20_000] {
            let mut rng = StdRng::seed_from_u64(differ);
            let mut near = 0;
            for _ in 0..20 {
                let (mut a, mut b) = (SizeHint::default(), SizeHint::default());
                for _ in 0..differ {
                    let token = rng.random();
                    a.change(token, None, Some(rng.random()));
                    if rng.random() {
                        b.change(token, None, Some(rng.random()));
                    }
                }
                let told = a.distance(&b);
                near += u32::from(told >= differ / 3 && told <= differ * 3);
            }
            assert!(near >= 18, "{near} of 20 near {differ}");
        }
    }
}
