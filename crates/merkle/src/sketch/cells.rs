//! The cells that a tree keeps, and runs of cells as of some instant.

use super::{
    field::{Field, P24, P30, add, mul},
    law::Walk,
    unit::{change_of, unit_of},
};

/// Cells kept for each leaf: a quarter to a half of the keys at 6 to 12 keys a leaf, enough to decode a fifth.
const CELLS_A_LEAF: usize = 3;

/// Number of cells that are kept beside leaves of so many bits.
pub fn kept_cells(leaf_bits: u8) -> usize {
    CELLS_A_LEAF << leaf_bits
}

/// A run of neighbouring cells of a sketch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    field: Field,
    from: usize,
    cells: Vec<[u32; 3]>,
}

impl Cells {
    /// Cells `from..to` of an empty store. The zeroed memory is touched only as it is used.
    pub fn empty(field: Field, from: usize, to: usize) -> Cells {
        Cells { field, from, cells: vec![[0; 3]; to.saturating_sub(from)] }
    }

    /// The field they are of.
    pub fn field(&self) -> Field {
        self.field
    }

    /// The index of the first cell.
    pub fn from(&self) -> usize {
        self.from
    }

    /// The index behind the last cell.
    pub fn end(&self) -> usize {
        self.from + self.cells.len()
    }

    /// The cells in order, three numbers under the field's prime each.
    pub fn as_slice(&self) -> &[[u32; 3]] {
        &self.cells
    }

    /// Takes in that the entry of a key at `token` went from digest `old` to `new`; `None` stands for no entry.
    pub fn change(&mut self, token: u64, old: Option<u128>, new: Option<u128>) {
        let unit = unit_of(token, self.field);
        match self.field {
            Field::Small => self.add_change(Adding::<P24>::change(unit, old, new)),
            Field::Large => self.add_change(Adding::<P30>::change(unit, old, new)),
        }
    }

    fn add_change<const P: u64>(&mut self, adding: Option<Adding<P>>) {
        if let Some(mut adding) = adding {
            adding.add_to(self);
        }
    }

    /// What is left of these cells, three numbers each, when those of another store at the same places are taken away, number by number.
    pub fn less(mut self, theirs: &[[u32; 3]]) -> Vec<[u32; 3]> {
        let prime = self.field.prime() as u32;
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(theirs.iter().flatten()) {
            let apart = mine.wrapping_sub(*theirs);
            *mine = if *mine >= *theirs { apart } else { apart.wrapping_add(prime) };
        }
        self.cells
    }
}

/// What one unit adds to each of its cells, and how far it has been added.
pub(crate) struct Adding<const P: u64> {
    walk: Walk,
    moments: [u32; 3],
}

impl<const P: u64> Adding<P> {
    pub(crate) fn of(unit: u32, value: u32) -> Adding<P> {
        let first = mul::<P>(unit, value);
        Adding { walk: Walk::of(unit), moments: [value, first, mul::<P>(unit, first)] }
    }

    /// `None` when the field does not see the change.
    pub(crate) fn change(unit: u32, old: Option<u128>, new: Option<u128>) -> Option<Adding<P>> {
        let value = change_of::<P>(old, new);
        (value != 0).then(|| Adding::of(unit, value))
    }

    /// Adds to the cells of a run that have not been reached yet.
    pub(crate) fn add_to(&mut self, run: &mut Cells) {
        let from = run.from as u64;
        while self.walk.at() < from {
            self.walk.advance();
        }
        while let Some(cell) = run.cells.get_mut((self.walk.at() - from) as usize) {
            for (number, moment) in cell.iter_mut().zip(self.moments) {
                *number = add::<P>(*number, moment);
            }
            self.walk.advance();
        }
    }
}

/// The kept cells of a tree, in runs: each growth adds one, so that none is ever copied.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    field: Field,
    runs: Vec<Cells>,
}

impl Sketch {
    pub(crate) fn new(leaf_bits: u8) -> Sketch {
        let field = Field::of_leaves(leaf_bits);
        Sketch { field, runs: vec![Cells::empty(field, 0, kept_cells(leaf_bits))] }
    }

    pub(crate) fn field(&self) -> Field {
        self.field
    }

    /// Takes a change in; `more` is the run that is to follow, where it must have the change, too.
    pub(crate) fn change(
        &mut self,
        token: u64,
        old: Option<u128>,
        new: Option<u128>,
        more: Option<&mut Cells>,
    ) {
        // Cells of another field, or from the start in this one, are none that the same walk can reach.
        let more = match more {
            Some(cells) if cells.field != self.field => {
                cells.change(token, old, new);
                None
            }
            more => more,
        };
        let unit = unit_of(token, self.field);
        match self.field {
            Field::Small => self.add_change(Adding::<P24>::change(unit, old, new), more),
            Field::Large => self.add_change(Adding::<P30>::change(unit, old, new), more),
        }
    }

    fn add_change<const P: u64>(&mut self, adding: Option<Adding<P>>, more: Option<&mut Cells>) {
        let Some(mut adding) = adding else { return };
        self.runs.iter_mut().chain(more).for_each(|run| adding.add_to(run));
    }

    /// The cells that leaves of one bit more need beside those that are kept: the rest of them in the same field, all
    /// of them in another.
    pub(crate) fn next_run(&self, leaf_bits: u8) -> Cells {
        let field = Field::of_leaves(leaf_bits);
        let from = if field == self.field { self.len() } else { 0 };
        Cells::empty(field, from, kept_cells(leaf_bits))
    }

    /// Takes in a run made by [`Sketch::next_run`], filled.
    pub(crate) fn put_run(&mut self, run: Cells) {
        if run.field != self.field {
            self.field = run.field;
            self.runs.clear();
        }
        self.runs.push(run);
    }

    /// What leaves of one bit less need that is not kept: nothing in the same field, all cells in another.
    pub(crate) fn fewer(&self, leaf_bits: u8) -> Cells {
        let field = Field::of_leaves(leaf_bits);
        Cells::empty(field, 0, if field == self.field { 0 } else { kept_cells(leaf_bits) })
    }

    /// Keeps what goes with leaves of so many bits, given what [`Sketch::fewer`] made, filled. Any first cells of a
    /// sketch are a sketch, so in the same field the others are dropped.
    pub(crate) fn put_fewer(&mut self, cells: Cells, leaf_bits: u8) {
        if cells.field != self.field {
            self.put_run(cells);
            return;
        }
        let kept = kept_cells(leaf_bits);
        self.runs.retain(|run| run.from < kept);
        if let Some(last) = self.runs.last_mut() {
            last.cells.truncate(kept - last.from);
            last.cells.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.last().map_or(0, Cells::end)
    }

    /// A copy of cells `from..to`, as far as they are kept.
    pub(crate) fn copy(&self, from: usize, to: usize) -> Cells {
        let to = to.min(self.len());
        let mut copy = Vec::with_capacity(to.saturating_sub(from));
        for run in &self.runs {
            let first = from.max(run.from).min(run.end()) - run.from;
            let last = to.clamp(run.from, run.end()) - run.from;
            copy.extend_from_slice(run.cells.get(first..last).unwrap_or(&[]));
        }
        Cells { field: self.field, from, cells: copy }
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * size_of::<[u32; 3]>()
    }
}

/// Live cells, and what must be taken back from them to get those of a frozen instant. Taking it back costs about
/// half a microsecond a change, so it is done outside of the critical section that both were read in.
#[derive(Clone, Debug)]
pub struct CellsThen {
    live: Cells,
    /// Units, and what must be added to their values.
    back: Vec<(u32, u32)>,
}

impl CellsThen {
    pub(crate) fn new(live: Cells) -> CellsThen {
        CellsThen { live, back: Vec::new() }
    }

    /// Remembers that the entry at `token` is `now` what was `then`.
    pub(crate) fn changed(&mut self, token: u64, then: Option<u128>, now: Option<u128>) {
        let change = match self.live.field {
            Field::Small => change_of::<P24>(now, then),
            Field::Large => change_of::<P30>(now, then),
        };
        self.back.push((unit_of(token, self.live.field), change));
    }

    /// The cells of the frozen instant.
    pub fn undo(self) -> Cells {
        let CellsThen { live: mut cells, back } = self;
        for (unit, change) in back {
            match cells.field {
                Field::Small => Adding::<P24>::of(unit, change).add_to(&mut cells),
                Field::Large => Adding::<P30>::of(unit, change).add_to(&mut cells),
            }
        }
        cells
    }
}
