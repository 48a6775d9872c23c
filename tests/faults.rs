//! Faults as they come in operation, on real processes and a real disk: a node killed over and over in mid write, a
//! disk that fills up, a rolling restart under load, members cut off from each other in turn. What clients were told is
//! in a ledger, and the cluster is held to it.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use support::{Cluster, QUICK, SmallDisk, Workload, noise};

const KILLS: usize = 200;
/// All that was acknowledged is looked at after so many kills, and at the end.
const KILLS_A_LOOK: usize = 25;

#[test]
fn nothing_acknowledged_is_lost_by_hundreds_of_kills_in_mid_write() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(1, &[]);
    let one = cluster.apis();
    let mut killed = 0;
    while killed < KILLS {
        let prefix = format!("after{killed}");
        Workload::prepare(one[0], &prefix);
        let workload = Workload::start(&one, 3, &prefix);
        for _ in 0..KILLS_A_LOOK {
            workload.wait_more(&one, 1);
            sleep(Duration::from_millis(rng.random_range(0..40)));
            cluster.nodes[0].kill9();
            killed += 1;
            cluster.nodes[0].start_ready();
        }
        let ledger = workload.finish();
        ledger.assert_kept_by(&one);
    }
    println!("{killed} kills");
}

/// What a node may still forget nobody else knows: not with interval durability either, where a kill takes what was
/// acknowledged within about a second.
#[test]
fn with_interval_durability_nobody_else_has_what_a_killed_node_forgot() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(2, &["--durability", "interval"]);
    let (one, two) = (cluster.api(0), cluster.api(1));
    for round in 0..6 {
        let prefix = format!("round{round}/");
        let writing = {
            let prefix = prefix.clone();
            let write = move |n: &usize| {
                one.try_put(&format!("{prefix}{n}"), "x").is_ok_and(|answer| answer.is_success())
            };
            std::thread::spawn(move || (0..).take_while(write).count())
        };
        sleep(Duration::from_millis(rng.random_range(300..2_500)));
        cluster.nodes[0].kill9();
        let acknowledged = writing.join().unwrap();
        let told = two.keys(&prefix);
        // Nobody is there to tell it.
        cluster.nodes[1].kill9();
        cluster.nodes[0].start_ready();
        let kept: BTreeSet<String> = one.keys(&prefix).into_iter().collect();
        println!("{acknowledged} acknowledged, {} kept, {} told", kept.len(), told.len());
        let unknown: Vec<_> = told.iter().filter(|key| !kept.contains(*key)).collect();
        assert!(unknown.is_empty(), "n2 was told of what n1 could still forget: {unknown:?}");
        cluster.nodes[1].start_ready();
        cluster.wait_equal_roots();
    }
}

#[test]
fn a_disk_that_fills_up_stops_one_node_and_loses_nothing() {
    let Some(disk) = SmallDisk::mounted(40) else {
        println!(
            "SKIPPED: no small disk may be mounted here; tests/damage.rs has a limit on files in its place"
        );
        return;
    };
    let mut cluster = Cluster::planned(3, QUICK);
    cluster.nodes[2].data_dir = disk.path().join("n3");
    cluster.start_all();
    let (full, others) = (cluster.api(2), [cluster.api(0), cluster.api(1)]);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = full.try_put(&format!("k/{acknowledged}"), noise(acknowledged, 100_000)).unwrap();
        if !answer.is_success() {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 2_000, "the disk does not fill up");
    };
    assert_eq!((refused.status, refused.problem().as_deref()), (503, Some("writes-stopped")));
    assert!(refused.text().contains("No space left"), "{}", refused.text());
    let ready = full.fetch("/readyz").unwrap();
    assert!(ready.status == 503 && ready.text().contains("No space left"), "{}", ready.text());
    // The others go on as if nothing had happened.
    for number in 0..20 {
        others[number % 2].put(&format!("later/{number}"), "x");
    }
    cluster.nodes[2].terminate();
    cluster.nodes[2].wait_end();
    disk.grow(400);
    cluster.nodes[2].start_ready();
    cluster.wait_proven(Timestamp::now());
    for api in cluster.apis() {
        for number in 0..acknowledged {
            let value = api.value(&format!("k/{number}"));
            assert!(value == Some(noise(number, 100_000)), "k/{number} at {}", api.address);
        }
        assert_eq!(api.keys("later/").len(), 20);
    }
    full.put("again", "x");
}

#[test]
fn a_rolling_restart_under_load_loses_nothing_and_stops_nobody_else() {
    let mut cluster = Cluster::start(3, QUICK);
    let all = cluster.apis();
    let workload = cluster.workload(2, "w");
    let mut returned = Timestamp::now();
    for node in [0, 1, 2, 0, 1, 2] {
        workload.wait_more(&all, 30);
        cluster.nodes[node].stop();
        let others = cluster.apis_but(node);
        workload.wait_more(&others, 30);
        cluster.nodes[node].start_ready();
        returned = Timestamp::now();
    }
    workload.wait_more(&all, 30);
    let ledger = workload.finish();
    cluster.wait_proven(returned);
    ledger.assert_kept_by(&all);
}

/// A partition is a drill here: the node neither sends nor takes anything from the others, and serves its clients.
#[test]
fn members_cut_off_in_turn_keep_to_what_they_acknowledged() {
    let mut cluster = Cluster::start(3, &["--repair-interval", "200ms", "--allow-drills"]);
    let all = cluster.apis();
    let workload = cluster.workload(2, "w");
    for (cut, seconds) in [(vec![2], 4), (vec![0], 4), (vec![0, 1], 3), (vec![1], 6)] {
        for node in cut {
            let begun = all[node].send(
                Method::POST,
                "/v1/drills",
                &[("content-type", "application/json")],
                format!(r#"{{"isolate": "{seconds}s"}}"#),
            );
            assert_eq!(begun.unwrap().status, 202);
        }
        // Both sides go on meanwhile.
        workload.wait_more(&all, 40);
        sleep(Duration::from_secs(seconds));
        workload.wait_more(&all, 10);
    }
    let ledger = workload.finish();
    let ended = Timestamp::now();
    cluster.wait_proven(ended);
    ledger.assert_kept_by(&all);
    assert!(ledger.read_back() > 100, "hardly anything was read back");
    cluster.nodes.iter_mut().for_each(|node| node.stop());
}
