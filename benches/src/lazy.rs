//! A pair of replicas that is made when first needed.

use merkle::Prefer;

use crate::{Cost, Differs, Pair};

/// A pair that is made when first needed, and diverges further from one bench to the next.
pub struct Lazy<P: Pair> {
    keys: u64,
    pair: Option<P>,
    told: Vec<(u64, Prefer)>,
}

impl<P: Pair> Lazy<P> {
    /// A pair of replicas of so many keys.
    pub fn new(keys: u64) -> Lazy<P> {
        Lazy { keys, pair: None, told: Vec::new() }
    }

    /// The pair with exactly `differing` keys apart, provided that it is asked for rising numbers only. What a search
    /// costs is told once for each number and way.
    ///
    /// # Panics
    /// When the search does not find what differs.
    pub fn apart(&mut self, name: &str, differing: u64, prefer: Prefer) -> &P {
        let keys = self.keys;
        let pair = self.pair.get_or_insert_with(|| P::new(keys));
        pair.diverge_to(differing);
        if !self.told.contains(&(differing, prefer)) {
            self.told.push((differing, prefer));
            report(name, differing, prefer, pair.search(prefer));
        }
        pair
    }
}

fn report(name: &str, differing: u64, prefer: Prefer, cost: Cost) {
    let named = (0..differing).map(|number| Differs::of(number).holders()).sum::<usize>();
    // Units hold a few more keys than those that differ.
    let most = if prefer == Prefer::Tree { named } else { named + named / 4 + 2 };
    assert!((named..=most).contains(&cost.named), "not what differs was found: {cost:?}");
    let Cost { bytes, messages, turns, .. } = cost;
    let per_key = bytes as f64 / differing.max(1) as f64;
    eprintln!(
        "{name}: {differing} differ: {bytes} bytes ({per_key:.1} a key), {messages} messages in {turns} turns, \
         without the openings"
    );
}
