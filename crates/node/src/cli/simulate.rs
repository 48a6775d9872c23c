//! `mangrove simulate`: whole clusters in one thread, faults injected, and what must always hold checked after each step.

mod crowd;
mod report;
mod search;
mod story;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::Duration;

use clap::Args;
use sim::plan::{Plan, PlanOptions};
use sim::{Rule, Rules, run, scenarios};

use super::error::CliError;
use super::output;
use crowd::Crowd;
use report::Failure;
use story::Scene;

/// So often a plan is run at most while it is made smaller.
const SHRINK_RUNS_MAX: usize = 400;

/// The seed of experiments and stories, if none is given.
const SEED: u64 = 1;

/// Simulate clusters and their faults, and check that no write is lost and no delete returns
///
/// Without --seed or --scenario it searches a band of seeds. A failure is made smaller, and shown with the command that
/// replays it. With --nodes it measures how writes spread over many nodes, and --story tells of it.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The seeds to search: from the first up to, and without, the second
    #[arg(long, value_name = "A..B", value_parser = band, default_value = "0..1000")]
    seeds: Range<u64>,

    /// Run one seed, and say what happened; with --scenario, play it with this one; with --nodes or --story, where their
    /// randomness comes from
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// Play the scenario of one hazard, such as H31; "all" plays all of them
    #[arg(long, value_name = "HAZARD", conflicts_with = "seeds")]
    scenario: Option<String>,

    /// Tell a scene round by round, for teaching
    #[arg(long, value_name = "SCENE", value_enum, conflicts_with_all = ["seeds", "scenario", "nodes", "json", "writes", "loss", "partition",
          "fanout", "simulated", "rumors_only", "spread_only", "node_hours", "epidemics", "plot", "rules_off", "jobs",
          "time", "keep_deletes", "words"])]
    story: Option<Scene>,

    #[command(flatten)]
    crowd: Crowd,

    /// Switch a rule off, by the name of its hazard: the checkers should find what goes wrong
    #[arg(long = "rule-off", value_name = "HAZARD", value_parser = |text: &str| text.parse::<Rule>())]
    rules_off: Vec<Rule>,

    /// Seeds run at a time, 1,024 at most; as many as there are processors, if not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Stop searching after this time, whatever is left of the band
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    time: Option<Duration>,

    /// Never forget a delete, with --nodes too, as with `--forget-deletes off` of a node; nor are old backups put back then
    #[arg(long)]
    keep_deletes: bool,

    /// Say everything that happened, for --seed and --scenario
    #[arg(long)]
    words: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A band of seeds, as `A..B`.
fn band(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?} is not a band of seeds such as 0..10000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok(from..to) } else { Err(format!("{text} holds no seed: the second must be greater")) }
}

impl Simulate {
    fn rules(&self) -> Rules {
        self.rules_off.iter().fold(Rules::default(), |rules, rule| rules.without(*rule))
    }

    fn options(&self) -> PlanOptions {
        PlanOptions { rules: self.rules(), forgets_deletes: !self.keep_deletes }
    }

    /// What else a command that replays this must say.
    fn switches(&self) -> String {
        let off: String = self.rules_off.iter().map(|rule| format!(" --rule-off {rule}")).collect();
        let keeps = if self.keep_deletes { " --keep-deletes" } else { "" };
        format!("{off}{keeps}")
    }
}

pub(crate) fn run(arguments: &Simulate) -> Result<(), CliError> {
    if let Some(scene) = arguments.story {
        return story::run(scene, arguments.seed.unwrap_or(SEED));
    }
    if arguments.crowd.is_asked_for() {
        let (seed, forgets) = (arguments.seed.unwrap_or(SEED), !arguments.keep_deletes);
        return crowd::run(&arguments.crowd, seed, forgets, arguments.json);
    }
    match (&arguments.scenario, arguments.seed) {
        (Some(name), _) => scenario(arguments, name),
        (None, Some(seed)) => one(arguments, seed),
        (None, None) => band_of_seeds(arguments),
    }
}

fn scenario(arguments: &Simulate, name: &str) -> Result<(), CliError> {
    let chosen = if name == "all" {
        scenarios::all()
    } else {
        let rule = name.parse::<Rule>().ok();
        let scenario = rule.and_then(scenarios::of).ok_or_else(|| no_such_scenario(name))?;
        vec![scenario]
    };
    let mut failed = 0;
    for scenario in chosen {
        let outcome = scenario.run(arguments.seed.unwrap_or(0), arguments.rules(), arguments.words);
        let off = arguments.rules_off.contains(&scenario.rule);
        output::print(report::scenario(&scenario, &outcome, off, arguments.json)?)?;
        failed += usize::from(outcome.violation.is_some());
    }
    let failed = match failed {
        0 => return Ok(()),
        1 => "1 scenario failed".to_owned(),
        more => format!("{more} scenarios failed"),
    };
    let wanted = if arguments.rules_off.is_empty() { "" } else { ", as it should: a rule is switched off" };
    Err(CliError::Failed(format!("{failed}{wanted}")))
}

fn no_such_scenario(name: &str) -> CliError {
    let names: Vec<String> = scenarios::all().iter().map(|scenario| scenario.rule.to_string()).collect();
    CliError::Refused(format!("there is no scenario {name:?}; there are {}, and all", names.join(", ")))
}

fn one(arguments: &Simulate, seed: u64) -> Result<(), CliError> {
    let plan = Plan::random(seed, arguments.options());
    let outcome = run::run(&plan, arguments.words);
    for line in &outcome.words {
        output::print(format!("{line}\n"))?;
    }
    output::print(report::one(seed, &outcome, arguments.json)?)?;
    if outcome.violation.is_some() { Err(failed(arguments, seed)) } else { Ok(()) }
}

fn band_of_seeds(arguments: &Simulate) -> Result<(), CliError> {
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get);
    let time = arguments.time.unwrap_or(Duration::MAX);
    let found = search::search(arguments.seeds.clone(), (jobs, time), arguments.options());
    output::print(report::searched(&found, arguments.json)?)?;
    match found.failed {
        Some(seed) => Err(failed(arguments, seed)),
        None => Ok(()),
    }
}

/// Makes the run of a seed that failed smaller, and says how to replay it.
fn failed(arguments: &Simulate, seed: u64) -> CliError {
    let plan = Plan::random(seed, arguments.options());
    let small = run::shrink(&plan, SHRINK_RUNS_MAX);
    let violation = run::run(&small, false).violation;
    let failure = Failure { seed, violation, plan: &plan, small: &small, switches: &arguments.switches() };
    CliError::Failed(failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_of_seeds_is_two_numbers() {
        assert_eq!(band("0..10000"), Ok(0..10_000));
        for wrong in ["", "5", "5..", "..5", "5..5", "9..1", "a..b", "-1..3"] {
            assert!(band(wrong).is_err(), "{wrong}");
        }
    }
}
