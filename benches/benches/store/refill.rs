//! How fast entries from elsewhere get into the store on disk, beside the engine alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mangrove_benches::{DIGEST_KEY, Disk, EngineUnderTest, dot, entry, open_store, overwritten, value};
use model::{Entry, Key, stored};
use storage::{Batch, Flusher, Space, Store};

const KEYS: u64 = 200_000;
const UPDATED_KEYS: u64 = 20_000;
const VALUE_BYTES: usize = 64;
/// Entries handed over at a time.
const BATCH_KEYS: usize = 512;
const ROUNDS: usize = 3;
/// How often a client looks whether the store lets it write.
const CLIENT_PAUSE: Duration = Duration::from_micros(200);

struct Run {
    keys: u64,
    took: Duration,
    /// Of the waits of a client that wants to write, while entries are merged.
    waits: Vec<Duration>,
}

/// Prints one line for each way, the median of some rounds taken in turns, and the ratio of the first two.
pub fn print() {
    let rows = rows(KEYS, |number| entry(dot(1 + number, 1), value(VALUE_BYTES)));
    let batches: Vec<Batch> = rows.chunks(BATCH_KEYS).map(engine_batch).collect();
    let (mut alone, mut refilled, mut repaired) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(engine_alone(&batches));
        let (refill, repair) = refill_and_repair(&rows);
        refilled.push(refill);
        repaired.push(repair);
    }
    let (alone, refilled) =
        (show("the engine alone", &mut alone), show("a wiped node refilled", &mut refilled));
    show("keys repaired", &mut repaired);
    println!("refill: the store takes in {:.0} % of what the engine alone does", 100.0 * refilled / alone);
}

/// 20-byte keys in token order.
fn rows(keys: u64, entry: impl Fn(u64) -> Entry) -> Vec<(Key, Entry)> {
    let key = |number| Key::new(format!("user/{number:015}").into_bytes()).unwrap();
    let mut rows: Vec<_> = (0..keys).map(|number| (key(number), entry(number))).collect();
    rows.sort_by_cached_key(|(key, _)| key.token());
    rows
}

/// What the store would write: names in key order, then records.
fn engine_batch(rows: &[(Key, Entry)]) -> Batch {
    let mut batch = Batch::new();
    let mut names: Vec<&[u8]> = rows.iter().map(|(key, _)| key.as_bytes()).collect();
    names.sort_unstable();
    for name in names {
        batch.put(Space::Names, name, Bytes::new());
    }
    for (key, entry) in rows {
        let at = [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat();
        let record = [&entry.digest(key, &DIGEST_KEY).to_be_bytes()[..], &stored::encode(entry)].concat();
        batch.put(Space::Entries, at, record);
    }
    batch
}

fn engine_alone(batches: &[Batch]) -> Run {
    let Disk { engine, .. } = &EngineUnderTest::Sled.open();
    let done = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.flush().unwrap();
            }
        });
        batches.iter().for_each(|batch| engine.apply(batch).unwrap());
        done.store(true, Ordering::Relaxed);
    });
    engine.flush().unwrap();
    Run { keys: KEYS, took: began.elapsed(), waits: Vec::new() }
}

fn refill_and_repair(rows: &[(Key, Entry)]) -> (Run, Run) {
    let disk = EngineUnderTest::Sled.open();
    let store = Arc::new(open_store(Arc::clone(&disk.engine)));
    let refill = merge(&store, rows);
    let newer = |(key, held): &(Key, Entry)| {
        (key.clone(), overwritten(held.clone(), dot(1 << 30, 2), value(VALUE_BYTES)))
    };
    let updated: Vec<_> = rows.iter().step_by((KEYS / UPDATED_KEYS) as usize).map(newer).collect();
    (refill, merge(&store, &updated))
}

/// Merges while one flusher flushes and one client wants to write.
fn merge(store: &Arc<Store>, rows: &[(Key, Entry)]) -> Run {
    let flusher = Flusher::spawn(Arc::clone(store)).unwrap();
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let waits = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut waits = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                // Waits for whoever is writing, as an update does.
                let _number = store.written();
                waits.push(began.elapsed());
                std::thread::sleep(CLIENT_PAUSE);
            }
            waits
        });
        for batch in rows.chunks(BATCH_KEYS) {
            let seq = store.merge(batch).unwrap().seq;
            flusher.when_durable(seq, Box::new(|durable| durable.unwrap()));
        }
        done.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    store.flush().unwrap();
    Run { keys: rows.len() as u64, took: began.elapsed(), waits }
}

fn show(what: &str, runs: &mut [Run]) -> f64 {
    runs.sort_by_key(|run| run.took);
    let mut waits: Vec<Duration> = runs.iter().flat_map(|run| run.waits.iter().copied()).collect();
    waits.sort_unstable();
    let wait = match (waits.get(waits.len() * 99 / 100), waits.last()) {
        (Some(p99), Some(longest)) => {
            format!(", a client's write waits p99 {p99:.1?}, at most {longest:.1?}")
        }
        _ => String::new(),
    };
    let median = runs.get(runs.len() / 2).unwrap();
    let rate = median.keys as f64 / median.took.as_secs_f64();
    println!("refill: {what}: {rate:.0} keys/s ({} keys, batches of {BATCH_KEYS}){wait}", median.keys);
    rate
}
