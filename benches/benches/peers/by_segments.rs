//! A hash tree of a fixed number of segments, in the shape that Riak uses: 1,024 buckets of 1,024 segments.

use std::any::Any;

use crate::method::{Method, Session};
use crate::workload::{Digest, Item, Name, Workload, differing_between};

const WIDTH: usize = 1_024;
const SEGMENTS: usize = WIDTH * WIDTH;
type Hash = [u8; 20];

/// The hashes of one side; a segment without entries has none, and hashes to zeros.
pub struct Hashes {
    segments: Vec<Hash>,
    buckets: Vec<Hash>,
    root: Hash,
}

/// A side: its hashes, and its entries by segment, which a store would read.
struct Side {
    hashes: Hashes,
    /// In order of segment, then key.
    items: Vec<(u32, Item)>,
}

/// Two replicas.
pub struct BySegments {
    first: Side,
    second: Side,
}

fn segment(name: &Name) -> u32 {
    let hash = blake3::hash(name);
    u32::from_be_bytes(hash.as_bytes()[..4].try_into().unwrap()) >> 12
}

fn short(hasher: &blake3::Hasher) -> Hash {
    let mut hash = [0; 20];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

fn hash_of_hashes(hashes: &[Hash]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(hashes.as_flattened());
    short(&hasher)
}

fn hash_of_items<'a>(items: impl Iterator<Item = &'a Item>) -> Hash {
    let (mut hasher, mut any) = (blake3::Hasher::new(), false);
    for (name, digest) in items {
        hasher.update(name).update(&digest.to_be_bytes());
        any = true;
    }
    if any { short(&hasher) } else { [0; 20] }
}

fn by_segment(items: &[Item]) -> Vec<(u32, Item)> {
    let mut items: Vec<(u32, Item)> = items.iter().map(|item| (segment(&item.0), *item)).collect();
    items.sort_unstable();
    items
}

fn of_segment(items: &[(u32, Item)], segment: u32) -> &[(u32, Item)] {
    let from = items.partition_point(|item| item.0 < segment);
    let items = &items[from..];
    &items[..items.iter().take_while(|item| item.0 == segment).count()]
}

impl Hashes {
    fn of(items: &[(u32, Item)]) -> Hashes {
        let mut segments = vec![[0; 20]; SEGMENTS];
        for chunk in items.chunk_by(|a, b| a.0 == b.0) {
            segments[chunk[0].0 as usize] = hash_of_items(chunk.iter().map(|(_, item)| item));
        }
        let buckets: Vec<Hash> = segments.chunks(WIDTH).map(hash_of_hashes).collect();
        Hashes { root: hash_of_hashes(&buckets), segments, buckets }
    }

    fn bucket(&self, bucket: usize) -> &[Hash] {
        &self.segments[bucket * WIDTH..(bucket + 1) * WIDTH]
    }
}

/// The numbers of those that are not the same.
fn unequal(mine: &[Hash], theirs: &[Hash]) -> impl Iterator<Item = u32> {
    (0..).zip(mine.iter().zip(theirs)).filter(|(_, (mine, theirs))| mine != theirs).map(|(number, _)| number)
}

impl Method for BySegments {
    /// The hashes, and the entries of one side, which are a store's and not counted as memory.
    type Kept = (Hashes, Vec<(u32, Item)>);

    const NAME: &'static str = "1024 x 1024 segments";
    const SETTINGS: &'static str = "as Riak has them: hashes of 20 bytes (BLAKE3 here), a list of keys and hashes for \
        each segment that differs; equal roots end it, and hashes are made anew before a session, not at each write";

    fn kept(common: &[Item]) -> Self::Kept {
        let items = by_segment(common);
        (Hashes::of(&items), items)
    }

    fn kept_alone(common: &[Item]) -> Box<dyn Any> {
        Box::new(Hashes::of(&by_segment(common)))
    }

    fn pair(_: &Self::Kept, workload: &Workload) -> BySegments {
        let side = |items: Vec<Item>| {
            let items = by_segment(&items);
            Side { hashes: Hashes::of(&items), items }
        };
        BySegments { first: side(workload.first_side()), second: side(workload.second_side()) }
    }

    fn session(&self) -> Session {
        let mut session = Session { round_trips: 1, ..Session::default() };
        let (mine, theirs) = (&self.first.hashes, &self.second.hashes);
        if session.send(&mine.root) == theirs.root {
            session.send(&None::<Vec<Hash>>);
            return session;
        }
        let buckets = session.send(&Some(theirs.buckets.clone())).unwrap();
        let asked: Vec<u32> = session.send(&unequal(&mine.buckets, &buckets).collect());
        session.round_trips += 1;
        let shown: Vec<Vec<Hash>> =
            asked.iter().map(|bucket| theirs.bucket(*bucket as usize).to_vec()).collect();
        let shown = session.send(&shown);
        let mut segments = Vec::new();
        for (bucket, theirs) in asked.iter().zip(&shown) {
            let differ = unequal(mine.bucket(*bucket as usize), theirs);
            segments.extend(differ.map(|segment| bucket * WIDTH as u32 + segment));
        }
        let segments: Vec<u32> = session.send(&segments);
        session.round_trips += 1;
        let of = |items: &[(u32, Item)], segment: &u32| -> Vec<Item> {
            of_segment(items, *segment).iter().map(|item| item.1).collect()
        };
        let rows: Vec<Vec<(Name, [u8; 16])>> = segments
            .iter()
            .map(|segment| of(&self.second.items, segment))
            .map(|items| items.into_iter().map(|(name, digest)| (name, digest.to_be_bytes())).collect())
            .collect();
        for (segment, theirs) in segments.iter().zip(session.send(&rows)) {
            session.rows += theirs.len();
            let theirs: Vec<Item> =
                theirs.into_iter().map(|row| (row.0, Digest::from_be_bytes(row.1))).collect();
            session.found.extend(differing_between(&of(&self.first.items, segment), &theirs));
        }
        session
    }

    fn write((hashes, items): &mut Self::Kept, updates: &[(Item, Item)]) -> Option<()> {
        let mut segments: Vec<u32> = Vec::with_capacity(updates.len());
        for (old, new) in updates {
            let segment = segment(&old.0);
            let from = items.partition_point(|item| item.0 < segment);
            items[from..].iter_mut().find(|item| item.1.0 == new.0).unwrap().1 = *new;
            segments.push(segment);
        }
        segments.sort_unstable();
        segments.dedup();
        for segment in &segments {
            let of = of_segment(items, *segment);
            hashes.segments[*segment as usize] = hash_of_items(of.iter().map(|(_, item)| item));
        }
        for buckets in segments.chunk_by(|a, b| a / WIDTH as u32 == b / WIDTH as u32) {
            let bucket = buckets[0] as usize / WIDTH;
            hashes.buckets[bucket] = hash_of_hashes(hashes.bucket(bucket));
        }
        hashes.root = hash_of_hashes(&hashes.buckets);
        Some(())
    }
}
