//! Which cells a unit is added to: its index sequence.
//!
//! A unit is in cell i with the chance 1 / (1 + ai), independently of all others. The first 64 cells follow the
//! regular law, a = 1/2; from there on a fifth of the units has a = 1/8 and the rest a = 3/4, which takes fewer cells
//! in all where many differ. Where a hundred do, it is the head that keeps two units from sharing all of their cells:
//! with 32 one difference in fifty takes two cells a unit, with 64 one in a thousand or so. The gap behind index i is drawn at once: with u uniform in (0, 1] it is (i + o)(u^-a - 1), rounded up,
//! where o = (1 + 1/a) / 2 makes the continuous law fit the discrete one.
//!
//! Every machine must compute the same sequence, so it uses nothing but square roots, multiplication and division of
//! IEEE doubles, which are exactly rounded, and a multiplicative generator. A change here changes what is on the wire.

/// Cells that follow the regular law.
pub(crate) const HEAD: u64 = 64;

/// L'Ecuyer's multiplier for a multiplicative generator modulo 2^64, as a good one of its kind.
const MULTIPLIER: u64 = 0xDA94_2042_E4DD_58B5;

/// A place in a unit's index sequence; it begins at 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    state: u64,
    at: u64,
    is_dense: bool,
}

impl Walk {
    /// The sequence of a unit, at its first index.
    pub(crate) fn of(unit: u32) -> Walk {
        let seed = mix(u64::from(unit));
        Walk { state: seed | 1, at: 0, is_dense: (seed >> 32) * 5 < 1 << 32 }
    }

    /// The index that comes next.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes to the next index.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if self.at < HEAD - 1 {
            let root = self.draw().sqrt();
            let next = gap_end(self.at, 1.5, 1.0 / root);
            if next < HEAD {
                self.at = next;
                return;
            }
            // Nothing more in the head. The law has no memory, so the own one goes on from its last cell.
            self.at = HEAD - 1;
        }
        let root = self.draw().sqrt();
        let fourth = root.sqrt();
        self.at = if self.is_dense {
            gap_end(self.at, 4.5, 1.0 / fourth.sqrt())
        } else {
            gap_end(self.at, 7.0 / 6.0, 1.0 / (root * fourth))
        };
    }

    /// Uniform in (0, 1].
    #[inline]
    fn draw(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(MULTIPLIER);
        ((self.state >> 32) + 1) as i64 as f64 * (1.0 / 4_294_967_296.0)
    }
}

/// `at` and a gap of `(at + offset) * (stretch - 1)`, rounded up. Numbers go through `i64`, where one instruction converts
/// them; a gap from a cell that is kept ends far under 2^63.
#[inline]
fn gap_end(at: u64, offset: f64, stretch: f64) -> u64 {
    at + 1 + ((at as i64 as f64 + offset) * (stretch - 1.0)) as i64 as u64
}

/// How many of the units that differ are in cell `index`, on average, for each that there is.
pub(crate) fn load(index: u64) -> f64 {
    let index = index as f64;
    if index < HEAD as f64 {
        1.0 / (1.0 + index / 2.0)
    } else {
        0.2 / (1.0 + index / 8.0) + 0.8 / (1.0 + index * 0.75)
    }
}

/// The finalizer of SplitMix64: neighbouring units get unrelated seeds.
fn mix(number: u64) -> u64 {
    let number = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(unit: u32, below: u64) -> Vec<u64> {
        let mut walk = Walk::of(unit);
        let mut indices = Vec::new();
        while walk.at() < below {
            indices.push(walk.at());
            walk.advance();
        }
        indices
    }

    /// Two nodes that compute other sequences can never decode each other's cells.
    #[test]
    fn the_sequences_are_these_on_every_machine() {
        let some = [0, 1, 77_777, (1 << 24) - 4, (1 << 30) - 36].map(|unit| indices(unit, 100_000));
        insta::assert_debug_snapshot!(some.map(|indices| format!("{indices:?}")));
    }

    #[test]
    fn a_cell_holds_as_many_units_as_the_law_says() {
        const UNITS: u32 = 40_000;
        let mut counts = vec![0_u32; 4_096];
        for unit in 0..UNITS {
            indices(unit, 4_096).into_iter().for_each(|index| counts[index as usize] += 1);
        }
        assert_eq!(counts[0], UNITS, "every unit is in the first cell");
        for (first, last) in [(1, 2), (3, 8), (8, 24), (24, 64), (64, 80), (100, 200), (1_000, 4_096)] {
            let seen: f64 = counts[first..last].iter().map(|count| f64::from(*count)).sum();
            let told: f64 = (first..last).map(|index| load(index as u64) * f64::from(UNITS)).sum();
            assert!((seen / told - 1.0).abs() < 0.04, "cells {first}..{last}: {seen} for {told}");
        }
    }
}
