//! How long a store of many small keys takes to open: after a clean stop, and after a kill.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mangrove_benches::{DIGEST_KEY, dot, entry, key, value};
use storage::{Marks, SledEngine, SledOptions, Store};

/// How many keys, if the environment does not say.
const KEYS: u64 = 1_000_000;
const KEYS_VARIABLE: &str = "MANGROVE_BENCH_KEYS";
const VALUE_BYTES: usize = 16;
/// Keys that are merged, then flushed, at a time.
const STRETCH_KEYS: u64 = 100_000;

/// Prints one line for each way to open.
pub fn print() {
    let keys = std::env::var(KEYS_VARIABLE).ok().and_then(|keys| keys.parse().ok()).unwrap_or(KEYS);
    let home = tempfile::tempdir().unwrap();
    let (kept, killed) = (home.path().join("kept"), home.path().join("killed"));
    let (store, ..) = open(&kept);
    fill(&store, keys);
    // What a kill leaves: the files as they are while the engine is in use.
    copy(&kept, &killed);
    stop(store);
    println!("opening: {keys} keys, {} MB on disk", size(&kept) >> 20);
    for (what, dir) in [
        ("after a clean stop, the engine's log since its first start to be read", &kept),
        ("after a clean stop", &kept),
        ("after a kill, the same log to be read", &killed),
    ] {
        let (store, engine_took, took) = open(dir);
        let all = engine_took + took;
        assert_eq!(store.counts().keys, keys);
        println!(
            "opening: {what}: {:.1} s, of which the engine alone {:.1} s (records verified: {})",
            all.as_secs_f64(),
            engine_took.as_secs_f64(),
            store.opened().verified
        );
        stop(store);
    }
}

fn open(dir: &Path) -> (Store, Duration, Duration) {
    let began = Instant::now();
    let engine = SledEngine::open(dir, &SledOptions::default()).unwrap().engine;
    let engine_took = began.elapsed();
    let store = Store::open(Arc::new(engine), DIGEST_KEY, Marks::default(), &mut |_| {}).unwrap();
    (store, engine_took, began.elapsed() - engine_took)
}

fn stop(store: Store) {
    store.note_clean_stop().unwrap();
}

fn fill(store: &Store, keys: u64) {
    for first in (0..keys).step_by(STRETCH_KEYS as usize) {
        let numbers = first..keys.min(first + STRETCH_KEYS);
        let mut rows: Vec<_> =
            numbers.map(|number| (key(number), entry(dot(1, 1), value(VALUE_BYTES)))).collect();
        rows.sort_by_cached_key(|(key, _)| key.token());
        store.merge(&rows).unwrap();
        store.flush().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    files.map(|file| file.metadata().unwrap().len()).sum()
}
