//! Cells as bytes: three numbers each, lowest byte first, of as many bytes as the field needs.

use super::field::Field;

/// Appends cells; 9 or 12 bytes each, by the field.
pub fn pack_cells(field: Field, cells: &[[u32; 3]], bytes: &mut Vec<u8>) {
    bytes.reserve(cells.len() * field.cell_bytes());
    match field {
        Field::Small => cells.iter().flatten().for_each(|number| {
            let [low, middle, high, _] = number.to_le_bytes();
            bytes.extend([low, middle, high]);
        }),
        Field::Large => cells.iter().flatten().for_each(|number| bytes.extend(number.to_le_bytes())),
    }
}

/// Reads cells that [`pack_cells`] wrote; `None` when the bytes are not of whole cells, or a number is not of the field.
pub fn unpack_cells(field: Field, bytes: &[u8]) -> Option<Vec<[u32; 3]>> {
    let width = field.number_bytes();
    if !bytes.len().is_multiple_of(3 * width) {
        return None;
    }
    let read = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let mut cells = vec![[0; 3]; bytes.len() / (3 * width)];
    let mut greatest = 0;
    for (number, bytes) in cells.iter_mut().flatten().zip(bytes.chunks_exact(width)) {
        *number = read(bytes);
        greatest = greatest.max(*number);
    }
    (u64::from(greatest) < field.prime()).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_and_others_are_refused() {
        for field in [Field::Small, Field::Large] {
            let last = (field.prime() - 1) as u32;
            let cells = vec![[0, 1, last], [last, 256, 0x12_3456]];
            let mut bytes = Vec::new();
            pack_cells(field, &cells, &mut bytes);
            assert_eq!(bytes.len(), 2 * field.cell_bytes());
            assert_eq!(unpack_cells(field, &bytes), Some(cells));
            assert_eq!(unpack_cells(field, &bytes[1..]), None);
            let mut past = Vec::new();
            pack_cells(field, &[[0, last + 1, 0]], &mut past);
            assert_eq!(unpack_cells(field, &past), None);
            assert_eq!(unpack_cells(field, &[]), Some(Vec::new()));
        }
    }
}
