//! The compose file as shipped: up to healthy, written, partitioned, healed, killed, restarted with its volume.
//!
//! Needs Docker with the Compose plugin or docker-compose, so an ordinary `cargo test` leaves these out:
//! `cargo test -p mangrove --test containers -- --ignored --test-threads=1`

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "containers/cluster.rs"]
mod cluster;
#[path = "containers/http.rs"]
mod http;

use cluster::{Cluster, NODES};
use http::{Answer, Http};
use jiff::Timestamp;
use std::time::Duration;

/// Within this, a converged cluster shows one root again. Repair runs every second.
const CONVERGED_WITHIN: Duration = Duration::from_secs(60);

fn urls(cluster: &Cluster) -> Vec<String> {
    NODES.map(|node| cluster.url(node)).to_vec()
}

fn value(text: &str) -> Answer {
    Answer { status: 200, siblings: Some("1".to_owned()), body: text.to_owned() }
}

/// Fails unless every node answers the same for a key: this value, or 404 where there is none.
fn assert_everywhere(http: &Http, nodes: &[String], key: &str, expected: Option<&str>) {
    for node in nodes {
        let answer = http.get(node, key);
        match expected {
            Some(text) => assert_eq!(answer, value(text), "{key} at {node}"),
            None => assert_eq!(answer.status, 404, "{key} at {node}: {answer:?}"),
        }
    }
}

#[test]
#[ignore = "needs Docker; .ci/run runs them explicitly"]
fn three_containers_come_up_serve_and_stop_cleanly() {
    let cluster = Cluster::up("serve");
    let http = Http::new();
    let nodes = urls(&cluster);
    for number in 0..100 {
        http.put(&nodes[number % 3], &format!("file/{number}"), &format!("content {number}"));
    }
    http.wait_equal_roots(&nodes, CONVERGED_WITHIN);
    for number in 0..100 {
        assert_everywhere(&http, &nodes, &format!("file/{number}"), Some(&format!("content {number}")));
    }
    for node in &nodes {
        let view = http.cluster(node).unwrap();
        assert_eq!(view["keys"], 100, "{view:#}");
        assert_eq!(view["members"].as_array().unwrap().len(), 3, "{view:#}");
    }
    assert_eq!(cluster.inside("n2", &["get", "file/7"]), "content 7");
    assert_eq!(cluster.inside("n3", &["--version"]).split_whitespace().next(), Some("mangrove"));
    for node in NODES {
        assert_eq!(cluster.stop(node), "0", "{node}'s exit code after SIGTERM:\n{}", cluster.log(node));
    }
}

#[test]
#[ignore = "needs Docker; .ci/run runs them explicitly"]
fn a_node_cut_off_and_healed_agrees_again_and_deletes_stay_deleted() {
    let cluster = Cluster::up("cut");
    let http = Http::new();
    let nodes = urls(&cluster);
    for key in ["kept", "over-here", "over-there", "del-here", "del-there", "del-both", "del-over", "clash"] {
        http.put(&nodes[0], key, "before");
    }
    http.wait_equal_roots(&nodes, CONVERGED_WITHIN);

    cluster.cut("n3");
    write_on_both_sides(&cluster, &http, &nodes[0], &nodes[1]);
    assert_eq!(cluster.inside("n3", &["get", "over-here"]), "before", "the cut must cut");
    cluster.heal("n3");

    http.wait_equal_roots(&nodes, CONVERGED_WITHIN);
    assert_after_healing(&http, &nodes);
    // Deletes stay deleted, also while they are forgotten.
    std::thread::sleep(Duration::from_secs(5));
    http.wait_equal_roots(&nodes, CONVERGED_WITHIN);
    assert_after_healing(&http, &nodes);
}

/// Writes, overwrites and deletes: over HTTP on the one side, by the program inside the container on the other,
/// whose published port is cut off, too.
fn write_on_both_sides(cluster: &Cluster, http: &Http, n1: &str, n2: &str) {
    let there = |arguments: &[&str]| cluster.inside("n3", arguments);
    http.put(n1, "over-here", "here");
    there(&["put", "over-there", "there"]);
    http.delete(n2, "del-here");
    there(&["delete", "del-there"]);
    http.delete(n1, "del-both");
    there(&["delete", "del-both"]);
    http.delete(n2, "del-over");
    there(&["put", "del-over", "there"]);
    http.put(n2, "clash", "here");
    there(&["put", "clash", "there"]);
    for number in 0..50 {
        http.put(n1, &format!("new-here/{number}"), "here");
    }
    for number in 0..10 {
        there(&["put", &format!("new-there/{number}"), "there"]);
    }
}

fn assert_after_healing(http: &Http, nodes: &[String]) {
    let everywhere = |key: &str, expected| assert_everywhere(http, nodes, key, expected);
    everywhere("kept", Some("before"));
    everywhere("over-here", Some("here"));
    everywhere("over-there", Some("there"));
    everywhere("del-here", None);
    everywhere("del-there", None);
    everywhere("del-both", None);
    // The delete covered what stood there before, not what was written on the other side meanwhile.
    everywhere("del-over", Some("there"));
    for number in 0..50 {
        everywhere(&format!("new-here/{number}"), Some("here"));
    }
    for number in 0..10 {
        everywhere(&format!("new-there/{number}"), Some("there"));
    }
    let winner = http.get(&nodes[0], "clash");
    for node in nodes {
        let answer = http.get(node, "clash");
        assert_eq!(answer.siblings.as_deref(), Some("2"), "{answer:?}");
        assert_eq!(answer, winner, "all show the same of the two");
        assert_eq!(http.siblings(node, "clash"), ["here", "there"]);
    }
}

#[test]
#[ignore = "needs Docker; .ci/run runs them explicitly"]
fn a_killed_node_returns_with_its_volume_and_is_proven_identical() {
    let cluster = Cluster::up("kill");
    let http = Http::new();
    let nodes = urls(&cluster);
    for number in 0..200 {
        http.put(&nodes[number % 3], &format!("old/{number}"), "old");
    }
    // Acknowledged by the node that dies, at the last moment.
    http.put(&nodes[1], "last-words", "kept");
    cluster.kill("n2");
    for number in 0..100 {
        http.put(&nodes[0], &format!("new/{number}"), "new");
    }
    for number in 0..50 {
        http.delete(&nodes[2], &format!("old/{number}"));
    }

    let restarted = Timestamp::now();
    cluster.start("n2");
    cluster.wait_healthy("n2", Duration::from_secs(60));
    http.wait_equal_roots(&nodes, CONVERGED_WITHIN);
    for member in ["n1", "n3"] {
        http.wait_identical(&nodes[1], member, restarted, CONVERGED_WITHIN);
    }
    http.wait_identical(&nodes[0], "n2", restarted, CONVERGED_WITHIN);
    assert_everywhere(&http, &nodes, "last-words", Some("kept"));
    for number in 0..100 {
        assert_everywhere(&http, &nodes, &format!("new/{number}"), Some("new"));
    }
    for number in 0..200 {
        let expected = if number < 50 { None } else { Some("old") };
        assert_everywhere(&http, &nodes, &format!("old/{number}"), expected);
    }
}
