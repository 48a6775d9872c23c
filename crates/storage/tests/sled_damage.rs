//! Files of the engine on disk, damaged in every way that is cheap to think of: opening never ends the
//! process, and nothing is lost in silence.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::{EngineError, OpenedSled, SledEngine, SledOptions};

const KEYS: u64 = 300;

/// A store with a history: several openings (so that there is a snapshot), deletes, large values.
fn make(dir: &Path) -> Map {
    let mut map = Map::new();
    for round in 0..3 {
        let opened = SledEngine::open(dir, &SledOptions::default()).unwrap();
        let store = open(Arc::new(opened.engine));
        for i in 0..KEYS {
            let key = key(format!("key {i}"));
            let dot = dot(round * 1000 + i + 1, 1);
            let updated = match (i + round) % 7 {
                0 => delete(&store, &key, dot),
                1 => put(&store, &key, dot, &vec![i as u8; 20_000]),
                _ => put(&store, &key, dot, format!("value {i} of {round}").as_bytes()),
            };
            map.insert(key, updated.entry);
            if i % 50 == 0 {
                store.flush().unwrap();
            }
        }
        store.flush().unwrap();
    }
    map
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    whole: u32,
    moved_aside: u32,
    rolled_back: u32,
    reported: u32,
    refused: u32,
}

/// Opens what is there and checks that whatever is missing is said to be.
fn judge(dir: &Path, map: &Map, what: &str, outcomes: &mut Outcomes) {
    let OpenedSled { engine, losses, .. } = match SledEngine::open(dir, &SledOptions::default()) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(matches!(error, EngineError::Io { .. }), "{what}: {error}");
            outcomes.refused += 1;
            return;
        }
    };
    let store = open(Arc::new(engine));
    let aside = dir.with_file_name("engine.damaged.1");
    if aside.exists() {
        assert!(losses.is_some_and(|losses| losses.contains("engine.damaged.1")), "{what}");
        assert!(aside.read_dir().unwrap().count() > 0, "{what}");
        assert_eq!((store.opened().entries, store.failure()), (0, None), "{what}");
        put(&store, &key("new"), dot(1, 1), b"works");
        store.flush().unwrap();
        outcomes.moved_aside += 1;
        return;
    }
    let reported = store.opened().corrupt_count > 0;
    assert_eq!(store.failure().is_some(), reported, "{what}");
    let mut missing = 0;
    for (key, entry) in map {
        match store.get(key) {
            Ok(Some(found)) if found == *entry => {}
            // Never another value, unless the end of the log is known to be lost.
            Ok(_) => missing += 1,
            Err(_) => assert!(store.failure().is_some(), "{what}"),
        }
    }
    match (missing, losses, reported) {
        (0, None, false) => outcomes.whole += 1,
        (_, _, true) => outcomes.reported += 1,
        (_, Some(_), _) => outcomes.rolled_back += 1,
        (missing, None, false) => panic!("{what}: {missing} entries are gone in silence"),
    }
}

struct Fixture {
    home: tempfile::TempDir,
    good: PathBuf,
    map: Map,
    outcomes: Outcomes,
}

impl Fixture {
    fn new() -> Fixture {
        let home = tempfile::tempdir().unwrap();
        let good = home.path().join("good");
        let map = make(&good);
        Fixture { home, good, map, outcomes: Outcomes::default() }
    }

    fn try_with(&mut self, what: &str, damage: impl FnOnce(&Path)) {
        let parent = self.home.path().join("bad");
        let dir = parent.join("engine");
        copy(&self.good, &dir);
        damage(&dir);
        judge(&dir, &self.map, what, &mut self.outcomes);
        fs::remove_dir_all(parent).unwrap();
    }

    /// The files of the engine with their lengths; the snapshot's name varies.
    fn files(&self) -> Vec<(String, u64)> {
        let mut files: Vec<_> = fs::read_dir(&self.good)
            .unwrap()
            .map(|file| file.unwrap())
            .filter(|file| file.file_type().unwrap().is_file())
            .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
            .collect();
        files.sort();
        files
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_undamaged_folder_is_whole() {
    let mut fixture = Fixture::new();
    fixture.try_with("nothing", |_| {});
    assert_eq!(fixture.outcomes.whole, 1);
}

#[test]
fn changed_bytes_are_noticed_or_harmless() {
    let mut fixture = Fixture::new();
    let mut rng = StdRng::seed_from_u64(5);
    for (name, len) in fixture.files() {
        let tries = if name == "db" { 120 } else { 12 };
        for _ in 0..tries {
            let (at, run) =
                (rng.random_range(0..len) as usize, [1, 1, 16, 5000][rng.random_range(0..4_usize)]);
            let fill: u8 = rng.random();
            fixture.try_with(&format!("{run} bytes from {at} of {name} set to {fill}"), |dir| {
                change(&dir.join(&name), |bytes| {
                    bytes.iter_mut().skip(at).take(run).for_each(|byte| *byte ^= fill | 1)
                });
            });
        }
    }
    println!("{:?}", fixture.outcomes);
}

#[test]
fn cut_and_emptied_files_are_noticed_or_harmless() {
    let mut fixture = Fixture::new();
    let mut rng = StdRng::seed_from_u64(6);
    for (name, len) in fixture.files() {
        let mut cuts = vec![0, 1, len / 2, len.saturating_sub(1)];
        if name == "db" {
            cuts.extend((0..20).map(|_| rng.random_range(0..len)));
        }
        for cut in cuts {
            fixture.try_with(&format!("{name} cut at {cut} of {len}"), |dir| {
                change(&dir.join(&name), |bytes| bytes.truncate(cut as usize));
            });
        }
        fixture.try_with(&format!("{name} with noise behind it"), |dir| {
            change(&dir.join(&name), |bytes| bytes.extend((0..5000).map(|i| i as u8)));
        });
    }
    println!("{:?}", fixture.outcomes);
}

#[test]
fn missing_and_odd_files_are_noticed_or_harmless() {
    let mut fixture = Fixture::new();
    for (name, _) in fixture.files() {
        fixture.try_with(&format!("without {name}"), |dir| fs::remove_file(dir.join(&name)).unwrap());
        fixture.try_with(&format!("a folder in place of {name}"), |dir| {
            fs::remove_file(dir.join(&name)).unwrap();
            fs::create_dir(dir.join(&name)).unwrap();
        });
    }
    fixture.try_with("without blobs", |dir| fs::remove_dir_all(dir.join("blobs")).unwrap());
    fixture.try_with("a stray blob", |dir| fs::write(dir.join("blobs/17"), b"stray").unwrap());
    println!("{:?}", fixture.outcomes);
}
