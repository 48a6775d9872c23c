//! `mangrove repair`: a session with one member, begun now and followed to its end.

mod bar;
mod follow;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use client::RepairBegun;

use self::bar::Bar;
use self::follow::{Follow, State, Summary};
use super::endpoint::{Endpoints, Remote};
use super::error::CliError;
use super::output;

/// Between two looks at the node.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Between two times that a session is asked for while none runs.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// How long a session may take to begin, and a node to answer again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Repair one node with one of its peers now, and show how it goes
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The member to compare and exchange with: its name, or its id
    #[arg(long, value_name = "NAME")]
    peer: String,

    /// Print one JSON document at the end
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Repair) -> Result<(), CliError> {
    let remote = arguments.endpoints.connect()?;
    let before = remote.repairs().await?;
    let begun = remote.repair(&arguments.peer).await?;
    let running = before.repairs.into_iter().filter(|session| session.outcome.is_none());
    let running: BTreeSet<String> = running.map(|session| session.id).collect();
    let mut follow = Follow::new(&begun, before.node_id, running);
    let mut bar = Bar::new(arguments.json);
    let summary = to_the_end(&remote, &begun, &mut follow, &mut bar).await;
    bar.finish();
    let summary = summary?;
    if arguments.json {
        output::print_json(&summary)?;
    } else if summary.failure.is_none() {
        output::print(summary.sentence() + "\n")?;
    }
    match &summary.failure {
        None => Ok(()),
        Some(_) => Err(CliError::Failed(summary.sentence())),
    }
}

/// Looks again and again until the repair has ended.
async fn to_the_end(
    remote: &Remote,
    begun: &RepairBegun,
    follow: &mut Follow,
    bar: &mut Bar,
) -> Result<Summary, CliError> {
    let mut quiet_since = Instant::now();
    let mut asked = quiet_since;
    loop {
        match remote.repairs().await {
            Ok(view) => match follow.look(&view) {
                State::Ended(summary) => return Ok(*summary),
                State::Running(session) => {
                    bar.show(&session);
                    quiet_since = Instant::now();
                }
                State::Waiting { first: Some(first) } => {
                    bar.wait_for(&first);
                    quiet_since = Instant::now();
                }
                State::Waiting { first: None } => {}
                State::OtherNode => {
                    let why = "another node answers now; name the one to repair alone with --endpoint";
                    return Err(CliError::Failed(why.to_owned()));
                }
            },
            Err(error) if quiet_since.elapsed() >= PATIENCE => return Err(error),
            Err(_) => {}
        }
        if quiet_since.elapsed() >= PATIENCE {
            return Err(CliError::Failed(format!(
                "no session with {} has begun within {} s: it may repair with another all the time, or not be reached; the logs \
                 say why, and: mangrove repairs",
                output::harmless(&begun.peer),
                PATIENCE.as_secs()
            )));
        }
        // The wish ends with the peer's liveness, and with the node's life. Asking again says what is the matter.
        if quiet_since.elapsed() >= ASK_EVERY && asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            remote.repair(&begun.peer_id.to_string()).await?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
