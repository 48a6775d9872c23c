//! One node of `dev` as a child process.
//!
//! A child is in a process group of its own, so that Ctrl-C reaches `dev` alone, which then stops the nodes
//! in order. It is asked to stop by the end of its stdin: that also happens when `dev` itself is killed, so no
//! node outlives it.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::super::error::CliError;
use super::logs::Follower;
use super::plan::NodePlan;

/// A node that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) index: usize,
    pub(crate) status: std::io::Result<ExitStatus>,
}

/// A node that was started.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) plan: NodePlan,
    pub(crate) pid: u32,
    pub(crate) log: Follower,
    pub(crate) ended: bool,
    /// Closed to ask the node to stop.
    stdin: Option<ChildStdin>,
    kill: CancellationToken,
}

impl Node {
    /// Starts the node, without the variables `unset` in its environment; its end will be told to `ends`.
    pub(crate) fn start(
        program: &Path,
        plan: NodePlan,
        index: usize,
        ends: UnboundedSender<Ended>,
        unset: &[impl AsRef<OsStr>],
    ) -> Result<Self, CliError> {
        let failed =
            |error: std::io::Error| CliError::Failed(format!("{} cannot be started: {error}", plan.name));
        let log = OpenOptions::new().create(true).append(true).open(&plan.log).map_err(failed)?;
        let follower = Follower::at_end(&plan.log).map_err(failed)?;
        let mut command = Command::new(program);
        for variable in unset {
            command.env_remove(variable);
        }
        let mut child = command
            .args(&plan.arguments)
            .arg("--stop-with-stdin")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let pid = child.id().unwrap_or_default();
        let kill = CancellationToken::new();
        tokio::spawn(watch(child, index, kill.clone(), ends));
        Ok(Self { plan, pid, log: follower, ended: false, stdin, kill })
    }

    /// Asks the node to stop cleanly.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    /// Ends the node at once.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }
}

async fn watch(mut child: Child, index: usize, kill: CancellationToken, ends: UnboundedSender<Ended>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.cancelled() => {
            // It may have ended by itself just now; the wait tells either way.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let _ = ends.send(Ended { index, status });
}
