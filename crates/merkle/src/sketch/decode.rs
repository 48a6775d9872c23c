//! Peeling: from the cells of a difference to the units that differ, in bounded steps.

use super::{
    estimate::{Census, Likely, Prior},
    field::{Field, P24, P30, inverse, is_square_of, mul, sub},
    law::Walk,
};

/// Units that may be peeled beyond the number of cells. Honest cells never give more units than there are; a few
/// false ones, each peeled once more to undo it, are a matter of chance.
const PEELED_SPARE: usize = 64;

/// Cells looked at for the work of one unit peeled.
const CELLS_A_UNIT: usize = 16;

/// How far a decoder has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do: step again.
    Working,
    /// Every cell is empty: the units are all that differ.
    Decoded,
    /// More cells are needed.
    Stuck,
    /// More units were peeled than so many cells can hold. No store makes such cells.
    Endless,
}

/// Finds the units in the difference of two sketches, given cell by cell from the first one on.
///
/// It peels at most one unit a cell, so a peer that makes cells up gets no more work and memory than one that does
/// not: some 60 bytes a cell, and a walk along the cells for each.
#[derive(Clone, Debug)]
pub struct Decoder {
    field: Field,
    /// The difference less the units peeled so far.
    cells: Vec<[u32; 3]>,
    peeled: Vec<Peeled>,
    /// How many of `peeled` have been taken out of all cells.
    caught_up: usize,
    /// How many cells have been looked at since the last ones came.
    looked_at: usize,
    /// Cells that may hold one unit, each at most once.
    queue: Vec<u32>,
    marks: Vec<Mark>,
    not_empty: usize,
    /// Cells as they came.
    census: Census,
    sequence: Vec<u32>,
}

/// A unit that was found, what it takes away from each of its cells, and how far along them.
#[derive(Clone, Copy, Debug)]
struct Peeled {
    unit: u32,
    moments: [u32; 3],
    walk: Walk,
}

/// What is known of a cell.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    is_queued: bool,
    /// How many units were peeled because of it since cells came last.
    peels: u8,
}

impl Decoder {
    /// A decoder without cells.
    pub fn new(field: Field) -> Decoder {
        Decoder {
            field,
            cells: Vec::new(),
            peeled: Vec::new(),
            caught_up: 0,
            looked_at: 0,
            queue: Vec::new(),
            marks: Vec::new(),
            not_empty: 0,
            census: Census::default(),
            sequence: Vec::new(),
        }
    }

    /// Takes in the next cells of the difference: three numbers each, which must be under the field's prime.
    pub fn push(&mut self, cells: &[[u32; 3]]) {
        match self.field {
            Field::Small => self.count::<P24>(cells),
            Field::Large => self.count::<P30>(cells),
        }
        self.cells.extend_from_slice(cells);
        // With more cells to go by, each gets its chances anew.
        self.marks.iter_mut().for_each(|mark| mark.peels = 0);
        self.marks.resize(self.cells.len(), Mark::default());
        self.looked_at = 0;
        self.caught_up = 0;
    }

    /// Cells taken in so far.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Units peeled so far, a few more than once by bad luck.
    pub fn peeled(&self) -> usize {
        self.peeled.len()
    }

    /// Goes on peeling, by about `budget` units.
    pub fn step(&mut self, budget: usize) -> Progress {
        match self.field {
            Field::Small => self.step_in::<P24>(budget),
            Field::Large => self.step_in::<P30>(budget),
        }
    }

    /// About how many units differ, told from the cells as they came: at least 1, at most 64 for each cell.
    pub fn estimate(&self) -> u64 {
        self.likely(None).units.round() as u64
    }

    /// About how many units differ, told from the cells as they came and what is known from elsewhere.
    pub(crate) fn likely(&self, prior: Option<Prior>) -> Likely {
        self.census.likely(prior)
    }

    /// The units that differ, ascending. All of them only once the decoder has said [`Progress::Decoded`].
    pub fn units(&self) -> Vec<u32> {
        let mut found: Vec<(u32, u32)> = self.peeled.iter().map(|one| (one.unit, one.moments[0])).collect();
        found.sort_unstable_by_key(|(unit, _)| *unit);
        let prime = self.field.prime();
        // What was peeled by mistake was peeled again with the opposite value.
        let sums = found.chunk_by(|(one, _), (other, _)| one == other).filter_map(|same| {
            let sum: u64 = same.iter().map(|(_, value)| u64::from(*value)).sum();
            same.first().filter(|_| !sum.is_multiple_of(prime)).map(|(unit, _)| *unit)
        });
        sums.collect()
    }

    fn count<const P: u64>(&mut self, cells: &[[u32; 3]]) {
        for cell in cells {
            let is_none = *cell == [0; 3];
            self.census.count(is_none, may_be_one::<P>(cell));
            self.not_empty += usize::from(!is_none);
        }
    }

    fn step_in<const P: u64>(&mut self, budget: usize) -> Progress {
        let mut left = budget.max(1);
        while self.caught_up < self.peeled.len() {
            if left == 0 {
                return Progress::Working;
            }
            left -= 1;
            self.catch_up::<P>();
        }
        while self.looked_at < self.cells.len() {
            if left == 0 {
                return Progress::Working;
            }
            left -= 1;
            self.look_at_next::<P>();
        }
        while self.not_empty > 0 {
            if left == 0 {
                return Progress::Working;
            }
            let Some(index) = self.queue.pop() else { return Progress::Stuck };
            if let Some(mark) = self.marks.get_mut(index as usize) {
                mark.is_queued = false;
            }
            if self.peel::<P>(index) {
                left -= 1;
            }
            if self.peeled.len() > self.cells.len() + PEELED_SPARE {
                return Progress::Endless;
            }
        }
        Progress::Decoded
    }

    /// Takes the next unit that was peeled before out of the cells that have come since.
    fn catch_up<const P: u64>(&mut self) {
        let Some(peeled) = self.peeled.get_mut(self.caught_up) else { return };
        while let Some(cell) = self.cells.get_mut(peeled.walk.at() as usize) {
            take_out::<P>(cell, peeled.moments, &mut self.not_empty);
            peeled.walk.advance();
        }
        self.caught_up += 1;
    }

    /// Queues those of the next few cells that may hold one unit.
    fn look_at_next<const P: u64>(&mut self) {
        let end = (self.looked_at + CELLS_A_UNIT).min(self.cells.len());
        for index in self.looked_at..end {
            if self.cells.get(index).is_some_and(may_be_one::<P>) {
                enqueue(&mut self.marks, &mut self.queue, index as u32);
            }
        }
        self.looked_at = end;
    }

    /// Peels the unit of a cell, if it holds exactly one. False when there was next to nothing to do.
    fn peel<const P: u64>(&mut self, index: u32) -> bool {
        let Some(moments) = self.cells.get(index as usize).copied().filter(may_be_one::<P>) else {
            return false;
        };
        let Some(unit) = inverse::<P>(moments[0]).map(|inverse| mul::<P>(moments[1], inverse)) else {
            return false;
        };
        let mut walk = Walk::of(unit);
        let end = self.cells.len() as u64;
        self.sequence.clear();
        let mut is_own = false;
        while walk.at() < end {
            is_own |= walk.at() == u64::from(index);
            // Not one of its cells: by chance several units look like this one.
            if !is_own && walk.at() > u64::from(index) {
                return true;
            }
            self.sequence.push(walk.at() as u32);
            walk.advance();
        }
        let mut not_empty = self.not_empty;
        for index in &self.sequence {
            let Some(cell) = self.cells.get_mut(*index as usize) else { continue };
            let left = take_out::<P>(cell, moments, &mut not_empty);
            if may_be_one::<P>(&left) {
                enqueue(&mut self.marks, &mut self.queue, *index);
            }
        }
        self.not_empty = not_empty;
        if let Some(mark) = self.marks.get_mut(index as usize) {
            mark.peels += 1;
        }
        self.peeled.push(Peeled { unit, moments, walk });
        self.caught_up = self.peeled.len();
        true
    }
}

/// Queues a cell, unless it waits already or has given units twice: once is what a cell of one unit does. One that only
/// looks like it gives a false unit, gets it back when another cell gives that away, and would go on so for ever.
fn enqueue(marks: &mut [Mark], queue: &mut Vec<u32>, index: u32) {
    if let Some(mark) = marks.get_mut(index as usize).filter(|mark| !mark.is_queued && mark.peels < 2) {
        mark.is_queued = true;
        queue.push(index);
    }
}

/// Takes a unit out of a cell, and gives what is left. The cell is read and written once, each number by itself: reading
/// back in one piece what was just written in three makes a processor wait.
fn take_out<const P: u64>(cell: &mut [u32; 3], moments: [u32; 3], not_empty: &mut usize) -> [u32; 3] {
    let [value, first, second] = *cell;
    let was_empty = value | first | second == 0;
    let [value, first, second] =
        [sub::<P>(value, moments[0]), sub::<P>(first, moments[1]), sub::<P>(second, moments[2])];
    *cell = [value, first, second];
    let is_empty = value | first | second == 0;
    *not_empty = *not_empty + usize::from(was_empty) - usize::from(is_empty);
    [value, first, second]
}

/// True for a cell of one unit: (v, kv, k²v). For one of several units it is true once in P times.
fn may_be_one<const P: u64>(cell: &[u32; 3]) -> bool {
    let [value, first, second] = *cell;
    value != 0 && is_square_of::<P>(first, value, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Cells, cells::Adding};

    const P: u64 = P24;

    /// Three units whose sum looks like a fourth one, which all of them share the first cell with.
    fn looks_like_one(units: [u32; 3]) -> Cells {
        let [a, b, c] = units;
        let square = |one, other| {
            let apart = sub::<P>(one, other);
            mul::<P>(apart, apart)
        };
        // With the values 1, 1 and v: (a-b)² + v((a-c)² + (b-c)²) = 0.
        let rest = inverse::<P>((square(a, c) + square(b, c)) % P as u32).unwrap();
        let value = mul::<P>(sub::<P>(0, square(a, b)), rest);
        let mut cells = Cells::empty(Field::Small, 0, 60);
        for (unit, value) in units.into_iter().zip([1, 1, value]) {
            Adding::<P>::of(unit, value).add_to(&mut cells);
        }
        assert!(may_be_one::<P>(cells.as_slice().first().unwrap()));
        cells
    }

    #[test]
    fn a_cell_of_three_units_that_looks_like_one_is_no_trap() {
        for (seed, piece) in (1..400_u32).flat_map(|seed| [2, 3, 5, 8, 60].map(|piece| (seed, piece))) {
            let units = [seed * 101, seed * 20_009 + 5, seed * 40_001 + 77];
            let mut decoder = Decoder::new(Field::Small);
            let mut progress = None;
            for cells in looks_like_one(units).as_slice().chunks(piece) {
                decoder.push(cells);
                progress =
                    std::iter::repeat_with(|| decoder.step(10)).find(|step| *step != Progress::Working);
            }
            let peeled = decoder.peeled();
            assert_eq!(progress, Some(Progress::Decoded), "{seed} by {piece}: {peeled} peeled");
            assert_eq!(decoder.units(), units, "{seed} by {piece}");
            assert!(peeled <= 63, "{seed} by {piece}: {peeled} peeled");
        }
    }
}
