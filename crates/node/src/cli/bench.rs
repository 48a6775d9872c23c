//! `mangrove bench`: what nodes carry and what repair costs, measured on real processes over HTTP.

mod cpu;
mod data;
mod fill;
mod load;
mod nodes;
mod place;
pub(super) mod progress;
mod repair;
mod same;
mod scenario;
mod wire;

use std::future::Future;

use clap::{Args, Subcommand};

use super::error::CliError;
use super::signals::StopSignals;

/// Measure: the load that nodes carry, and what repair costs
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Repair(Box<repair::Repair>),
    Load(Box<load::Load>),
}

pub(crate) async fn run(arguments: Bench) -> Result<(), CliError> {
    // Before the first child: a signal in between must not leave nodes behind.
    let mut signals = StopSignals::listen()
        .map_err(|error| CliError::Failed(format!("signals cannot be listened for: {error}")))?;
    let interrupted = async move { signals.next().await };
    match arguments.what {
        What::Repair(arguments) => repair::run(*arguments, interrupted).await,
        What::Load(arguments) => load::run(*arguments, interrupted).await,
    }
}

/// The work's outcome, or a refusal to go on once a signal came. Nodes and folders belong to the caller, which
/// ends and removes them either way.
async fn unless<T>(
    interrupted: impl Future<Output = ()>,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::select! {
        outcome = work => outcome,
        () = interrupted => Err(CliError::Failed("stopped by a signal before the end".to_owned())),
    }
}
