//! The nodes that a command talks to, and what to say when they do not answer as hoped.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use client::{
    Client, ClientOptions, ClusterView, Drills, Error, Evicted, Leave, MemberView, Page, PutOptions, Read,
    RemovedView, RepairBegun, Repairs, Siblings, Written,
};
use model::Key;

use super::error::CliError;
use super::import::PutError;
use super::output::harmless;
use crate::named::named;

/// How long a node may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// How long a node that is named may take to answer.
const NODE_WITHIN: Duration = Duration::from_secs(5);

const WRONG_PORT: &str = "does --endpoint name a node's HTTP address (7710, not gossip's 7711)?";

/// Which nodes to ask
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Endpoints {
    /// HTTP addresses of nodes, comma-separated or repeated; the next is asked where one cannot answer
    #[arg(
        long,
        value_name = "URL",
        env = "MANGROVE_ENDPOINTS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7710"
    )]
    endpoint: Vec<String>,
}

impl Endpoints {
    /// A client for them. Connects to none yet.
    pub(crate) fn connect(&self) -> Result<Remote, CliError> {
        Remote::with(&self.endpoint, ClientOptions::default())
    }

    /// A client for each of them alone.
    pub(crate) fn each(&self) -> Result<Vec<Remote>, CliError> {
        let one = |endpoint: &String| Remote::with(std::slice::from_ref(endpoint), ClientOptions::default());
        self.endpoint.iter().filter(|endpoint| !endpoint.trim().is_empty()).map(one).collect()
    }

    /// The first endpoint whose node is a member, alone, and what it knows; where none is, the first that answers.
    pub(crate) async fn member(&self) -> Result<(Remote, ClusterView), CliError> {
        let mut other: Option<(Remote, ClusterView)> = None;
        let mut failed = CliError::Refused("no --endpoint is given".to_owned());
        for remote in self.each()? {
            match remote.cluster().await {
                Ok(view) if view.members.iter().any(|member| member.id == view.node.id) => {
                    return Ok((remote, view));
                }
                Ok(view) => other = other.or(Some((remote, view))),
                Err(error) => failed = error,
            }
        }
        other.ok_or(failed)
    }

    /// The node of this name or id: an endpoint that is it, or the address under which the members know it.
    pub(crate) async fn find(&self, wanted: &str) -> Result<Remote, CliError> {
        let mut heard: Option<ClusterView> = None;
        let mut failed = CliError::Refused("no --endpoint is given".to_owned());
        for remote in self.each()? {
            match remote.cluster().await {
                Ok(view) if is(&view, wanted) => return Ok(remote),
                Ok(view) => heard = heard.or(Some(view)),
                Err(error) => failed = error,
            }
        }
        let Some(view) = heard else { return Err(failed) };
        let address = address(&view, wanted)?;
        Remote::to(&address, NODE_WITHIN)
    }

    /// A client for all of them, where every answer must come within a time.
    pub(crate) fn connect_within(&self, time: Duration) -> Result<Remote, CliError> {
        Remote::with(&self.endpoint, hasty(time))
    }
}

/// Whether the node that answered is the one that is wanted, and none that it knows of.
fn is(view: &ClusterView, wanted: &str) -> bool {
    let (node, members) = (&view.node, view.members.iter().map(|member| (member.id, member.name.as_str())));
    let all = std::iter::once((node.id, node.name.as_str())).chain(members);
    named(all, wanted, |one| *one).is_some_and(|(id, _)| id == node.id)
}

/// The member of this name or id.
pub(crate) fn member<'a>(view: &'a ClusterView, wanted: &str) -> Result<&'a MemberView, CliError> {
    let found = named(&view.members, wanted, |member| (member.id, &member.name));
    found.ok_or_else(|| no_such_member(view, wanted))
}

/// Where the members know the HTTP API of the wanted one to be.
fn address(view: &ClusterView, wanted: &str) -> Result<String, CliError> {
    member(view, wanted)?.http.clone().ok_or_else(|| {
        CliError::Failed(format!(
            "nobody knows where the HTTP API of {} is; name it with --endpoint",
            harmless(wanted)
        ))
    })
}

/// A name that no member has.
fn no_such_member(view: &ClusterView, wanted: &str) -> CliError {
    let names: Vec<String> = view.members.iter().map(|member| harmless(&member.name)).collect();
    let removed = named(&view.removed, wanted, |removed| (removed.id, &removed.name));
    let what = match removed {
        None => format!("no member is called {}", harmless(wanted)),
        Some(RemovedView { id, name, at, by }) => {
            let at = at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
            let how = if name == by { format!("it left{at}") } else { format!("{by} removed it{at}") };
            harmless(&format!("{name} ({id}) is no member any more: {how}"))
        }
    };
    CliError::Failed(format!("{what}; the members are: {}", names.join(", ")))
}

/// Whether the node at `host:port` says that it is ready.
pub(crate) async fn is_ready(address: &str) -> bool {
    match Remote::to(address, READY_WITHIN) {
        Ok(remote) => remote.ready().await.is_ok(),
        Err(_) => false,
    }
}

fn hasty(time: Duration) -> ClientOptions {
    ClientOptions { connect_time_max: time, request_time_max: time, ..ClientOptions::default() }
}

/// The nodes as a command uses them: errors come as what to do next.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    client: Client,
}

impl Remote {
    fn with(endpoints: &[String], options: ClientOptions) -> Result<Self, CliError> {
        let given = endpoints.iter().map(|endpoint| endpoint.trim()).filter(|endpoint| !endpoint.is_empty());
        let client = Client::with(given, options).map_err(|error| {
            CliError::Refused(format!("{error}; correct --endpoint or MANGROVE_ENDPOINTS"))
        })?;
        Ok(Self { client })
    }

    /// The node at `host:port` alone, where every answer must come within a time.
    pub(crate) fn to(address: &str, time: Duration) -> Result<Self, CliError> {
        Self::with(&[address.to_owned()], hasty(time))
    }

    pub(crate) async fn put(
        &self,
        key: &Key,
        value: Bytes,
        options: &PutOptions,
    ) -> Result<Written, CliError> {
        self.client.put_with(key, value, options).await.map_err(explained_write)
    }

    /// Writes one of several values, where others may be taken though this one is not.
    pub(crate) async fn put_one(&self, key: &Key, value: Bytes, options: &PutOptions) -> Result<(), OfValue> {
        let written = self.client.put_with(key, value, options).await;
        written.map(drop).map_err(|error| OfValue::of(error, true))
    }

    /// Looks at one of several keys.
    pub(crate) async fn siblings_of(&self, key: &Key) -> Result<Siblings, OfValue> {
        self.client.get_siblings(key).await.map_err(|error| OfValue::of(error, false))
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Read, CliError> {
        self.client.get(key).await.map_err(explained)
    }

    pub(crate) async fn siblings(&self, key: &Key) -> Result<Siblings, CliError> {
        self.client.get_siblings(key).await.map_err(explained)
    }

    /// Deletes and gives back how many siblings remain, because the context did not cover them.
    pub(crate) async fn delete(&self, key: &Key, context: Option<&str>) -> Result<usize, CliError> {
        let deleted = self.client.delete(key, context).await.map_err(explained_write)?;
        Ok(deleted.siblings)
    }

    pub(crate) async fn list(
        &self,
        prefix: &[u8],
        start: Option<&Key>,
        limit: usize,
    ) -> Result<Page, CliError> {
        self.client.list(prefix, start.map(Key::as_bytes), limit).await.map_err(explained)
    }

    pub(crate) async fn cluster(&self) -> Result<ClusterView, CliError> {
        self.client.cluster().await.map_err(explained)
    }

    pub(crate) async fn repairs(&self) -> Result<Repairs, CliError> {
        self.client.repairs().await.map_err(explained)
    }

    /// Begins a session with a member of this name or id.
    pub(crate) async fn repair(&self, peer: &str) -> Result<RepairBegun, CliError> {
        self.client.repair(peer).await.map_err(explained_write)
    }

    /// How far the node is that leaves, or what it would leave behind.
    pub(crate) async fn leaving(&self) -> Result<Leave, CliError> {
        self.client.leaving().await.map_err(explained)
    }

    /// Has the node leave its cluster, or goes on with it.
    pub(crate) async fn leave(&self, force: bool) -> Result<Leave, CliError> {
        self.client.leave(force).await.map_err(explained_write)
    }

    /// Removes a member of this name or id for ever.
    pub(crate) async fn evict(&self, member: &str, force: bool) -> Result<Evicted, CliError> {
        self.client.evict(member, force).await.map_err(explained_write)
    }

    /// Whether the node may be cut off from the others, and whether it is.
    pub(crate) async fn drills(&self) -> Result<Drills, CliError> {
        self.client.drills().await.map_err(explained)
    }

    /// Cuts the node off from the others for so long.
    pub(crate) async fn drill_isolate(&self, time: Duration) -> Result<Drills, CliError> {
        self.client.drill_isolate(time).await.map_err(explained_write)
    }

    /// An error says why the node is not ready.
    pub(crate) async fn ready(&self) -> Result<(), CliError> {
        let readiness = self.client.ready().await.map_err(explained)?;
        if readiness.ready {
            return Ok(());
        }
        let why = readiness.reason.unwrap_or_else(|| "it does not say why".to_owned());
        Err(CliError::Failed(format!("the node is not ready: {}", harmless(&why))))
    }

    /// Writes a value in an import, where some errors are worth another attempt.
    pub(crate) async fn import(&self, key: &Key, value: Bytes, content_type: &str) -> Result<(), PutError> {
        let options = PutOptions { content_type: Some(content_type.to_owned()), ..PutOptions::default() };
        match self.client.put_with(key, value, &options).await {
            Ok(_) => Ok(()),
            Err(Error::Problem(problem)) if problem.status == 413 => Err(PutError::TooLarge),
            Err(error) if not_now(&error) => Err(PutError::NotNow(text(error, true))),
            Err(error) => Err(PutError::Failed(text(error, true))),
        }
    }
}

/// Why one of several values was not brought.
#[derive(Debug)]
pub(crate) enum OfValue {
    /// For what it is itself: others may do better.
    Refused(String),
    /// For another reason, which the next would meet, too.
    Failed(CliError),
}

impl OfValue {
    fn of(error: Error, writes: bool) -> Self {
        let is_its_own = match &error {
            Error::Problem(problem) => {
                matches!(problem.status, 400 | 409 | 413) && !problem.slug().is_empty()
            }
            Error::BadRequest { .. } | Error::AnswerTooLarge { .. } => true,
            _ => false,
        };
        if is_its_own { Self::Refused(text(error, writes)) } else { Self::Failed(told(error, writes)) }
    }
}

/// Whether nothing was stored and another attempt may do better. A request that was sent and not answered is
/// not repeated: it may still be stored, and then twice, as two siblings.
fn not_now(error: &Error) -> bool {
    match error {
        Error::Problem(problem) => problem.status == 503 && problem.stored_nothing(),
        Error::Unreachable { sent, .. } => !sent,
        _ => false,
    }
}

fn explained(error: Error) -> CliError {
    told(error, false)
}

/// The error of a request that changes something.
fn explained_write(error: Error) -> CliError {
    told(error, true)
}

fn told(error: Error, writes: bool) -> CliError {
    match error {
        Error::BadEndpoint { .. } | Error::NoEndpoint | Error::BadRequest { .. } => {
            CliError::Refused(text(error, writes))
        }
        error => CliError::Failed(text(error, writes)),
    }
}

/// The error in one line that says what to do next.
fn text(error: Error, writes: bool) -> String {
    let line = match &error {
        // The detail of a node's problem document says what to do itself.
        Error::Problem(problem) if !problem.detail.is_empty() => problem.detail.clone(),
        Error::Unreachable { endpoint, reason, sent } => {
            // The innermost cause is the one that a person can do something about.
            let cause = reason.rsplit(": ").next().unwrap_or(reason);
            if !sent {
                return harmless(&format!(
                    "{endpoint} cannot be reached: {cause}; is a node running? Start some with: mangrove dev; or name \
                     one with --endpoint"
                ));
            }
            // What gossip's port does with a request.
            let cut_off = cause.contains("before message completed") || cause.contains("reset");
            let next = match (writes, cut_off) {
                (true, _) => "what was asked for may have been done: look before you repeat it",
                (false, true) => WRONG_PORT,
                (false, false) => "try again, or name another node with --endpoint",
            };
            format!("{endpoint} gave no whole answer: {cause}; {next}")
        }
        Error::Decode { .. } => format!("{error}; {WRONG_PORT}"),
        _ => error.to_string(),
    };
    harmless(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_and_what_to_do() {
        let error = |sent| Error::Unreachable {
            endpoint: "http://127.0.0.1:7710".into(),
            reason: "client error (Connect): tcp connect error: connection refused".into(),
            sent,
        };
        assert_eq!(
            text(error(false), true),
            "http://127.0.0.1:7710 cannot be reached: connection refused; is a node running? Start some with: \
             mangrove dev; or name one with --endpoint"
        );
        assert!(not_now(&error(false)) && !not_now(&error(true)));
        assert!(text(error(true), true).ends_with("look before you repeat it"));
        assert!(text(error(true), false).ends_with("name another node with --endpoint"));
        let gossip = Error::Unreachable {
            endpoint: "http://127.0.0.1:7711".into(),
            reason: "connection closed before message completed".into(),
            sent: true,
        };
        assert!(text(gossip, false).contains("7710, not gossip's 7711"));
    }

    #[tokio::test]
    async fn no_node_is_exit_code_one_and_no_endpoint_is_two() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Remote::to(&nobody.to_string(), READY_WITHIN).unwrap().ready().await.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.message().unwrap().contains("mangrove dev"));
        assert!(!is_ready(&nobody.to_string()).await);
        assert_eq!(Remote::to("ftp://x", READY_WITHIN).unwrap_err().exit_code(), 2);
    }
}
