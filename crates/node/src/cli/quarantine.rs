//! `mangrove quarantine`: values that only one node still had, put aside for a person to look at.

mod import;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::{Key, Sibling};
use serde::Serialize;
use storage::{Quarantined, read_quarantine};

use super::error::CliError;
use super::keys;
use super::output::{self, Coloured, Screen, bytes_shown};

/// Look at values that only one node still had, and bring them back
#[derive(Debug, Args)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Import(import::Import),
}

/// Show what a quarantine file holds: keys, sizes, ids of writes, when each was put there
#[derive(Debug, Args)]
struct List {
    /// The file, or the data directory that it is in
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON document, the values in it
    #[arg(long)]
    json: bool,
}

/// Write a value of a quarantine file to stdout
#[derive(Debug, Args)]
struct Show {
    /// The file, or the data directory that it is in
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,

    /// Which of several values: the id of its write, as `list` shows it
    #[arg(long, value_name = "DOT")]
    dot: Option<String>,
}

pub(crate) async fn run(arguments: Quarantine) -> Result<(), CliError> {
    match arguments.command {
        Command::List(arguments) => list(&arguments),
        Command::Show(arguments) => show(&arguments),
        Command::Import(arguments) => import::run(arguments).await,
    }
}

/// One value that was put aside.
#[derive(Debug, Clone)]
struct Aside {
    at_ms: u64,
    key: Key,
    sibling: Sibling,
}

/// A row of `list --json`.
#[derive(Debug, Serialize)]
struct Row {
    /// Percent-encoded.
    key: String,
    /// The id of the write.
    dot: String,
    /// When it was written, by its writer's clock; RFC 3339.
    written: Option<String>,
    /// When it was put aside.
    quarantined: Option<String>,
    expires: Option<String>,
    content_type: Option<String>,
    bytes: usize,
    /// Base64.
    value: String,
}

/// Reads a whole file: of one that is cut or altered nothing is used.
fn read(file: &Path) -> Result<Vec<Aside>, CliError> {
    let path = if file.is_dir() { file.join("quarantine") } else { file.to_owned() };
    let mut all = Vec::new();
    let mut visit = |Quarantined { at_ms, key, entry }: Quarantined| {
        let siblings = entry.siblings().iter().cloned();
        all.extend(siblings.map(|sibling| Aside { at_ms, key: key.clone(), sibling }));
    };
    match read_quarantine(&path, &mut visit) {
        Ok(()) => Ok(all),
        Err(error) => Err(CliError::Refused(error.to_string())),
    }
}

fn moment(millis: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(format!("{at:.3}"))
}

fn list(arguments: &List) -> Result<(), CliError> {
    let all = read(&arguments.file)?;
    if arguments.json {
        return output::print_json(&all.iter().map(row).collect::<Vec<_>>());
    }
    let rows = all.iter().map(|aside| {
        let Row { key, dot, written, quarantined, content_type, bytes, .. } = row(aside);
        let unknown = || "?".to_owned();
        let what = content_type.unwrap_or_else(|| "-".to_owned());
        let cells = [
            key,
            bytes_shown(bytes as u64),
            what,
            written.unwrap_or_else(unknown),
            quarantined.unwrap_or_else(unknown),
            dot,
        ];
        cells.into_iter().map(|text| Coloured::plain(output::harmless(&text))).collect()
    });
    let header = ["key", "size", "type", "written", "put aside", "write"];
    output::print(Screen::stdout().table(&header, rows.collect()))
}

fn row(aside: &Aside) -> Row {
    let Aside { at_ms, key, sibling } = aside;
    Row {
        key: key.to_percent(),
        dot: sibling.dot().to_string(),
        written: moment(sibling.dot().hlc.millis()),
        quarantined: moment(*at_ms),
        expires: sibling.expiry().time().and_then(|at| moment(at.millis())),
        content_type: sibling.content_type().map(str::to_owned),
        bytes: sibling.value().len(),
        value: STANDARD.encode(sibling.value()),
    }
}

fn show(arguments: &Show) -> Result<(), CliError> {
    let key = keys::key(&arguments.key)?;
    let all = read(&arguments.file)?;
    let is_wanted = |aside: &&Aside| {
        aside.key == key && arguments.dot.as_ref().is_none_or(|dot| aside.sibling.dot().to_string() == *dot)
    };
    let found: Vec<&Aside> = all.iter().filter(is_wanted).collect();
    match found.as_slice() {
        [] => Err(CliError::Failed("the file has no such value".into())),
        [one] => output::print(one.sibling.value()),
        several => {
            let dots: Vec<String> = several.iter().map(|aside| aside.sibling.dot().to_string()).collect();
            Err(CliError::Refused(format!(
                "there are several values: say which, with --dot: {}",
                dots.join(", ")
            )))
        }
    }
}
