//! Hybrid logical time, the id of a write, and expiry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::WriterId;

/// A hybrid logical clock's timestamp: 48 bits of milliseconds since 1970 and 16 bits of counter.
/// (Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks", 2014.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hlc(u64);

impl Hlc {
    /// The least timestamp. No write has it.
    pub const ZERO: Self = Self(0);
    /// The greatest timestamp.
    pub const MAX: Self = Self(u64::MAX);
    /// The greatest number of milliseconds a timestamp can hold (the year 10889).
    pub const MILLIS_MAX: u64 = (1 << 48) - 1;

    /// The timestamp of these milliseconds (held at [`Hlc::MILLIS_MAX`]) and this counter.
    pub const fn new(millis: u64, counter: u16) -> Self {
        let millis = if millis > Self::MILLIS_MAX { Self::MILLIS_MAX } else { millis };
        Self((millis << 16) | counter as u64)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The counter within the millisecond.
    pub const fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// All 64 bits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The timestamp with these 64 bits.
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// The next timestamp, or none after [`Hlc::MAX`].
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({self})")
    }
}

/// The id of one write, unique for ever: when, and by which life of which node. Ordered by time first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The coordinator's clock at the write.
    pub hlc: Hlc,
    /// The coordinator's life.
    pub writer: WriterId,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.hlc, self.writer)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dot({self})")
    }
}

/// When a value expires: at a time, or never. Ordered, with [`Expiry::NEVER`] the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Expiry(Hlc);

impl Expiry {
    /// Never.
    pub const NEVER: Self = Self(Hlc::MAX);
    /// The least expiry: of an entry that has had no dot yet.
    pub const NONE_YET: Self = Self(Hlc::ZERO);

    /// At this time.
    pub const fn at(time: Hlc) -> Self {
        Self(time)
    }

    /// The time, or none when it never comes.
    pub fn time(self) -> Option<Hlc> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// Whether it has come at this time. [`Expiry::NEVER`] never does.
    pub fn is_over(self, at: Hlc) -> bool {
        self != Self::NEVER && self.0 <= at
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0.as_u64()
    }
}

impl Default for Expiry {
    fn default() -> Self {
        Self::NONE_YET
    }
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time() {
            None => f.write_str("Expiry(never)"),
            Some(time) => write!(f, "Expiry({time})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_48_bits_of_time_and_16_of_counter() {
        let t = Hlc::new(1_700_000_000_000, 7);
        assert_eq!((t.millis(), t.counter()), (1_700_000_000_000, 7));
        assert_eq!(Hlc::new(u64::MAX, u16::MAX), Hlc::MAX);
        assert_eq!(Hlc::new(5, u16::MAX).next(), Some(Hlc::new(6, 0)));
        assert_eq!(Hlc::MAX.next(), None);
    }

    #[test]
    fn never_is_the_greatest_expiry() {
        assert!(Expiry::NEVER > Expiry::at(Hlc::new(Hlc::MILLIS_MAX, 0)));
        assert!(Expiry::NONE_YET < Expiry::at(Hlc::new(1, 0)));
        assert!(!Expiry::NEVER.is_over(Hlc::MAX));
        let expiry = Expiry::at(Hlc::new(5, 1));
        assert!(!expiry.is_over(Hlc::new(5, 0)) && expiry.is_over(Hlc::new(5, 1)));
    }
}
