//! What deletes and expiries give back: tree, sketch and rows on disk. `mangrove bench load --scenario deletes` and `ttl`
//! do it with a million keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use gossip::core::CoreConfig;
use model::Key;
use storage::{Engine, Part, Space, Waiting};
use support::{Cluster, id, key};

const KEYS: u64 = 2_000;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn name(n: u64) -> Key {
    key(&format!("k{n}"))
}

/// Rows in each space of each member that is up, its own notes aside.
fn rows(cluster: &Cluster) -> Vec<usize> {
    let up = cluster.nodes.values().filter(|node| node.up);
    up.map(|node| {
        let mut rows = 0;
        for space in Space::ALL.into_iter().filter(|space| *space != Space::Notes) {
            let mut count = |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            node.engine.range(space, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut count).unwrap();
        }
        rows
    })
    .collect()
}

fn tree_bytes(cluster: &Cluster) -> Vec<usize> {
    cluster.nodes.values().filter(|node| node.up).map(|node| node.store.tree_bytes()).collect()
}

#[test]
fn deletes_give_back_tree_and_sketch_within_a_minute_and_the_rows_after_the_grace() {
    let mut cluster = Cluster::new(3, 51, CoreConfig::default());
    cluster.run(secs(5));
    let empty = tree_bytes(&cluster);
    for n in 0..KEYS {
        cluster.put(id(n % 3 + 1), &name(n), "v", None);
    }
    cluster.run(secs(20));
    let full = tree_bytes(&cluster);
    assert!(full.iter().zip(&empty).all(|(full, empty)| *full > 2 * empty), "{empty:?} {full:?}");
    // A name and an entry each.
    assert_eq!(rows(&cluster), [2 * KEYS as usize; 3]);
    for n in 0..KEYS {
        cluster.delete(id((n + 1) % 3 + 1), &name(n));
    }
    let deleted = cluster.now;
    cluster.run(secs(60));
    for node in cluster.nodes.values() {
        let Waiting { tombstones, purged, .. } = node.store.waiting();
        assert_eq!((tombstones, purged, node.store.root().count), (0, KEYS, 0));
    }
    cluster.run(deleted + CoreConfig::default().grace + secs(60) - cluster.now);
    assert_eq!(rows(&cluster), [0; 3]);
    for node in cluster.nodes.values() {
        assert_eq!(node.store.waiting(), Waiting::default());
    }
    let left = tree_bytes(&cluster);
    assert!(left.iter().zip(&empty).all(|(left, empty)| left <= empty), "{empty:?} {full:?} {left:?}");
    cluster.assert_equal();
}

#[test]
fn keys_with_a_ttl_vanish_although_a_member_is_down() {
    let mut cluster = Cluster::new(3, 52, CoreConfig::default());
    cluster.run(secs(30));
    let empty = tree_bytes(&cluster)[0];
    cluster.kill(id(3));
    for n in 0..KEYS {
        cluster.put_to_expire(id(n % 2 + 1), &name(n), "v", None, Some(secs(30)));
    }
    let written = cluster.now;
    cluster.run(secs(15));
    assert_eq!(cluster.nodes[&id(1)].store.counts().keys, KEYS);
    cluster.run(written + secs(30) + secs(60) - cluster.now);
    assert_eq!(rows(&cluster), [0; 2]);
    for node in cluster.nodes.values().filter(|node| node.up) {
        assert_eq!((node.store.root().count, node.store.waiting()), (0, Waiting::default()));
    }
    // The tree shrinks by a step whenever the horizon moves.
    cluster.run(secs(60));
    for node in cluster.nodes.values().filter(|node| node.up) {
        assert!(node.store.tree_bytes() <= empty, "{} {empty}", node.store.tree_bytes());
    }
    cluster.restart(id(3));
    cluster.run(secs(30));
    assert_eq!(rows(&cluster), [0; 3]);
    cluster.assert_equal();
}
