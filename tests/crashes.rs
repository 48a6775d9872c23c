//! Nodes that are killed or stopped, and what must be there when they return.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use jiff::Timestamp;
use support::{Cluster, QUICK, noise};

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_amid_writes() {
    let mut cluster = Cluster::start(3, QUICK);
    let all = cluster.apis();
    let workload = cluster.workload(2, "w");
    let mut returned = Timestamp::now();
    // A node like any other, and then the one that founded the cluster and made the context tokens' key.
    for victim in [1, 0] {
        workload.wait_more(&all, 60);
        cluster.nodes[victim].kill9();
        let others = cluster.apis_but(victim);
        workload.wait_more(&others, 60);
        cluster.nodes[victim].start_ready();
        returned = Timestamp::now();
        workload.wait_more(&all, 30);
    }
    let ledger = workload.finish();
    cluster.wait_proven(returned);
    ledger.assert_kept_by(&all);
}

#[test]
fn nothing_acknowledged_is_lost_when_all_nodes_are_killed_at_once() {
    let mut cluster = Cluster::start(3, QUICK);
    let all = cluster.apis();
    let workload = cluster.workload(2, "w");
    workload.wait_more(&all, 60);
    cluster.nodes.iter_mut().for_each(|node| node.kill9());
    cluster.start_all();
    let returned = Timestamp::now();
    workload.wait_more(&all, 30);
    let ledger = workload.finish();
    cluster.wait_proven(returned);
    ledger.assert_kept_by(&all);
}

#[test]
fn all_nodes_stop_cleanly_and_come_back_with_everything() {
    let mut cluster = Cluster::start(3, QUICK);
    for number in 0..150 {
        cluster.api(number % 3).put(&format!("k/{number}"), number.to_string());
    }
    for number in 0..50 {
        cluster.api(number % 2).delete(&format!("k/{number}"));
    }
    cluster.wait_equal_roots();
    let ids: Vec<String> = cluster.nodes.iter().map(|node| node.view().node.id).collect();
    // A client that keeps its connection must not keep the node.
    let mut idle = TcpStream::connect(cluster.nodes[0].http).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: n1\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 512]).unwrap() > 0);
    // Neither must one that stops in the middle of a value.
    let mut stalled = TcpStream::connect(cluster.nodes[1].http).unwrap();
    stalled.write_all(b"PUT /v1/kv/half HTTP/1.1\r\nHost: n2\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
    cluster.nodes.iter().for_each(|node| node.terminate());
    for node in &mut cluster.nodes {
        let status = node.wait_end();
        assert_eq!(status.code(), Some(0), "{}: {status}", node.name);
    }

    cluster.start_all();
    let returned = Timestamp::now();
    // Not the same root as before: tombstones may have been forgotten meanwhile.
    cluster.wait_proven(returned);
    assert_eq!(cluster.nodes[2].view().keys, 100);
    let again: Vec<String> = cluster.nodes.iter().map(|node| node.view().node.id).collect();
    assert_eq!(again, ids);
    cluster.assert_everywhere("half", None);
    for number in 0..150 {
        let expected = (number >= 50).then(|| number.to_string());
        cluster.assert_everywhere(&format!("k/{number}"), expected.as_deref());
    }
}

#[test]
fn a_node_that_stops_says_goodbye_and_acknowledged_writes_are_kept() {
    let mut cluster = Cluster::start(3, QUICK);
    let all = cluster.apis();
    let workload = cluster.workload(1, "w");
    workload.wait_more(&all, 40);
    cluster.nodes[2].stop();
    // Down at once, and still a member: only leaving or being evicted ends that.
    for node in &cluster.nodes[..2] {
        let view =
            node.wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
        assert_eq!(view.members.len(), 3);
    }
    workload.wait_more(&all[..2], 40);
    cluster.nodes[2].start_ready();
    let returned = Timestamp::now();
    workload.wait_more(&all, 20);
    let ledger = workload.finish();
    cluster.wait_proven(returned);
    ledger.assert_kept_by(&all);
}

#[test]
fn a_node_stops_although_a_peer_hangs() {
    let mut cluster = Cluster::start(3, QUICK);
    cluster.nodes[2].pause();
    // More than the system keeps for a peer that does not read.
    for number in 0..16 {
        cluster.api(0).put(&format!("k/{number}"), noise(number, 1 << 20));
    }
    cluster.nodes[0].stop();
    cluster.nodes[2].resume();
    cluster.nodes[0].start_ready();
    cluster.wait_proven(Timestamp::now());
    for api in cluster.apis() {
        for number in 0..16 {
            assert!(api.value(&format!("k/{number}")) == Some(noise(number, 1 << 20)), "k/{number}");
        }
    }
}
