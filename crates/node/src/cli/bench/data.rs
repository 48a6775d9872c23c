//! The keys and values of a benchmark: the same for the same seed, in any order, on any machine.

/// What keys of a cluster that is not the benchmark's own begin with, so that they can be told from others.
pub(crate) const PREFIX: &str = "bench/";

/// The shortest key: eight hexadecimal digits tell four billion keys apart.
pub(crate) const KEY_BYTES_MIN: usize = 8;

/// How keys and values are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data {
    /// What every key begins with; ASCII that stands for itself in a URL.
    pub(crate) prefix: &'static str,
    /// Length of a key in bytes, the prefix included.
    pub(crate) key_bytes: usize,
    /// Length of a value in bytes.
    pub(crate) value_bytes: usize,
    pub(crate) seed: u64,
}

impl Data {
    /// How many different keys there can be.
    pub(crate) fn keys_max(&self) -> u64 {
        match self.digits() {
            16.. => u64::MAX,
            digits => 1u64 << (4 * digits),
        }
    }

    fn digits(&self) -> usize {
        self.key_bytes.saturating_sub(self.prefix.len())
    }

    /// Key number `index`, below [`Data::keys_max`]: another one for every index.
    pub(crate) fn key(&self, index: u64) -> String {
        let digits = self.digits();
        let bits = 4 * digits.min(16) as u32;
        let number = scattered(index ^ (mix(self.seed) & low(bits)), bits);
        let width = digits.min(16);
        let padding = digits - width;
        format!("{}{:k<padding$}{number:0width$x}", self.prefix, "")
    }

    /// Writes value `version` of key number `index` over `into`. Bytes that do not compress.
    pub(crate) fn value(&self, index: u64, version: u64, into: &mut Vec<u8>) {
        into.clear();
        let mut state = mix(self.seed ^ mix(index) ^ mix(version).rotate_left(17));
        while into.len() < self.value_bytes {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            into.extend_from_slice(&mix(state).to_le_bytes());
        }
        into.truncate(self.value_bytes);
    }
}

/// The finaliser of splitmix64: a bijection on 64 bits.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn low(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// A bijection on `bits` bits: odd factors and shifts to the right can both be undone.
fn scattered(x: u64, bits: u32) -> u64 {
    let mask = low(bits);
    let half = bits / 2;
    let mut x = x & mask;
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        x = x.wrapping_mul(factor) & mask;
        x ^= x >> half;
    }
    x
}

/// A small generator of random numbers (splitmix64): the same numbers for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DATA: Data = Data { prefix: "", key_bytes: 8, value_bytes: 20, seed: 7 };

    #[test]
    fn keys_differ_have_their_length_and_stand_for_themselves_in_a_url() {
        for data in [DATA, Data { key_bytes: 16, ..DATA }, Data { prefix: PREFIX, key_bytes: 40, ..DATA }] {
            let keys: BTreeSet<String> = (0..20_000).map(|index| data.key(index)).collect();
            assert_eq!(keys.len(), 20_000);
            for key in keys {
                assert_eq!(key.len(), data.key_bytes);
                let parsed = model::Key::new(key.clone()).unwrap();
                assert_eq!(parsed.to_percent(), key);
            }
        }
        assert_eq!(DATA.keys_max(), 1 << 32);
        let small = |index| scattered(index, 16);
        assert_eq!((0..1 << 16).map(small).collect::<BTreeSet<_>>().len(), 1 << 16);
    }

    #[test]
    fn the_same_seed_makes_the_same_data() {
        let other = Data { seed: 8, ..DATA };
        assert_eq!(DATA.key(3), DATA.key(3));
        assert_ne!(DATA.key(3), other.key(3));
        let (mut one, mut two) = (Vec::new(), vec![9; 99]);
        DATA.value(3, 1, &mut one);
        DATA.value(3, 1, &mut two);
        assert_eq!((one.len(), &one), (20, &two));
        DATA.value(3, 2, &mut two);
        assert_ne!(one, two);
    }

    #[test]
    fn dice_stay_below_their_bound() {
        let mut dice = Dice::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[dice.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(dice.below(0), 0);
    }
}
