//! One run, from its plan to its outcome, and the smallest part of a plan that still fails.

use crate::checks::Violation;
use crate::plan::Plan;
use crate::world::{Count, Due, World};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What must not be, if anything was found.
    pub violation: Option<Violation>,
    /// What happened, in numbers.
    pub count: Count,
    /// A hash over all that happened.
    pub trace: [u8; 32],
    /// What happened in words, if they were asked for, the latest last.
    pub words: Vec<String>,
}

/// Runs a plan: first what it says, then quiet.
pub fn run(plan: &Plan, words: bool) -> Outcome {
    let mut world = World::new(&plan.setting);
    if words {
        world.keep_words();
    }
    for (id, settings, at) in &plan.hosts {
        world.add_host(*id, settings.clone());
        world.agenda.push(*at, Due::Start { host: *id });
    }
    for (at, op) in &plan.ops {
        world.agenda.push(*at, Due::Op(op.clone()));
    }
    for (at, fault) in &plan.faults {
        // What is wrong from the beginning is so before anybody starts.
        match at.is_zero() {
            true => world.inject(fault),
            false => world.agenda.push(*at, Due::Fault(fault.clone())),
        }
    }
    let violation = world.run_for(plan.end).and_then(|()| world.quiet()).err();
    Outcome {
        violation,
        count: world.count(),
        trace: world.trace_hash(),
        words: world.words().map(str::to_owned).collect(),
    }
}

/// Leaves out faults, halves first and then one by one, and after them requests, as long as the same checker still finds
/// something. Runs the plan at most `runs_max` times.
#[must_use]
pub fn shrink(plan: &Plan, runs_max: usize) -> Plan {
    let mut small = plan.clone();
    let Some(found) = run(plan, false).violation else { return small };
    let mut left = runs_max;
    let mut fails = |plan: &Plan| {
        left = left.saturating_sub(1);
        left > 0 && run(plan, false).violation.is_some_and(|violation| violation.check == found.check)
    };
    let kept =
        without(small.faults.clone(), |faults| fails(&Plan { faults: faults.to_vec(), ..small.clone() }));
    small.faults = kept;
    let kept = without(small.ops.clone(), |ops| fails(&Plan { ops: ops.to_vec(), ..small.clone() }));
    small.ops = kept;
    small
}

/// The least of a list that still fails, found by leaving out ever smaller parts.
fn without<T: Clone>(mut list: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut part = list.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < list.len() {
            let to = (from + part).min(list.len());
            let rest: Vec<T> = list.iter().take(from).chain(list.iter().skip(to)).cloned().collect();
            if fails(&rest) {
                list = rest;
            } else {
                from = to;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        for needed in [vec![], vec![3], vec![0, 19], vec![5, 6, 7, 13]] {
            let list: Vec<u32> = (0..20).collect();
            let mut runs = 0;
            let least = without(list, |list| {
                runs += 1;
                needed.iter().all(|one| list.contains(one))
            });
            assert_eq!(least, needed);
            assert!(runs < 120, "{runs}");
        }
    }
}
