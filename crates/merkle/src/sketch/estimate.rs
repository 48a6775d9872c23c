//! How many units differ, told from how many cells of the difference are empty.

use super::law::load;

/// Blocks of cells with about the same load are this part of their index long.
const BLOCK_PART: u64 = 8;
/// Halvings of the interval in which the number lies: right within a percent.
const HALVINGS: u32 = 24;

/// About how many units differ when `zeros` of the first `cells` cells of their difference are empty; at least 1, and
/// at most 64 a cell, which stands for "many".
///
/// Each unit leaves cell i empty with a chance of about `exp(-load(i))`, so the expected number of empty cells falls
/// with the number of units: the number sought is where it crosses what was seen. A few tenths of the cells are empty
/// once there are as many cells as units, which makes it right within a few percent at a thousand.
pub(crate) fn units_from_zeros(cells: usize, zeros: usize) -> u64 {
    let blocks = blocks(cells as u64);
    let expected = |units: f64| blocks.iter().map(|(len, load)| len * (-load * units).exp()).sum::<f64>();
    // Half a cell more than seen: none empty does not mean infinitely many units.
    let seen = zeros as f64 + 0.5;
    let (mut low, mut high) = (0.0_f64, (64.0 * cells as f64).ln_1p());
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if expected(middle.exp_m1()) > seen {
            low = middle;
        } else {
            high = middle;
        }
    }
    (high.exp_m1().round() as u64).max(1)
}

/// Lengths and loads of blocks of neighbouring cells.
fn blocks(cells: u64) -> Vec<(f64, f64)> {
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < cells {
        let len = (first / BLOCK_PART).max(1).min(cells - first);
        blocks.push((len as f64, load(first + len / 2)));
        first += len;
    }
    blocks
}
