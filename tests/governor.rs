//! Repair within the limits that its node was given: a cap on its bytes a second.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Api, Cluster, noise, until};

/// Neither pushes nor compares by itself: what is repaired is what the test asked for.
const STILL: &[&str] = &["--rumors", "off", "--anti-entropy", "off"];
const CAP: u64 = 1 << 20;
/// What one node has and the other lacks: ten seconds at the cap.
const KEYS: u64 = 160;
const VALUE_BYTES: usize = 64 << 10;

fn repairs(api: Api) -> Value {
    api.fetch("/v1/repairs").unwrap().json()
}

fn number(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or_else(|| panic!("no {field} in {of:#}"))
}

fn begin(api: Api, peer: &str) {
    let asked = [("content-type", "application/json")];
    let body = format!(r#"{{"peer": "{peer}"}}"#);
    let answer = api.send(reqwest::Method::POST, "/v1/repairs", &asked, body).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn repair_keeps_to_its_cap_and_completes() {
    let mut cluster = Cluster::planned(2, STILL);
    // Only the one that takes in is held back, and the other follows its pace.
    let cap = ["--repair-max-bytes-per-second", "1MiB"].map(str::to_owned);
    cluster.nodes[1].flags.extend(cap);
    cluster.nodes[0].start_ready();
    cluster.start_all();
    let (has, lacks) = (cluster.api(0), cluster.api(1));
    for key in 0..KEYS {
        has.put(&format!("k/{key}"), noise(key, VALUE_BYTES));
    }
    let governor = &repairs(lacks)["governor"];
    assert_eq!(governor["limit_bytes_per_second"], CAP, "{governor:#}");
    assert_eq!(governor["brake"], "cap");
    let began = Instant::now();
    begin(lacks, "n1");
    let session = until("the repair completes", Duration::from_secs(60), || {
        let document = repairs(lacks);
        let session = document["repairs"].as_array().unwrap().iter().find(|session| session["peer"] == "n1");
        let session = session.cloned().unwrap_or_default();
        if session["phase"] != "ended" {
            thread::sleep(Duration::from_millis(100));
            return Err(session.to_string());
        }
        Ok(session)
    });
    let took = began.elapsed();
    assert_eq!(session["outcome"], "identical", "{session:#}");
    let bytes = number(&session, "bytes_received");
    assert!(bytes >= KEYS * VALUE_BYTES as u64, "{session:#}");
    // The first part of the window and a frame pass before the first credit is held back; the rest may not.
    let at_least = Duration::from_secs_f64((bytes as f64 - 1e6) / CAP as f64);
    assert!(took >= at_least, "{bytes} bytes in {took:?}");
    assert_eq!(lacks.view().unwrap().root, has.view().unwrap().root);
    assert_eq!(lacks.view().unwrap().keys, KEYS);
}
