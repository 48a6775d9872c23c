//! A benchmark's own nodes: `mangrove serve` of this very program as child processes, with data on disk, over
//! loopback TCP, started and stopped as the measurement asks.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout};

use super::super::dev::{Ended, Node, NodePlan, how};
use super::super::error::CliError;
use super::cpu::Cpu;
use super::place::Place;
use super::wire::{Host, Wire};

/// How long a node may take to be ready, refilled by its peers where it has to be.
const READY_WITHIN: Duration = Duration::from_secs(900);

/// How long a node may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(60);

const ASK_EVERY: Duration = Duration::from_millis(5);

/// One node's places; the same through all its lives.
#[derive(Debug, Clone)]
struct Spot {
    name: String,
    http: SocketAddr,
    gossip: SocketAddr,
    host: Arc<Host>,
}

/// The nodes and the folder that they live in.
#[derive(Debug)]
pub(crate) struct Nodes {
    program: PathBuf,
    spots: Vec<Spot>,
    running: Vec<Option<Node>>,
    /// The environment's own settings, which would be every node's.
    unset: Vec<OsString>,
    ends: UnboundedReceiver<Ended>,
    tell: UnboundedSender<Ended>,
    place: Place,
}

impl Nodes {
    /// Finds ports for `count` nodes that will live in `place`. Starts none.
    pub(crate) fn plan(count: usize, place: Place) -> Result<Self, CliError> {
        let program = std::env::current_exe()
            .map_err(|error| CliError::Failed(format!("the program's own file cannot be found: {error}")))?;
        let spots =
            spots(count).map_err(|error| CliError::Failed(format!("no free ports on 127.0.0.1: {error}")))?;
        let unset = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with("MANGROVE_"))
            .collect();
        let (tell, ends) = mpsc::unbounded_channel();
        let running = spots.iter().map(|_| None).collect();
        Ok(Self { program, spots, running, unset, ends, tell, place })
    }

    /// The node's HTTP address.
    pub(crate) fn host(&self, index: usize) -> Result<Arc<Host>, CliError> {
        self.spot(index).map(|spot| spot.host.clone())
    }

    /// The node's name.
    pub(crate) fn name(&self, index: usize) -> Result<String, CliError> {
        self.spot(index).map(|spot| spot.name.clone())
    }

    fn spot(&self, index: usize) -> Result<&Spot, CliError> {
        self.spots.get(index).ok_or_else(|| CliError::Failed(format!("there is no node number {index}")))
    }

    /// Starts a node; the first one may found the cluster. Does not wait until it is ready.
    pub(crate) fn start(&mut self, index: usize, settings: &[String]) -> Result<(), CliError> {
        let spot = self.spot(index)?.clone();
        let data_dir = self.place.path().join(&spot.name);
        let log = self.place.path().join(format!("{}.log", spot.name));
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--data-dir".into(), data_dir.clone().into()];
        let mut say = |flag: &str, value: String| arguments.extend([flag.into(), value.into()]);
        say("--name", spot.name.clone());
        say("--http", spot.http.to_string());
        say("--gossip", spot.gossip.to_string());
        say("--log-level", "warn".to_owned());
        let seeds: Vec<String> = self
            .spots
            .iter()
            .filter(|other| other.name != spot.name)
            .map(|other| other.gossip.to_string())
            .collect();
        if !seeds.is_empty() {
            say("--join", seeds.join(","));
        }
        if index == 0 {
            arguments.push("--found".into());
        }
        arguments.extend(settings.iter().map(OsString::from));
        let plan =
            NodePlan { name: spot.name, http: spot.http, gossip: spot.gossip, data_dir, log, arguments };
        let node = Node::start(&self.program, plan, index, self.tell.clone(), &self.unset)?;
        if let Some(slot) = self.running.get_mut(index) {
            *slot = Some(node);
        }
        Ok(())
    }

    /// Waits until the node serves. One that ends instead is an error with its own last words.
    pub(crate) async fn ready(&mut self, index: usize) -> Result<(), CliError> {
        let mut wire = Wire::new(self.host(index)?);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if wire.call("GET", "/readyz", b"").await.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            while let Ok(ended) = self.ends.try_recv() {
                self.note(&ended)?;
            }
            if Instant::now() >= deadline {
                let name = self.name(index)?;
                return Err(CliError::Failed(format!("{name} was not ready within {READY_WITHIN:?}")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// A node that ended without having been asked to is an error.
    fn note(&mut self, ended: &Ended) -> Result<(), CliError> {
        let Some(mut node) = self.running.get_mut(ended.index).and_then(Option::take) else { return Ok(()) };
        node.log.lines();
        let why = node.log.why().unwrap_or("it said nothing");
        let why = why.strip_prefix("mangrove: ").unwrap_or(why);
        Err(CliError::Failed(format!("{} has {}: {why}", node.plan.name, how(&ended.status))))
    }

    /// Stops a node as an operator would, and waits for its end.
    pub(crate) async fn stop(&mut self, index: usize) -> Result<(), CliError> {
        if let Some(node) = self.running.get_mut(index).and_then(Option::as_mut) {
            node.stop();
        }
        self.gone(index).await
    }

    /// Ends a node at once, as a crash would, and waits for its end.
    pub(crate) async fn kill(&mut self, index: usize) -> Result<(), CliError> {
        if let Some(node) = self.running.get_mut(index).and_then(Option::as_mut) {
            node.kill();
        }
        self.gone(index).await
    }

    async fn gone(&mut self, index: usize) -> Result<(), CliError> {
        let deadline = Instant::now() + STOP_WITHIN;
        while self.running.get(index).is_some_and(Option::is_some) {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.ends.recv()).await {
                Ok(Some(ended)) if ended.index == index => {
                    if let Some(slot) = self.running.get_mut(index) {
                        *slot = None;
                    }
                }
                Ok(Some(ended)) => self.note(&ended)?,
                _ => {
                    let name = self.name(index)?;
                    return Err(CliError::Failed(format!("{name} did not stop within {STOP_WITHIN:?}")));
                }
            }
        }
        Ok(())
    }

    /// Removes all that a node has on disk. It must have ended.
    pub(crate) fn wipe(&self, index: usize) -> Result<(), CliError> {
        let folder = self.place.path().join(self.name(index)?);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CliError::Failed(format!("{} cannot be removed: {error}", folder.display())))
            }
            _ => Ok(()),
        }
    }

    /// The CPU time that each running node has used, in order; nodes that do not run are left out.
    pub(crate) fn cpu(&self) -> Vec<Cpu> {
        let running = self.running.iter().flatten();
        running.map(|node| Cpu::of(node.pid).unwrap_or_default()).collect()
    }

    /// The CPU time of all running nodes since an earlier [`Nodes::cpu`] of the same nodes.
    pub(crate) fn cpu_since(&self, earlier: &[Cpu]) -> Duration {
        self.cpu().iter().zip(earlier).map(|(now, then)| now.since(then)).sum()
    }

    /// Memory that all running nodes have, in bytes, where the system says.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.running.iter().flatten().map(|node| resident(node.pid)).sum()
    }

    /// What all nodes have on disk, in bytes.
    pub(crate) fn on_disk(&self) -> u64 {
        let files = walkdir::WalkDir::new(self.place.path()).into_iter().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .filter(|file| file.is_file())
            .map(|file| file.len())
            .sum()
    }

    /// Ends every node at once and waits a while; what is left ends with this process.
    pub(crate) async fn end(&mut self) {
        for index in 0..self.running.len() {
            let _ = self.kill(index).await;
        }
    }
}

/// The memory of a process, from `/proc`.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Places on free ports. All are held until the last is found, so that none is given twice.
fn spots(count: usize) -> std::io::Result<Vec<Spot>> {
    let (mut spots, mut held) = (Vec::new(), Vec::new());
    while spots.len() < count {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let gossip = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = gossip.local_addr()?;
        // The same number must be free for UDP; if it is not, the next pair is tried.
        if let Ok(heartbeats) = UdpSocket::bind(address) {
            let place = http.local_addr()?;
            let name = format!("n{}", spots.len() + 1);
            spots.push(Spot { name, http: place, gossip: address, host: Arc::new(Host::at(place)) });
            held.push((http, gossip, heartbeats));
        }
    }
    Ok(spots)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_node_has_its_own_free_ports() {
        let spots = spots(5).unwrap();
        let ports: BTreeSet<u16> =
            spots.iter().flat_map(|spot| [spot.http.port(), spot.gossip.port()]).collect();
        assert_eq!(ports.len(), 10);
        assert_eq!(spots[4].name, "n5");
    }
}
