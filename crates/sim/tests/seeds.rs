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

/// Each found something when it was first run: with it the part of the rules, or of a checker, that was mended. A seed is
/// another run once plans are made otherwise; what matters most has a test of its own, too.
const FOUND: &[(u64, &str)] = &[
    (20_013_112, "the goal of a cluster, where a slow member came late"),
    (20_014_924, "two that are put back prove each other"),
    (30_006_270, "a newcomer whose only seed has left"),
    (30_008_752, "times that come again begin with the life"),
    (30_017_822, "one that is put back, another that starts, a third that is gone"),
    (40_048_281, "two that are put back prove each other"),
    (40_058_473, "a newcomer that has met only one that was put back"),
    (50_014_253, "a record that only a removed member has"),
    (50_015_480, "a value whose successor went to quarantine"),
    (50_020_005, "a founder that is put back, lets somebody in and starts again"),
    (50_022_494, "what a peer held of a node counts above what its disk says"),
    (50_022_827, "a node of two clusters is no partner for leaving"),
    (70_003_215, "a proven disk goes on from its own times"),
    (70_005_024, "two halves let the same node in"),
    (80_007_637, "an addition turns out to lie under the watermark"),
    (90_074_822, "nobody is left but one that nobody lets in"),
    (90_079_853, "a late addition is removed without promises"),
    (90_081_611, "what was published before a record was lost is not said again"),
    (100_034_124, "a founder that began alone, and all are behind"),
    (100_001_123, "one that is put back vouches for what it has forgotten"),
    (100_020_706, "the same on a clock that was put back by an hour"),
    (100_027_335, "what three have lost, and a removed member has"),
    (200_025_230, "the same of what had replaced something"),
    (200_067_306, "a removed member that knows nobody who could tell it"),
    (200_080_777, "a watermark that only a removed member's disk has"),
    (200_101_521, "the only member that is left loses a record"),
    (300_000_780, "two that have both moved, and an address of long ago"),
    (300_012_027, "all are behind, and the third holds what neither of two has"),
    (300_018_545, "a backup from between the founding and the first life"),
    (304_402, "a newcomer one of whose seeds has left, and the other looks for it, too"),
    (200_907, "promises that were enough by an older watermark"),
    (500_067_373, "an overwrite at a removed member, with a token of the others"),
    (700_014_274, "a delete of a restored node whose clock is behind"),
    (700_048_299, "one is healed by a removed member, and neither has heard"),
    (700_049_931, "a sponsor leaves whose joiner could not note that it was let in"),
    (900_002_415, "what several writes replaced one after another goes to quarantine"),
    (900_020_239, "a token from before all disks were put back"),
    (910_028_354, "a delete that only a removed member has, under the others' floor"),
    (910_037_900, "a backup from when it was alone, and a record lost"),
    (910_045_541, "a restored node is proven by one that does not know the watermark"),
    (910_055_511, "all are put back, one after another"),
    (920_000_723, "a founder that lost its disk founds anew while it is cut off"),
    (920_009_004, "one that is behind has moved, and has forgotten the only one that looks for it"),
    (930_008_689, "two that know of each other only by their seeds, and all others are gone"),
    (930_014_447, "the only member of a cluster lost its records"),
    (950_006_267, "an expiry that only a removed member remembers goes on counting"),
    (950_025_282, "a delete that nobody acknowledged and all have forgotten"),
    (950_025_935, "a delete that only a removed member remembers goes on counting"),
    (3_242, "one that has left is put back, and takes a write"),
    (20_871, "one that leaves is put back to before it was told to"),
    (22_635, "who is left leaves, and lets nobody in"),
    (40_146, "one that has left is put back, and others tell it so"),
    (90_856, "a tombstone that comes late under a watermark that stands still"),
    (102_568, "a restored node whose clock is behind, and the watermark rises later"),
    (125_191, "an eviction that came to nothing stands in the target's way"),
    (138_756, "promises to one that is gone, with stamps of a fast clock"),
    (141_077, "what had been handed over by one that is put back, and was lost since"),
    (145_044, "one that is put back has moved, and does not know who asks it"),
    (1_000_011_752, "whom it was handed to loses its disk right then"),
    (1_100_061_696, "what a token replaced after all disks were put back, one after another"),
    (1_200_035_645, "what was never flushed, and its record rots while the node is down"),
    (1_100_093_376, "a restored node whose clock is behind, and takes times that it had published"),
    (55_927, "a removal lifts what a restored disk seems to hold"),
    (1_300_010_894, "a process that ends after a failed flush, and its disk is put back"),
    (1_300_090_167, "who was promised a removal has lost its disk, and the one to be removed is back"),
    (1_300_095_249, "the clock of one that is put back stands still under what it had published"),
    (1_400_000_171, "one that is put back leaves, although a third is gone for good"),
    (1_500_006_621, "a record that a removed member alone has rots, and the others' floor covers it"),
    (1_300_085_634, "one that is put back lets a wiped one in, and is told to leave"),
    (1_700_009_670, "a record lost, and a backup from before all others were met"),
    (1_800_040_654, "one that was filled takes a tombstone off its disk, and gets it again"),
    (
        1_800_075_364,
        "an expired write of a slow clock, after all disks were put back, and a token from before",
    ),
    (2_444, "a tree that grows over a record that has rotted"),
    (80_017_688, "a sponsor's disk is put back to before an addition"),
];

#[test]
fn seeds_that_have_found_something_find_nothing() {
    for (seed, what) in FOUND {
        let outcome = run(&Plan::random(*seed, PlanOptions::default()), false);
        assert_eq!(outcome.violation, None, "seed {seed}: {what}");
    }
}
