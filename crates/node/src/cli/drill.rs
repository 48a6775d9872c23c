//! `mangrove drill`: faults made on purpose, to see what happens.

use std::time::Duration;

use clap::{Args, Subcommand};
use client::Drills;
use http_api::{DRILL_TIME_MAX, DRILL_TIME_MIN};
use jiff::Timestamp;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::output::{self, harmless};

/// Practise a fault on a node that was started with --allow-drills
#[derive(Debug, Args)]
pub(crate) struct Drill {
    #[command(subcommand)]
    fault: Fault,
}

#[derive(Debug, Subcommand)]
enum Fault {
    Isolate(Isolate),
}

/// Cut one node off from the other members for a while; it goes on serving clients, and the drill ends by itself
#[derive(Debug, Args)]
struct Isolate {
    /// The node to cut off: its name, or its id
    #[arg(long, value_name = "NAME")]
    node: String,

    /// For how long: 1s to 10m. A drill under way is replaced
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    time: Duration,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Drill) -> Result<(), CliError> {
    let Fault::Isolate(arguments) = arguments.fault;
    if !(DRILL_TIME_MIN..=DRILL_TIME_MAX).contains(&arguments.time) {
        let given = humantime::format_duration(arguments.time);
        return Err(CliError::Refused(format!("--for is 1s to 10m, not {given}")));
    }
    let node = arguments.endpoints.find(&arguments.node).await?;
    let drills = node.drill_isolate(arguments.time).await?;
    if arguments.json {
        return output::print_json(&drills);
    }
    output::print(said(&drills, arguments.time) + "\n")
}

fn said(drills: &Drills, time: Duration) -> String {
    let until = drills.isolated_until_ms.and_then(|millis| i64::try_from(millis).ok());
    let until = until.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let until = until.map_or_else(String::new, |until| format!(", until {until:.0}"));
    let time = humantime::format_duration(time);
    format!(
        "{} is cut off from the other members for {time}{until}; it goes on serving clients, and the drill ends by itself",
        harmless(&drills.node)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_and_until_when() {
        let drills = Drills {
            node: "n3".into(),
            allowed: true,
            isolated_until_ms: Some(1_700_000_030_000),
            remaining_ms: Some(30_000),
        };
        assert_eq!(
            said(&drills, Duration::from_secs(30)),
            "n3 is cut off from the other members for 30s, until 2023-11-14T22:13:50Z; it goes on serving clients, and \
             the drill ends by itself"
        );
    }
}
