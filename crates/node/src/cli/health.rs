//! `mangrove health`: whether a node serves, as an exit code. A container's healthcheck, since its image has
//! no curl.

use std::time::Duration;

use clap::Args;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::output;

/// Exit with 0 when the node is ready and with 1 when it is not
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Health) -> Result<(), CliError> {
    arguments.endpoints.connect_within(arguments.timeout)?.ready().await?;
    output::print("ready\n")
}
