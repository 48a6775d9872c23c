//! Any cells: decoding ends within bounds, and what it calls decoded explains every cell.
#![no_main]

use libfuzzer_sys::fuzz_target;
use merkle::{Decoder, Field, Progress, pack_cells, unpack_cells};

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let field = if first & 1 == 0 { Field::Small } else { Field::Large };
    let whole = bytes.len() - bytes.len() % field.cell_bytes();
    let Some(mut cells) = unpack_cells(field, &bytes[..whole]) else { return };
    let mut packed = Vec::new();
    pack_cells(field, &cells, &mut packed);
    assert_eq!(packed, bytes[..whole], "the wire form is one of a kind");
    if first & 2 != 0 {
        // Cells that each look like one unit get further.
        for [value, unit, square] in &mut cells {
            let prime = field.prime();
            let product = |a: u32, b: u32| (u64::from(a) * u64::from(b) % prime) as u32;
            *square = product(product(*value, *unit), *unit);
            *unit = product(*value, *unit);
        }
    }
    let mut decoder = Decoder::new(field);
    let piece = usize::from(first >> 2).max(1);
    for some in cells.chunks(piece) {
        decoder.push(some);
        let mut steps = 0;
        let progress = loop {
            match decoder.step(1) {
                Progress::Working => steps += 1,
                progress => break progress,
            }
            assert!(steps <= 40 * (decoder.cells() + 65));
        };
        assert!(decoder.peeled() <= decoder.cells() + 65);
        let units = decoder.units();
        assert!(units.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(units.iter().all(|unit| u64::from(*unit) < field.prime()));
        assert!((1..=64 * cells.len() as u64 + 1).contains(&decoder.estimate()));
        if progress == Progress::Endless {
            break;
        }
    }
});
