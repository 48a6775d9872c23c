//! `mangrove simulate --nodes`: experiments on many nodes, as tables, as one JSON document and as a chart.

mod ask;
mod chart;
mod shown;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gossip::core::CoreConfig;
use sim::crowd::cluster::{self, ClusterSetting, Whole};
use sim::crowd::demers::{self, Row};
use sim::crowd::detection::{Detection, DetectionSetting, detection};
use sim::crowd::spread::{Spread, SpreadSetting, spread};
use sim::crowd::{Cut, NODES_MAX, WHOLE_NODES_MAX};

use super::super::bench::progress::Progress;
use super::super::error::CliError;
use super::super::output::{self, Screen};
use crate::settings::FANOUT;

/// Members of the clusters whose failure detection is measured: one that beats, and larger ones that probe.
const DETECTION_NODES: [usize; 3] = [3, 10, 30];
/// Members that die in each of them.
const DEATHS: u32 = 50;
/// A progress bar's steps.
const STEPS: u64 = 1_000;

/// What is asked of an experiment.
#[derive(Debug, Args)]
pub(super) struct Crowd {
    /// Experiment with so many nodes: one number is gone up to in steps, a list such as 10,100 or 100, is taken as it is
    #[arg(long, value_name = "N", value_parser = ask::nodes, conflicts_with_all = ["seeds", "scenario", "rules_off"])]
    nodes: Option<ask::Nodes>,

    /// Writes, each of a key of its own at a node drawn at random
    #[arg(long, value_name = "N", requires = "nodes", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    writes: u16,

    /// Datagrams that are lost, such as 1%; as many frames are sent again
    #[arg(long, value_name = "PERCENT", requires = "nodes", default_value = "0%", value_parser = ask::loss)]
    loss: u32,

    /// Cut so many nodes off from the others for so long from the first write on, such as 30%:10s
    #[arg(long, value_name = "PERCENT:DURATION", requires = "nodes", value_parser = ask::partition)]
    partition: Option<Cut>,

    /// Members that a rumor is pushed to in a round
    #[arg(long, value_name = "N", requires = "nodes", default_value_t = FANOUT,
          value_parser = clap::value_parser!(u8).range(1..=64))]
    fanout: u8,

    /// How long each cluster runs at least, in its own time
    #[arg(long, value_name = "DURATION", requires = "nodes", default_value = "15s", value_parser = ask::time)]
    simulated: Duration,

    /// Spread rumors alone, without stores, sessions, connections and failure detection
    #[arg(long, requires = "nodes")]
    rumors_only: bool,

    /// Run rumors and whole nodes, without the table of 1987 and failure detection
    #[arg(long, requires = "nodes", conflicts_with = "rumors_only")]
    spread_only: bool,

    /// Hours of a member for which failure detection is watched, in each size of cluster
    #[arg(long, value_name = "HOURS", requires = "nodes", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    node_hours: u32,

    /// Epidemics that a row of the table of 1987 is an average of
    #[arg(long, value_name = "N", requires = "nodes", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epidemics: u32,

    /// Draw a chart of it all into this file, as SVG
    #[arg(long, value_name = "FILE", requires = "nodes")]
    plot: Option<PathBuf>,
}

/// What was measured with so many nodes.
pub(super) struct Size {
    nodes: usize,
    rumors: Spread,
    /// None where only rumors were asked for.
    whole: Option<Whole>,
}

/// Everything that was measured.
pub(super) struct Found {
    loss: u32,
    writes: u16,
    sizes: Vec<Size>,
    epidemics: u32,
    demers: Vec<Row>,
    detection: Vec<(usize, Detection)>,
}

impl Crowd {
    /// Whether an experiment is asked for.
    pub(super) fn is_asked_for(&self) -> bool {
        self.nodes.is_some()
    }
}

/// Runs the experiments.
pub(super) fn run(crowd: &Crowd, seed: u64, forgets_deletes: bool, json: bool) -> Result<(), CliError> {
    let sizes = sizes(crowd)?;
    // Before hours of work, not after them.
    if let Some(path) = &crowd.plot {
        let refused = |why| CliError::Refused(format!("--plot is {}: {why}", path.display()));
        output::writable(path).map_err(refused)?;
    }
    let mut found = Found {
        loss: crowd.loss,
        writes: crowd.writes,
        sizes: Vec::new(),
        epidemics: crowd.epidemics,
        demers: Vec::new(),
        detection: Vec::new(),
    };
    for nodes in sizes {
        found.sizes.push(size(crowd, nodes, seed, forgets_deletes)?);
    }
    if !crowd.spread_only {
        found.demers = table_of_1987(crowd.epidemics, seed);
    }
    if !crowd.rumors_only && !crowd.spread_only {
        found.detection = DETECTION_NODES.iter().map(|nodes| (*nodes, detect(crowd, *nodes, seed))).collect();
    }
    if let Some(path) = &crowd.plot {
        std::fs::write(path, chart::svg(&found)).map_err(|error| cannot_write(path, &error))?;
    }
    if json {
        return output::print_json(&shown::json(&found));
    }
    output::print(shown::text(Screen::stdout(), &found))
}

fn cannot_write(path: &std::path::Path, error: &std::io::Error) -> CliError {
    CliError::Refused(format!("{} cannot be written: {error}", path.display()))
}

fn sizes(crowd: &Crowd) -> Result<Vec<usize>, CliError> {
    let sizes = crowd.nodes.as_ref().map(ask::Nodes::sizes).unwrap_or_default();
    let most = if crowd.rumors_only { NODES_MAX } else { WHOLE_NODES_MAX };
    // The largest is what was asked for; the steps up to it were not.
    match sizes.iter().max().filter(|nodes| **nodes > most) {
        Some(nodes) if crowd.rumors_only => {
            Err(CliError::Refused(format!("{nodes} nodes are too many: {NODES_MAX} at most")))
        }
        Some(nodes) => Err(CliError::Refused(format!(
            "{nodes} whole nodes are too many: {WHOLE_NODES_MAX} at most, or {NODES_MAX} with --rumors-only"
        ))),
        None => Ok(sizes),
    }
}

fn size(crowd: &Crowd, nodes: usize, seed: u64, forgets_deletes: bool) -> Result<Size, CliError> {
    let rumors = spread(&SpreadSetting {
        nodes,
        writes: crowd.writes,
        fanout: usize::from(crowd.fanout),
        lost_permille: crowd.loss,
        cut: crowd.partition,
        seed,
    });
    if crowd.rumors_only {
        return Ok(Size { nodes, rumors, whole: None });
    }
    let setting = ClusterSetting {
        nodes: u16::try_from(nodes).unwrap_or(u16::MAX),
        writes: crowd.writes,
        lost_permille: crowd.loss,
        cut: crowd.partition,
        time: crowd.simulated,
        // As `mangrove serve` has it, unless it is told otherwise.
        core: CoreConfig { fanout: usize::from(crowd.fanout), forgets_deletes, ..CoreConfig::default() },
        seed,
    };
    let progress = Progress::new(format!("{nodes} nodes"), STEPS);
    let whole = cluster::run(&setting, &mut |share| progress.set(steps(share)));
    drop(progress);
    let whole = whole.map_err(|violation| {
        CliError::Failed(format!(
            "{nodes} nodes: {violation}\nreplay with the same arguments and --seed {seed}"
        ))
    })?;
    Ok(Size { nodes, rumors, whole: Some(whole) })
}

fn steps(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * STEPS as f64) as u64
}

fn table_of_1987(epidemics: u32, seed: u64) -> Vec<Row> {
    let progress = Progress::new("the table of 1987", demers::TABLE_1987.len() as u64);
    let row = |row: &Row| {
        let row = demers::row(row.k, 1, epidemics, seed);
        progress.add(1);
        row
    };
    let rows = demers::TABLE_1987.iter().map(row).collect();
    drop(progress);
    rows
}

fn detect(crowd: &Crowd, nodes: usize, seed: u64) -> Detection {
    let time = Duration::from_secs(3_600) * crowd.node_hours / u32::try_from(nodes).unwrap_or(1);
    let liveness = CoreConfig::default().liveness;
    let setting = DetectionSetting { nodes, lost_permille: crowd.loss, time, deaths: DEATHS, liveness, seed };
    let progress = Progress::new(format!("failure detection, {nodes} nodes"), STEPS);
    let found = detection(&setting, &mut |share| progress.set(steps(share)));
    drop(progress);
    found
}
