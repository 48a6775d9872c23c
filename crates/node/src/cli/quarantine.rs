//! `mangrove quarantine`: values that only one node still had, put aside for a person to look at.

mod import;

use std::ffi::OsString;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use http_api::rfc3339;
use model::{ClusterId, Key, Sibling};
use serde::Serialize;
use storage::{QuarantineError, QuarantineReader, Quarantined};

use super::error::CliError;
use super::keys;
use super::output::{self, Coloured, Screen, bytes_shown};

/// The file's name in a data directory.
const FILE_NAME: &str = "quarantine";

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

/// Which file to read
#[derive(Debug, Args)]
struct From {
    /// The file, or the data directory that it is in
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Of a damaged file use what lies before the damage, which is whole
    #[arg(long)]
    up_to_damage: bool,
}

/// Show what a quarantine file holds: keys, sizes, dots, when each was put there
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    from: From,

    /// Print one JSON document, the values in it
    #[arg(long)]
    json: bool,
}

/// Write a value of a quarantine file to stdout
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    from: From,

    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,

    /// Which of several siblings: its dot, as `list` shows it
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

/// What was read of a file.
#[derive(Debug)]
struct Told {
    /// The cluster whose data it is.
    cluster: ClusterId,
    values: Vec<Aside>,
}

/// Reads a whole file: of one that is cut or altered nothing is used, unless that was asked for.
fn read(from: &From) -> Result<Told, CliError> {
    let path = from.path();
    let mut reader = QuarantineReader::open(&path).map_err(|error| unusable(&error))?;
    let mut values = Vec::new();
    for read in reader.by_ref() {
        match read {
            Ok(Quarantined { at_ms, key, entry }) => {
                let siblings = entry.siblings().iter().cloned();
                values.extend(siblings.map(|sibling| Aside { at_ms, key: key.clone(), sibling }));
            }
            Err(error @ QuarantineError::Damaged { .. }) if from.up_to_damage => {
                output::say(&format!("{error}; going on with what lies before"));
            }
            Err(error) => return Err(unusable(&error)),
        }
    }
    Ok(Told { cluster: reader.cluster(), values })
}

impl From {
    fn path(&self) -> PathBuf {
        if self.file.is_dir() { self.file.join(FILE_NAME) } else { self.file.clone() }
    }

    /// Whether it names a data directory in which no node has put anything aside.
    fn is_empty(&self) -> bool {
        self.file.is_dir() && !self.path().exists()
    }

    /// Whether it names a folder that no node has ever had for itself.
    fn is_no_data_dir(&self) -> bool {
        let theirs = [FILE_NAME, "lock", "node", "member"];
        self.file.is_dir() && !theirs.iter().any(|name| self.file.join(name).exists())
    }

    /// Files beside the one that are of other clusters, or damaged.
    fn moved_aside(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.file).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names
            .filter(|name| name.strip_prefix(FILE_NAME).is_some_and(|rest| rest.starts_with('.')))
            .collect();
        names.sort_unstable();
        names
    }
}

fn unusable(error: &QuarantineError) -> CliError {
    CliError::Refused(match error {
        QuarantineError::Damaged { values: 1.., .. } => {
            format!("{error}; to use just what lies before, say --up-to-damage")
        }
        QuarantineError::Damaged { .. } => {
            format!(
                "{error}; look for another copy of it, such as one in a backup of that node's data directory"
            )
        }
        QuarantineError::Io { .. } => {
            format!("{error}; name the file, or the data directory of the node that it lies in")
        }
    })
}

fn list(arguments: &List) -> Result<(), CliError> {
    let aside = arguments.from.moved_aside();
    if !aside.is_empty() {
        output::say(&format!(
            "files that were moved aside there, to be named by themselves: {}",
            aside.join(", ")
        ));
    }
    if arguments.from.is_no_data_dir() && aside.is_empty() {
        return Err(CliError::Refused(format!(
            "{} is no data directory of a node: name that (--data-dir of the node), or a quarantine file",
            arguments.from.file.display()
        )));
    }
    let all = if arguments.from.is_empty() { Vec::new() } else { read(&arguments.from)?.values };
    if arguments.json {
        return output::print_json(&all.iter().map(row).collect::<Vec<_>>());
    }
    if all.is_empty() {
        return output::print("nothing is in quarantine there\n");
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
    let header = ["key", "size", "type", "written", "put aside", "dot"];
    output::print(Screen::stdout().table(&header, rows.collect()))
}

fn row(aside: &Aside) -> Row {
    let Aside { at_ms, key, sibling } = aside;
    Row {
        key: key.to_percent(),
        dot: sibling.dot().to_string(),
        written: rfc3339(sibling.dot().hlc.millis()),
        quarantined: rfc3339(*at_ms),
        expires: sibling.expiry().time().and_then(|at| rfc3339(at.millis())),
        content_type: sibling.content_type().map(str::to_owned),
        bytes: sibling.value().len(),
        value: STANDARD.encode(sibling.value()),
    }
}

fn show(arguments: &Show) -> Result<(), CliError> {
    let key = keys::key(&arguments.key)?;
    let all = read(&arguments.from)?.values;
    let is_wanted = |aside: &&Aside| {
        aside.key == key && arguments.dot.as_ref().is_none_or(|dot| aside.sibling.dot().to_string() == *dot)
    };
    let found: Vec<&Aside> = all.iter().filter(is_wanted).collect();
    match found.as_slice() {
        [] => Err(CliError::Failed(
            "the file has no such value; see what it has with `mangrove quarantine list`".into(),
        )),
        [one] => output::print(one.sibling.value()),
        several => {
            let dots: Vec<String> = several.iter().map(|aside| aside.sibling.dot().to_string()).collect();
            Err(CliError::Refused(format!(
                "there are several siblings: say which, with --dot: {}",
                dots.join(", ")
            )))
        }
    }
}
