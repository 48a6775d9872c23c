//! Stores to search in, and a driver that plays both sides of a search over the wire form.
#![allow(dead_code)]

use std::collections::BTreeMap;

use merkle::{
    Cells, Choice, FindError, FindMessage, Finder, Frozen, FrozenEntry, MESSAGE_BYTES_MAX, Next, Opening,
    Prefer, Prefix, RangeDigest, Tree, ViewLost, Width,
};
use proptest::{collection::vec, prelude::*};

pub type Data = BTreeMap<(u64, Box<[u8]>), u128>;

/// A store that nobody writes to: entries in order, and their tree.
#[derive(Clone)]
pub struct Still {
    pub entries: Vec<FrozenEntry>,
    pub tree: Tree,
}

impl Still {
    /// A tree of the size for `expected` keys over `data`.
    pub fn new(data: &Data, expected: u64) -> Still {
        let entries = data.iter().map(|((token, key), digest)| (*token, key.clone(), *digest)).collect();
        Still::of(entries, expected)
    }

    /// `entries` are in (token, key) order.
    pub fn of(entries: Vec<FrozenEntry>, expected: u64) -> Still {
        let mut tree = Tree::with_keys(expected);
        for (token, _, digest) in &entries {
            tree.change(*token, None, Some(*digest));
        }
        Still { entries, tree }
    }
}

impl Frozen for Still {
    fn opening(&self) -> Result<Opening, ViewLost> {
        Ok(self.tree.opening())
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.tree.range(prefix)
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        let mut page = Vec::new();
        self.scan(first, last, after, limit, &mut |token, key, digest| {
            page.push((token, key.into(), digest))
        })?;
        Ok(page)
    }

    fn scan(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
        visit: &mut dyn FnMut(u64, &[u8], u128),
    ) -> Result<(), ViewLost> {
        let is_before = |entry: &FrozenEntry| match after {
            Some(after) => (entry.0, &*entry.1) <= after,
            None => entry.0 < first,
        };
        let from = self.entries.partition_point(is_before);
        let page = self.entries[from..].iter().take_while(|entry| entry.0 <= last).take(limit);
        page.for_each(|(token, key, digest)| visit(*token, key, *digest));
        Ok(())
    }

    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost> {
        Ok(self.tree.cells(from, to))
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        let place = self.entries.binary_search_by(|entry| (entry.0, &*entry.1).cmp(&(token, key)));
        Ok(place.ok().map(|place| self.entries[place].2))
    }
}

/// The keyed hash of a key and a version, as a digest.
pub fn digest(key: &[u8], version: u64) -> u128 {
    let hash = blake3::Hasher::new_keyed(&[7; 32]).update(key).update(&version.to_le_bytes()).finalize();
    u128::from_le_bytes(hash.as_bytes()[..16].try_into().unwrap())
}

/// The digest of an entry whose token is made up: no two places share one, as no two keys do.
pub fn digest_at(token: u64, key: &[u8], version: u64) -> u128 {
    digest(&[&token.to_le_bytes(), key].concat(), version)
}

pub fn token(key: &[u8]) -> u64 {
    u64::from_be_bytes(blake3::hash(key).as_bytes()[..8].try_into().unwrap())
}

/// The entries of `mine` that `theirs` lacks or has with another digest, by comparing everything.
pub fn difference(mine: &[FrozenEntry], theirs: &[FrozenEntry]) -> Vec<FrozenEntry> {
    let mut theirs = theirs.iter().peekable();
    let is_missing = |entry: &&FrozenEntry| {
        while theirs.next_if(|other| (other.0, &other.1) < (entry.0, &entry.1)).is_some() {}
        theirs
            .next_if(|other| (other.0, &other.1) == (entry.0, &entry.1))
            .is_none_or(|other| other.2 != entry.2)
    };
    mine.iter().filter(is_missing).cloned().collect()
}

pub fn encode(message: &FindMessage) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard()).unwrap()
}

pub fn decode(bytes: &[u8]) -> Option<FindMessage> {
    let config = bincode::config::standard().with_limit::<{ 2 * MESSAGE_BYTES_MAX }>();
    let (message, read) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (read == bytes.len()).then_some(message)
}

pub fn opening_bytes(opening: &Opening) -> usize {
    bincode::serde::encode_to_vec(opening, bincode::config::standard()).unwrap().len()
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub initiator: Vec<FrozenEntry>,
    pub responder: Vec<FrozenEntry>,
    /// Bytes of each message, by turns; the responder's turn is the first.
    pub turns: Vec<Vec<usize>>,
    pub opening_bytes: usize,
    /// The responder's, at the end.
    pub choice: Option<Choice>,
}

impl Outcome {
    pub fn bytes(&self) -> usize {
        self.opening_bytes + self.turns.iter().flatten().sum::<usize>()
    }

    pub fn messages(&self) -> usize {
        self.turns.iter().map(Vec::len).sum()
    }

    /// Round trips with the openings: the initiator's opening, the responder's with its turn behind it, and so on.
    pub fn round_trips(&self) -> usize {
        (1 + self.turns.len().max(1)).div_ceil(2)
    }
}

/// One side, driven to where it waits for the other.
pub struct Side<'a, F> {
    frozen: &'a F,
    pub finder: Finder,
    pub differing: Vec<FrozenEntry>,
    pub sent: Vec<Vec<u8>>,
    pub done: bool,
}

impl<'a, F: Frozen> Side<'a, F> {
    pub fn new(frozen: &'a F, finder: Finder) -> Side<'a, F> {
        Side { frozen, finder, differing: Vec::new(), sent: Vec::new(), done: false }
    }

    /// The first step (without a message), or the next one, and all the work after it.
    pub fn step(&mut self, message: Option<FindMessage>) -> Result<(), FindError> {
        let mut step = match message {
            None => self.finder.start(self.frozen)?,
            Some(message) => self.finder.handle(self.frozen, message)?,
        };
        loop {
            assert!(step.differing.len() <= 2048);
            self.differing.extend(step.differing);
            if let Some(message) = step.message {
                let bytes = encode(&message);
                assert_eq!(bytes.len(), message.bytes());
                assert!(bytes.len() <= MESSAGE_BYTES_MAX);
                self.sent.push(bytes);
            }
            match step.next {
                Next::Work => step = self.finder.resume(self.frozen)?,
                Next::Wait => return Ok(()),
                Next::Done => {
                    self.done = true;
                    return Ok(());
                }
            }
        }
    }
}

/// Searches for what differs between two views down the tree, every message through its wire form.
pub fn search<A: Frozen, B: Frozen>(a: &A, b: &B, width: Width) -> Result<Outcome, FindError> {
    search_by(a, b, width, Prefer::Tree)
}

/// Searches in the way that the responder, `b`, prefers.
pub fn search_by<A: Frozen, B: Frozen>(
    a: &A,
    b: &B,
    width: Width,
    prefer: Prefer,
) -> Result<Outcome, FindError> {
    let (mine, theirs) = (a.opening()?, b.opening()?);
    let mut initiator = Side::new(a, Finder::initiator(&mine, &theirs, width));
    let mut responder = Side::new(b, Finder::responder(&theirs, &mine, width, prefer));
    let opening_bytes = opening_bytes(&mine) + opening_bytes(&theirs);
    let mut turns = Vec::new();
    initiator.step(None)?;
    responder.step(None)?;
    assert!(initiator.sent.is_empty());
    loop {
        let sent = std::mem::take(&mut responder.sent);
        if !deliver(sent, &mut initiator, &mut turns)? {
            break;
        }
        let sent = std::mem::take(&mut initiator.sent);
        if !deliver(sent, &mut responder, &mut turns)? {
            break;
        }
    }
    assert!(initiator.done && responder.done, "both sides come to an end");
    let (choice, told) = (responder.finder.choice(), initiator.finder.choice());
    assert_eq!(choice.map(|choice| choice.method), told.map(|choice| choice.method), "both know the way");
    for named in [&initiator.differing, &responder.differing] {
        assert!(named.windows(2).all(|pair| (pair[0].0, &pair[0].1) < (pair[1].0, &pair[1].1)), "in order");
    }
    Ok(Outcome {
        initiator: initiator.differing,
        responder: responder.differing,
        turns,
        opening_bytes,
        choice,
    })
}

/// Gives one turn's messages to the other side. False when there were none.
fn deliver<F: Frozen>(
    sent: Vec<Vec<u8>>,
    to: &mut Side<'_, F>,
    turns: &mut Vec<Vec<usize>>,
) -> Result<bool, FindError> {
    if sent.is_empty() {
        return Ok(false);
    }
    turns.push(sent.iter().map(Vec::len).collect());
    for bytes in sent {
        assert!(to.sent.is_empty(), "nobody speaks in the other's turn");
        to.step(Some(decode(&bytes).unwrap()))?;
    }
    Ok(true)
}

/// Tokens anywhere, some close together: of one unit, or even the same.
pub fn any_token() -> impl Strategy<Value = u64> {
    prop_oneof![3 => any::<u64>(), 1 => 0..9_u64, 1 => (0..16_u64).prop_map(|top| top << 60)]
}

/// Fewer than `entries` that both have, or one, or both with different versions; the more `fates`, the fewer differ.
pub fn any_pair(entries: usize, fates: u8) -> impl Strategy<Value = (Data, Data)> {
    let entry = (any_token(), 0..2_u8, 0..fates);
    (vec(entry, 0..entries), 0..6_u8).prop_map(|(entries, equal_from)| {
        let (mut a, mut b) = (Data::new(), Data::new());
        for (token, key, fate) in entries {
            let put = |data: &mut Data, version| {
                data.insert((token, [key].into()), digest_at(token, &[key], version))
            };
            match fate {
                fate if fate >= equal_from => {
                    put(&mut a, 0);
                    put(&mut b, 0);
                }
                0 => {
                    put(&mut a, 0);
                    put(&mut b, 1);
                }
                fate if fate % 2 == 0 => drop(put(&mut a, 0)),
                _ => drop(put(&mut b, 0)),
            }
        }
        (a, b)
    })
}
