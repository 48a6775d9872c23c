//! Bytes that changed at rest in the real files of a node's store, at many places of them: whatever the engine makes of
//! that, the node comes up, says what happened where something did, and its peers heal it.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Api, Cluster, SOON, copy_folder, noise, until};

const PLACES: u64 = 72;
const KEYS: usize = 80;
const FLAGS: &[&str] = &["--repair-interval", "100ms", "--scrub-bytes-per-second", "1GB"];

fn key(number: usize) -> String {
    format!("k/{number}")
}

/// Most are small; some are in parts.
fn value(number: usize) -> Vec<u8> {
    noise(number as u64, if number.is_multiple_of(8) { 40_000 } else { 200 })
}

/// Flips bits at one of `PLACES` places spread over the file, somewhere within that part of it.
fn flip(path: &Path, place: u64, rng: &mut StdRng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let part = bytes.len() as u64 / PLACES;
    let at = (place * part + rng.random_range(0..part)) as usize;
    let run = [1, 1, 8, 4_096][rng.random_range(0..4_usize)];
    let bit = 1_u8 << rng.random_range(0..8_u8);
    bytes.iter_mut().skip(at).take(run).for_each(|byte| *byte ^= bit);
    fs::write(path, &bytes).unwrap();
    format!("{run} bytes at {at} of {}", bytes.len())
}

/// Until everything is there, or the store has stopped: never anything else than the value or 503. Says which.
fn wait_whole(api: Api, what: &str) -> bool {
    let mut read = 0;
    until(format!("{what}: every value is readable"), SOON, || {
        let ready = api.fetch("/readyz")?;
        if ready.text().contains("the store has stopped") && ready.text().contains("cannot be read") {
            return Ok(false);
        }
        while read < KEYS {
            let answer = api.fetch(&format!("/v1/kv/{}", key(read)))?;
            match answer.status {
                200 => assert!(answer.body == value(read), "{what}: {} has another value", key(read)),
                503 => return Err(answer.text()),
                status => panic!("{what}: {}: {status} {}", key(read), answer.text()),
            }
            read += 1;
        }
        Ok(true)
    })
}

#[test]
fn wherever_bytes_change_at_rest_the_node_comes_up_and_is_healed() {
    let mut cluster = Cluster::start(3, FLAGS);
    for number in 0..KEYS {
        cluster.api(number % 3).put(&key(number), value(number));
    }
    for number in 0..20 {
        cluster.api(0).put(&format!("d/{number}"), "x");
    }
    cluster.wait_equal_roots();
    (0..20).for_each(|number| drop(cluster.api(1).delete(&format!("d/{number}"))));
    cluster.wait_equal_roots();
    // What was written before a start lies beneath the engine's snapshot, and is read in another way.
    for _ in 0..3 {
        cluster.nodes[2].stop();
        cluster.nodes[2].start_ready();
        (0..10).for_each(|number| drop(cluster.api(2).put(&key(number), value(number))));
        cluster.wait_equal_roots();
    }
    cluster.nodes[2].stop();
    let (dir, good) = (cluster.nodes[2].data_dir.clone(), cluster.home().join("good"));
    copy_folder(&dir, &good);
    let mut rng = StdRng::seed_from_u64(17);
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for place in 0..PLACES {
        fs::remove_dir_all(&dir).unwrap();
        copy_folder(&good, &dir);
        let what = flip(&dir.join("engine/db"), place, &mut rng);
        let log_before = cluster.nodes[2].log().len();
        cluster.nodes[2].start();
        let api = cluster.api(2);
        let mut restarted = false;
        if !wait_whole(api, &what) {
            // Met by a read alone: it says so, and the next start does the rest.
            restarted = true;
            cluster.nodes[2].kill9();
            cluster.nodes[2].start();
            assert!(wait_whole(api, &what), "{what}: it stops again");
        }
        cluster.wait_equal_roots();
        let (apart, damage) =
            (dir.join("engine.damaged.1").exists(), api.fetch("/v1/cluster").unwrap().json());
        let log = cluster.nodes[2].log().split_off(log_before);
        let said = log.contains("moved aside") || log.contains("were lost") || log.contains("is damaged");
        let outcome = match (apart, damage["damage"].is_null()) {
            (true, _) if restarted => "the store stopped, and the next start moved the folder aside",
            (true, _) => "the folder was moved aside",
            (false, false) => "records were lost, and healed",
            (false, true) => "nothing was noticed, and nothing was missing",
        };
        *outcomes.entry(outcome).or_default() += 1;
        assert_eq!(said, !damage["damage"].is_null(), "{what}: {log}");
        cluster.nodes[2].kill9();
    }
    println!("{outcomes:?}");
    assert!(outcomes.len() > 1, "{outcomes:?}");
    // The two that were there all the time have lost nothing.
    assert!((0..2).all(|node| wait_whole(cluster.api(node), "a peer")));
}
