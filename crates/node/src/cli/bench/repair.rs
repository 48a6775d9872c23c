//! `mangrove bench repair`: what it costs to make nodes identical again, against what it must cost at least.

mod ask;
mod cost;
mod differ;
mod own;
mod plot;
mod row;
mod running;
mod session;
mod shown;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;

use clap::Args;

use self::row::Row;
use super::nodes::Nodes;
use super::place::{self, Place};
use super::unless;
use crate::cli::error::CliError;
use crate::cli::output::{self, Screen};

/// Measure what it costs to make nodes identical again
///
/// Without --cluster it starts nodes of its own (`mangrove serve`, data on disk, loopback TCP) in a temporary folder
/// and removes them at the end. Each cell makes them differ by clients' writes to single nodes, begins a repair, and
/// counts only if all roots are equal afterwards. Times and bytes are the nodes' own (GET /v1/repairs), CPU is of
/// all nodes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Repair {
    /// How many keys every node holds before
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// How many keys differ, one measurement each [default: of 0,1,100,1000,10000,100000 those that --keys allows]
    #[arg(long, value_name = "COUNT", value_delimiter = ',')]
    differ: Vec<String>,

    /// Length of a key in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,

    /// Length of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    value_size: u64,

    /// In what way they differ: random (half updated, a quarter missing on each side), cluster (the same, all
    /// neighbours in the tree), missing (all on one side), updated
    #[arg(long, value_name = "SHAPE", value_delimiter = ',', default_value = "random")]
    shape: Vec<String>,

    /// Round-trip times between nodes, added inside of the transport
    #[arg(long, value_name = "DURATION", value_delimiter = ',', default_value = "0")]
    rtt: Vec<String>,

    /// How what differs is found: auto, tree, sketch
    #[arg(long, value_name = "METHOD", value_delimiter = ',', default_value = "auto")]
    method: Vec<String>,

    /// How many nodes, 2 to 5; more than two are repaired in rounds until all are equal, and costs are summed
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    nodes: usize,

    /// How often each cell is measured; the median is shown, with least and greatest in --json and --csv
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    repeat: u64,

    /// The same seed makes the same keys, values and differences
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Connections that write
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,

    /// HTTP addresses of a cluster that runs already: the last one is held apart from the others for a while by
    /// POST /v1/drills (it must run with --allow-drills), and convergence is timed from outside. Keys begin with
    /// bench/ and stay
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    cluster: Vec<String>,

    /// How long it is held apart, 1s to 10m [default: as long as writing the differences takes]
    #[arg(long, value_name = "DURATION")]
    isolate: Option<String>,

    /// Where own nodes keep their data [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Print one JSON object a row
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print comma-separated values, names in the first line
    #[arg(long)]
    csv: bool,

    /// Also draw bytes against divergence into an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Repair, interrupted: impl Future<Output = ()>) -> Result<(), CliError> {
    let plan = ask::plan(&arguments)?;
    let mut rows = Vec::new();
    let outcome = if arguments.cluster.is_empty() {
        if let Some(warning) = place::check(arguments.dir.as_deref(), plan.bytes_needed())? {
            output::say(&warning);
        }
        let mut nodes = Nodes::plan(plan.nodes, Place::make(arguments.dir.as_deref())?)?;
        let mut show = |row: Row| shown::each(&arguments, &mut rows, row);
        let outcome = unless(interrupted, own::run(&mut nodes, &plan, &mut show)).await;
        nodes.end().await;
        outcome
    } else {
        let mut show = |row: Row| shown::each(&arguments, &mut rows, row);
        unless(interrupted, running::run(&arguments.cluster, &plan, &mut show)).await
    };
    // What was measured before an error is shown all the same.
    if !arguments.json && !arguments.csv && !rows.is_empty() {
        output::print(shown::table(Screen::stdout(), &rows))?;
    }
    outcome?;
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::svg(&rows, &plan)).map_err(|error| {
            CliError::Failed(format!("the chart cannot be written to {}: {error}", path.display()))
        })?;
    }
    Ok(())
}
