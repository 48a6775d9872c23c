//! `mangrove delete`: delete one key.

use std::ffi::OsString;

use clap::Args;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::{keys, output};

/// Delete a key; one that is not there is no error
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The key, percent-encoded as list prints it
    #[arg(value_name = "KEY")]
    key: OsString,

    /// The context token of a get: deletes exactly what that get showed, not what came since
    #[arg(long, value_name = "TOKEN")]
    context: Option<String>,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Delete) -> Result<(), CliError> {
    let key = keys::key(&arguments.key)?;
    let remain = arguments.endpoints.connect()?.delete(&key, arguments.context.as_deref()).await?;
    if remain > 0 {
        output::say(&format!(
            "{key} still has {remain} values that the context token does not cover; see them with: \
             mangrove get --siblings {key}"
        ));
    }
    Ok(())
}
