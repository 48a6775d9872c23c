//! `mangrove put`: write one value.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use client::PutOptions;
use serde::Serialize;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::{keys, output};
use crate::settings::VALUE_BYTES_LIMIT;

/// Write a value: the argument, a file, or stdin
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The key, percent-encoded as list prints it
    #[arg(value_name = "KEY")]
    key: OsString,

    /// The value; without it and without --file it is read from stdin
    #[arg(value_name = "VALUE", conflicts_with = "file")]
    value: Option<OsString>,

    /// A file with the value; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// What the value is
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// The context token of a get: replaces exactly what that get showed, not what came since
    #[arg(long, value_name = "TOKEN")]
    context: Option<String>,

    /// The value expires after this time, such as 30s, 5m (minutes), 12h or 7d; without it it stays
    #[arg(long, value_name = "DURATION", value_parser = http_api::parse_ttl, allow_hyphen_values = true)]
    ttl: Option<Duration>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

#[derive(Serialize)]
struct PutView {
    key: String,
    bytes: usize,
    siblings: usize,
    /// RFC 3339.
    expires: Option<String>,
}

pub(crate) async fn run(arguments: Put) -> Result<(), CliError> {
    let key = keys::key(&arguments.key)?;
    let remote = arguments.endpoints.connect()?;
    let value = match (arguments.value, arguments.file) {
        (Some(value), _) => Bytes::from(value.into_vec()),
        (None, Some(path)) if path != Path::new("-") => from_file(&path)?,
        (None, _) => from_stdin()?,
    };
    let bytes = value.len();
    let (content_type, context, ttl) = (arguments.content_type, arguments.context, arguments.ttl);
    let options = PutOptions { content_type, context, ttl, add: false };
    let written = remote.put(&key, value, &options).await?;
    if arguments.json {
        let (siblings, expires) = (written.siblings, written.expires);
        return output::print_json(&PutView { key: key.to_percent(), bytes, siblings, expires });
    }
    if written.siblings > 1 {
        output::say(&format!(
            "{key} now has {} siblings; see them with: mangrove get --siblings {key}",
            written.siblings
        ));
    }
    Ok(())
}

fn from_file(path: &Path) -> Result<Bytes, CliError> {
    let unreadable = |error| CliError::Refused(format!("{} cannot be read: {error}", path.display()));
    limited(std::fs::File::open(path).map_err(unreadable)?, &path.display().to_string())
}

fn from_stdin() -> Result<Bytes, CliError> {
    let stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output::say("reading the value from the terminal; end it with Ctrl-D");
    }
    limited(stdin, "stdin")
}

/// All bytes there are, up to what any cluster takes.
fn limited(from: impl Read, what: &str) -> Result<Bytes, CliError> {
    let mut value = Vec::new();
    from.take(VALUE_BYTES_LIMIT + 1)
        .read_to_end(&mut value)
        .map_err(|error| CliError::Refused(format!("{what} cannot be read: {error}")))?;
    if value.len() as u64 > VALUE_BYTES_LIMIT {
        return Err(CliError::Refused(format!(
            "{what} is larger than 16 MiB, the most that any cluster takes"
        )));
    }
    Ok(Bytes::from(value))
}
