//! `mangrove dev`: a whole cluster on this machine, for a first look.

mod child;
mod folder;
mod logs;
mod plan;
mod ports;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

pub(crate) use self::child::{Ended, Node};
use self::folder::Folder;
pub(crate) use self::plan::NodePlan;
pub(crate) use self::words::how;
use super::endpoint;
use super::error::CliError;
use super::output::{self, Screen};
use super::signals::StopSignals;
use crate::exit::{EXIT_REFUSED, Fatal};

/// How often logs are read and readiness is asked for.
const TICK: Duration = Duration::from_millis(150);

/// How long nodes may take to stop before they are killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// What `dev` says of its own to every node; these variables must not say otherwise to all of them at once.
const SAID_BY_FLAGS: [&str; 9] = [
    "MANGROVE_CONFIG",
    "MANGROVE_DATA_DIR",
    "MANGROVE_HTTP",
    "MANGROVE_GOSSIP",
    "MANGROVE_ADVERTISE",
    "MANGROVE_JOIN",
    "MANGROVE_FOUND",
    "MANGROVE_NAME",
    "MANGROVE_INSECURE",
];

/// Run a whole cluster on this machine, each node a process of its own
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many nodes
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,

    /// The folder for the nodes' data and logs
    #[arg(long, value_name = "DIR", default_value = "mangrove-data/dev")]
    dir: PathBuf,

    /// Empty the folder first (only one that mangrove dev has made)
    #[arg(long)]
    fresh: bool,

    /// The HTTP port of the first node; each next one's is ten higher, gossip is one above HTTP
    #[arg(long, value_name = "PORT", default_value_t = 7710, value_parser = clap::value_parser!(u16).range(1..))]
    http_base: u16,

    /// Settings handed to every node's serve, after --, such as: mangrove dev -- --allow-drills
    #[arg(last = true, value_name = "SETTINGS")]
    settings: Vec<OsString>,
}

pub(crate) async fn run(arguments: Dev) -> Result<(), CliError> {
    // Before the first child: a signal in between must not leave nodes behind.
    let signals = StopSignals::listen()
        .map_err(|error| CliError::Failed(format!("signals cannot be listened for: {error}")))?;
    let program = std::env::current_exe()
        .map_err(|error| CliError::Failed(format!("the program's own file cannot be found: {error}")))?;
    // Planned twice: the arguments are checked before a folder is made, and its full path is known after.
    plan::nodes(arguments.nodes, arguments.http_base, &arguments.dir, &arguments.settings)
        .and_then(|nodes| ports::check(&nodes))?;
    let folder = Folder::open(&arguments.dir)?;
    if arguments.fresh {
        folder.empty()?;
    }
    let plans = plan::nodes(arguments.nodes, arguments.http_base, &folder.path, &arguments.settings)?;
    let mut cluster = Cluster::start(program, plans, signals)?;
    show(&words::started(Screen::stdout(), &cluster.program, &folder.path, &cluster.shown()));
    let outcome = cluster.watch().await;
    let stopped = cluster.stop().await;
    outcome.and(stopped)
}

/// The running nodes and what they report.
struct Cluster {
    program: PathBuf,
    nodes: Vec<Node>,
    ends: UnboundedReceiver<Ended>,
    signals: StopSignals,
}

impl Cluster {
    fn start(program: PathBuf, plans: Vec<NodePlan>, signals: StopSignals) -> Result<Self, CliError> {
        let (sender, ends) = mpsc::unbounded_channel();
        let start = |(index, plan)| Node::start(&program, plan, index, sender.clone(), &SAID_BY_FLAGS);
        // On an error the nodes already started are dropped, which ends them.
        let nodes = plans.into_iter().enumerate().map(start).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { program, nodes, ends, signals })
    }

    fn shown(&self) -> Vec<(&NodePlan, u32)> {
        self.nodes.iter().map(|node| (&node.plan, node.pid)).collect()
    }

    /// Shows what happens until a signal comes. A node that ends before all were ready ends the whole.
    async fn watch(&mut self) -> Result<(), CliError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut all_ready, mut readiness) = (false, Box::pin(ready_within_tick(self.addresses())));
        loop {
            tokio::select! {
                () = self.signals.next() => return Ok(()),
                Some(ended) = self.ends.recv() => {
                    self.note_end(&ended);
                    self.show_logs();
                    if !all_ready {
                        return Err(self.never_ready(&ended));
                    }
                    self.tell_end(&ended);
                }
                ready = &mut readiness, if !all_ready => {
                    all_ready = ready;
                    if ready {
                        show(&words::ready(Screen::stdout(), &self.program, &self.shown()));
                    } else {
                        readiness = Box::pin(ready_within_tick(self.addresses()));
                    }
                }
                _ = tick.tick() => self.show_logs(),
            }
        }
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.plan.http.to_string()).collect()
    }

    fn show_logs(&mut self) {
        for node in &mut self.nodes {
            for line in node.log.lines() {
                show(&format!("{} | {line}\n", node.plan.name));
            }
        }
    }

    fn tell_end(&self, ended: &Ended) {
        if let Some(node) = self.nodes.get(ended.index) {
            show(&words::ended(&self.program, &node.plan, &ended.status));
        }
    }

    /// The error for a node that ended before the cluster was up; its own last line says why.
    fn never_ready(&self, ended: &Ended) -> CliError {
        let Some(node) = self.nodes.get(ended.index) else {
            return CliError::Failed("a node ended before it was ready".to_owned());
        };
        let why = node.log.why().unwrap_or("it said nothing");
        let why = match why.strip_prefix("error: ") {
            Some(wrong) => format!("{wrong}; see mangrove serve --help"),
            None => why.strip_prefix("mangrove: ").unwrap_or(why).to_owned(),
        };
        let text = format!("{} has {} before it was ready: {why}", node.plan.name, words::how(&ended.status));
        let code = ended.status.as_ref().ok().and_then(std::process::ExitStatus::code);
        if code == Some(i32::from(EXIT_REFUSED)) {
            return Fatal::Settings(text).into();
        }
        CliError::Failed(text)
    }

    /// Asks every node to stop, waits, and kills what is left at the deadline or at a second signal.
    async fn stop(&mut self) -> Result<(), CliError> {
        if self.nodes.iter().all(|node| node.ended) {
            return Ok(());
        }
        show("stopping all nodes\n");
        self.nodes.iter_mut().for_each(Node::stop);
        let deadline = Instant::now() + STOP_WITHIN;
        let mut killed = Vec::new();
        while self.nodes.iter().any(|node| !node.ended) {
            tokio::select! {
                Some(ended) = self.ends.recv() => self.note_end(&ended),
                () = sleep_until(deadline), if killed.is_empty() => killed = self.kill_rest(),
                () = self.signals.next(), if killed.is_empty() => killed = self.kill_rest(),
            }
        }
        self.show_logs();
        if killed.is_empty() {
            show("all nodes that dev started have stopped\n");
            return Ok(());
        }
        Err(CliError::Failed(format!("{} did not stop in time and had to be killed", killed.join(", "))))
    }

    fn note_end(&mut self, ended: &Ended) {
        if let Some(node) = self.nodes.get_mut(ended.index) {
            node.ended = true;
        }
    }

    fn kill_rest(&self) -> Vec<String> {
        let rest = self.nodes.iter().filter(|node| !node.ended);
        rest.inspect(|node| node.kill()).map(|node| node.plan.name.clone()).collect()
    }
}

/// Whether every node says that it is ready; asked after a short wait, so that it can be asked again and again.
async fn ready_within_tick(addresses: Vec<String>) -> bool {
    tokio::time::sleep(TICK).await;
    for address in &addresses {
        if !endpoint::is_ready(address).await {
            return false;
        }
    }
    true
}

/// Writes to the terminal; when nobody reads any more the nodes go on.
fn show(text: &str) {
    let _ = output::print(text);
}
