//! Single records that are not what was written, in a running node: taken out, kept beside, and fetched again from the
//! others, in a new life of the same process.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use model::Key;
use serde_json::Value;
use storage::{Batch, Engine, SledEngine, SledOptions, Space};
use support::{Api, Cluster, Node, QUICK, SOON, ask, json, noise, until};

const KEYS: usize = 60;
/// No scrub, so that reads meet it.
const UNSEARCHED: &[&str] = &["--repair-interval", "200ms", "--scrub-bytes-per-second", "0"];

fn key(number: usize) -> String {
    format!("k/{number}")
}

fn value(number: usize) -> Vec<u8> {
    noise(number as u64, 100 + number * 700)
}

/// Flips a bit behind the heads of these keys' records, in the store of a node that was stopped in good order: its next
/// start reads the heads alone, and believes them.
fn tamper(node: &Node, keys: &[String]) -> Vec<Vec<u8>> {
    let engine = SledEngine::open(&node.data_dir.join("engine"), &SledOptions::default()).unwrap().engine;
    let damaged = keys.iter().map(|text| {
        let key = Key::new(text.as_bytes().to_vec()).unwrap();
        let at = [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat();
        let mut record = engine.get(Space::Entries, &at).unwrap().unwrap().to_vec();
        let place = record.len() * 3 / 4;
        record[place] ^= 0x10;
        let mut batch = Batch::new();
        batch.put(Space::Entries, at, record.clone());
        engine.apply(&batch).unwrap();
        record
    });
    let damaged = damaged.collect();
    engine.flush().unwrap();
    damaged
}

fn damage(api: Api) -> Value {
    api.fetch("/v1/cluster").unwrap().json()["damage"].clone()
}

fn wait_healed(api: Api) -> Value {
    until("it is healed", SOON, || {
        let damage = damage(api);
        if damage["healed"] == true { Ok(damage) } else { Err(damage.to_string()) }
    })
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_read_that_meets_a_damaged_record_has_the_node_heal_itself() {
    let mut cluster = Cluster::start(3, UNSEARCHED);
    for number in 0..KEYS {
        cluster.api(number % 3).put(&key(number), value(number));
    }
    cluster.api(0).put("deleted", "x");
    cluster.wait_equal_roots();
    cluster.api(1).delete("deleted");
    cluster.wait_equal_roots();
    cluster.nodes[2].stop();
    let bad = [key(7), key(40), "deleted".to_owned()];
    let bytes = tamper(&cluster.nodes[2], &bad);
    cluster.nodes[2].start_ready();
    let (api, pid) = (cluster.api(2), cluster.nodes[2].pid());
    assert_eq!(damage(api), Value::Null, "nobody has met it yet");
    // The record is never shown, and what it was comes back.
    let answer = api.fetch("/v1/kv/k/7").unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    let healed = wait_healed(api);
    assert_eq!(
        (&healed["records"], &healed["held_again"], &healed["held_by_none"]),
        (&3.into(), &3.into(), &0.into())
    );
    cluster.nodes[2].wait_ready();
    for number in 0..KEYS {
        assert!(api.value(&key(number)) == Some(value(number)), "{}", key(number));
    }
    assert_eq!(api.value("deleted"), None);
    cluster.wait_equal_roots();
    assert_eq!(cluster.nodes[2].pid(), pid);
    assert!(cluster.nodes[2].is_alive());
    api.put("after", "works");
    cluster.wait_everywhere("after", Some("works"));
    let said = ask(cluster.api(0), &["status"]).expect(0).text();
    assert!(said.contains("n3 lost records") && said.contains("all of it is held again"), "{said}");
    let file = cluster.nodes[2].data_dir.join("damaged");
    assert_eq!(healed["kept_in"], file.to_str().unwrap());
    let kept = fs::read(file).unwrap();
    assert!(bytes.iter().all(|bytes| contains(&kept, bytes)), "the bytes are kept");
    let log = cluster.nodes[2].log();
    assert!(log.contains("taken out of the store") && log.contains("healed"), "{log}");
    // A start afterwards finds nothing wrong.
    cluster.nodes[2].stop();
    cluster.nodes[2].start_ready();
    assert_eq!(damage(api), Value::Null);
    cluster.wait_equal_roots();
}

#[test]
fn the_search_for_damage_finds_and_heals_it_while_clients_write() {
    let mut cluster = Cluster::start(3, &[QUICK, &["--scrub-bytes-per-second", "1GB"]].concat());
    for number in 0..KEYS {
        cluster.api(0).put(&key(number), value(number));
    }
    cluster.wait_equal_roots();
    cluster.nodes[1].stop();
    tamper(&cluster.nodes[1], &[key(3)]);
    cluster.nodes[1].start();
    let workload = cluster.workload(1, "w/");
    let healed = wait_healed(cluster.api(1));
    assert_eq!((&healed["records"], &healed["held_again"]), (&1.into(), &1.into()));
    workload.wait_more(&cluster.apis(), 5);
    let ledger = workload.finish();
    cluster.wait_equal_roots();
    ledger.assert_kept_by(&cluster.apis());
    for number in 0..KEYS {
        assert!(cluster.api(1).value(&key(number)) == Some(value(number)), "{}", key(number));
    }
}

#[test]
fn a_cluster_of_one_goes_on_with_what_is_left_and_says_so() {
    let mut cluster = Cluster::start(1, UNSEARCHED);
    let api = cluster.api(0);
    for number in 0..KEYS {
        api.put(&key(number), value(number));
    }
    cluster.nodes[0].stop();
    tamper(&cluster.nodes[0], &[key(7)]);
    cluster.nodes[0].start_ready();
    assert_eq!(api.fetch("/v1/kv/k/7").unwrap().status, 503);
    let healed = wait_healed(api);
    assert_eq!((&healed["held_again"], &healed["held_by_none"]), (&0.into(), &1.into()));
    cluster.nodes[0].wait_ready();
    assert_eq!(api.value(&key(7)), None);
    for number in (0..KEYS).filter(|number| *number != 7) {
        assert!(api.value(&key(number)) == Some(value(number)), "{}", key(number));
    }
    assert_eq!(json(&ask(api, &["status", "--json"]).expect(0))["members"][0]["damage"], healed);
    api.put(&key(7), "again");
    assert_eq!(api.text(&key(7)).as_deref(), Some("again"));
}

/// Killed wherever it is while it heals, it never forgets that something is missing.
#[test]
fn a_node_killed_while_it_heals_is_healed_at_its_next_start() {
    let mut cluster = Cluster::start(3, UNSEARCHED);
    for number in 0..KEYS {
        cluster.api(0).put(&key(number), value(number));
    }
    cluster.wait_equal_roots();
    for wait_ms in [0, 1, 2, 4, 8, 16, 30, 60] {
        cluster.nodes[2].stop();
        tamper(&cluster.nodes[2], &[key(7)]);
        cluster.nodes[2].start_ready();
        assert_eq!(cluster.api(2).fetch("/v1/kv/k/7").unwrap().status, 503);
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        cluster.nodes[2].kill9();
        cluster.nodes[2].start();
        until("the key is back", SOON, || {
            let answer = cluster.api(2).fetch("/v1/kv/k/7")?;
            match answer.status {
                200 => assert!(answer.body == value(7)),
                503 => return Err(answer.text()),
                status => panic!("{status} {}", answer.text()),
            }
            Ok(())
        });
        cluster.wait_equal_roots();
    }
}
