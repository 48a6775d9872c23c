//! Bringing values back from a quarantine file: shown first, then added beside all there is. Nothing is replaced: what was
//! written or deleted meanwhile may have been right (H18).

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use client::{PutOptions, Siblings};
use jiff::Timestamp;
use model::ClusterId;
use serde::Serialize;

use super::super::endpoint::{Endpoints, Remote};
use super::super::error::CliError;
use super::super::output::{self, Coloured, Screen, bytes_shown};
use super::{Aside, From, Told, read, row};

/// Bring values of a quarantine file back into the cluster, beside what is there
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    from: From,

    /// Bring them even into another cluster than the one that they were written in
    #[arg(long)]
    force: bool,

    /// Show what it would bring, and bring nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

/// What becomes of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    /// It is brought, beside so many values.
    Brought,
    /// It is there: this very write, or the same value.
    There,
    /// It would have expired by now.
    Expired,
}

#[derive(Debug, Serialize)]
struct Line {
    key: String,
    dot: String,
    written: Option<String>,
    bytes: usize,
    fate: Fate,
    /// Values that the key has in the cluster now.
    beside: usize,
}

/// The whole of `import --json`.
#[derive(Debug, Serialize)]
struct Report {
    brought: usize,
    there: usize,
    expired: usize,
    values: Vec<Line>,
}

pub(super) async fn run(arguments: Import) -> Result<(), CliError> {
    // Whole before anything is asked or written: of a damaged file nothing is used.
    let mut seen = BTreeSet::new();
    let Told { cluster, values: mut all } = read(&arguments.from)?;
    all.retain(|aside| seen.insert((aside.key.clone(), aside.sibling.dot())));
    let remote = arguments.endpoints.connect()?;
    if !arguments.force {
        same_cluster(&remote, cluster).await?;
    }
    let mut lines = Vec::with_capacity(all.len());
    for aside in &all {
        let held = remote.siblings(&aside.key).await?;
        let shown = row(aside);
        let (fate, beside) = (fate(aside, &held), held.siblings.len());
        lines.push(Line {
            key: shown.key,
            dot: shown.dot,
            written: shown.written,
            bytes: shown.bytes,
            fate,
            beside,
        });
    }
    let count = |fate| lines.iter().filter(|line| line.fate == fate).count();
    let (brought, there, expired) = (count(Fate::Brought), count(Fate::There), count(Fate::Expired));
    if !arguments.json {
        output::print(table(Screen::stdout(), &lines))?;
    }
    if brought > 0 && !arguments.dry_run {
        let what = format!(
            "{brought} values are added, each beside what its key has now; one that was deleted on purpose is back then"
        );
        output::confirm(arguments.yes, true, &what)?;
        for (aside, line) in all.iter().zip(&lines).filter(|(_, line)| line.fate == Fate::Brought) {
            add(&remote, aside).await.map_err(|error| stopped_at(line, error))?;
        }
    }
    if arguments.json {
        return output::print_json(&Report { brought, there, expired, values: lines });
    }
    let done = if arguments.dry_run { "would be added" } else { "added" };
    output::print(format!("{brought} values {done}, {there} are there already, {expired} have expired\n"))
}

/// What was written in one cluster means nothing in another.
async fn same_cluster(remote: &Remote, cluster: ClusterId) -> Result<(), CliError> {
    match remote.cluster().await?.cluster {
        Some(theirs) if theirs != cluster => Err(CliError::Refused(format!(
            "the file is of cluster {cluster}, and the node asked is of cluster {theirs}: name a node of the former with \
             --endpoint, or say --force"
        ))),
        _ => Ok(()),
    }
}

fn stopped_at(line: &Line, error: CliError) -> CliError {
    let why = error.message().unwrap_or_default();
    CliError::Failed(format!(
        "{} was not added: {why}; what comes before it was; run the import again",
        line.key
    ))
}

fn fate(aside: &Aside, held: &Siblings) -> Fate {
    let dot = aside.sibling.dot().to_string();
    let there = held.siblings.iter().any(|sibling| {
        let same = sibling.value == *aside.sibling.value()
            && sibling.content_type.as_deref() == aside.sibling.content_type();
        sibling.dot == dot || same
    });
    match left(aside) {
        _ if there => Fate::There,
        Some(time) if time.is_zero() => Fate::Expired,
        _ => Fate::Brought,
    }
}

/// How long it still is to live; none for a value that stays.
fn left(aside: &Aside) -> Option<Duration> {
    let at = aside.sibling.expiry().time()?.millis();
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    Some(Duration::from_millis(at.saturating_sub(now)))
}

async fn add(remote: &Remote, aside: &Aside) -> Result<(), CliError> {
    let options = PutOptions {
        content_type: aside.sibling.content_type().map(str::to_owned),
        ttl: left(aside).map(|time| time.max(Duration::from_millis(1))),
        add: true,
        ..PutOptions::default()
    };
    remote.put(&aside.key, aside.sibling.value().clone(), &options).await.map(drop)
}

fn table(screen: Screen, lines: &[Line]) -> String {
    let cells = |line: &Line| {
        let becomes = match (line.fate, line.beside) {
            (Fate::There, _) => "there already".to_owned(),
            (Fate::Expired, _) => "has expired".to_owned(),
            (Fate::Brought, 0) => "added: the key has no value now".to_owned(),
            (Fate::Brought, beside) => format!("added beside {beside}"),
        };
        let written = line.written.clone().unwrap_or_else(|| "?".to_owned());
        let texts = [line.key.clone(), bytes_shown(line.bytes as u64), written, becomes];
        texts.into_iter().map(|text| Coloured::plain(output::harmless(&text))).collect()
    };
    screen.table(&["key", "size", "written", "becomes"], lines.iter().map(cells).collect())
}
