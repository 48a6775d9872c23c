//! `mangrove evict`: a member that is down is removed for ever.

use clap::Args;
use client::Evicted;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::output::{self, harmless};

/// Remove a member for ever that is down and will not come back; deletes then wait for it no longer
#[derive(Debug, Args)]
pub(crate) struct Evict {
    /// The member: its name, or its id
    #[arg(value_name = "NAME")]
    member: String,

    /// Ask no other member for its promise, and remove it even if it answers
    #[arg(long)]
    force: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Evict) -> Result<(), CliError> {
    let remote = arguments.endpoints.connect()?;
    let name = harmless(&arguments.member);
    let lost = if arguments.force { ", without asking the other members" } else { "" };
    let what = format!(
        "{name} is removed from the cluster for ever{lost}; what it told nobody is lost to the others"
    );
    output::confirm(arguments.yes, arguments.force, &what)?;
    let evicted = remote.evict(&arguments.member, arguments.force).await?;
    if arguments.json {
        return output::print_json(&evicted);
    }
    output::print(told(&evicted) + "\n")
}

fn told(evicted: &Evicted) -> String {
    let promised = match (evicted.promised, evicted.needed) {
        (Some(promised), Some(needed)) => format!(" {promised} members promised it, {needed} were needed."),
        _ if evicted.forced => " Nobody was asked.".to_owned(),
        _ => String::new(),
    };
    let identical = evicted.last_identical.as_ref();
    let identical =
        identical.map_or_else(String::new, |at| format!(" It was last proven identical at {at}."));
    harmless(&format!("{}{promised}{identical}", evicted.detail))
}
