//! Backups that come back bring nothing back with them, whatever else happens.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

use gossip::core::{CoreConfig, Event, ReplyId, Serving, Status};
use gossip::meta::Meta;
use gossip::stability::Cause;
use model::{Context, Hlc, Key, NodeId};
use rand::RngExt;
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

/// What a backup of a member's disk holds.
struct Backup(Meta, Vec<(Space, Vec<u8>, Vec<u8>)>);

fn backup(cluster: &Cluster, member: NodeId) -> Backup {
    let node = &cluster.nodes[&member];
    let mut rows = Vec::new();
    for space in Space::ALL {
        let mut visit = |at: &[u8], value: &[u8]| {
            rows.push((space, at.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        node.engine.range(space, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut visit).unwrap();
    }
    Backup(node.meta.clone(), rows)
}

impl Backup {
    /// The member begins a life on this.
    fn restore(&self, cluster: &mut Cluster) {
        let Self(meta, rows) = self;
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for (space, at, value) in rows {
            batch.put(*space, at.clone(), value.clone());
        }
        engine.apply(&batch).unwrap();
        engine.flush().unwrap();
        cluster.kill(meta.node);
        cluster.nodes.remove(&meta.node);
        cluster.start(meta.clone(), Arc::new(engine));
    }
}

/// Deleted, purged and forgotten, then a month-old backup of a member comes back (H8, H17, H25).
#[test]
fn a_restored_backup_brings_nothing_back_and_serves_after_one_session_with_an_authority() {
    for (seed, config) in (0..20).flat_map(|seed| [(seed, sessions_only()), (seed, CoreConfig::default())]) {
        let mut cluster = Cluster::new(3, 100 + seed, config);
        cluster.run(secs(40));
        for i in 0..200 {
            cluster.put(id(i % 3 + 1), &key(&format!("k{i}")), "old", None);
        }
        cluster.run(secs(45));
        cluster.assert_equal();
        let old = backup(&cluster, id(3));
        let deleted = 1 + seed * 10;
        for i in 0..deleted {
            cluster.delete(id(i % 3 + 1), &key(&format!("k{i}")));
        }
        cluster.put(id(3), &key("k199"), "newer", None);
        // With odd seeds the tombstones are still on the disks, though in no tree.
        cluster.run(secs(if seed % 2 == 0 { 720 } else { 60 }));
        assert_eq!(tombstones(&cluster), [0; 3]);
        let at = watermark(&cluster, 1);
        old.restore(&mut cluster);
        cluster.put(id(3), &key("k0"), "beside", Some(&Context::default()));
        let came = cluster.now;
        let mut saw_behind = false;
        while status(&cluster, 3).serving != Serving::Yes || watermark(&cluster, 3) < at {
            saw_behind |= status(&cluster, 3).forgetting.behind == Some(Cause::Restored);
            cluster.run(Duration::from_micros(500));
            assert!(cluster.now < came + secs(10), "seed {seed}: {:?}", status(&cluster, 3));
        }
        cluster.run(secs(4));
        cluster.assert_equal();
        for member in 1..=3 {
            for i in 1..deleted {
                assert_eq!(
                    cluster.values(id(member), &key(&format!("k{i}"))),
                    Vec::<String>::new(),
                    "seed {seed}"
                );
            }
            assert_eq!(cluster.values(id(member), &key("k0")), ["beside"], "seed {seed}");
            assert_eq!(cluster.values(id(member), &key("k199")), ["newer"]);
            assert_eq!(cluster.nodes[&id(member)].store.counts().keys, 200 - deleted + 1);
        }
        let kept = &cluster.nodes[&id(3)].quarantine;
        assert!(kept.iter().all(|(_, entry)| entry.siblings().iter().all(|s| s.value() == "old")));
        let told = status(&cluster, 3).forgetting.quarantined;
        assert_eq!(told, kept.iter().map(|(_, entry)| entry.siblings().len() as u64).sum::<u64>());
        assert!(saw_behind, "seed {seed}: it was never behind");
        if seed % 2 == 0 {
            let names: Vec<&Key> = kept.iter().map(|(key, _)| key).collect();
            let all = (0..deleted).filter(|i| names.contains(&&key(&format!("k{i}")))).count() as u64;
            assert_eq!(all, deleted, "seed {seed}: what nobody knows of is kept");
            assert_eq!(told, deleted, "seed {seed}: and nothing else is");
        }
        cluster.run(secs(60));
        assert!(watermark(&cluster, 3) > at);
    }
}

#[test]
fn a_restored_member_that_was_not_missed_is_not_behind() {
    let mut cluster = Cluster::new(3, 34, CoreConfig::default());
    cluster.run(secs(60));
    let same = backup(&cluster, id(2));
    cluster.put(id(1), &key("k"), "v", None);
    cluster.run(secs(1));
    same.restore(&mut cluster);
    for _ in 0..600 {
        cluster.run(Duration::from_millis(100));
        assert_eq!(status(&cluster, 2).serving, Serving::Yes);
    }
    cluster.assert_equal();
    assert!(watermark(&cluster, 2) > newest(&cluster, 2, &key("k")));
}

/// Writes, deletes, cuts, crashes and old backups at random, over times in which watermarks rise: afterwards all is
/// equal, nothing deleted has returned, nothing acknowledged is gone, and no tombstone is left.
#[test]
fn whatever_happens_deletes_stay_deleted_and_writes_stay() {
    for seed in 0..60_u64 {
        let config = if seed % 3 == 0 { sessions_only() } else { CoreConfig::default() };
        let mut cluster = Cluster::new(2 + seed % 3, 500 + seed, config);
        cluster.loss = 0.1;
        cluster.run(secs(3));
        let n = cluster.nodes.len() as u64;
        // Each key is written by one node only, so its last acknowledged state is what must be there.
        let mut ledger: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut backups: Vec<Backup> = Vec::new();
        let mut marks: BTreeMap<NodeId, Hlc> = BTreeMap::new();
        for step in 0..80u32 {
            let at = id(cluster.rng.random_range(1..=n));
            match cluster.rng.random_range(0..24) {
                0 => cluster.cut = [at].into(),
                1 | 2 => cluster.cut.clear(),
                3 if cluster.nodes[&at].up => cluster.kill(at),
                4 | 5 => restart_all(&mut cluster),
                6 | 7 if cluster.nodes[&at].up => backups.push(backup(&cluster, at)),
                8 if !backups.is_empty() => {
                    // What only this disk has would be lost with it: everybody gets it first.
                    cluster.cut.clear();
                    restart_all(&mut cluster);
                    cluster.run(secs(30));
                    let one = cluster.rng.random_range(0..backups.len());
                    let old = backups.remove(one);
                    marks.remove(&old.0.node);
                    old.restore(&mut cluster);
                    cluster.run(secs(5 + u64::from(step % 3) * 7));
                }
                _ if cluster.nodes[&at].up && status(&cluster, at.0).serving == Serving::Yes => {
                    let k = format!("{}/{}", at.0, cluster.rng.random_range(0..8));
                    if cluster.rng.random_bool(0.4) {
                        cluster.delete(at, &key(&k));
                        // A delete of what is not there any more writes nothing.
                        ledger.insert(k, None);
                    } else {
                        cluster.put(at, &key(&k), &step.to_string(), None);
                        ledger.insert(k, Some(step.to_string()));
                    }
                }
                _ => {}
            }
            let pause = cluster.rng.random_range(0..9_000);
            cluster.run(Duration::from_millis(pause));
            check_marks(&cluster, &mut marks, seed);
        }
        cluster.cut.clear();
        cluster.loss = 0.0;
        restart_all(&mut cluster);
        cluster.run(secs(120));
        cluster.assert_equal();
        assert_eq!(tombstones(&cluster), vec![0; n as usize], "seed {seed}");
        for (k, value) in &ledger {
            for i in 1..=n {
                let want: Vec<String> = value.iter().cloned().collect();
                assert_eq!(cluster.values(id(i), &key(k)), want, "seed {seed} key {k} at {i}");
            }
        }
        for i in 1..=n {
            assert_eq!(status(&cluster, i).serving, Serving::Yes, "seed {seed}");
        }
    }
}

fn restart_all(cluster: &mut Cluster) {
    let down: Vec<_> = cluster.nodes.iter().filter(|(_, n)| !n.up).map(|(i, _)| *i).collect();
    down.into_iter().for_each(|i| cluster.restart(i));
}

/// No watermark has fallen, and none is above what its member holds.
fn check_marks(cluster: &Cluster, marks: &mut BTreeMap<NodeId, Hlc>, seed: u64) {
    for (at, node) in cluster.nodes.iter().filter(|(_, node)| node.up) {
        let now = node.meta.stability.watermark;
        let before = marks.insert(*at, now).unwrap_or_default();
        assert!(now >= before, "seed {seed}: the watermark of {at} fell");
        let stable = node.meta.stability.stable(*at, &node.meta.roster);
        assert!(!node.meta.caught_up || now <= stable, "seed {seed}: {at} counts on more than it holds");
    }
}

/// Three members, the first with a backup from right before it was told to leave.
fn backed_up_and_told_to_leave(seed: u64) -> (Cluster, Backup) {
    let mut cluster = Cluster::new(3, seed, CoreConfig::default());
    cluster.run(secs(20));
    let old = backup(&cluster, id(1));
    cluster.event(id(1), Event::LeaveWanted { reply: ReplyId(1), force: false });
    (cluster, old)
}

/// It hears from the others that it was told to leave, and does so.
#[test]
fn a_node_that_is_put_back_to_before_it_was_told_to_leave_leaves_all_the_same() {
    let (mut cluster, old) = backed_up_and_told_to_leave(7);
    cluster.run(Duration::from_micros(600));
    assert!(cluster.nodes[&id(2)].meta.roster.is_leaving(id(1)));
    old.restore(&mut cluster);
    assert!(!cluster.nodes[&id(1)].meta.roster.is_leaving(id(1)));
    cluster.put(id(1), &key("k"), "written before it has heard", None);
    cluster.run(secs(10));
    assert!(cluster.nodes[&id(1)].left, "{:?}", status(&cluster, 1).serving);
    assert_eq!(cluster.nodes[&id(3)].meta.roster.members().collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(cluster.values(id(3), &key("k")), ["written before it has heard"]);
}

/// It does not know that it has handed over and gone, and takes a write: that one was handed to nobody.
#[test]
fn what_a_node_takes_that_was_put_back_to_before_it_left_goes_to_its_quarantine_file() {
    let (mut cluster, old) = backed_up_and_told_to_leave(8);
    cluster.run(secs(10));
    assert!(cluster.nodes[&id(1)].left);
    cluster.cut.insert(id(1));
    old.restore(&mut cluster);
    cluster.put(id(1), &key("k"), "written before it has heard", None);
    cluster.run(secs(3));
    cluster.cut.clear();
    // Killed before it is there, it goes on at the next start.
    cluster.doomed = Some(id(1));
    cluster.run(secs(10));
    assert_eq!(status(&cluster, 1).serving, Serving::Removed);
    cluster.kill(id(1));
    cluster.doomed = None;
    cluster.restart(id(1));
    cluster.run(secs(10));
    let node = &cluster.nodes[&id(1)];
    let kept: Vec<&Key> = node.quarantine.iter().map(|(key, _)| key).collect();
    assert_eq!((kept, node.left), (vec![&key("k")], true));
}
