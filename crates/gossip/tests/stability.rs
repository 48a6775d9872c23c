//! Deletes are forgotten, and stay deleted: watermarks rise, tombstones go, rumors bring nothing back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

use gossip::core::{CoreConfig, Serving, Status};
use gossip::roster::Add;
use gossip::stability::Cause;
use gossip::wire::{Frame, Rumor};
use model::{Context, Dot, Entry, Expiry, Hlc, Key, Sibling, WriterId};
use storage::{Batch, Engine, MemoryEngine, Part, Space};
use support::{Cluster, id, key, sessions_only};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn status(cluster: &Cluster, member: u64) -> &Status {
    cluster.nodes[&id(member)].status.as_ref().unwrap()
}

fn watermark(cluster: &Cluster, member: u64) -> Hlc {
    status(cluster, member).forgetting.watermark
}

fn tombstones(cluster: &Cluster) -> Vec<u64> {
    cluster.nodes.values().filter(|node| node.up).map(|node| node.store.counts().tombstones).collect()
}

/// The time of the last write that a member holds under a key.
fn newest(cluster: &Cluster, member: u64, k: &Key) -> Hlc {
    cluster.get(id(member), k).unwrap().context().newest()
}

#[test]
fn in_a_healthy_cluster_the_watermark_passes_the_last_write_within_a_minute() {
    for (members, config) in
        [(1, sessions_only()), (2, sessions_only()), (3, CoreConfig::default()), (7, CoreConfig::default())]
    {
        let mut cluster = Cluster::new(members, 31, config);
        cluster.run(secs(47));
        for i in 0..30 {
            cluster.put(id(i % members + 1), &key(&format!("k{i}")), "v", None);
        }
        let last = newest(&cluster, 29 % members + 1, &key("k29"));
        cluster.run(secs(60));
        cluster.assert_equal();
        for member in 1..=members {
            assert!(watermark(&cluster, member) > last, "{members} members: {:?}", status(&cluster, member));
        }
    }
}

#[test]
fn tombstones_leave_all_trees_within_a_minute_and_the_disks_after_the_grace() {
    let mut cluster = Cluster::new(3, 32, CoreConfig::default());
    cluster.run(secs(5));
    for i in 0..50 {
        cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "v", None);
    }
    cluster.run(secs(3));
    let full = cluster.nodes[&id(1)].store.root();
    for i in 0..40 {
        cluster.delete(id((i + 1) % 3 + 1), &key(&format!("k{i}")));
    }
    let deleted = cluster.now;
    cluster.run(secs(2));
    assert_eq!(tombstones(&cluster), [40; 3]);
    cluster.run(secs(58));
    assert_eq!(tombstones(&cluster), [0; 3], "{:?}", status(&cluster, 1).forgetting);
    cluster.assert_equal();
    assert_ne!(cluster.nodes[&id(1)].store.root(), full);
    assert!(cluster.get(id(2), &key("k7")).unwrap().is_tombstone(), "merges still see it");
    // The disks within the grace and a minute.
    cluster.run(deleted + CoreConfig::default().grace + secs(60) - cluster.now);
    for member in 1..=3 {
        assert_eq!(cluster.get(id(member), &key("k7")), None, "gone from the disk");
        assert_eq!(cluster.nodes[&id(member)].store.counts().keys, 10);
    }
    cluster.assert_equal();
}

/// Sessions are rare where nothing happens; what a step of the watermark takes out of one tree leaves the others soon.
#[test]
fn roots_differ_for_a_second_at_most_where_tombstones_leave_a_quiet_cluster() {
    for seed in 0..10 {
        let mut cluster = Cluster::new(3, 700 + seed, CoreConfig::default());
        cluster.run(secs(40));
        for i in 0..20 {
            cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "v", None);
        }
        cluster.run(secs(1));
        for i in 0..10 {
            cluster.delete(id(i % 3 + 1), &key(&format!("k{i}")));
        }
        cluster.run(secs(2));
        assert_eq!(tombstones(&cluster), [10; 3]);
        let (mut differs, mut longest) = (0, 0);
        for _ in 0..1_200 {
            cluster.run(Duration::from_millis(50));
            let roots: Vec<_> = cluster.nodes.values().map(|node| node.store.root()).collect();
            differs = if roots.iter().all(|root| *root == roots[0]) { 0 } else { differs + 1 };
            longest = differs.max(longest);
        }
        assert_eq!(tombstones(&cluster), [0; 3]);
        assert!(longest <= 20, "seed {seed}: roots differed for {} ms", longest * 50);
    }
}

#[test]
fn one_member_down_stalls_the_watermark_and_nothing_else() {
    let mut cluster = Cluster::new(3, 33, CoreConfig::default());
    cluster.run(secs(45));
    cluster.put(id(1), &key("k"), "old", None);
    cluster.run(secs(1));
    let stood = watermark(&cluster, 1);
    cluster.kill(id(3));
    let died = cluster.now;
    cluster.run(secs(10));
    cluster.delete(id(2), &key("k"));
    cluster.put(id(1), &key("other"), "new", None);
    let deleted = newest(&cluster, 2, &key("k"));
    cluster.run(secs(120));
    cluster.assert_equal();
    assert_eq!(tombstones(&cluster), [1, 1]);
    for member in 1..=2 {
        let seen = status(&cluster, member);
        assert_eq!(
            (&seen.serving, cluster.values(id(member), &key("other"))),
            (&Serving::Yes, vec!["new".into()])
        );
        assert!((stood..deleted).contains(&seen.forgetting.watermark), "{:?}", seen.forgetting);
        let waits = seen.forgetting.waits.unwrap();
        assert_eq!(waits.member, id(3));
        let since = waits.since.millis() - 1_700_000_000_000;
        assert!(since <= died.as_millis() as u64 && since + 30_000 > died.as_millis() as u64, "{since}");
        assert!(seen.forgetting.horizon > deleted, "the horizon does not wait");
    }
    cluster.restart(id(3));
    cluster.run(secs(60));
    assert_eq!(tombstones(&cluster), [0; 3]);
    cluster.assert_equal();
}

fn rumor(k: &Key, entry: &Entry) -> Frame {
    let items = vec![(k.clone(), entry.clone())];
    Frame::Rumor(Rumor { batch: 1, answer: false, told: Vec::new(), items })
}

/// H8, H39: a rumor that is late by longer than the grace, or of a node that does not know yet that it is behind.
#[test]
fn a_rumor_brings_nothing_back_that_was_forgotten() {
    let mut cluster = Cluster::new(3, 39, CoreConfig::default());
    cluster.run(secs(5));
    let k = key("k");
    cluster.put(id(2), &k, "old", None);
    cluster.run(secs(1));
    let old = cluster.get(id(2), &k).unwrap();
    cluster.delete(id(3), &k);
    let tombstone = cluster.get(id(3), &k).unwrap();
    for (wait, on_disk) in [(60, true), (660, false)] {
        cluster.run(secs(wait));
        assert_eq!(cluster.get(id(1), &k).is_some(), on_disk);
        let root = cluster.nodes[&id(1)].store.root();
        let blocked = status(&cluster, 1).forgetting.resurrections_blocked;
        for late in [&old, &tombstone] {
            cluster.inject(id(2), id(1), rumor(&k, late));
        }
        cluster.run(Duration::from_millis(20));
        assert_eq!(cluster.nodes[&id(1)].store.root(), root);
        assert_eq!(cluster.get(id(1), &k).is_some(), on_disk, "a purged tombstone is not taken anew");
        assert_eq!(status(&cluster, 1).forgetting.resurrections_blocked, blocked + 1);
    }
    // What the same rumor has that is new is taken.
    let mut beside = old.clone();
    let dot =
        Dot { hlc: Hlc::new(1_700_000_000_000 + cluster.now.as_millis() as u64, 9), writer: WriterId(77) };
    let new = Sibling::new(dot, "new".into(), None, Expiry::NEVER);
    beside.write(&Context::default(), dot, Some(new));
    assert_eq!(beside.siblings().len(), 2);
    cluster.inject(id(2), id(1), rumor(&k, &beside));
    cluster.run(secs(4));
    cluster.assert_equal();
    assert!((1..=3).all(|member| cluster.values(id(member), &k) == ["new"]));
}

/// H27: a node that is behind would refuse a part of it and claim the rest.
#[test]
fn a_node_that_is_behind_takes_no_rumor() {
    let mut cluster = Cluster::new(3, 40, CoreConfig::default());
    cluster.run(secs(5));
    cluster.put(id(2), &key("k"), "v", None);
    cluster.run(secs(1));
    let entry = cluster.get(id(2), &key("k")).unwrap();
    cluster.kill(id(1));
    cluster.nodes.get_mut(&id(1)).unwrap().engine = Arc::new(MemoryEngine::new());
    cluster.nodes.get_mut(&id(1)).unwrap().meta.lost_records();
    cluster.restart(id(1));
    cluster.inject(id(2), id(1), rumor(&key("k"), &entry));
    assert_eq!((cluster.get(id(1), &key("k")), &status(&cluster, 1).serving), (None, &Serving::Behind));
    cluster.run(secs(5));
    assert_eq!(
        (cluster.values(id(1), &key("k")), &status(&cluster, 1).serving),
        (vec!["v".into()], &Serving::Yes)
    );
}

/// H32: a member that was cut off lets somebody in, under a time that the others' watermark has passed since.
#[test]
fn an_add_under_the_own_watermark_is_answered_by_a_removal() {
    let mut cluster = Cluster::new(2, 41, sessions_only());
    cluster.run(secs(60));
    let add = |at: Hlc, name: &str| Add { at, sponsor: id(1), name: name.into() };
    let mut roster = cluster.nodes[&id(1)].meta.roster.clone();
    let own = watermark(&cluster, 2);
    roster.add(id(8), add(own, "late")).unwrap();
    roster.add(id(9), add(own.next().unwrap(), "early")).unwrap();
    cluster.inject(id(1), id(2), Frame::Roster(Box::new(roster)));
    let known = &cluster.nodes[&id(2)].meta.roster;
    assert!(known.removal(id(8)).is_some() && known.contains(id(9)));
    cluster.run(secs(1));
    assert!(cluster.nodes[&id(1)].meta.roster.removal(id(8)).is_some(), "and told on");
}

/// H13: nothing counts that was exchanged before the last roster was adopted; a new member holds up the watermark until
/// it has met the others.
#[test]
fn a_roster_with_a_member_that_nobody_has_met_stalls_the_watermark() {
    let mut cluster = Cluster::new(2, 42, sessions_only());
    cluster.run(secs(60));
    let at = Hlc::new(1_700_000_000_000 + 60_000, 0);
    let mut roster = cluster.nodes[&id(1)].meta.roster.clone();
    roster.add(id(9), Add { at, sponsor: id(1), name: "n9".into() }).unwrap();
    cluster.inject(id(1), id(2), Frame::Roster(Box::new(roster)));
    cluster.run(secs(90));
    for member in 1..=2 {
        assert!(watermark(&cluster, member) <= at);
        assert_eq!(status(&cluster, member).forgetting.waits.unwrap().member, id(9));
        assert_eq!(status(&cluster, member).serving, Serving::Yes);
    }
}

#[test]
fn restarts_put_nobody_behind() {
    let mut cluster = Cluster::new(3, 35, CoreConfig::default());
    for round in 0..12 {
        cluster.run(Duration::from_millis(7_300));
        cluster.put(id(round % 3 + 1), &key(&format!("k{round}")), "v", None);
        cluster.kill(id((round + 1) % 3 + 1));
        cluster.run(Duration::from_millis(1_700 * (round % 4)));
        cluster.restart(id((round + 1) % 3 + 1));
        for member in 1..=3 {
            assert_eq!(status(&cluster, member).serving, Serving::Yes, "round {round}");
        }
    }
    cluster.run(secs(60));
    cluster.assert_equal();
    let last = newest(&cluster, 1, &key("k11"));
    assert!((1..=3).all(|member| watermark(&cluster, member) > last));
}

/// H29: a power cut takes records of every member. Nobody can say what was replaced; they go on with what they hold.
#[test]
fn where_every_member_is_behind_they_go_on_together() {
    let mut cluster = Cluster::new(3, 36, CoreConfig::default());
    cluster.run(secs(3));
    for i in 0..30 {
        cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "v", None);
    }
    cluster.run(secs(60));
    for member in 1..=3 {
        cluster.kill(id(member));
        let node = cluster.nodes.get_mut(&id(member)).unwrap();
        node.meta.lost_records();
        // A different third of the records is lost at each.
        let engine = Arc::new(MemoryEngine::new());
        let mut rows = Vec::new();
        let mut visit = |at: &[u8], value: &[u8]| {
            rows.push((at.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        node.engine
            .range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut visit)
            .unwrap();
        let mut batch = Batch::new();
        for (n, (at, value)) in rows.into_iter().enumerate().filter(|(n, _)| *n as u64 % 3 + 1 != member) {
            let _ = n;
            batch.put(Space::Entries, at, value);
        }
        engine.apply(&batch).unwrap();
        engine.flush().unwrap();
        node.engine = engine;
    }
    for member in 1..=2 {
        cluster.restart(id(member));
    }
    cluster.run(secs(20));
    for member in 1..=2 {
        let status = status(&cluster, member);
        assert_eq!(
            (&status.serving, &status.forgetting.unmet[..]),
            (&Serving::Behind, &[id(3)][..]),
            "they wait"
        );
    }
    cluster.restart(id(3));
    assert_eq!(status(&cluster, 3).serving, Serving::Behind);
    cluster.run(secs(30));
    for member in 1..=3 {
        assert_eq!(status(&cluster, member).serving, Serving::Yes, "{:?}", status(&cluster, member));
        assert!(status(&cluster, member).forgetting.unmet.is_empty());
        assert_eq!(cluster.nodes[&id(member)].store.counts().keys, 30, "what one still had all have");
        assert!(cluster.nodes[&id(member)].quarantine.is_empty());
    }
    cluster.assert_equal();
    let before = watermark(&cluster, 1);
    cluster.run(secs(60));
    assert!(watermark(&cluster, 1) > before, "and forgetting goes on");
}

/// One that lost records beside two that did not: it is filled by them and quarantines nothing.
#[test]
fn a_member_that_lost_records_is_filled_by_an_authority() {
    let mut cluster = Cluster::new(3, 37, CoreConfig::default());
    cluster.run(secs(3));
    for i in 0..30 {
        cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "v", None);
    }
    cluster.run(secs(60));
    cluster.kill(id(2));
    cluster.nodes.get_mut(&id(2)).unwrap().engine = Arc::new(MemoryEngine::new());
    cluster.nodes.get_mut(&id(2)).unwrap().meta.lost_records();
    cluster.restart(id(2));
    assert_eq!(status(&cluster, 2).forgetting.behind, Some(Cause::Lost));
    cluster.run(secs(5));
    cluster.assert_equal();
    assert_eq!((&status(&cluster, 2).serving, status(&cluster, 2).forgetting.behind), (&Serving::Yes, None));
    assert_eq!(cluster.nodes[&id(2)].store.counts().keys, 30);
}

#[test]
fn contexts_stay_at_a_component_or_two_however_many_lives_write() {
    let mut cluster = Cluster::new(3, 38, CoreConfig::default());
    cluster.run(secs(3));
    let mut most = 0;
    for i in 0..1_000_u64 {
        let at = id(i % 3 + 1);
        cluster.put(at, &key("k"), &i.to_string(), None);
        most = most.max(cluster.get(at, &key("k")).unwrap().context().components());
        cluster.run(Duration::from_millis(400));
        if i % 50 == 49 {
            let restarts = id(i / 50 % 3 + 1);
            cluster.kill(restarts);
            cluster.run(secs(1));
            cluster.restart(restarts);
            // Its successor is another writer; the former one is folded before long.
            cluster.run(secs(30));
        }
    }
    assert!(most <= 4, "{most} components");
    cluster.assert_equal();
    assert_eq!(cluster.values(id(1), &key("k")), ["999"]);
}
