//! Experiments on many nodes: they answer what the theory says, and the same seed gives the same answer.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use gossip::core::CoreConfig;
use gossip::liveness::LivenessConfig;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sim::crowd::cluster::{self, ClusterSetting};
use sim::crowd::demers::{TABLE_1987, row};
use sim::crowd::detection::{DetectionSetting, detection};
use sim::crowd::spread::{Spread, SpreadSetting, spread};
use sim::crowd::{Cut, story};

fn rumors(nodes: usize, lost_permille: u32, cut: Option<Cut>) -> Spread {
    spread(&SpreadSetting { nodes, writes: 10, fanout: 4, lost_permille, cut, seed: 3 })
}

fn whole(nodes: u16, cut: Option<Cut>) -> cluster::Whole {
    let core = CoreConfig { forgets_deletes: false, ..CoreConfig::default() };
    let time = Duration::from_secs(8);
    let setting = ClusterSetting { nodes, writes: 5, lost_permille: 10, cut, time, core, seed: 3 };
    cluster::run(&setting, &mut |_| {}).unwrap()
}

#[test]
fn a_rumor_needs_about_as_many_rounds_as_the_number_of_nodes_has_digits() {
    let (small, large) = (rumors(30, 0, None), rumors(300, 0, None));
    assert!(small.rounds < large.rounds && large.rounds <= 16, "{small:?} {large:?}");
    assert!(large.residue < 0.03 && large.traffic < 6.0, "{large:?}");
    // One that tells all others itself sends 2,990.
    assert!(large.busiest < 300, "{large:?}");
    assert_eq!(large, rumors(300, 0, None));
}

#[test]
fn rumors_do_not_cross_a_cut_and_all_of_them_are_lost_where_everything_is() {
    let cut = rumors(40, 0, Some(Cut { percent: 50, time: Duration::from_secs(60) }));
    assert!((0.45..0.55).contains(&cut.residue), "{cut:?}");
    let lost = rumors(40, 1_000, None);
    assert!((lost.residue - 39.0 / 40.0).abs() < 1e-9, "{lost:?}");
}

/// The rumor that ships keeps the law of the paper, and comes as far for as much traffic.
#[test]
fn the_rumor_lies_beside_the_table_of_1987() {
    for theirs in TABLE_1987.iter().take(3) {
        let ours = row(theirs.k, 1, 20, 1);
        assert!((ours.residue - (-ours.traffic).exp()).abs() < 0.02, "{ours:?}");
        assert!((ours.traffic - theirs.traffic).abs() < 0.8, "{ours:?} {theirs:?}");
        assert!((ours.last - theirs.last).abs() < 3.0, "{ours:?} {theirs:?}");
    }
}

#[test]
fn whole_nodes_get_every_write_although_datagrams_are_lost() {
    let found = whole(12, None);
    assert!(found.last < Duration::from_secs(3) && found.count.checks > 50, "{found:?}");
    assert_eq!(found, whole(12, None));
}

#[test]
fn whole_nodes_become_one_again_after_a_cut() {
    let cut = whole(12, Some(Cut { percent: 50, time: Duration::from_secs(15) }));
    assert!(cut.mean > Duration::from_secs(1) && cut.last < Duration::from_secs(10), "{cut:?}");
}

#[test]
fn heartbeats_find_the_dead_and_leave_the_living() {
    for nodes in [3, 8] {
        let time = Duration::from_secs(600);
        let liveness = LivenessConfig::default();
        let setting = DetectionSetting { nodes, lost_permille: 10, time, deaths: 5, liveness, seed: 1 };
        let found = detection(&setting, &mut |_| {});
        assert_eq!((found.wrong, found.missed), (0, 0), "{found:?}");
        assert!(found.first <= found.all_mean && found.all_last <= Duration::from_secs(5), "{found:?}");
        // The counter can count: with nearly everything lost many are held for down.
        let deaf = DetectionSetting { lost_permille: 900, deaths: 0, ..setting };
        assert!(detection(&deaf, &mut |_| {}).wrong > 0);
    }
}

#[test]
fn four_servers_have_the_file_after_a_few_rounds_whatever_the_seed() {
    for seed in 0..5 {
        let story = story::tell(seed).unwrap();
        let last = story.rounds.last().unwrap();
        assert_eq!(last.having, [1, 2, 3, 4], "seed {seed}");
        assert!((2..=6).contains(&last.number) && story.rounds[0].passes.len() == 1, "{story:?}");
        assert!(story.roots.iter().all(|root| *root == story.roots[0]));
        assert_eq!(story, story::tell(seed).unwrap());
    }
}

/// The rumor of the paper, by its section 1.4: all contacts of a round happen at once, and a useful one begins the count of
/// useless ones anew. The share never reached, and the rumors a site.
fn epidemic_of_1987(k: u8, rng: &mut StdRng) -> (f64, f64) {
    let sites = 1_000;
    let mut heard = vec![None; sites];
    let mut spreads = BTreeMap::from([(0, 0)]);
    let (mut round, mut sent) = (0, 0);
    heard[0] = Some(0);
    while !spreads.is_empty() {
        round += 1;
        for (from, mut useless) in spreads.clone() {
            let to = (from + rng.random_range(1..sites)) % sites;
            sent += 1;
            useless = if *heard[to].get_or_insert(round) == round { 0 } else { useless + 1 };
            if useless < k {
                spreads.insert(from, useless);
            } else {
                spreads.remove(&from);
            }
            if heard[to] == Some(round) {
                spreads.entry(to).or_insert(0);
            }
        }
    }
    let missed = heard.iter().filter(|at| at.is_none()).count();
    (missed as f64 / sites as f64, f64::from(sent) / sites as f64)
}

/// What is printed as the table of 1987 is what its rumor gives.
#[test]
fn the_table_of_1987_comes_out_of_the_rumor_of_1987() {
    let mut rng = StdRng::seed_from_u64(1);
    for row in TABLE_1987 {
        let epidemics: Vec<(f64, f64)> = (0..100).map(|_| epidemic_of_1987(row.k, &mut rng)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| epidemics.iter().map(of).sum::<f64>() / 100.0;
        let (residue, traffic) = (mean(|epidemic| epidemic.0), mean(|epidemic| epidemic.1));
        // To the digits that the paper has.
        assert!((residue / row.residue - 1.0).abs() < 0.15, "k {}: {residue}", row.k);
        assert!((traffic / row.traffic - 1.0).abs() < 0.05, "k {}: {traffic}", row.k);
    }
}
