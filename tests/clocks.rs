//! Clocks and lives in real processes: no write's id is ever used twice, whatever becomes of the clock and of its
//! reservation, and a clock that is wrong is named.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;
use storage::small_file;
use support::{Api, Cluster, QUICK, SOON, ask, copy_folder, json, until};

/// As the node keeps its clock's reservation.
const FORM: u32 = 1;

/// The id of the write that is shown under a key.
fn dot(api: Api, key: &str) -> String {
    let listed = api.fetch(&format!("/v1/kv?prefix={key}&limit=1")).unwrap().json();
    listed["items"][0]["dot"].as_str().unwrap().to_owned()
}

fn writer(dot: &str) -> &str {
    dot.split_once('@').unwrap().1
}

/// Milliseconds and counter.
fn time(dot: &str) -> (u64, u16) {
    let (time, counter) = dot.split_once('@').unwrap().0.split_once('.').unwrap();
    (time.parse().unwrap(), counter.parse().unwrap())
}

/// Writes a few, and says their ids.
fn write(api: Api, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            api.put("k", number.to_string());
            dot(api, "k")
        })
        .collect()
}

#[test]
fn no_id_of_a_write_is_used_twice_whatever_becomes_of_disk_and_clock() {
    let mut cluster = Cluster::start(1, QUICK);
    let (api, dir) = (cluster.api(0), cluster.nodes[0].data_dir.clone());
    let (clock, backup) = (dir.join("clock"), cluster.home().join("backup"));
    let mut seen = BTreeSet::new();
    let mut writers = BTreeSet::new();
    let mut note = |dots: Vec<String>| {
        assert_eq!(dots.iter().map(|dot| writer(dot)).collect::<BTreeSet<_>>().len(), 1, "{dots:?}");
        assert!(writers.insert(writer(&dots[0]).to_owned()), "each life is a new writer: {dots:?}");
        assert!(dots.is_sorted_by(|one, next| time(one) < time(next)), "they rise: {dots:?}");
        dots.into_iter().for_each(|dot| assert!(seen.insert(dot.clone()), "{dot} twice"));
    };
    note(write(api, 20));
    // Killed, so that nothing is said at the end.
    cluster.nodes[0].kill9();
    copy_folder(&dir, &backup);
    for _ in 0..3 {
        cluster.nodes[0].start_ready();
        note(write(api, 20));
        cluster.nodes[0].kill9();
    }
    // A disk put back: it knows nothing of the lives since.
    fs::remove_dir_all(&dir).unwrap();
    copy_folder(&backup, &dir);
    cluster.nodes[0].start_ready();
    note(write(api, 20));
    cluster.nodes[0].kill9();
    // The reservation alone put back, and none at all.
    fs::copy(backup.join("clock"), &clock).unwrap();
    cluster.nodes[0].start_ready();
    note(write(api, 20));
    cluster.nodes[0].kill9();
    fs::remove_file(&clock).unwrap();
    cluster.nodes[0].start_ready();
    note(write(api, 20));
    cluster.nodes[0].stop();
}

/// A reservation an hour ahead is what a clock leaves that was set back by an hour.
#[test]
fn a_clock_that_was_set_back_makes_no_earlier_write_and_is_named() {
    let mut cluster = Cluster::start(3, QUICK);
    cluster.api(2).put("before", "x");
    cluster.nodes[2].stop();
    let reserved_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap() + 3_600_000;
    let clock = cluster.nodes[2].data_dir.join("clock");
    small_file::save(&clock, FORM, &(reserved_ms << 16).to_be_bytes()).unwrap();
    cluster.nodes[2].start_ready();
    cluster.api(2).put("k", "from the past");
    cluster.wait_everywhere("k", Some("from the past"));
    let listed = cluster.api(2).fetch("/v1/kv?prefix=k").unwrap().json();
    let time: Timestamp = listed["items"][0]["time"].as_str().unwrap().parse().unwrap();
    assert!(time.as_millisecond() >= i64::try_from(reserved_ms).unwrap(), "{time}");
    // The others keep their time, take what it writes, and say whose clock it is.
    let ahead = until("the skew is told", SOON, || {
        let members = json(&ask(cluster.api(0), &["members", "--json"]).expect(0));
        let n3 = members["members"].as_array().unwrap().iter().find(|member| member["name"] == "n3").unwrap();
        let ahead = n3["clock_ahead_ms"].as_u64().unwrap();
        (ahead > 0).then_some(ahead).ok_or(members.to_string())
    });
    assert!((3_000_000..=3_600_000).contains(&ahead), "{ahead}");
    let metrics = cluster.api(0).fetch("/metrics").unwrap().text();
    assert!(metrics.contains("mangrove_member_clock_ahead_seconds{member=\"n3\"} 3"), "{metrics}");
    assert!(ask(cluster.api(0), &["status"]).expect(0).text().contains("timestamps from n3 were"));
    cluster.api(0).put("own", "x");
    let own = cluster.api(0).fetch("/v1/kv?prefix=own").unwrap().json();
    let own: Timestamp = own["items"][0]["time"].as_str().unwrap().parse().unwrap();
    assert!(own < Timestamp::now() + jiff::SignedDuration::from_secs(10), "it did not follow: {own}");
    // Nobody stopped for it.
    cluster.wait_equal_roots();
    cluster.api(1).put("k", "later");
    cluster.wait_everywhere("k", Some("later"));
}
