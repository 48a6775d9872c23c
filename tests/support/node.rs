//! One node: its settings, its process and its log.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::http::Api;
use super::process::{self, mangrove, signal};
use super::view::View;
use super::wait::{SOON, until};

/// Settings for tests that wait for repair: sessions in quick succession.
pub const QUICK: &[&str] = &["--repair-interval", "200ms"];

const STOPS_WITHIN: Duration = Duration::from_secs(30);
const LOG_LINES_SHOWN: usize = 60;

/// A node that may or may not be running. It is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub http: SocketAddr,
    pub gossip: SocketAddr,
    pub seeds: Vec<SocketAddr>,
    pub found: bool,
    pub flags: Vec<String>,
    pub data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that keeps data and log under `home`.
    pub fn new(home: &Path, name: &str, http: SocketAddr, gossip: SocketAddr, flags: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            http,
            gossip,
            seeds: Vec::new(),
            found: false,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            data_dir: home.join(name),
            log: home.join(format!("{name}.log")),
            child: None,
        }
    }

    pub fn api(&self) -> Api {
        Api { address: self.http }
    }

    /// The command line that starts it.
    pub fn command(&self) -> Command {
        let mut command = mangrove();
        command.arg("serve").arg("--name").arg(&self.name).arg("--data-dir").arg(&self.data_dir);
        command.args(["--http", &self.http.to_string(), "--gossip", &self.gossip.to_string()]);
        if !self.seeds.is_empty() {
            let seeds: Vec<String> = self.seeds.iter().map(SocketAddr::to_string).collect();
            command.arg("--join").arg(seeds.join(","));
        }
        if self.found {
            command.arg("--found");
        }
        command.args(&self.flags);
        command
    }

    /// Starts the process, and does not wait for anything.
    #[track_caller]
    pub fn start(&mut self) {
        let command = self.command();
        self.start_by(command);
    }

    /// Starts the process by another command than its own.
    #[track_caller]
    pub fn start_by(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "{} is running", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        // The pipe ends with this process, however that ends, and the node with it.
        command.arg("--stop-with-stdin").stdin(Stdio::piped());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    #[track_caller]
    pub fn start_ready(&mut self) {
        self.start();
        self.wait_ready();
    }

    /// Waits until `/readyz` is green. A process that ends meanwhile fails the test.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let (api, name) = (self.api(), self.name.clone());
        let child = self.child.as_mut().unwrap();
        until(format!("{name} is ready"), SOON, || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{name} ended with {status}");
            }
            let answer = api.fetch("/readyz")?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
        });
    }

    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; fails the test unless the process ends, with exit code 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait_end();
        assert_eq!(status.code(), Some(0), "{}: {status}", self.name);
    }

    /// SIGTERM, without waiting.
    #[track_caller]
    pub fn terminate(&self) {
        assert!(signal(self.pid(), "TERM"));
    }

    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let ended = process::wait(&mut child, STOPS_WITHIN);
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        ended.unwrap_or_else(|| panic!("{} still runs {STOPS_WITHIN:?} after it was told to stop", self.name))
    }

    /// Whether the process has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// SIGSTOP: the process does nothing until [`Node::resume`], and the system keeps its ports open.
    #[track_caller]
    pub fn pause(&self) {
        assert!(signal(self.pid(), "STOP"));
    }

    #[track_caller]
    pub fn resume(&self) {
        assert!(signal(self.pid(), "CONT"));
    }

    /// Removes all that the node kept, while it is stopped.
    #[track_caller]
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "{} is running", self.name);
        fs::remove_dir_all(&self.data_dir).unwrap();
    }

    /// Everything the node has written to its log, over all its starts.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    #[track_caller]
    pub fn view(&self) -> View {
        self.api().view().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the node's view of the cluster is as wanted.
    #[track_caller]
    pub fn wait_view(&self, what: &str, wanted: impl Fn(&View) -> bool) -> View {
        until(format!("{} sees {what}", self.name), SOON, || {
            let view = self.api().view()?;
            if wanted(&view) { Ok(view) } else { Err(view.summary()) }
        })
    }

    /// The end of the log, for a test that has failed.
    pub fn print_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
        eprintln!(
            "--- the last of {}'s log ({}):\n{}",
            self.name,
            self.log.display(),
            lines[from..].join("\n")
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
