//! What the fuzz targets run, and the ordinary tests on the seeds: any bytes, as a peer may send them. Each function
//! panics where something does not hold, and always ends.
//!
//! It stands by itself, for `fuzz/` takes it in without the rest of these tests.

use merkle::{
    Cells, Decoder, Field, FindMessage, Finder, Frozen, FrozenEntry, MESSAGE_BYTES_MAX, Next, Opening,
    Prefer, Prefix, Progress, RangeDigest, Tree, ViewLost, Width, pack_cells, unpack_cells,
};

/// Any cells: decoding ends within bounds and without a panic.
///
/// The first byte has the field, whether each cell is made to look as if it held one unit, and how many cells come at
/// a time; the others are the cells.
pub fn sketch_decode(data: &[u8]) {
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
}

/// Any messages of a peer, in any order, to either side of a search by either way: it goes on or ends with an error;
/// what it names are own entries, in order, each once.
///
/// The first byte has the side and the way; the others are messages in bincode's standard form.
pub fn find_message(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let mine = fuzzed_store();
    let mut finder = fuzzed_finder(&mine, *first);
    let mut named = Vec::new();
    let mut step = finder.start(&mine);
    while let Ok(done) = step {
        if let Some(message) = &done.message {
            let bytes = bincode::serde::encode_to_vec(message, bincode::config::standard()).unwrap();
            assert_eq!(bytes.len(), message.bytes());
            assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        }
        named.extend(done.differing);
        step = match done.next {
            Next::Work => finder.resume(&mine),
            Next::Done => break,
            Next::Wait => {
                let config = bincode::config::standard().with_limit::<{ 2 * MESSAGE_BYTES_MAX }>();
                let Ok((message, read)) = bincode::serde::decode_from_slice::<FindMessage, _>(rest, config)
                else {
                    break;
                };
                rest = &rest[read..];
                finder.handle(&mine, message)
            }
        };
    }
    assert!(named.windows(2).all(|pair| (pair[0].0, &pair[0].1) < (pair[1].0, &pair[1].1)));
    assert!(named.iter().all(|entry| mine.entries.contains(entry)));
}

/// The finder that hears the messages: its side and way by the lowest two bits, full width by the fourth, and by the
/// fifth whether its peer boasts of more entries than there can be.
pub fn fuzzed_finder(mine: &Fuzzed, first: u8) -> Finder {
    let own = mine.opening().unwrap();
    let mut theirs = own;
    theirs.root.sum ^= 1;
    theirs.root.count = if first & 16 == 0 { 300 } else { u64::MAX };
    let width = if first & 8 == 0 { Width::Short } else { Width::Full };
    match first & 3 {
        0 => Finder::initiator(&own, &theirs, width),
        1 => Finder::responder(&own, &theirs, width, Prefer::Sketch),
        2 => Finder::responder(&own, &theirs, width, Prefer::Tree),
        _ => Finder::responder(&own, &theirs, width, Prefer::Auto),
    }
}

/// The store whose search is fuzzed: 300 entries, the same in each run.
pub fn fuzzed_store() -> Fuzzed {
    Fuzzed::new((0..300).map(|number| fuzzed_entry(number, 0)).collect())
}

/// An entry of the store, or another version of it.
pub fn fuzzed_entry(number: u64, version: u8) -> FrozenEntry {
    let key = number.to_le_bytes();
    let token = u64::from_be_bytes(blake3::hash(&key).as_bytes()[..8].try_into().unwrap());
    let digest = blake3::hash(&[&key[..], &[version]].concat());
    (token, Box::from(key), u128::from_le_bytes(digest.as_bytes()[16..].try_into().unwrap()))
}

/// A few entries and their tree, read in the plainest way.
pub struct Fuzzed {
    pub entries: Vec<FrozenEntry>,
    pub tree: Tree,
}

impl Fuzzed {
    pub fn new(mut entries: Vec<FrozenEntry>) -> Fuzzed {
        entries.sort_unstable();
        let mut tree = Tree::with_keys(300);
        entries.iter().for_each(|(token, _, digest)| tree.change(*token, None, Some(*digest)));
        Fuzzed { entries, tree }
    }
}

impl Frozen for Fuzzed {
    fn opening(&self) -> Result<Opening, ViewLost> {
        Ok(self.tree.opening())
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.tree.range(prefix)
    }

    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost> {
        Ok(self.tree.cells(from, to))
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        let is_later = |entry: &&FrozenEntry| match after {
            Some(after) => (entry.0, &*entry.1) > after,
            None => entry.0 >= first,
        };
        let page = self.entries.iter().filter(is_later).take_while(|entry| entry.0 <= last);
        Ok(page.take(limit).cloned().collect())
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        let found = self.entries.iter().find(|entry| entry.0 == token && *entry.1 == *key);
        Ok(found.map(|entry| entry.2))
    }
}
