//! A token range named by the bits its tokens begin with.

use serde::{Deserialize, Serialize};

/// The range of all tokens whose first `bits` bits (0 to 64) are `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Prefix {
    bits: u8,
    value: u64,
}

impl Prefix {
    /// The whole token space.
    pub const ROOT: Prefix = Prefix { bits: 0, value: 0 };

    /// The range whose tokens begin with the low `bits` bits of `value`.
    /// `None` when `bits` is over 64 or `value` needs more than `bits` bits.
    pub fn new(bits: u8, value: u64) -> Option<Prefix> {
        let fits = match bits {
            0..=63 => value >> bits == 0,
            64 => true,
            _ => false,
        };
        fits.then_some(Prefix { bits, value })
    }

    /// The range of `bits` bits (more than 64 count as 64) that holds `token`.
    pub fn of(token: u64, bits: u8) -> Prefix {
        let bits = bits.min(64);
        Prefix { bits, value: shift_right(token, 64 - bits) }
    }

    /// How many leading bits are fixed, 0 to 64.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The fixed bits, as a number under 2^bits.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The least token in the range.
    pub fn first_token(&self) -> u64 {
        shift_left(self.value, 64 - self.bits)
    }

    /// The greatest token in the range.
    pub fn last_token(&self) -> u64 {
        self.first_token() | shift_right(u64::MAX, self.bits)
    }

    /// True when the range holds `token`.
    pub fn contains(&self, token: u64) -> bool {
        Prefix::of(token, self.bits) == *self
    }

    /// The ranges of `bits` bits that make up this one, in token order. Nothing when `bits` is less than this
    /// range's own or over 64. There are 2^(bits - own bits) of them.
    pub fn children(&self, bits: u8) -> impl Iterator<Item = Prefix> + use<> {
        let deeper = if bits > 64 { None } else { bits.checked_sub(self.bits) };
        let values = deeper.map(|deeper| {
            let first = shift_left(self.value, deeper);
            first..=(first | shift_right(u64::MAX, 64 - deeper))
        });
        values.into_iter().flatten().map(move |value| Prefix { bits, value })
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Prefix, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            bits: u8,
            value: u64,
        }
        let Parts { bits, value } = Parts::deserialize(deserializer)?;
        Prefix::new(bits, value)
            .ok_or_else(|| serde::de::Error::custom("a prefix whose value does not fit its bits"))
    }
}

/// `value << by`, where a shift by 64 gives 0 instead of being an error.
fn shift_left(value: u64, by: u8) -> u64 {
    value.checked_shl(u32::from(by)).unwrap_or(0)
}

/// `value >> by`, where a shift by 64 gives 0 instead of being an error.
fn shift_right(value: u64, by: u8) -> u64 {
    value.checked_shr(u32::from(by)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_at_both_ends() {
        assert_eq!((Prefix::ROOT.first_token(), Prefix::ROOT.last_token()), (0, u64::MAX));
        let one = Prefix::new(64, 5).unwrap();
        assert_eq!((one.first_token(), one.last_token()), (5, 5));
        let last = Prefix::new(4, 15).unwrap();
        assert_eq!((last.first_token(), last.last_token()), (0xF << 60, u64::MAX));
        assert!(last.contains(u64::MAX) && !last.contains(0));
        assert_eq!(Prefix::new(4, 16), None);
        assert_eq!(Prefix::new(65, 0), None);
    }

    #[test]
    fn children_tile_their_parent() {
        let parent = Prefix::new(3, 5).unwrap();
        let children: Vec<Prefix> = parent.children(5).collect();
        assert_eq!(children.len(), 4);
        assert_eq!(children.first().unwrap().first_token(), parent.first_token());
        assert_eq!(children.last().unwrap().last_token(), parent.last_token());
        assert!(children.windows(2).all(|pair| pair[0].last_token() + 1 == pair[1].first_token()));
        assert_eq!(parent.children(3).collect::<Vec<_>>(), vec![parent]);
        assert_eq!(parent.children(2).count(), 0);
        assert_eq!(parent.children(65).count(), 0);
        assert_eq!(Prefix::new(64, 9).unwrap().children(64).count(), 1);
    }
}
