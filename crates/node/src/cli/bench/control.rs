//! What a benchmark asks of a node beside the load: its root, its sessions, to begin one, to drill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::error::CliError;
use super::fill::refusal;
use super::wire::{Host, Wire};

/// After such a pause a new connection is made: well under the 30 s after which a node closes one.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// A connection to one node for questions.
#[derive(Debug)]
pub(crate) struct Control {
    host: Arc<Host>,
    url: String,
    wire: Wire,
    used: Instant,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Held {
    pub(crate) root: String,
    pub(crate) keys: u64,
    pub(crate) node: Named,
    pub(crate) members: Vec<Member>,
}

/// The node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// A member as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) liveness: String,
}

/// The sessions of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Sessions {
    pub(crate) now_ms: u64,
    pub(crate) repairs: Vec<Session>,
}

/// One session from one node's side; see the API for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) peer: String,
    pub(crate) started_ms: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) elapsed_us: u64,
    pub(crate) phase: String,
    pub(crate) outcome: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) found: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_find: u64,
    pub(crate) bytes_names: u64,
    pub(crate) bytes_ideal: u64,
    pub(crate) round_trips: u64,
}

impl Session {
    /// How long it ran, as exactly as the node says.
    pub(crate) fn wall(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms).max(Duration::from_micros(self.elapsed_us))
    }

    /// Whole frames, both directions.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.bytes_sent.saturating_add(self.bytes_received)
    }
}

/// A session that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Begun {
    pub(crate) since_ms: u64,
}

/// A drill that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Drill {
    pub(crate) allowed: bool,
    pub(crate) remaining_ms: Option<u64>,
}

impl Control {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { url: host.url.clone(), wire: Wire::new(host.clone()), host, used: Instant::now() }
    }

    /// The node's address, for people.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the node holds.
    pub(crate) async fn held(&mut self) -> Result<Held, CliError> {
        self.ask("GET", "/v1/cluster", "").await
    }

    /// Its sessions, those that run first.
    pub(crate) async fn sessions(&mut self) -> Result<Sessions, CliError> {
        self.ask("GET", "/v1/repairs", "").await
    }

    /// Asks it to begin a session with a member.
    pub(crate) async fn repair(&mut self, peer: &str) -> Result<Begun, CliError> {
        self.ask("POST", "/v1/repairs", &serde_json::json!({ "peer": peer }).to_string()).await
    }

    /// Whether it lets itself be cut off from the others.
    pub(crate) async fn drills_allowed(&mut self) -> Result<bool, CliError> {
        let drill: Drill = self.ask("GET", "/v1/drills", "").await?;
        Ok(drill.allowed)
    }

    /// Cuts it off from the others for a while.
    pub(crate) async fn isolate(&mut self, time: Duration) -> Result<Drill, CliError> {
        let body = serde_json::json!({ "isolate": format!("{}ms", time.as_millis()) }).to_string();
        self.ask("POST", "/v1/drills", &body).await
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        target: &str,
        body: &str,
    ) -> Result<T, CliError> {
        let failed = |why: &str| CliError::Failed(format!("{} cannot be asked: {why}", self.url));
        // A node closes connections that were quiet for a while; so a new one is made.
        if self.used.elapsed() > QUIET_MAX {
            self.wire = Wire::new(self.host.clone());
        }
        self.used = Instant::now();
        let reply = match self.wire.call(method, target, body.as_bytes()).await {
            Ok(reply) => reply,
            Err(fault) => return Err(failed(fault.word())),
        };
        if reply.status >= 300 {
            return Err(CliError::Failed(format!("{}: {}", self.url, refusal(reply.status, reply.body))));
        }
        serde_json::from_slice(reply.body).map_err(|error| {
            CliError::Failed(format!("{}{target} answered what is not understood: {error}", self.url))
        })
    }
}
