//! From tokens to units and back, from digests to values.

use super::field::{Field, sub};

/// 2^64 / P, rounded down, and what is left of it.
const fn cut(prime: u64) -> (u64, u64) {
    let whole = (1_u128 << 64) / prime as u128;
    (whole as u64, ((1_u128 << 64) % prime as u128) as u64)
}

/// The unit of a token: the token space in order, cut into as many ranges as the field has elements.
pub(crate) fn unit_of(token: u64, field: Field) -> u32 {
    ((u128::from(token) * u128::from(field.prime())) >> 64) as u32
}

/// The first and the last token of a unit, which must be under the field's prime.
pub(crate) fn tokens_of(unit: u32, field: Field) -> (u64, u64) {
    let next = u64::from(unit) + 1;
    let last = if next == field.prime() { u64::MAX } else { first_token(next, field).wrapping_sub(1) };
    (first_token(u64::from(unit), field), last)
}

/// `unit * 2^64 / P`, rounded up, without a division by a number that is not known beforehand.
fn first_token(unit: u64, field: Field) -> u64 {
    match field {
        Field::Small => first::<{ super::field::P24 }>(unit),
        Field::Large => first::<{ super::field::P30 }>(unit),
    }
}

fn first<const P: u64>(unit: u64) -> u64 {
    let (whole, left) = const { cut(P) };
    unit * whole + (unit * left).div_ceil(P)
}

/// An entry's digest as a value of the field: never 0, which stands for no entry. It rests on bits that neither
/// truncated sums nor tags show.
pub(crate) fn value_of<const P: u64>(digest: Option<u128>) -> u32 {
    digest.map_or(0, |digest| 1 + ((u128::from(digest as u64) * u128::from(P - 1)) >> 64) as u32)
}

/// What the value of a unit changes by when an entry goes from `old` to `new`.
pub(crate) fn change_of<const P: u64>(old: Option<u128>, new: Option<u128>) -> u32 {
    sub::<P>(value_of::<P>(new), value_of::<P>(old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::field::{P24, P30};

    #[test]
    fn units_tile_the_tokens() {
        for field in [Field::Small, Field::Large] {
            let last_unit = (field.prime() - 1) as u32;
            assert_eq!((tokens_of(0, field).0, tokens_of(last_unit, field).1), (0, u64::MAX));
            for unit in [0, 1, 2, 1_000, last_unit / 3, last_unit - 1] {
                let (first, last) = tokens_of(unit, field);
                assert!(first < last);
                assert_eq!([first, last].map(|token| unit_of(token, field)), [unit, unit]);
                assert_eq!(tokens_of(unit + 1, field).0, last + 1);
            }
            assert_eq!(unit_of(u64::MAX, field), last_unit);
        }
    }

    #[test]
    fn values_are_in_the_field_and_only_no_entry_is_zero() {
        for digest in [0, 1, u128::MAX, u128::from(u64::MAX), 1 << 64] {
            assert!((1..P24).contains(&u64::from(value_of::<P24>(Some(digest)))));
            assert!((1..P30).contains(&u64::from(value_of::<P30>(Some(digest)))));
        }
        assert_eq!(value_of::<P24>(None), 0);
        assert_eq!(change_of::<P24>(Some(5), Some(5)), 0);
    }
}
