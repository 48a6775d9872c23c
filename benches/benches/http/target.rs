//! The servers, each a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Kind, Load, Outcome};

/// How long a server may take to answer.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// Of the times in /proc, a second's.
const TICKS_A_SECOND: f64 = 100.0;

/// A server. It is killed when this is dropped.
pub struct Target {
    /// As in the table.
    pub name: &'static str,
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn this() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

impl Target {
    /// A node alone, with this durability.
    pub fn mangrove(name: &'static str, dir: &Path, durability: &str) -> Target {
        let (http, gossip) = (free_port(), free_port());
        let mut command = this();
        command.args(["serve", "--found", "--name", "n1", "--log-level", "warn", "--durability", durability]);
        command.args(["--http", &http.to_string(), "--gossip", &gossip.to_string(), "--data-dir"]);
        command.arg(dir);
        Target::start(name, http, command, "/readyz")
    }

    /// The handler that does the same to an engine.
    pub fn plain(dir: &Path) -> Target {
        let address = free_port();
        let mut command = this();
        command.args(["plain", &address.to_string()]).arg(dir);
        Target::start("plain axum", address, command, "/")
    }

    /// The handler that does nothing.
    pub fn bare(value_bytes: usize) -> Target {
        let address = free_port();
        let mut command = this();
        command.args(["bare", &address.to_string(), &value_bytes.to_string()]);
        Target::start("bare axum", address, command, "/")
    }

    /// A single etcd, or none where it is not installed.
    pub fn etcd(dir: &Path) -> Option<Target> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let (address, peers) = (free_port(), free_port());
        let mut command = Command::new("etcd");
        let (clients, peers) = (format!("http://{address}"), format!("http://{peers}"));
        command.args(["--name", "one", "--logger", "zap", "--log-level", "error", "--data-dir"]).arg(dir);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("one={peers}")]);
        Some(Target::start("etcd", address, command, "/health"))
    }

    fn start(name: &'static str, address: SocketAddr, mut command: Command, probe: &str) -> Target {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut target = Target { name, address, child };
        let until = Instant::now() + UP_WITHIN;
        while !target.answers(probe) {
            let ended = target.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{name} does not come up: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        target
    }

    /// Whether it answers, and not that it is not ready.
    fn answers(&self, path: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut answer = Vec::new();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
        asked.is_ok() && answer.starts_with(b"HTTP/1.1 ") && !answer.starts_with(b"HTTP/1.1 503")
    }

    /// Puts a load on it, from another process. The second is the CPU that the server spent on it, in seconds.
    pub fn under(&self, kind: Kind, options: &crate::Options) -> (Outcome, f64) {
        let load = Load {
            kind,
            address: self.address,
            clients: options.clients,
            keys: options.keys,
            value_bytes: options.value_bytes,
            millis: options.millis,
        };
        let before = self.cpu_seconds();
        let output = this().arg("load").arg(serde_json::to_string(&load).unwrap()).output().unwrap();
        let spent = self.cpu_seconds() - before;
        assert!(
            output.status.success(),
            "the load on {} failed: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcome.refused, 0, "{} refused requests", self.name);
        (outcome, spent)
    }

    /// User and system time of the process so far.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks =
            |at: usize| behind_name.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS_A_SECOND
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
