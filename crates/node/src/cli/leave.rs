//! `mangrove leave`: a node hands over what it holds, and is no member any more.

use std::time::Duration;

use clap::Args;
use client::{Leave as Leaving, LeaveState};

use super::endpoint::{Endpoints, Remote};
use super::error::CliError;
use super::output::{self, harmless};

/// Between two looks at a node that is leaving.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Have a node leave its cluster: it takes no more writes, hands over what it holds, and its process ends
#[derive(Debug, Args)]
pub(crate) struct Leave {
    /// The node that is to leave: its name, or its id; not needed where --endpoint names it alone
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Leave at once, handing nothing over; what nobody else is known to hold goes into a quarantine file
    #[arg(long)]
    force: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON document, once it has left
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Leave) -> Result<(), CliError> {
    let remote = find(&arguments).await?;
    let view = remote.cluster().await?;
    let name = harmless(&view.node.name);
    let lost = if arguments.force { lost(&remote).await } else { String::new() };
    let what = format!("{name} leaves the cluster for ever{lost}");
    if arguments.force && arguments.yes {
        output::say(&what);
    }
    output::confirm(arguments.yes, arguments.force, &what)?;
    let mut said = String::new();
    let mut leaving = remote.leave(arguments.force).await?;
    while leaving.state != LeaveState::Left {
        let line = told(&leaving);
        if line != said {
            output::say(&line);
            said = line;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        leaving = match remote.leave(false).await {
            Ok(leaving) => leaving,
            // Its last answer was lost with it, or somebody has stopped it.
            Err(error) => return gone(&remote, &name, error).await,
        };
    }
    if arguments.json {
        return output::print_json(&leaving);
    }
    output::print(format!("{}\n", told(&leaving)))
}

/// What is lost to the others, as a sentence's end. A node that cannot count it may be left all the same.
async fn lost(remote: &Remote) -> String {
    let keys = remote.leaving().await.ok().and_then(|leaving| leaving.keys_alone);
    let alone = match keys {
        Some(0) => "as far as it knows, all that it holds is held by others, too".to_owned(),
        Some(keys) => format!(
            "up to {keys} of its keys have values that nobody else is known to hold, and these go into a quarantine file \
             in its data directory"
        ),
        None => "it does not say how many keys nobody else holds".to_owned(),
    };
    format!(", handing nothing over; {alone}")
}

/// Exactly one node: a request that any node may answer would have any node leave.
async fn find(arguments: &Leave) -> Result<Remote, CliError> {
    if let Some(name) = &arguments.node {
        return arguments.endpoints.find(name).await;
    }
    let mut all = arguments.endpoints.each()?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(CliError::Refused(
            "several endpoints are given: say which node is to leave, with --node".into(),
        )),
    }
}

async fn gone(remote: &Remote, name: &str, error: CliError) -> Result<(), CliError> {
    if remote.cluster().await.is_ok() {
        return Err(error);
    }
    Err(CliError::Failed(format!(
        "{name} does not answer any more: it has left, or was stopped; see `mangrove members` at another node"
    )))
}

fn told(leaving: &Leaving) -> String {
    let alone = leaving.keys_alone.filter(|keys| *keys > 0);
    let alone = alone.map_or_else(String::new, |keys| {
        format!(" Up to {keys} of its keys have values that nobody else is known to hold.")
    });
    harmless(&format!("{}{alone}", leaving.detail))
}
