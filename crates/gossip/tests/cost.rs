//! What a session costs, exactly: frames and bytes, over divergences.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fmt::Write;
use std::time::Duration;

use support::{Cluster, Traffic, id, key, sessions_only};

/// Two members with `common` equal keys of which `differ` were then overwritten at one of them, and the traffic of the
/// one session that repairs them (`differ` = 0: of the one that finds nothing to do).
fn session(common: usize, differ: usize) -> (Traffic, Cluster) {
    let mut cluster = Cluster::new(2, 7, sessions_only());
    for i in 0..common {
        cluster.put(id(1), &key(&format!("key/{i:012}")), "some value", None);
    }
    cluster.run(Duration::from_secs(6));
    cluster.assert_equal();
    for i in 0..differ {
        cluster.put(id(1), &key(&format!("key/{:012}", i * (common / differ))), "another", None);
    }
    cluster.traffic = Traffic::default();
    while cluster.traffic.session_frames == 0 {
        cluster.run(Duration::from_millis(1));
    }
    cluster.run(Duration::from_millis(120));
    (cluster.traffic, cluster)
}

#[test]
fn a_check_of_two_equal_members_is_one_round_trip_under_200_bytes() {
    for keys in [10, 1_000, 20_000] {
        let (traffic, _) = session(keys, 0);
        assert_eq!(traffic.session_frames, 2, "one there, one back");
        assert!(traffic.session_bytes < 200, "{} bytes at {keys} keys", traffic.session_bytes);
    }
}

#[test]
fn the_cost_of_a_repair() {
    let mut table = String::from("keys differ: session frames, bytes in all\n");
    for (common, differ) in
        [(1_000, 0), (1_000, 1), (1_000, 10), (20_000, 1), (20_000, 10), (20_000, 100), (20_000, 1_000)]
    {
        let (traffic, cluster) = session(common, differ);
        cluster.assert_equal();
        writeln!(table, "{common} {differ}: {} {}", traffic.session_frames, traffic.session_bytes).unwrap();
    }
    insta::assert_snapshot!(table);
}
