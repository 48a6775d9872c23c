//! How many units differ, told from how many cells of the difference hold none, one or more of them.

use super::law::load;

/// Blocks of cells with about the same load are this part of their index long.
const BLOCK_PART: u64 = 8;
/// Halvings of the interval in which the number lies: right within a tenth of a percent.
const HALVINGS: u32 = 14;
/// A cell that many units are expected in holds several, whatever their number is exactly.
const LOAD_SURE: f64 = 24.0;
/// Under this load a cell holds several units so rarely that the chance cannot be computed as a difference.
const LOAD_NEXT_TO_NOTHING: f64 = 1e-4;
/// The least that is known of the number, as one over the square of its relative error.
const KNOWN_MIN: f64 = 0.3;
/// The step in which the derivative is taken, relative.
const STEP: f64 = 0.02;

/// About how many units differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Likely {
    pub(crate) units: f64,
    /// By how much the number may be wrong: one standard deviation, relative.
    pub(crate) error: f64,
}

/// What is known of the number before any cell: an estimate from `counters` counters whose mean square it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior {
    pub(crate) units: f64,
    pub(crate) counters: f64,
}

/// Cells as they came, before anything was peeled, counted in blocks of neighbours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    blocks: Vec<Block>,
    cells: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    first: u64,
    len: u64,
    none: u64,
    one: u64,
}

impl Census {
    /// Takes in the next cell: whether it holds no unit, or looks as if it held exactly one.
    pub(crate) fn count(&mut self, is_none: bool, is_one: bool) {
        let is_full = |block: &Block| block.len >= (block.first / BLOCK_PART).max(1);
        if self.blocks.last().is_none_or(is_full) {
            self.blocks.push(Block { first: self.cells, ..Block::default() });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.len += 1;
            block.none += u64::from(is_none);
            block.one += u64::from(is_one);
        }
        self.cells += 1;
    }

    /// About how many units differ; at least 1, and at most 64 a cell, which stands for "many".
    ///
    /// A cell holds about as many of them as the law says, spread as by Poisson: the number sought is the one that makes
    /// what was seen, and what is known from elsewhere, most likely. It is where the derivative of the likelihood passes
    /// zero; how steeply tells how sure it is.
    pub(crate) fn likely(&self, prior: Option<Prior>) -> Likely {
        let blocks: Vec<_> = self.blocks.iter().map(Block::evidence).collect();
        let prior = prior.unwrap_or(Prior { units: 1.0, counters: 0.0 });
        let slope = |units: f64| {
            let seen: f64 = blocks.iter().map(|block| block.slope(units)).sum();
            seen + prior.counters / 2.0 * (prior.units / units - 1.0)
        };
        let (mut low, mut high) = (0.0_f64, (64.0 * self.cells as f64).max(1.0).ln());
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if slope(middle.exp()) > 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let units = ((low + high) / 2.0).exp();
        let known = (slope(units * (1.0 - STEP)) - slope(units * (1.0 + STEP))) / (2.0 * STEP);
        Likely { units, error: 1.0 / known.max(KNOWN_MIN).sqrt() }
    }
}

impl Block {
    fn evidence(&self) -> Evidence {
        let more = self.len - (self.none + self.one).min(self.len);
        Evidence {
            load: load(self.first + self.len / 2),
            few: (self.none + self.one) as f64,
            one: self.one as f64,
            more: more as f64,
        }
    }
}

/// What a block of cells says: the load of each, and how many hold at most one unit, exactly one, or more.
struct Evidence {
    load: f64,
    few: f64,
    one: f64,
    more: f64,
}

impl Evidence {
    /// The derivative of the likelihood's logarithm by the logarithm of the number of units.
    fn slope(&self, units: f64) -> f64 {
        let load = self.load * units;
        let few = self.one - load * self.few;
        if load > LOAD_SURE || self.more == 0.0 {
            return few;
        }
        let none = (-load).exp();
        // Where next to nothing is expected, rounding would spoil the quotient; it comes to two.
        let more =
            if load < LOAD_NEXT_TO_NOTHING { 2.0 } else { load * load * none / (1.0 - none * (1.0 + load)) };
        few + self.more * more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(kinds: impl IntoIterator<Item = u8>) -> Census {
        let mut census = Census::default();
        kinds.into_iter().for_each(|kind| census.count(kind == 0, kind == 1));
        census
    }

    #[test]
    fn any_cells_give_a_number_within_bounds() {
        let prior = |units| Some(Prior { units, counters: 16.0 });
        for len in [0, 1, 4, 300, 100_000] {
            for kind in 0..3 {
                let census = census(std::iter::repeat_n(kind, len));
                for prior in [None, prior(1.0), prior(1e6), prior(1e19)] {
                    let Likely { units, error } = census.likely(prior);
                    assert!((1.0..=64.1 * len.max(1) as f64).contains(&units), "{len} of {kind}: {units}");
                    assert!(error > 0.0 && error < 2.0, "{len} of {kind}: {error}");
                }
            }
        }
        assert!(census([0; 50]).likely(None).units < 1.1);
        assert!(census([2; 50]).likely(None).units > 300.0);
    }

    #[test]
    fn openings_weigh_less_the_more_cells_there_are() {
        // Kinds as a hundred units make them, by the law.
        let kinds = |len: u64| {
            census((0..len).map(|index| {
                let load = load(index) * 100.0;
                let place = ((index * 619 + 500) % 1_000) as f64 / 1_000.0;
                u8::from(place > (-load).exp()) + u8::from(place > (-load).exp() * (1.0 + load))
            }))
        };
        let [few, many] = [90, 400].map(|len| {
            let told = kinds(len).likely(Some(Prior { units: 200.0, counters: 16.0 }));
            assert!((told.units / 100.0).ln().abs() < 2.0 * told.error, "{told:?} from {len} cells");
            told
        });
        assert!(many.units < few.units && many.error < few.error, "{few:?}, {many:?}");
    }
}
