//! `mangrove serve`: one node.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::signals::StopSignals;
use crate::exit::Fatal;
use crate::settings::{self, Flags};
use crate::{driver, logging};

/// Run one node. Settings: flags over MANGROVE_* over the TOML file.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A TOML file with any of the settings below, named with underscores (data_dir = "...")
    #[arg(long, value_name = "FILE", env = "MANGROVE_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,

    /// Stop when stdin ends: a node of `mangrove dev` does not outlive it
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub(crate) async fn run(arguments: Serve) -> Result<(), CliError> {
    let config = arguments.config.filter(|path| !path.as_os_str().is_empty());
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let (settings, warnings) =
        settings::load(&arguments.flags, environment, config.as_deref()).map_err(Fatal::from)?;
    logging::start(&settings)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    if arguments.stop_with_stdin {
        stop_with_stdin(shutdown.clone());
    }
    driver::run(settings, shutdown).await?;
    Ok(())
}

/// The first signal asks for a clean stop; a second one ends a stop that takes too long.
fn stop_on_signals(shutdown: CancellationToken) -> Result<(), CliError> {
    let mut signals = StopSignals::listen()
        .map_err(|error| CliError::Failed(format!("signals cannot be listened for: {error}")))?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; once more to stop at once");
        shutdown.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(())
}

fn stop_with_stdin(shutdown: CancellationToken) {
    // A thread of its own: a read of stdin blocks, and a blocked task of the runtime would hold up its end.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        shutdown.cancel();
    });
}
