//! Random faults under load, for as long as somebody cares to watch. `CHAOS_SEED` and `CHAOS_ROUNDS` choose which
//! and how many; what the machine makes of it differs from run to run.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Cluster, QUICK};

const NODES: usize = 4;
const FAULTS_A_ROUND: usize = 8;

#[test]
#[ignore = "takes minutes; to be run by hand when the protocol, the store or the driver has changed"]
fn random_faults_lose_nothing_that_was_acknowledged() {
    let from_environment = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seed = from_environment("CHAOS_SEED").unwrap_or_else(rand::random);
    let rounds = from_environment("CHAOS_ROUNDS").unwrap_or(3);
    println!("CHAOS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(NODES, QUICK);
    for round in 0..rounds {
        println!("--- round {round}");
        run_round(&mut cluster, &mut rng, &format!("r{round}"));
    }
}

fn run_round(cluster: &mut Cluster, rng: &mut StdRng, prefix: &str) {
    let all = cluster.apis();
    let workload = cluster.workload(2, prefix);
    for _ in 0..FAULTS_A_ROUND {
        fault(cluster, rng);
        sleep(Duration::from_millis(rng.random_range(0..1_500)));
    }
    cluster.start_all();
    let ledger = workload.finish();
    cluster.wait_proven(Timestamp::now());
    ledger.assert_kept_by(&all);

    // Everything is everywhere now, so one may lose all it has.
    let victim = rng.random_range(0..NODES);
    println!("n{} is wiped", victim + 1);
    cluster.nodes[victim].kill9();
    cluster.nodes[victim].wipe();
    // Whoever has nothing must not found a cluster of its own, whatever its settings say.
    cluster.start_all();
    cluster.wait_proven(Timestamp::now());
    ledger.assert_kept_by(&all);
}

/// One thing happens to one node; one that is down already is started.
fn fault(cluster: &mut Cluster, rng: &mut StdRng) {
    let pause = Duration::from_millis(rng.random_range(100..7_000));
    let (kind, node) = (rng.random_range(0..5), &mut cluster.nodes[rng.random_range(0..NODES)]);
    if !node.is_started() {
        println!("{} is started", node.name);
        return node.start();
    }
    match kind {
        0 => {
            println!("{} is killed", node.name);
            node.kill9();
        }
        1 => {
            println!("{} is killed and started at once", node.name);
            node.kill9();
            node.start();
        }
        2 => {
            println!("{} is stopped", node.name);
            node.stop();
        }
        _ => {
            println!("{} is paused for {pause:?}", node.name);
            node.pause();
            sleep(pause);
            node.resume();
        }
    }
}
