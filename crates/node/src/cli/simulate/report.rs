//! What a simulation came to, in words and as JSON.

use std::fmt::{self, Write};

use serde_json::{Value, json};
use sim::Count;
use sim::checks::Violation;
use sim::plan::Plan;
use sim::run::Outcome;
use sim::scenarios::Scenario;

use super::super::error::CliError;
use super::search::Found;
use crate::hex::hex;

/// The commit that this program was built from, if its build said so.
const COMMIT: Option<&str> = option_env!("MANGROVE_COMMIT");

/// A seed that failed, made smaller.
pub(super) struct Failure<'a> {
    pub(super) seed: u64,
    /// What is found in the smaller run.
    pub(super) violation: Option<Violation>,
    pub(super) plan: &'a Plan,
    pub(super) small: &'a Plan,
    /// What a replay must switch on and off.
    pub(super) switches: &'a str,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, plan, small, switches, .. } = self;
        match &self.violation {
            Some(violation) => writeln!(f, "seed {seed} fails: {violation}")?,
            None => writeln!(f, "seed {seed} failed once and passes now: the simulator itself is at fault")?,
        }
        writeln!(f, "commit {}", COMMIT.unwrap_or("unknown"))?;
        writeln!(f, "replay: mangrove simulate --seed {seed}{switches}")?;
        if small.faults.is_empty() {
            writeln!(f, "none of its {} faults is needed for that", plan.faults.len())?;
        } else {
            writeln!(f, "of {} faults these {} are needed:", plan.faults.len(), small.faults.len())?;
        }
        for (at, fault) in &small.faults {
            writeln!(f, "  {:>8.3} s  {fault}", at.as_secs_f64())?;
        }
        write!(f, "{} of {} requests are needed, too", small.ops.len(), plan.ops.len())
    }
}

fn numbers(count: Count) -> String {
    let Count { steps, faults, requests, acknowledged, frames, checks, lost, quarantined } = count;
    format!(
        "{steps} steps, {faults} faults, {requests} requests, {acknowledged} writes acknowledged ({lost} lost with \
         their only disks or by what is not promised, {quarantined} in quarantine files), {frames} frames, {checks} checks"
    )
}

fn json_count(count: Count) -> Value {
    let Count { steps, faults, requests, acknowledged, frames, checks, lost, quarantined } = count;
    json!({
        "steps": steps, "faults": faults, "requests": requests, "acknowledged": acknowledged, "frames": frames,
        "checks": checks, "lost": lost, "quarantined": quarantined,
    })
}

fn line(value: &Value) -> Result<String, CliError> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n").map_err(|error| CliError::Failed(format!("no JSON: {error}")))
}

/// A search.
pub(super) fn searched(found: &Found, as_json: bool) -> Result<String, CliError> {
    let Found { seeds, count, failed, took } = found;
    if as_json {
        return line(&json!({
            "seeds": seeds, "failed": failed, "seconds": took.as_secs_f64(), "count": json_count(*count),
        }));
    }
    let rate = *seeds as f64 / took.as_secs_f64().max(0.001);
    let verdict = if failed.is_some() { "a seed failed" } else { "no violation" };
    Ok(format!("{verdict} in {seeds} seeds ({rate:.0} a second): {}\n", numbers(*count)))
}

/// One seed.
pub(super) fn one(seed: u64, outcome: &Outcome, as_json: bool) -> Result<String, CliError> {
    let trace = hex(&outcome.trace);
    if as_json {
        let violation = outcome.violation.as_ref().map(ToString::to_string);
        return line(&json!({
            "seed": seed, "violation": violation, "trace": trace, "count": json_count(outcome.count),
        }));
    }
    let verdict = outcome.violation.as_ref().map_or_else(|| "no violation".to_owned(), ToString::to_string);
    Ok(format!("seed {seed}: {verdict}\n{}\ntrace {trace}\n", numbers(outcome.count)))
}

/// A scenario.
pub(super) fn scenario(
    scenario: &Scenario,
    outcome: &Outcome,
    off: bool,
    as_json: bool,
) -> Result<String, CliError> {
    let violation = outcome.violation.as_ref().map(ToString::to_string);
    if as_json {
        return line(&json!({
            "hazard": scenario.rule.name(), "rule": scenario.rule.says(), "story": scenario.story,
            "violation": violation, "trace": hex(&outcome.trace), "count": json_count(outcome.count),
        }));
    }
    let mut text = String::new();
    for words in &outcome.words {
        let _ = writeln!(text, "{words}");
    }
    let verdict = violation.unwrap_or_else(|| "no violation".to_owned());
    let (rule, says, story) = (scenario.rule, scenario.rule.says(), scenario.story);
    let state = if off { "rule, switched off" } else { "rule" };
    let _ = writeln!(text, "{rule}: {story}\n  {state}: {says}\n  {verdict}\n  {}", numbers(outcome.count));
    Ok(text)
}
