//! Random runs: a band of seeds finds nothing, one seed is one run byte for byte, and a failure is made smaller.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use sim::plan::{Plan, PlanOptions};
use sim::run::{run, shrink};
use sim::{Rule, Rules};

#[test]
fn nothing_is_found_in_a_band_of_seeds() {
    let mut acknowledged = 0;
    for seed in 0..60 {
        let outcome = run(&Plan::random(seed, PlanOptions::default()), false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        acknowledged += outcome.count.acknowledged;
    }
    assert!(acknowledged > 1_000, "clients were hardly answered: {acknowledged}");
}

#[test]
fn one_seed_is_one_run_byte_for_byte() {
    for seed in [1, 7, 23] {
        let plan = Plan::random(seed, PlanOptions::default());
        let (once, again) = (run(&plan, false), run(&Plan::random(seed, PlanOptions::default()), true));
        assert_eq!((once.trace, once.count), (again.trace, again.count), "seed {seed}");
    }
    let trace = |seed| run(&Plan::random(seed, PlanOptions::default()), false).trace;
    assert_ne!(trace(1), trace(2));
}

/// Without a rule random runs find a violation by themselves, and few of their faults are needed for it.
#[test]
fn a_failure_is_made_smaller() {
    let rules = Rules::default().without(Rule::H31);
    let options = PlanOptions { rules, ..PlanOptions::default() };
    let fails = |plan: &Plan| run(plan, false).violation;
    let seed = (0..200).find(|seed| {
        let plan = Plan::random(*seed, options);
        plan.faults.len() > 4 && fails(&plan).is_some()
    });
    let plan = Plan::random(seed.expect("a rule is off and nobody notices"), options);
    let small = shrink(&plan, 400);
    assert_eq!(fails(&small).unwrap().check, fails(&plan).unwrap().check);
    assert!(small.faults.len() + small.ops.len() < (plan.faults.len() + plan.ops.len()) / 2);
}
