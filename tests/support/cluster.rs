//! Several nodes that belong together, in one temporary folder.

use std::net::SocketAddr;
use std::path::Path;

use jiff::Timestamp;
use tempfile::TempDir;

use super::http::Api;
use super::node::Node;
use super::ports::Ports;
use super::wait::{SOON, until};
use super::workload::Workload;

/// A cluster of processes. When a test fails the logs are printed and the folder is kept.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub ports: Ports,
    home: Option<TempDir>,
}

impl Cluster {
    /// Plans nodes n1, n2, ... and starts none: n1 founds, each has all others as seeds.
    pub fn planned(count: usize, flags: &[&str]) -> Self {
        let mut ports = Ports::reserve();
        let home = tempfile::Builder::new().prefix("mangrove-test-").tempdir().unwrap();
        let mut nodes: Vec<Node> = (1..=count)
            .map(|number| {
                let (http, gossip) = (ports.address(), ports.address());
                Node::new(home.path(), &format!("n{number}"), http, gossip, flags)
            })
            .collect();
        let all: Vec<SocketAddr> = nodes.iter().map(|node| node.gossip).collect();
        for node in &mut nodes {
            node.seeds = all.iter().copied().filter(|seed| *seed != node.gossip).collect();
        }
        nodes[0].found = true;
        Self { nodes, ports, home: Some(home) }
    }

    /// A cluster that is up: every node is ready and sees all others alive. The first one founds alone, which
    /// is quicker than together with others; from its next start on it has seeds like the others.
    #[track_caller]
    pub fn start(count: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::planned(count, flags);
        let seeds = std::mem::take(&mut cluster.nodes[0].seeds);
        cluster.nodes[0].start_ready();
        cluster.nodes[0].seeds = seeds;
        cluster.start_all();
        cluster
    }

    /// Starts every node that is not running, and waits until all see each other.
    #[track_caller]
    pub fn start_all(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.is_started()) {
            node.start();
        }
        self.nodes.iter_mut().for_each(Node::wait_ready);
        let count = self.nodes.len();
        for node in &self.nodes {
            node.wait_view("all others alive", |view| {
                view.members.len() == count && view.others_are("alive")
            });
        }
    }

    /// One more node, not started: it has all present ones as seeds.
    pub fn add(&mut self, name: &str, flags: &[&str]) -> &mut Node {
        let (http, gossip) = (self.ports.address(), self.ports.address());
        let mut node = Node::new(self.home(), name, http, gossip, flags);
        node.seeds = self.nodes.iter().map(|node| node.gossip).collect();
        self.nodes.push(node);
        self.nodes.last_mut().unwrap()
    }

    pub fn api(&self, index: usize) -> Api {
        self.nodes[index].api()
    }

    /// The APIs of all running nodes.
    pub fn apis(&self) -> Vec<Api> {
        self.running().map(Node::api).collect()
    }

    /// Starts so many clients for each node, on keys below `prefix` that are prepared everywhere.
    #[track_caller]
    pub fn workload(&self, clients_each: usize, prefix: &str) -> Workload {
        Workload::prepare(self.api(0), prefix);
        self.wait_equal_roots();
        Workload::start(&self.apis(), clients_each, prefix)
    }

    /// The APIs of all running nodes but one.
    pub fn apis_but(&self, but: usize) -> Vec<Api> {
        let but = self.api(but).address;
        self.apis().into_iter().filter(|api| api.address != but).collect()
    }

    /// The temporary folder.
    pub fn home(&self) -> &Path {
        self.home.as_ref().unwrap().path()
    }

    /// Waits until all running nodes show one root, one count of keys and one of tombstones; gives the root.
    #[track_caller]
    pub fn wait_equal_roots(&self) -> String {
        until("equal roots", SOON, || {
            let views = self.running().map(|node| node.api().view()).collect::<Result<Vec<_>, _>>()?;
            let shown = |at: usize| (&views[at].root, views[at].keys, views[at].tombstones);
            if (1..views.len()).all(|at| shown(at) == shown(0)) {
                return Ok(views[0].root.clone());
            }
            Err(views.iter().map(|view| view.summary() + "\n").collect())
        })
    }

    /// Waits until each pair of running nodes has been proven identical later than `since`, and the roots are
    /// equal. Nobody but the nodes does anything for it.
    #[track_caller]
    pub fn wait_proven(&self, since: Timestamp) -> String {
        for node in self.running() {
            for other in self.running().filter(|other| other.name != node.name) {
                node.wait_view(&format!("{} proven identical since {since}", other.name), |view| {
                    let member = view.member(&other.name);
                    member.is_some_and(|member| member.last_identical.is_some_and(|at| at > since))
                });
            }
        }
        self.wait_equal_roots()
    }

    /// Waits until every running node answers with this value, or with 404 where it is `None`.
    #[track_caller]
    pub fn wait_everywhere(&self, key: &str, value: Option<&str>) {
        for node in self.running() {
            until(format!("{key} is {value:?} at {}", node.name), SOON, || {
                let answer = node.api().fetch(&format!("/v1/kv/{key}"))?;
                match (answer.status, value) {
                    (404, None) => Ok(()),
                    (200, Some(value)) if answer.text() == value => Ok(()),
                    _ => Err(format!("{} {}", answer.status, answer.text())),
                }
            });
        }
    }

    /// Fails the test unless every running node answers so at once.
    #[track_caller]
    pub fn assert_everywhere(&self, key: &str, value: Option<&str>) {
        for node in self.running() {
            assert_eq!(node.api().text(key).as_deref(), value, "{key} at {}", node.name);
        }
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_started())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before the folder goes.
        let nodes = std::mem::take(&mut self.nodes);
        if std::thread::panicking() {
            nodes.iter().for_each(Node::print_log);
            if let Some(home) = self.home.take() {
                eprintln!("--- logs and data are kept in {}", home.keep().display());
            }
        }
        drop(nodes);
    }
}
