//! Units on the wire, and the entries of units.

use super::{
    error::FindError,
    frontier::Span,
    job::{Output, Pages},
    limits::STEP_FOUND,
};
use crate::{
    frozen::Frozen,
    sketch::{Field, tokens_of},
};

/// The most bytes that one gap takes.
const GAP_BYTES_MAX: usize = 5;

/// Appends ascending units from `at` on, each as its gap to the one before, seven bits a byte, until `room` bytes are
/// nearly used up. Gives where to go on.
pub(super) fn write_units(units: &[u32], at: usize, room: usize, bytes: &mut Vec<u8>) -> usize {
    let mut least = at.checked_sub(1).and_then(|before| units.get(before)).map_or(0, |unit| unit + 1);
    let mut written = at;
    for unit in units.iter().skip(at) {
        if bytes.len() + GAP_BYTES_MAX > room {
            break;
        }
        let mut gap = unit.wrapping_sub(least);
        while gap >= 0x80 {
            bytes.push(gap as u8 | 0x80);
            gap >>= 7;
        }
        bytes.push(gap as u8);
        least = unit + 1;
        written += 1;
    }
    written
}

/// Reads units that [`write_units`] wrote, of which the first may be `least`. `None` when one is not under `end`, or
/// the last is cut short.
pub(super) fn read_units(bytes: &[u8], mut least: u64, end: u64) -> Option<Vec<u32>> {
    let mut units = Vec::with_capacity(bytes.len() / 2);
    let (mut gap, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        gap |= u64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let unit = least.checked_add(gap).filter(|unit| *unit < end)?;
            units.push(unit as u32);
            (least, gap, shift) = (unit + 1, 0, 0);
        } else if shift > 7 * (GAP_BYTES_MAX as u32 - 1) {
            return None;
        }
    }
    (shift == 0).then_some(units)
}

/// Names all own entries of some units.
#[derive(Debug)]
pub(super) struct NamingUnits {
    field: Field,
    units: Vec<u32>,
    at: usize,
    pages: Pages,
}

impl NamingUnits {
    /// `units` ascend.
    pub(super) fn new(field: Field, units: Vec<u32>) -> NamingUnits {
        NamingUnits { field, units, at: 0, pages: Pages::default() }
    }

    pub(super) fn step(&mut self, frozen: &impl Frozen, output: &mut Output) -> Result<bool, FindError> {
        let field = self.field;
        // About one entry a unit: growing step by step would copy them all several times.
        output.found.reserve((self.units.len() - self.at.min(self.units.len())).min(STEP_FOUND));
        let spans = self.units.iter().skip(self.at).map(|unit| {
            let (first, last) = tokens_of(*unit, field);
            Span { first, last }
        });
        let mut at_span = 0;
        let page = self.pages.read(frozen, spans, |number, (token, key, digest)| {
            at_span = number;
            output.found.push((token, key.into(), digest));
        })?;
        output.scanned += page.entries + page.spans;
        self.at += if page.is_whole { page.spans } else { at_span };
        Ok(self.at >= self.units.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back_in_pieces() {
        let prime = Field::Large.prime();
        let units = [0, 1, 127, 128, 300, 1 << 20, (prime - 2) as u32, (prime - 1) as u32];
        for room in 5..40 {
            let (mut at, mut back, mut least) = (0, Vec::new(), 0);
            while at < units.len() {
                let mut bytes = Vec::new();
                at = write_units(&units, at, room, &mut bytes);
                assert!(bytes.len() <= room);
                back.extend(read_units(&bytes, least, prime).unwrap());
                least = u64::from(*back.last().unwrap()) + 1;
            }
            assert_eq!(back, units);
        }
    }

    #[test]
    fn what_does_not_ascend_or_end_is_refused() {
        assert_eq!(read_units(&[5], 0, 5), None);
        assert_eq!(read_units(&[5], 0, 6), Some(vec![5]));
        assert_eq!(read_units(&[0, 0], 5, 6), None);
        assert_eq!(read_units(&[0x80], 0, 99), None);
        assert_eq!(read_units(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], 0, 99), None);
        assert_eq!(read_units(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F], 0, 1 << 30), None);
        assert_eq!(read_units(&[], 7, 8), Some(Vec::new()));
    }
}
