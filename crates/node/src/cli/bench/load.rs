//! `mangrove bench load`: what nodes carry, at full speed or at a fixed rate, alone and while repair runs.

mod beside;
mod client;
mod job;
mod mix;
mod pace;
mod shown;
mod tally;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub(crate) use self::job::{Job, Until, measure, per_second};
pub(crate) use self::mix::{Mix, Operation};
use self::shown::Phase;
use super::data::{self, Data};
use super::fill::{Write, fill};
use super::nodes::Nodes;
use super::place::{self, Place};
use super::progress::Progress;
use super::wire::Host;
use super::{scenario, unless};
use crate::cli::error::CliError;
use crate::cli::output;

/// The largest value that a benchmark writes: what a node takes without a setting.
pub(crate) const VALUE_BYTES_MAX: u64 = 1 << 20;

/// Measure how many requests nodes answer and how fast, alone or beside a repair
///
/// Without --endpoint it starts nodes of its own (`mangrove serve`, data on disk, loopback) in a temporary folder
/// and removes them at the end. Keys are written before anything is measured; on a cluster that is not its own
/// they begin with bench/ and stay.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// What is measured: requests, or the rows that other clusters are compared by (PUT rate, visible on all nodes,
    /// idle cost, catch-up, refill), or what three nodes give back after all keys were deleted or have expired (the
    /// latter three on own nodes only)
    #[arg(long, value_enum, default_value_t = Scenario::Requests)]
    scenario: Scenario,

    /// Connections, each with one request at a time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,

    /// Threads that drive the connections [default: half of the cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,

    /// What the requests are, by weight: put, get, delete
    #[arg(long, value_name = "MIX", default_value = "put=50,get=50")]
    mix: Mix,

    /// Keys written before, among which requests choose evenly
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    keys: u64,

    /// Length of a key in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 20)]
    key_size: usize,

    /// Length of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    value_size: u64,

    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,

    /// Requests a second, sent at fixed times whatever the answers do; latency counts from the time at which a
    /// request was due. Without it every client sends its next request when it has its answer
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,

    /// Measure again while a repair runs, with and without the governor (own nodes only; at half of the rate found
    /// at full speed unless --rate says otherwise)
    #[arg(long)]
    with_repair: bool,

    /// The same seed makes the same keys and values
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// HTTP addresses of nodes that run already; clients are spread over them
    #[arg(long, value_name = "URL", env = "MANGROVE_ENDPOINTS", value_delimiter = ',')]
    endpoint: Vec<String>,

    /// How many nodes to start where no endpoint is given
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,

    /// When own nodes answer a write: once it is on disk, or at once
    #[arg(long, value_name = "fsync|interval", value_enum, default_value_t = Durability::Fsync)]
    durability: Durability,

    /// Where own nodes keep their data [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Requests of the mix
    Requests,
    /// A whole three-node cluster
    Cluster,
    /// What three nodes give back after all keys were deleted
    Deletes,
    /// What is left after all keys have expired, although one of three nodes is down
    Ttl,
}

/// As the setting of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    Fsync,
    Interval,
}

impl Durability {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval => "interval",
        }
    }
}

pub(crate) async fn run(arguments: Load, interrupted: impl Future<Output = ()>) -> Result<(), CliError> {
    check(&arguments)?;
    if !arguments.endpoint.is_empty() {
        return unless(interrupted, against(&arguments)).await;
    }
    let count = if arguments.with_repair { beside::NODES } else { usize::from(arguments.nodes) };
    let count = if arguments.scenario == Scenario::Requests { count } else { scenario::NODES };
    let needed =
        place::bytes_needed(count as u64, arguments.keys, arguments.key_size, value_bytes(&arguments));
    if let Some(warning) = place::check(arguments.dir.as_deref(), needed)? {
        output::say(&warning);
    }
    let mut nodes = Nodes::plan(count, Place::make(arguments.dir.as_deref())?)?;
    let outcome = match arguments.scenario {
        Scenario::Cluster => unless(interrupted, scenario::run(&mut nodes, &arguments.scenario())).await,
        Scenario::Deletes => unless(interrupted, scenario::deletes(&mut nodes, &arguments.scenario())).await,
        Scenario::Ttl => unless(interrupted, scenario::expiry(&mut nodes, &arguments.scenario())).await,
        Scenario::Requests if arguments.with_repair => {
            unless(interrupted, beside::run(&mut nodes, &arguments)).await
        }
        Scenario::Requests => unless(interrupted, own(&mut nodes, &arguments)).await,
    };
    nodes.end().await;
    outcome
}

/// One line for what cannot be done, before anything is.
fn check(arguments: &Load) -> Result<(), CliError> {
    let refused = |text: String| Err(CliError::Refused(text));
    let data = arguments.data();
    if arguments.keys == 0 {
        return refused("--keys is 0: requests need at least one key".to_owned());
    }
    let shortest = data.prefix.len() + data::KEY_BYTES_MIN;
    if !(shortest..=model::KEY_BYTES_MAX).contains(&arguments.key_size) {
        return refused(format!("--key-size wants {shortest} to {} bytes", model::KEY_BYTES_MAX));
    }
    if arguments.keys > data.keys_max() {
        return refused(format!("there are only {} keys of that size: choose fewer", data.keys_max()));
    }
    if arguments.value_size > VALUE_BYTES_MAX {
        return refused(format!(
            "--value-size wants at most {VALUE_BYTES_MAX} bytes: nodes take no larger values"
        ));
    }
    if !arguments.endpoint.is_empty() {
        let scenario = arguments.scenario.to_possible_value();
        let scenario = scenario.as_ref().map_or("", |value| value.get_name());
        for (wanted, flag) in [
            (arguments.with_repair, "--with-repair".to_owned()),
            (arguments.scenario != Scenario::Requests, format!("--scenario {scenario}")),
        ] {
            if wanted {
                return refused(format!(
                    "{flag} stops and starts nodes, which is only done to own ones: leave --endpoint and \
                     MANGROVE_ENDPOINTS away"
                ));
            }
        }
    }
    Ok(())
}

fn value_bytes(arguments: &Load) -> usize {
    usize::try_from(arguments.value_size).unwrap_or(usize::MAX)
}

impl Load {
    fn data(&self) -> Data {
        Data {
            prefix: if self.endpoint.is_empty() { "" } else { data::PREFIX },
            key_bytes: self.key_size,
            value_bytes: value_bytes(self),
            seed: self.seed,
        }
    }

    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        self.threads.map_or((cores / 2).max(1), usize::from).min(usize::from(self.clients))
    }

    fn job(&self, hosts: Vec<Arc<Host>>, rate: Option<u64>) -> Job {
        Job {
            hosts,
            data: self.data(),
            keys: self.keys,
            mix: self.mix.clone(),
            clients: usize::from(self.clients),
            threads: self.threads(),
            rate,
            until: Until::after(Duration::from_secs(self.seconds)),
        }
    }

    fn scenario(&self) -> scenario::Plan {
        scenario::Plan {
            data: self.data(),
            keys: self.keys,
            clients: usize::from(self.clients),
            threads: self.threads(),
            seconds: self.seconds,
            json: self.json,
        }
    }

    /// Writes the keys that requests choose from.
    async fn prepare(&self, hosts: &[Arc<Host>]) -> Result<(), CliError> {
        let progress = Progress::new("writing keys", self.keys);
        let count = hosts.len() as u64;
        let write = |number: u64| Write { node: (number % count) as usize, index: number, version: 0 };
        fill(hosts, self.data(), self.keys, &write, usize::from(self.clients), &progress).await
    }

    /// Shows one measurement.
    fn show(&self, phase: &Phase) -> Result<(), CliError> {
        if self.json {
            output::print(phase.json()?)
        } else {
            output::print(phase.text(output::Screen::stdout()))
        }
    }
}

/// The load on a cluster that runs already.
async fn against(arguments: &Load) -> Result<(), CliError> {
    let mut hosts = Vec::new();
    for given in arguments.endpoint.iter().map(|given| given.trim()).filter(|given| !given.is_empty()) {
        hosts.push(Arc::new(Host::find(given).await?));
    }
    if hosts.is_empty() {
        return Err(CliError::Refused(
            "--endpoint names no node: write one like http://127.0.0.1:7710".to_owned(),
        ));
    }
    arguments.prepare(&hosts).await?;
    let measured = job::measure(arguments.job(hosts, arguments.rate)).await?;
    arguments.show(&Phase::new("load", &measured))
}

/// The load on nodes of its own.
async fn own(nodes: &mut Nodes, arguments: &Load) -> Result<(), CliError> {
    let settings = ["--durability".to_owned(), arguments.durability.word().to_owned()];
    let mut hosts = Vec::new();
    for index in 0..usize::from(arguments.nodes) {
        nodes.start(index, &settings)?;
        hosts.push(nodes.host(index)?);
        if index == 0 {
            nodes.ready(0).await?;
        }
    }
    for index in 0..hosts.len() {
        nodes.ready(index).await?;
    }
    arguments.prepare(&hosts).await?;
    let measured = job::measure(arguments.job(hosts, arguments.rate)).await?;
    arguments.show(&Phase::new("load", &measured))
}
