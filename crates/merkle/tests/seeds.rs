//! The seeds of the fuzz targets, `fuzz/seeds/`: made by real sessions, and run here like any other test.
//!
//! After a change of what is sent, `SEEDS=write cargo test -p mangrove-merkle --test seeds` writes them anew. Other files
//! may lie beside them: what a fuzzer has found goes there and is run from then on.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/fuzzed.rs"]
mod fuzzed;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use fuzzed::{Fuzzed, fuzzed_entry, fuzzed_finder, fuzzed_store};
use merkle::{Cells, Field, FindMessage, Finder, Frozen, Next, Prefer, Width, pack_cells};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A few kB each: a fuzzer works best with small ones.
const SEED_BYTES_MAX: usize = 6_000;

type Seeds = BTreeMap<String, Vec<u8>>;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// The difference of two stores in so many units, as that many cells, which are looked at `piece` at a time.
fn cells_apart(field: Field, units: usize, cells: usize, piece: u8, looks_like_one: bool) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(units as u64);
    let mut apart = Cells::empty(field, 0, cells);
    (0..units).for_each(|_| apart.change(rng.random(), None, Some(rng.random())));
    let mut seed = vec![u8::from(field == Field::Large) | u8::from(looks_like_one) << 1 | piece << 2];
    pack_cells(field, apart.as_slice(), &mut seed);
    seed
}

fn sketch_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, field) in [("small", Field::Small), ("large", Field::Large)] {
        for (units, cells, piece) in [(1, 4, 4), (3, 12, 4), (12, 40, 13), (60, 140, 63)] {
            seeds.insert(format!("{name}-{units}-units"), cells_apart(field, units, cells, piece, false));
        }
        seeds.insert(format!("{name}-too-few-cells"), cells_apart(field, 80, 70, 33, false));
        seeds.insert(format!("{name}-look-like-one"), cells_apart(field, 30, 50, 25, true));
    }
    seeds
}

/// One side of a session, up to where it waits: what it says, and whether it is done.
fn go_on(finder: &mut Finder, frozen: &Fuzzed, heard: Option<FindMessage>) -> (Vec<FindMessage>, bool) {
    let mut said = Vec::new();
    let mut step = match heard {
        None => finder.start(frozen).unwrap(),
        Some(message) => finder.handle(frozen, message).unwrap(),
    };
    loop {
        said.extend(step.message);
        match step.next {
            Next::Work => step = finder.resume(frozen).unwrap(),
            next => return (said, next == Next::Done),
        }
    }
}

/// All that a real peer says to the finder that is fuzzed, where the first `differ` of their keys differ.
fn messages_heard(first: u8, prefer: Prefer, differ: u64) -> Vec<u8> {
    let mine = fuzzed_store();
    let theirs = (0..300).filter(|number| *number >= differ || number % 3 != 0);
    let theirs = Fuzzed::new(theirs.map(|number| fuzzed_entry(number, u8::from(number < differ))).collect());
    let width = if first & 8 == 0 { Width::Short } else { Width::Full };
    let (my_opening, their_opening) = (mine.opening().unwrap(), theirs.opening().unwrap());
    let mut finder = fuzzed_finder(&mine, first);
    let mut peer = match first & 3 {
        0 => Finder::responder(&their_opening, &my_opening, width, prefer),
        _ => Finder::initiator(&their_opening, &my_opening, width),
    };
    let mut heard = vec![first];
    let (mut to_peer, mut mine_done) = go_on(&mut finder, &mine, None);
    let (mut to_me, mut peer_done) = go_on(&mut peer, &theirs, None);
    while !(to_me.is_empty() && to_peer.is_empty()) {
        for message in std::mem::take(&mut to_peer) {
            let (said, is_done) = go_on(&mut peer, &theirs, Some(message));
            to_me.extend(said);
            peer_done = is_done;
        }
        for message in std::mem::take(&mut to_me) {
            heard.extend(bincode::serde::encode_to_vec(&message, bincode::config::standard()).unwrap());
            let (said, is_done) = go_on(&mut finder, &mine, Some(message));
            to_peer.extend(said);
            mine_done = is_done;
        }
    }
    assert!(mine_done && peer_done, "a whole session: {first} {prefer:?} {differ}");
    heard
}

fn message_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, first, prefer) in [
        ("initiator-by-sketch", 0, Prefer::Sketch),
        ("initiator-by-tree", 0, Prefer::Tree),
        ("initiator-at-full-width", 8, Prefer::Tree),
        ("responder-by-sketch", 1, Prefer::Auto),
        ("responder-by-tree", 2, Prefer::Auto),
        ("responder-by-itself", 3, Prefer::Auto),
        ("responder-at-full-width", 2 | 8, Prefer::Auto),
    ] {
        for differ in [1, 9, 90] {
            seeds.insert(format!("{name}-{differ}-differ"), messages_heard(first, prefer, differ));
        }
    }
    seeds
}

/// Holds the files against what sessions make now, and runs all files there are, whole and cut short.
fn run_all(target: &str, made: &Seeds, run: fn(&[u8])) {
    let folder = folder(target);
    if std::env::var_os("SEEDS").is_some_and(|value| value == "write") {
        fs::create_dir_all(&folder).unwrap();
        made.iter().for_each(|(name, seed)| fs::write(folder.join(name), seed).unwrap());
    }
    for (name, seed) in made {
        assert!(seed.len() <= SEED_BYTES_MAX, "{name}: {} bytes", seed.len());
        let file = fs::read(folder.join(name)).unwrap_or_default();
        assert!(file == *seed, "{target}/{name} is not what a session makes: SEEDS=write writes it anew");
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= made.len());
    for path in files {
        println!("{}", path.display());
        let file = fs::read(&path).unwrap();
        run(&file);
        [1, 2, 3, 5].into_iter().for_each(|part| run(&file[..file.len() - file.len() / (part + 1)]));
    }
}

#[test]
fn seeds_of_cells_decode_or_end() {
    run_all("sketch_decode", &sketch_seeds(), fuzzed::sketch_decode);
}

#[test]
fn seeds_of_messages_are_heard_to_the_end() {
    run_all("find_message", &message_seeds(), fuzzed::find_message);
}
