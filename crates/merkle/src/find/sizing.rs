//! How many cells are sent, to decode in few round trips without sending many more than it takes.

/// A first answer never has fewer cells: they settle one key, and mostly two.
const CELLS_MIN: u64 = 4;

/// Cells to begin with, when the openings tell that about so many units differ. They tell it within a third or so, and
/// what is too much is wasted: where few differ, about what it takes, to save a round trip; where many do, less than it
/// takes, to save bytes.
pub(super) fn first_cells(estimate: u64, kept: usize) -> usize {
    let more = estimate.saturating_sub(1) as f64;
    let wanted = CELLS_MIN.saturating_add((more * 0.75 + 3.0 * more.sqrt()) as u64);
    wanted.min(kept as u64) as usize
}

/// About how many units differ, from two estimates: that of the openings, and the one that `zeros` empty cells tell.
/// They are weighed by how well each tells it, as measured: 16 counters as well as two empty cells. The second time
/// the openings have been wrong.
pub(super) fn units_likely(opening: u64, by_zeros: u64, zeros: usize, asks: u32) -> u64 {
    let (opening_weight, zeros_weight) = (if asks == 1 { 4.0 } else { 0.5 }, 2.0 * zeros as f64);
    let logarithms =
        opening_weight * (opening.max(1) as f64).ln() + zeros_weight * (by_zeros.max(1) as f64).ln();
    (logarithms / (opening_weight + zeros_weight)).exp().round() as u64
}

/// Cells in all to ask for when `have` have not been enough, and tell that about `told` units differ. It succeeds
/// nineteen times in twenty, and asking once more nearly always. `None` when no number up to `kept` is likely to.
pub(super) fn more_cells(told: u64, have: usize, kept: usize, asks: u32) -> Option<usize> {
    if have >= kept || told > kept as u64 {
        return None;
    }
    let (spare, least) = match asks {
        1 => (8.0, have + have / 8 + 3),
        // Bad luck so far: rather a few cells too many than another round trip.
        _ => (12.0, have + have / 4 + 6),
    };
    Some((likely_cells(told, spare) as usize).max(least).min(kept))
}

/// The cells that decode so many units in nearly all cases, as measured (`overhead` in tests/sketch.rs), and some for
/// how well their number is told.
fn likely_cells(units: u64, spare: f64) -> u64 {
    let units = units as f64;
    (units * 1.115 + spare * units.sqrt()) as u64 + 6
}
