//! Writes and deletes on sides that do not see each other.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::thread;

use jiff::Timestamp;
use support::{Cluster, QUICK, signal};

/// What `first` does at n1 while n2 and n3 are down, and what `second` does at n2 while n1 is down. All run
/// when this returns, and nothing is waited for.
fn concurrently(cluster: &mut Cluster, first: impl Fn(&Cluster), second: impl Fn(&Cluster)) {
    cluster.nodes[1..].iter_mut().for_each(|node| node.stop());
    first(cluster);
    cluster.nodes[0].stop();
    cluster.nodes[1..].iter_mut().for_each(|node| node.start_ready());
    second(cluster);
    cluster.nodes[0].start_ready();
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn concurrent_writes_are_siblings_until_a_write_replaces_what_it_was_shown() {
    let mut cluster = Cluster::start(3, QUICK);
    cluster.api(0).put("key", "before");
    cluster.wait_equal_roots();
    concurrently(
        &mut cluster,
        |cluster| drop(cluster.api(0).put("key", "one side")),
        |cluster| drop(cluster.api(1).put("key", "other side")),
    );
    cluster.wait_proven(Timestamp::now());
    let winner = cluster.api(0).get("key");
    for api in cluster.apis() {
        let answer = api.get("key");
        assert_eq!((answer.status, answer.header("mangrove-siblings")), (200, Some("2")));
        assert_eq!(answer.body, winner.body, "both show the same of the two");
        assert_eq!(answer.header("mangrove-context"), None, "no token for one who was not shown both");
        assert_eq!(api.siblings("key").values, set(&["one side", "other side"]));
    }
    // The later of the two is shown, since the clocks of one machine agree.
    assert_eq!(winner.text(), "other side");

    let context = cluster.api(0).siblings("key").context.unwrap();
    let refused =
        cluster.api(0).send(reqwest::Method::PUT, "/v1/kv/another", &[("mangrove-context", &context)], "x");
    assert_eq!(refused.unwrap().problem().as_deref(), Some("bad-context"));
    cluster.api(1).put_over("key", "both", &context);
    cluster.wait_proven(Timestamp::now());
    for api in cluster.apis() {
        assert_eq!(api.siblings("key").values, set(&["both"]));
    }
}

#[test]
fn a_delete_covers_what_was_there_and_not_what_was_written_meanwhile() {
    let mut cluster = Cluster::start(3, QUICK);
    for key in ["deleted-here", "deleted-there", "deleted-both", "over", "under"] {
        cluster.api(0).put(key, "before");
    }
    cluster.wait_equal_roots();
    concurrently(
        &mut cluster,
        |cluster| {
            let api = cluster.api(0);
            for key in ["deleted-here", "deleted-both", "over"] {
                api.delete(key);
            }
            api.put("under", "written here");
            api.put("new-here", "1");
        },
        |cluster| {
            let api = cluster.api(1);
            for key in ["deleted-there", "deleted-both", "under"] {
                api.delete(key);
            }
            api.put("over", "written there");
            api.put("new-there", "2");
        },
    );
    // And once more after further sessions and restarts: what is deleted stays deleted.
    for _ in 0..2 {
        cluster.wait_proven(Timestamp::now());
        let keys = cluster.nodes[0].view().keys;
        for key in ["deleted-here", "deleted-there", "deleted-both"] {
            cluster.assert_everywhere(key, None);
        }
        cluster.assert_everywhere("over", Some("written there"));
        cluster.assert_everywhere("under", Some("written here"));
        cluster.assert_everywhere("new-here", Some("1"));
        cluster.assert_everywhere("new-there", Some("2"));
        cluster.nodes.iter_mut().for_each(|node| node.kill9());
        cluster.start_all();
        // Not the same root as before: tombstones may have been forgotten meanwhile.
        cluster.wait_equal_roots();
        assert_eq!(cluster.nodes[0].view().keys, keys);
    }
}

#[test]
fn a_paused_node_catches_up_and_deletes_stay_deleted() {
    let cluster = Cluster::start(3, QUICK);
    for number in 0..90 {
        cluster.api(number % 3).put(&format!("k/{number}"), "before");
    }
    cluster.api(0).put("clash", "before");
    cluster.wait_equal_roots();
    cluster.nodes[2].pause();
    let change = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let (api, key) = (cluster.api(number % 2), format!("k/{number}"));
            match number % 3 {
                0 => drop(api.put(&key, format!("after {number}"))),
                1 => drop(api.delete(&key)),
                _ => drop(api.put(&format!("new/{number}"), "new")),
            }
        }
    };
    // Before the others know, while they find out, and after.
    change(0..45);
    for node in &cluster.nodes[..2] {
        node.wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
    }
    change(45..90);
    cluster.api(0).put("clash", "of those who went on");
    // A client that has sent its write to the paused node: that takes it when it wakes.
    let (api, pid) = (cluster.api(2), cluster.nodes[2].pid());
    let client = thread::spawn(move || api.try_put("clash", "of the paused"));
    thread::sleep(std::time::Duration::from_millis(200));
    assert!(signal(pid, "CONT"));
    assert!(client.join().unwrap().unwrap().is_success());
    let awake = Timestamp::now();

    cluster.wait_proven(awake);
    for node in &cluster.nodes {
        node.wait_view("all alive", |view| view.members.len() == 3 && view.others_are("alive"));
    }
    assert_changed(&cluster);
    cluster.wait_proven(Timestamp::now());
    assert_changed(&cluster);
}

fn assert_changed(cluster: &Cluster) {
    for number in 0..90 {
        let expected = match number % 3 {
            0 => Some(format!("after {number}")),
            1 => None,
            _ => Some("before".to_owned()),
        };
        cluster.assert_everywhere(&format!("k/{number}"), expected.as_deref());
        if number % 3 == 2 {
            cluster.assert_everywhere(&format!("new/{number}"), Some("new"));
        }
    }
    // Whether the paused node heard of the other write before it took its own is open; that its own is there
    // is not, and neither is that all say the same.
    let clash = cluster.api(0).siblings("clash").values;
    assert!(clash.contains("of the paused") && !clash.contains("before"), "{clash:?}");
    for api in cluster.apis() {
        assert_eq!(api.siblings("clash").values, clash);
    }
}
