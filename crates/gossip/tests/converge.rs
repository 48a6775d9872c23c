//! Whole clusters of cores: they converge by rumors, by sessions, after cuts and after crashes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use gossip::core::{CoreConfig, Event, ReplyId, Serving};
use gossip::founding::{JoinRequest, WireVersions};
use gossip::wire::WIRE_VERSION;
use rand::RngExt;
use support::{Cluster, id, key, rumors_only, sessions_only};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn rumors_alone_reach_all_live_members() {
    let mut cluster = Cluster::new(3, 1, rumors_only());
    cluster.run(secs(3));
    for i in 0..100 {
        cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "v", None);
    }
    cluster.run(Duration::from_millis(100));
    cluster.assert_equal();
    assert_eq!(cluster.nodes[&id(2)].store.counts().keys, 100);
}

#[test]
fn sessions_alone_converge() {
    let mut cluster = Cluster::new(5, 2, sessions_only());
    cluster.run(secs(3));
    for i in 0..500 {
        cluster.put(id(i % 5 + 1), &key(&format!("k{i}")), "v", None);
    }
    cluster.run(secs(12));
    cluster.assert_equal();
    assert_eq!(cluster.nodes[&id(4)].store.counts().keys, 500);
}

/// Sessions come every interval again as soon as something is written, and the writer looks at each member.
#[test]
fn what_rumors_lose_in_a_quiet_cluster_is_found_as_soon_as_in_a_busy_one() {
    for (members, within) in [(2, 2), (3, 3), (7, 6)] {
        for seed in 0..10 {
            let mut cluster = Cluster::new(members, seed, sessions_only());
            cluster.run(secs(120) + Duration::from_millis(seed * 911));
            cluster.put_unheard(id(1), &key("k"), "v", None);
            cluster.run(secs(within));
            assert!(cluster.roots_equal(), "{members} members, seed {seed}");
            for member in 1..=members {
                assert_eq!(cluster.values(id(member), &key("k")), ["v"]);
            }
        }
    }
}

/// The only one that knows of a write dies after it has told one other member.
#[test]
fn a_write_whose_writer_died_is_still_brought_to_all_at_once() {
    let mut cluster = Cluster::new(3, 5, sessions_only());
    cluster.run(secs(120));
    cluster.put(id(1), &key("k"), "v", None);
    while cluster.get(id(2), &key("k")).is_none() && cluster.get(id(3), &key("k")).is_none() {
        cluster.run(Duration::from_millis(1));
    }
    cluster.kill(id(1));
    // One of them may be waiting, for 3 s at most, for the dead one to answer its opening.
    cluster.run(secs(4));
    assert!(cluster.roots_equal());
    assert_eq!(cluster.values(id(2), &key("k")), ["v"]);
}

#[test]
fn both_sides_of_a_cut_write_and_meet_again() {
    let mut cluster = Cluster::new(3, 3, CoreConfig::default());
    cluster.run(secs(3));
    for k in ["kept", "both", "gone", "over"] {
        cluster.put(id(1), &key(k), "old", None);
    }
    cluster.run(secs(1));
    cluster.assert_equal();
    cluster.cut = [id(3)].into();
    cluster.run(secs(8));
    cluster.put(id(3), &key("both"), "three", None);
    cluster.put(id(1), &key("both"), "one", None);
    cluster.delete(id(3), &key("gone"));
    cluster.put(id(2), &key("over"), "new", None);
    cluster.run(secs(2));
    assert!(!cluster.roots_equal());
    cluster.cut.clear();
    cluster.run(secs(8));
    cluster.assert_equal();
    for n in 1..=3 {
        let mut both = cluster.values(id(n), &key("both"));
        both.sort();
        assert_eq!(both, ["one", "three"], "concurrent writes are both there");
        assert!(cluster.get(id(n), &key("gone")).unwrap().is_tombstone());
        assert_eq!(cluster.values(id(n), &key("over")), ["new"]);
        assert_eq!(cluster.values(id(n), &key("kept")), ["old"]);
    }
}

#[test]
fn a_member_killed_and_restarted_is_proven_identical() {
    let mut cluster = Cluster::new(3, 4, CoreConfig::default());
    cluster.run(secs(3));
    for i in 0..50 {
        cluster.put(id(2), &key(&format!("a{i}")), "v", None);
    }
    cluster.kill(id(2));
    for i in 0..50 {
        cluster.put(id(1), &key(&format!("b{i}")), "v", None);
    }
    cluster.run(secs(10));
    let before = cluster.now;
    cluster.restart(id(2));
    cluster.run(secs(5));
    cluster.assert_equal();
    let status = cluster.nodes[&id(1)].status.clone().unwrap();
    let proven = status.members.iter().find(|m| m.id == id(2)).unwrap().last_identical_ms.unwrap();
    assert!(proven > 1_700_000_000_000 + before.as_millis() as u64);
}

#[test]
fn a_large_entry_travels_in_pieces_and_is_applied_whole() {
    let mut cluster = Cluster::new(2, 5, CoreConfig::default());
    cluster.run(secs(3));
    let large = "x".repeat(9 << 20);
    cluster.put(id(1), &key("large"), &large, None);
    cluster.put(id(1), &key("small"), "v", None);
    cluster.run(secs(3));
    cluster.assert_equal();
    assert_eq!(cluster.values(id(2), &key("large")), [large]);
}

fn failed_sessions(cluster: &Cluster) -> Vec<&String> {
    cluster.trace.iter().filter(|line| line.contains("Abort")).collect()
}

/// Each side names more than the windows hold while the other is busy with data.
#[test]
fn many_overwritten_keys_are_repaired_by_one_session() {
    let mut cluster = Cluster::new(2, 6, sessions_only());
    cluster.run(secs(3));
    for value in ["v".to_owned(), "x".repeat(8_000)] {
        for i in 0..16_000 {
            cluster.put(id(1), &key(&format!("k{i}")), &value, None);
        }
        cluster.tracing = true;
        cluster.run(secs(4));
        cluster.assert_equal();
    }
    assert_eq!(failed_sessions(&cluster), Vec::<&String>::new());
}

/// Nothing is searched or named: no bound on names holds.
#[test]
fn an_empty_member_is_filled_by_one_session_however_much_it_lacks() {
    let mut cluster = Cluster::new(2, 8, sessions_only());
    cluster.run(secs(3));
    cluster.kill(id(2));
    for i in 0..140_000 {
        cluster.put(id(1), &key(&format!("k{i}")), "v", None);
    }
    cluster.tracing = true;
    cluster.restart(id(2));
    cluster.meet(id(1), id(2));
    cluster.run(secs(6));
    cluster.assert_equal();
    assert_eq!(failed_sessions(&cluster), Vec::<&String>::new());
    let status = cluster.nodes[&id(1)].status.clone().unwrap();
    assert!(status.members.iter().any(|m| m.id == id(2) && m.last_identical_ms.is_some()));
}

/// Bytes a second are kept to, and whoever waits for them is told so: the session lives.
#[test]
fn a_limit_slows_repair_down_and_ends_no_session() {
    let mut config = sessions_only();
    config.governor.max_bytes_per_second = NonZeroU64::new(10_000);
    let mut cluster = Cluster::new(2, 12, config);
    cluster.run(secs(3));
    cluster.meet(id(1), id(2));
    for i in 0..4_000 {
        cluster.put(id(1), &key(&format!("k{i}")), &"v".repeat(90), None);
    }
    cluster.run(secs(10));
    let held = cluster.nodes[&id(2)].store.counts().keys;
    assert!(held < 3_000, "{held} keys of 150 bytes within 10 s");
    cluster.run(secs(80));
    cluster.assert_equal();
    for n in 1..=2 {
        let status = cluster.nodes[&id(n)].status.clone().unwrap();
        assert!(
            status.session_failures.keys().all(|kind| kind.contains("gone")),
            "{:?}",
            status.session_failures
        );
    }
}

/// Removed while it was away, under its name a twin; when it returns it must learn it and serve nothing.
#[test]
fn a_member_that_was_removed_while_away_learns_it() {
    let mut cluster = Cluster::new(3, 9, CoreConfig::default());
    cluster.run(secs(3));
    cluster.cut = [id(3)].into();
    cluster.run(secs(8));
    let twin = JoinRequest {
        node: id(99),
        name: "n3".into(),
        gossip: "twin:7711".into(),
        http: "twin:7710".into(),
        wire: WireVersions { oldest: WIRE_VERSION, newest: WIRE_VERSION },
        may_found: false,
        cluster: None,
    };
    for _ in 0..2 {
        let request = twin.encode().into();
        cluster.event(id(1), Event::JoinAsked { reply: ReplyId(1), request });
        cluster.run(secs(1));
    }
    let names = |cluster: &Cluster, n| -> Vec<_> {
        cluster.nodes[&id(n)].status.as_ref().unwrap().members.iter().map(|m| m.id).collect()
    };
    assert_eq!(names(&cluster, 2), [id(1), id(2), id(99)], "two of three promised");
    assert_eq!(cluster.nodes[&id(3)].status.as_ref().unwrap().serving, Serving::Yes);
    cluster.cut.clear();
    let life = cluster.nodes[&id(3)].life;
    let address = Some("n3:7711".to_owned());
    cluster.event(id(1), Event::Connected { peer: id(3), life, address });
    cluster.run(secs(1));
    assert_eq!(cluster.nodes[&id(3)].status.as_ref().unwrap().serving, Serving::Removed);
}

/// Habit of every replay: the same seed gives the same frames, byte for byte.
#[test]
fn two_runs_of_one_seed_are_equal() {
    let run = || {
        let mut cluster = Cluster::new(4, 21, CoreConfig::default());
        cluster.tracing = true;
        cluster.loss = 0.1;
        for step in 0..40 {
            let at = id(cluster.rng.random_range(1..=4));
            cluster.put(at, &key(&format!("k{}", step % 7)), &step.to_string(), None);
            match step {
                10 => cluster.cut = [id(2)].into(),
                20 => cluster.kill(id(3)),
                30 => {
                    cluster.cut.clear();
                    cluster.restart(id(3));
                }
                _ => {}
            }
            cluster.run(Duration::from_millis(400));
        }
        (cluster.trace, cluster.traffic)
    };
    let (first, second) = (run(), run());
    assert!(first.0.len() > 100);
    assert_eq!(first, second);
}

/// Random writes, deletes, cuts and crashes; afterwards all is equal and nothing acknowledged is gone.
#[test]
fn whatever_happens_replicas_become_identical_and_nothing_acknowledged_is_lost() {
    for seed in 0..40 {
        let config = if seed % 3 == 0 { sessions_only() } else { CoreConfig::default() };
        let mut cluster = Cluster::new(2 + seed % 4, seed, config);
        cluster.loss = 0.1;
        cluster.run(secs(3));
        let n = cluster.nodes.len() as u64;
        // Each key is written by one node only, so its last acknowledged state is what must be there.
        let mut ledger: BTreeMap<String, Option<String>> = BTreeMap::new();
        for step in 0..60u32 {
            let at = id(cluster.rng.random_range(1..=n));
            match cluster.rng.random_range(0..20) {
                0 => cluster.cut = [at].into(),
                1 => cluster.cut.clear(),
                2 if cluster.nodes[&at].up => cluster.kill(at),
                3 => {
                    let down: Vec<_> = cluster.nodes.iter().filter(|(_, n)| !n.up).map(|(i, _)| *i).collect();
                    down.into_iter().for_each(|i| cluster.restart(i));
                }
                _ if cluster.nodes[&at].up => {
                    let k = format!("{}/{}", at.0, cluster.rng.random_range(0..8));
                    if cluster.rng.random_bool(0.3) {
                        cluster.delete(at, &key(&k));
                        ledger.insert(k, None);
                    } else {
                        cluster.put(at, &key(&k), &step.to_string(), None);
                        ledger.insert(k, Some(step.to_string()));
                    }
                }
                _ => {}
            }
            let pause = cluster.rng.random_range(0..1500);
            cluster.run(Duration::from_millis(pause));
        }
        cluster.cut.clear();
        let down: Vec<_> = cluster.nodes.iter().filter(|(_, n)| !n.up).map(|(i, _)| *i).collect();
        down.into_iter().for_each(|i| cluster.restart(i));
        cluster.run(secs(30));
        // A watermark that has just moved has not reached everybody yet.
        for _ in 0..60 {
            if !cluster.roots_equal() {
                cluster.run(secs(1));
            }
        }
        cluster.assert_equal();
        for (k, value) in &ledger {
            for i in 1..=n {
                let want: Vec<String> = value.iter().cloned().collect();
                assert_eq!(cluster.values(id(i), &key(k)), want, "seed {seed} key {k} at {i}");
            }
        }
    }
}
