//! The rumor beside the table of 1987, in the rounds of that paper: in each round everyone who spreads the rumor tells one
//! other, and hears at once whether that was news.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip::rumor::{AGAIN, Rumors};
use model::NodeId;
use rand::rngs::StdRng;

use crate::client::key;
use crate::dice::Dice;

/// One row of the table: how an epidemic went that dies at a site after `k` contacts that were no news.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The counter.
    pub k: u8,
    /// The share of sites that the rumor never reached: s.
    pub residue: f64,
    /// Rumors sent per site: m.
    pub traffic: f64,
    /// Rounds until a site has it, on average over those that got it: t_ave.
    pub mean: f64,
    /// Rounds until the last of them has it: t_last.
    pub last: f64,
}

/// The sites of the table.
pub const SITES: usize = 1_000;

/// Table 1 of A. Demers, D. Greene, C. Hauser, W. Irish, J. Larson, S. Shenker, H. Sturgis, D. Swinehart, D. Terry:
/// "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987: push, feedback and counters, 1,000 sites.
pub const TABLE_1987: [Row; 5] = [
    Row { k: 1, residue: 0.18, traffic: 1.7, mean: 11.0, last: 16.8 },
    Row { k: 2, residue: 0.037, traffic: 3.3, mean: 12.1, last: 16.9 },
    Row { k: 3, residue: 0.011, traffic: 4.5, mean: 12.5, last: 17.4 },
    Row { k: 4, residue: 0.0036, traffic: 5.6, mean: 12.7, last: 17.5 },
    Row { k: 5, residue: 0.0012, traffic: 6.7, mean: 12.8, last: 17.7 },
];

/// The shipping rumor under the same conditions, on average over so many epidemics.
pub fn row(k: u8, fanout: usize, runs: u32, seed: u64) -> Row {
    let mut sum = Row { k, residue: 0.0, traffic: 0.0, mean: 0.0, last: 0.0 };
    for run in 0..runs {
        let mut rng = Dice::new(seed).of("demers", (u64::from(k), u64::from(run)));
        let one = epidemic(k, fanout, &mut rng);
        sum.residue += one.residue;
        sum.traffic += one.traffic;
        sum.mean += one.mean;
        sum.last += one.last;
    }
    let runs = f64::from(runs.max(1));
    Row {
        k,
        residue: sum.residue / runs,
        traffic: sum.traffic / runs,
        mean: sum.mean / runs,
        last: sum.last / runs,
    }
}

fn epidemic(k: u8, fanout: usize, rng: &mut StdRng) -> Row {
    let live: Vec<NodeId> = (0..SITES as u64).map(NodeId).collect();
    let mut sites: Vec<Rumors> = live.iter().map(|id| Rumors::new(*id, fanout).dying_after(k)).collect();
    let mut heard: Vec<Option<u32>> = vec![None; SITES];
    let rumor = key(0);
    let mut spreading = BTreeSet::from([0_usize]);
    if let (Some(first), Some(at)) = (sites.first_mut(), heard.first_mut()) {
        first.learned(Duration::ZERO, rumor.clone(), []);
        *at = Some(0);
    }
    let (mut round, mut sent) = (0_u32, 0_u64);
    while !spreading.is_empty() {
        round += 1;
        let now = AGAIN * round;
        let mut pushes = Vec::new();
        for site in &spreading {
            let Some(rumors) = sites.get_mut(*site) else { continue };
            pushes.extend(rumors.round(now, &live, rng).into_iter().map(|push| (*site, push)));
        }
        for (from, push) in pushes {
            sent += 1;
            let to = push.to.0 as usize;
            let (Some(site), Some(at)) = (sites.get_mut(to), heard.get_mut(to)) else { continue };
            if at.is_none() {
                *at = Some(round);
                site.learned(now, rumor.clone(), push.told);
                spreading.insert(to);
            } else if let Some(sender) = sites.get_mut(from) {
                sender.answered(push.batch, &[0]);
            }
        }
        spreading.retain(|site| sites.get(*site).is_some_and(|rumors| rumors.hot() > 0));
    }
    let got: Vec<u32> = heard.iter().flatten().copied().collect();
    let reached = got.len().max(1) as f64;
    Row {
        k,
        residue: 1.0 - got.len() as f64 / SITES as f64,
        traffic: sent as f64 / SITES as f64,
        mean: got.iter().map(|round| f64::from(*round)).sum::<f64>() / reached,
        last: f64::from(got.into_iter().max().unwrap_or(0)),
    }
}
