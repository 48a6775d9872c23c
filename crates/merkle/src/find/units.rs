//! Units on the wire, and the entries of units.

use super::{error::FindError, job::Output, limits::SCAN_ENTRIES};
use crate::{
    frozen::Frozen,
    sketch::{Field, tokens_of},
};

/// Spans read at a time.
const SPANS_A_READ: usize = 512;
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
    after: Option<(u64, Box<[u8]>)>,
    spans: Vec<(u64, u64)>,
}

impl NamingUnits {
    /// `units` ascend.
    pub(super) fn new(field: Field, units: Vec<u32>) -> NamingUnits {
        NamingUnits { field, units, at: 0, after: None, spans: Vec::new() }
    }

    pub(super) fn step(&mut self, frozen: &impl Frozen, output: &mut Output) -> Result<bool, FindError> {
        self.spans.clear();
        let some = self.units.iter().skip(self.at).take(SPANS_A_READ);
        self.spans.extend(some.map(|unit| tokens_of(*unit, self.field)));
        let after = self.after.take();
        let after = after.as_ref().map(|(token, key)| (*token, &**key));
        let (mut read, mut next) = (0, self.spans.len());
        frozen.scan_many(&self.spans, after, SCAN_ENTRIES, &mut |span, token, key, digest| {
            output.found.push((token, key.into(), digest));
            read += 1;
            if read == SCAN_ENTRIES {
                (next, self.after) = (span, Some((token, key.into())));
            }
        })?;
        output.scanned += read + self.spans.len();
        self.at += next;
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
