//! What a session costs, exactly: frames, round trips and bytes, over divergences.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::CoreConfig;
use gossip::session::{Outcome, Report};
use model::{Context, Dot, Entry, Expiry, Hlc, Key, Sibling, WriterId};
use support::{Cluster, Traffic, id, key, sessions_only};

const KEYS: usize = 20_000;
const START_MS: u64 = 1_699_990_000_000;

fn number(i: usize) -> Key {
    key(&format!("key/{i:016}"))
}

/// Rows of 20-byte keys that one life has written within an hour.
fn rows(count: usize, value: &str) -> Vec<(Key, Entry)> {
    let row = |i: usize| {
        let dot = Dot { hlc: Hlc::new(START_MS + i as u64 * 37_337 % 3_600_000, 0), writer: WriterId(77) };
        let mut entry = Entry::default();
        let sibling = Sibling::new(dot, Bytes::from(value.to_owned()), None, Expiry::NEVER);
        entry.write(&Context::default(), dot, Some(sibling));
        (number(i), entry)
    };
    (0..count).map(row).collect()
}

/// Two members, the first holding these rows and the second so many of them.
fn two(rows: &[(Key, Entry)], second: usize) -> Cluster {
    let mut cluster = Cluster::new(2, 7, sessions_only());
    cluster.run(Duration::from_secs(6));
    for (member, held) in [(1, rows), (2, &rows[..second])] {
        cluster.nodes[&id(member)].store.merge(held).unwrap();
        cluster.nodes[&id(member)].store.flush().unwrap();
    }
    cluster
}

/// Runs until the first session is over, and gives what its initiator says of it. Both sides agree on what it cost.
fn session(cluster: &mut Cluster) -> Report {
    cluster.traffic = Traffic::default();
    let of = |cluster: &Cluster, member: u64| {
        let status = cluster.nodes[&id(member)].status.clone().unwrap();
        status.repairs.into_iter().find(|report| report.outcome == Some(Outcome::Identical))
    };
    let reports = loop {
        cluster.run(Duration::from_millis(1));
        if let (Some(one), Some(other)) = (of(cluster, 1), of(cluster, 2)) {
            break [one, other];
        }
        assert!(cluster.now < Duration::from_secs(20), "no session");
    };
    cluster.assert_equal();
    let [one, other] = reports.clone();
    assert_eq!((one.bytes_sent, one.bytes_received), (other.bytes_received, other.bytes_sent));
    assert_eq!((one.bytes_find, one.bytes_names), (other.bytes_find, other.bytes_names));
    assert_eq!(
        (one.bytes_ideal, one.round_trips, one.found),
        (other.bytes_ideal, other.round_trips, other.found)
    );
    assert_eq!((one.sent, one.received, one.frames), (other.received, other.sent, other.frames));
    reports.into_iter().find(|report| report.initiated).unwrap()
}

fn total(report: &Report) -> u64 {
    report.bytes_sent + report.bytes_received
}

/// How keys differ: overwritten on one of the sides, or there on one of them only.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Mixed,
    Updated,
    Missing,
    Cluster,
}

/// The session that repairs so many of [`KEYS`] with 128-byte values.
fn repair(differ: usize, shape: Shape) -> Report {
    let value = "v".repeat(128);
    let mut cluster = two(&rows(KEYS, &value), KEYS);
    for i in 0..differ {
        let step = if matches!(shape, Shape::Cluster) { 1 } else { KEYS / differ };
        let updated = match shape {
            Shape::Mixed => i % 2 == 0,
            Shape::Updated | Shape::Cluster => true,
            Shape::Missing => false,
        };
        let at = id(1 + i as u64 / 2 % 2);
        let key = number(if updated { i * step } else { KEYS + i });
        cluster.put(at, &key, &"w".repeat(128), None);
    }
    session(&mut cluster)
}

#[test]
fn a_check_of_two_equal_members_is_one_round_trip_under_200_bytes() {
    for keys in [10, 1_000, KEYS] {
        let rows = rows(keys, "v");
        let mut cluster = two(&rows, keys);
        cluster.traffic = Traffic::default();
        while cluster.traffic.session_frames == 0 {
            cluster.run(Duration::from_millis(1));
        }
        cluster.run(Duration::from_millis(20));
        let traffic = cluster.traffic;
        assert_eq!(traffic.session_frames, 2, "one there, one back");
        assert!(traffic.session_bytes < 200, "{} bytes at {keys} keys", traffic.session_bytes);
    }
}

/// What three members exchange in a minute in which nothing happens, and how many events a member handles.
#[test]
fn the_cost_of_doing_nothing() {
    let mut cluster = Cluster::new(3, 7, CoreConfig::default());
    cluster.run(Duration::from_secs(5));
    for i in 0..100 {
        cluster.put(id(1 + i as u64 % 3), &number(i), "v", None);
    }
    cluster.run(Duration::from_secs(60));
    cluster.assert_equal();
    (cluster.traffic, cluster.events) = (Traffic::default(), 0);
    cluster.run(Duration::from_secs(60));
    let Traffic { frames, bytes, session_frames, heartbeats, heartbeat_bytes, .. } = cluster.traffic;
    assert_eq!(frames, session_frames, "something else was sent");
    insta::assert_snapshot!(format!(
        "in 60 s between three members: {frames} frames of {bytes} bytes, {heartbeats} heartbeats of \
         {heartbeat_bytes} bytes, {} events",
        cluster.events
    ));
}

#[test]
fn the_cost_of_a_repair() {
    let mut table = String::from(
        "keys differ: method, round trips, frames, bytes to find, names, in all, ideal, ratio\n",
    );
    for (differ, shape) in [
        (1, Shape::Updated),
        (10, Shape::Mixed),
        (100, Shape::Mixed),
        (1_000, Shape::Mixed),
        (1_000, Shape::Updated),
        (1_000, Shape::Missing),
        (1_000, Shape::Cluster),
    ] {
        let report = repair(differ, shape);
        let ratio = total(&report) as f64 / report.bytes_ideal as f64;
        writeln!(
            table,
            "{differ} {shape:?}: {}, {} trips, {} frames, {} {} {} {} {ratio:.2}",
            report.method.unwrap(),
            report.round_trips,
            report.frames,
            report.bytes_find,
            report.bytes_names,
            total(&report),
            report.bytes_ideal,
        )
        .unwrap();
        assert_eq!(report.sent + report.received, differ as u64);
        // Where less differs, the openings and the last frames weigh more.
        assert!(differ < 100 || ratio <= 1.3, "{ratio} times the ideal");
        // Keys that share a unit of the sketch with one that differs are named as well.
        assert!(
            (differ..=differ + differ / 100).contains(&(report.found as usize)),
            "{} named",
            report.found
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_member_that_lost_everything_is_filled_by_one_session_for_less_than_150_bytes_a_row() {
    let rows = rows(KEYS, &"v".repeat(64));
    let mut table = String::from("held: method, round trips, frames, bytes to find, names, in all, a row\n");
    for held in [0, 100] {
        let report = session(&mut two(&rows, held));
        let a_row = total(&report) as f64 / (KEYS - held) as f64;
        writeln!(
            table,
            "{held}: {}, {} trips, {} frames, {} {} {} {a_row:.1}",
            report.method.unwrap(),
            report.round_trips,
            report.frames,
            report.bytes_find,
            report.bytes_names,
            total(&report),
        )
        .unwrap();
        assert!(a_row < 150.0, "{a_row} bytes a row");
        assert_eq!(report.sent + report.received, (KEYS - held) as u64);
    }
    insta::assert_snapshot!(table);
}

/// The side that is filled changes more than its frozen view could remember.
#[test]
fn a_fill_is_one_session_however_much_there_is() {
    let rows = rows(storage::VIEW_CHANGES_MAX + 1_000, "v");
    let mut cluster = two(&rows, 100);
    // Nothing but the session itself may end with this outcome: an earlier one would have ended in a failure.
    let report = session(&mut cluster);
    assert_eq!(report.received + report.sent, rows.len() as u64 - 100);
    let failures = &cluster.nodes[&id(2)].status.as_ref().unwrap().session_failures;
    assert!(failures.is_empty(), "{failures:?}");
}
