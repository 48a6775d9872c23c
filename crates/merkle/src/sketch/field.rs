//! Arithmetic in the two prime fields of the sketch.

use std::fmt;

/// 2^24 - 3.
pub(crate) const P24: u64 = (1 << 24) - 3;
/// 2^30 - 35.
pub(crate) const P30: u64 = (1 << 30) - 35;

/// Leaves of more bits than this have their sketch in the large field: over some three million keys, units of the
/// small one would hold keys that do not differ beside those that do.
const LEAF_BITS_MAX_OF_SMALL: u8 = 18;

/// The field that a sketch computes in. It follows from the size of the tree's leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Modulo 2^24 - 3; a cell takes 9 bytes on the wire.
    Small,
    /// Modulo 2^30 - 35; a cell takes 12 bytes on the wire.
    Large,
}

impl Field {
    /// The field of a sketch beside leaves of so many bits.
    pub fn of_leaves(leaf_bits: u8) -> Field {
        if leaf_bits <= LEAF_BITS_MAX_OF_SMALL { Field::Small } else { Field::Large }
    }

    /// The number of its elements, and of units.
    pub fn prime(self) -> u64 {
        match self {
            Field::Small => P24,
            Field::Large => P30,
        }
    }

    /// Bytes of one number on the wire; a cell has three.
    pub(crate) fn number_bytes(self) -> usize {
        match self {
            Field::Small => 3,
            Field::Large => 4,
        }
    }

    /// Bytes of one cell on the wire.
    pub fn cell_bytes(self) -> usize {
        3 * self.number_bytes()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Field::Small => "2^24 - 3",
            Field::Large => "2^30 - 35",
        })
    }
}

pub(crate) fn add<const P: u64>(a: u32, b: u32) -> u32 {
    let sum = a + b;
    if sum >= P as u32 { sum - P as u32 } else { sum }
}

pub(crate) fn sub<const P: u64>(a: u32, b: u32) -> u32 {
    if a >= b { a - b } else { a + P as u32 - b }
}

pub(crate) fn mul<const P: u64>(a: u32, b: u32) -> u32 {
    (u64::from(a) * u64::from(b) % P) as u32
}

/// True when `a² = bc`. The three are reduced, so that no product passes 2^60.
pub(crate) fn is_square_of<const P: u64>(a: u32, b: u32, c: u32) -> bool {
    let (square, product) = (u64::from(a) * u64::from(a), u64::from(b) * u64::from(c));
    (square + P * P - product).is_multiple_of(P)
}

/// The number whose product with `number` is 1; `None` for 0. Euclid's algorithm.
pub(crate) fn inverse<const P: u64>(number: u32) -> Option<u32> {
    if number == 0 {
        return None;
    }
    let (mut low, mut high) = (number, P as u32);
    // Always: of_low * number = low and of_high * number = high, both modulo P.
    let (mut of_low, mut of_high) = (1_i64, 0_i64);
    while low > 1 {
        let times = high / low;
        (low, high) = (high - times * low, low);
        (of_low, of_high) = (of_high - i64::from(times) * of_low, of_low);
    }
    Some(of_low.rem_euclid(P as i64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prime(number: u64) -> bool {
        (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
    }

    fn holds<const P: u64>() {
        assert!(is_prime(P));
        let (last, mut number) = (P as u32 - 1, 1_u32);
        assert_eq!((add::<P>(last, 1), add::<P>(last, last), sub::<P>(0, 1)), (0, last - 1, last));
        assert_eq!((inverse::<P>(0), inverse::<P>(1), inverse::<P>(last)), (None, Some(1), Some(last)));
        for step in 0..1_000 {
            number = mul::<P>(number, 0x9E_3779) + 1;
            let number = number % P as u32;
            assert_eq!(mul::<P>(number, inverse::<P>(number).unwrap()), 1, "{number} at {step}");
            assert_eq!(sub::<P>(add::<P>(number, last), last), number);
            let other = mul::<P>(number, number);
            assert!(is_square_of::<P>(mul::<P>(number, 7), other, 49));
            assert!(!is_square_of::<P>(mul::<P>(number, 7), other, 48));
        }
    }

    #[test]
    fn both_fields_are_fields() {
        holds::<P24>();
        holds::<P30>();
    }
}
