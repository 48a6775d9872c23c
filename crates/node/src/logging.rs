//! Log lines on stderr: for people on a terminal, or one JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::exit::Fatal;
use crate::settings::{LogFormat, Settings};

/// Starts logging for this process as the settings say. `MANGROVE_LOG`, or else `RUST_LOG`, replaces the level
/// by a filter such as `info,gossip=debug`.
///
/// # Errors
/// [`Fatal::Settings`] for a filter that cannot be read; [`Fatal::Failed`] when logging was started before.
pub fn start(settings: &Settings) -> Result<(), Fatal> {
    let filter = filter(settings.log_level.into())?;
    // A log line that cannot be written is dropped: the default would report that on stderr, and panic there
    // when stderr itself is gone.
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .log_internal_errors(false);
    let started = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder.compact().with_ansi(colour()).try_init(),
    };
    started.map_err(|error| Fatal::Failed(format!("logging cannot be started: {error}")))
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(level: Directive) -> Result<EnvFilter, Fatal> {
    for variable in ["MANGROVE_LOG", "RUST_LOG"] {
        let Some(text) = std::env::var(variable).ok().filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        return EnvFilter::builder().parse(&text).map_err(|error| {
            Fatal::Settings(format!(
                "{variable} is {text:?}, which is no filter ({error}): write one like info,gossip=debug"
            ))
        });
    }
    Ok(EnvFilter::builder().with_default_directive(level).parse_lossy(""))
}
