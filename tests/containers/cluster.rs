//! Three containers from the compose file as shipped, under a project name and on ports of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The nodes of the compose file.
pub const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// A cluster that is up. It is taken down, volumes included, when this is dropped.
pub struct Cluster {
    project: String,
    ports: [u16; 3],
    compose: Vec<&'static str>,
}

impl Cluster {
    /// Builds the image where it is not built, brings the cluster up and waits until all three are healthy.
    pub fn up(test: &str) -> Self {
        let cluster = Self {
            project: format!("mangrove-{test}-{}", std::process::id()),
            ports: free_ports(),
            compose: compose_command(),
        };
        let began = Instant::now();
        cluster.compose(&["up", "-d", "--build"]);
        let started = Instant::now();
        for node in NODES {
            cluster.wait_healthy(node, Duration::from_secs(60));
        }
        println!("{test}: up after {:.1?}, healthy {:.1?} later", started - began, started.elapsed());
        cluster
    }

    /// Where a node's HTTP is published.
    pub fn url(&self, node: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[index(node)])
    }

    /// Cuts a node off from the others; its published port is cut with it.
    pub fn cut(&self, node: &str) {
        docker(&["network", "disconnect", &self.network(), &self.container(node)]);
    }

    /// Connects a node again, under its name.
    pub fn heal(&self, node: &str) {
        docker(&["network", "connect", "--alias", node, &self.network(), &self.container(node)]);
    }

    /// kill -9.
    pub fn kill(&self, node: &str) {
        docker(&["kill", &self.container(node)]);
    }

    /// Starts a container that was killed, with the volume it had.
    pub fn start(&self, node: &str) {
        docker(&["start", &self.container(node)]);
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&self, node: &str) -> String {
        let container = self.container(node);
        docker(&["stop", "-t", "30", &container]);
        docker(&["inspect", "-f", "{{.State.ExitCode}}", &container])
    }

    /// Runs the program inside a node, where neither network nor published port is needed.
    pub fn inside(&self, node: &str, arguments: &[&str]) -> String {
        let container = self.container(node);
        docker(&[&["exec", &container, "mangrove"], arguments].concat())
    }

    /// What a node wrote to its log.
    pub fn log(&self, node: &str) -> String {
        self.try_compose(&["logs", "--no-color", node]).unwrap_or_else(|error| error)
    }

    pub fn wait_healthy(&self, node: &str, at_most: Duration) {
        let container = self.container(node);
        let began = Instant::now();
        loop {
            let health = docker(&["inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", &container]);
            if health == "running healthy" {
                return;
            }
            assert!(began.elapsed() < at_most, "{node} is {health} after {at_most:?}:\n{}", self.log(node));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn network(&self) -> String {
        format!("{}_cluster", self.project)
    }

    fn container(&self, node: &str) -> String {
        let id = self.compose(&["ps", "-a", "-q", node]);
        assert!(!id.is_empty(), "no container of {node}");
        id
    }

    fn compose(&self, arguments: &[&str]) -> String {
        self.try_compose(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_compose(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.compose[0]);
        command
            .args(&self.compose[1..])
            .args(["-p", &self.project, "-f"])
            .arg(repo_root().join("deploy/compose.yaml"));
        for (name, port) in ["N1_PORT", "N2_PORT", "N3_PORT"].into_iter().zip(self.ports) {
            command.env(name, port.to_string());
        }
        run(command.args(arguments))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in NODES {
                let log = self.log(node);
                let lines: Vec<&str> = log.lines().collect();
                eprintln!(
                    "--- the last of {node}'s log:\n{}",
                    lines[lines.len().saturating_sub(40)..].join("\n")
                );
            }
        }
        if let Err(error) = self.try_compose(&["down", "--volumes", "--timeout", "10"]) {
            eprintln!("the cluster could not be taken down: {error}");
        }
    }
}

fn index(node: &str) -> usize {
    NODES.iter().position(|name| *name == node).unwrap()
}

/// The Compose plugin, or docker-compose.
fn compose_command() -> Vec<&'static str> {
    match run(Command::new("docker").args(["compose", "version"])) {
        Ok(_) => vec!["docker", "compose"],
        Err(_) => vec!["docker-compose"],
    }
}

/// Three ports that nobody listened on a moment ago.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn repo_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").args(arguments)).unwrap_or_else(|error| panic!("{error}"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    let last: Vec<&str> = said.lines().chain(complained.lines()).collect();
    Err(format!("{command:?}: {}\n{}", output.status, last[last.len().saturating_sub(30)..].join("\n")))
}
