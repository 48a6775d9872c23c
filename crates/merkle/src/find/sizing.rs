//! How many cells are sent, to decode in few round trips without sending many more than it takes.
//!
//! It takes 1.1 cells a unit and some 2.5 for each square root of their number, a few more or fewer by chance; that and
//! the figures below are measured (`overhead` in tests/sketch.rs, and the tables of tests/cost.rs).

use crate::sketch::Likely;

/// A first answer never has fewer cells: they settle one key, and mostly two.
const CELLS_MIN: u64 = 4;
/// Cells that a unit takes, where there are very many.
const CELLS_A_UNIT: f64 = 1.1;
/// Cells that it takes beyond, on average, for each square root of the number of units.
const CELLS_A_ROOT: f64 = 2.5;
/// By how many standard deviations more cells are sent than it takes on average.
const DEVIATIONS: f64 = 3.0;
/// The first time it is asked for at most so many more, for each square root, and for each unit. Where hundreds differ
/// another round trip costs less than what badly told numbers would waste.
const BOLD_ROOTS: f64 = 3.8;
const BOLD_PART: f64 = 0.01;

/// Cells to begin with, when the openings tell that about so many units differ. They tell it within a third or so, and
/// what is too much is wasted: where few differ, mostly what it takes, to save a round trip; where many do, what it
/// takes at least, which tells their number well.
pub(super) fn first_cells(estimate: u64, kept: usize) -> usize {
    let more = estimate.saturating_sub(1) as f64;
    let wanted = CELLS_MIN.saturating_add((more * 0.58 + 5.5 * more.sqrt()) as u64);
    wanted.min(kept as u64) as usize
}

/// Cells in all to ask for when `have` have not been enough, and tell how many units are likely to differ. Asking once
/// does nineteen times in twenty where a hundred differ, asking twice nearly always. `None` when no number up to `kept`
/// is likely to.
pub(super) fn more_cells(told: Likely, have: usize, kept: usize, asks: u32) -> Option<usize> {
    if have >= kept || told.units > kept as f64 {
        return None;
    }
    let root = told.units.sqrt();
    let spare = DEVIATIONS * told.units * (told.error * told.error + 1.0 / told.units).sqrt();
    let (spare, more) = match asks {
        1 => {
            (spare.min(BOLD_ROOTS * root + BOLD_PART * told.units), (have / 8).min((3.0 * root) as usize) + 3)
        }
        2 => (spare, (have / 4).min((4.0 * root) as usize) + 6),
        // Bad luck, or no store's cells: rather many too many than yet another round trip.
        _ => (spare, have / 4 + 6),
    };
    let likely = told.units * CELLS_A_UNIT + CELLS_A_ROOT * root + spare;
    Some((likely as usize + 4).max(have + more).min(kept))
}
