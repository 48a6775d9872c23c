//! Any messages of a peer, in any order, to either side of a search by either way: it goes on or ends with an error;
//! what it names are own entries, in order, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use merkle::{
    Cells, FindMessage, Finder, Frozen, FrozenEntry, MESSAGE_BYTES_MAX, Next, Opening, Prefer, Prefix, RangeDigest,
    Tree, ViewLost, Width,
};

struct Still {
    entries: Vec<FrozenEntry>,
    tree: Tree,
}

impl Frozen for Still {
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
        Ok(self.entries.iter().filter(is_later).take_while(|entry| entry.0 <= last).take(limit).cloned().collect())
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        Ok(self.entries.iter().find(|entry| entry.0 == token && *entry.1 == *key).map(|entry| entry.2))
    }
}

fn still() -> Still {
    let entry = |number: u64| {
        let hash = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let token = u64::from_be_bytes(hash[..8].try_into().unwrap());
        (token, Box::from(number.to_le_bytes()), u128::from_le_bytes(hash[16..].try_into().unwrap()))
    };
    let mut entries: Vec<FrozenEntry> = (0..300).map(entry).collect();
    entries.sort_unstable();
    let mut tree = Tree::with_keys(300);
    entries.iter().for_each(|(token, _, digest)| tree.change(*token, None, Some(*digest)));
    Still { entries, tree }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let mine = still();
    let own = mine.opening().unwrap();
    let mut theirs = own;
    theirs.root.sum ^= 1;
    theirs.root.count = if first & 16 == 0 { 300 } else { u64::MAX };
    let width = if first & 8 == 0 { Width::Short } else { Width::Full };
    let mut finder = match first & 3 {
        0 => Finder::initiator(&own, &theirs, width),
        1 => Finder::responder(&own, &theirs, width, Prefer::Sketch),
        2 => Finder::responder(&own, &theirs, width, Prefer::Tree),
        _ => Finder::responder(&own, &theirs, width, Prefer::Auto),
    };
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
                let Ok((message, read)) = bincode::serde::decode_from_slice::<FindMessage, _>(rest, config) else {
                    break;
                };
                rest = &rest[read..];
                finder.handle(&mine, message)
            }
        };
    }
    assert!(named.windows(2).all(|pair| (pair[0].0, &pair[0].1) < (pair[1].0, &pair[1].1)));
    assert!(named.iter().all(|entry| mine.entries.contains(entry)));
});
