//! Bringing values back from a quarantine file: shown first, then added beside all there is. Nothing is replaced: what was
//! written or deleted meanwhile may have been right (H18).

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use client::{PutOptions, Sibling, Siblings};
use jiff::Timestamp;
use model::ClusterId;
use serde::Serialize;

use super::super::endpoint::{Endpoints, OfValue, Remote};
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
    /// It is there: this very write, or the same value for at least as long.
    There,
    /// It would have expired by now.
    Expired,
    /// The node asked takes this one value in no way.
    Refused,
}

/// What was reckoned by two clocks is not taken for two times.
const CLOCKS_DIFFER_MS: u64 = 1_000;

#[derive(Debug, Serialize)]
struct Line {
    key: String,
    dot: String,
    written: Option<String>,
    bytes: usize,
    fate: Fate,
    /// Values that the key has in the cluster now.
    beside: usize,
    /// Why it was refused, if it was.
    why: Option<String>,
}

/// The whole of `import --json`.
#[derive(Debug, Serialize)]
struct Report {
    brought: usize,
    there: usize,
    expired: usize,
    refused: usize,
    values: Vec<Line>,
}

impl Report {
    fn of(values: Vec<Line>) -> Self {
        let count = |fate| values.iter().filter(|line| line.fate == fate).count();
        let (brought, there) = (count(Fate::Brought), count(Fate::There));
        Self { brought, there, expired: count(Fate::Expired), refused: count(Fate::Refused), values }
    }

    fn end(&self) -> Result<(), CliError> {
        match self.refused {
            0 => Ok(()),
            refused => Err(CliError::Failed(format!(
                "{refused} of {} values were refused, each for the reason that stands above: see to that, or name \
                 another node with --endpoint, and run the import again; it adds nothing twice",
                self.values.len()
            ))),
        }
    }
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
        lines.push(look_at(&remote, aside).await?);
    }
    let mut report = Report::of(lines);
    if !arguments.json {
        output::print(table(Screen::stdout(), &report.values))?;
    }
    if report.brought > 0 && !arguments.dry_run {
        let what = format!(
            "{} values are added, each beside what its key has now; one that was deleted on purpose is back then",
            report.brought
        );
        output::confirm(arguments.yes, true, &what)?;
        report = Report::of(add_all(&remote, &all, report.values).await?);
    }
    if arguments.json {
        output::print_json(&report)?;
    } else {
        let Report { brought, there, expired, refused, .. } = &report;
        let done = if arguments.dry_run { "would be added" } else { "added" };
        let refused = if *refused == 0 { String::new() } else { format!(", {refused} were refused") };
        output::print(format!(
            "{brought} values {done}, {there} are there already, {expired} have expired{refused}\n"
        ))?;
    }
    report.end()
}

/// What becomes of one value, by what its key has now.
async fn look_at(remote: &Remote, aside: &Aside) -> Result<Line, CliError> {
    let shown = row(aside);
    let (fate, beside, why) = match remote.siblings_of(&aside.key).await {
        Ok(held) => (fate(aside, &held), held.siblings.len(), None),
        Err(OfValue::Refused(why)) => {
            output::say(&format!("{} cannot be looked at: {why}", shown.key));
            (Fate::Refused, 0, Some(why))
        }
        Err(OfValue::Failed(error)) => return Err(error),
    };
    Ok(Line { key: shown.key, dot: shown.dot, written: shown.written, bytes: shown.bytes, fate, beside, why })
}

/// Adds what is to be brought. A value that is refused is named, and does not keep back those behind it: the next import
/// would come no further either.
async fn add_all(remote: &Remote, all: &[Aside], mut lines: Vec<Line>) -> Result<Vec<Line>, CliError> {
    for (aside, line) in all.iter().zip(&mut lines).filter(|(_, line)| line.fate == Fate::Brought) {
        match add(remote, aside).await {
            Ok(()) => {}
            Err(OfValue::Refused(why)) => {
                output::say(&format!("{} was refused: {why}", line.key));
                (line.fate, line.why) = (Fate::Refused, Some(why));
            }
            Err(OfValue::Failed(error)) => return Err(stopped_at(line, error)),
        }
    }
    Ok(lines)
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
        "{} was not added: {why}; what comes before it was; run the import again, which adds nothing twice",
        line.key
    ))
}

fn fate(aside: &Aside, held: &Siblings) -> Fate {
    let dot = aside.sibling.dot().to_string();
    let there = held.siblings.iter().any(|sibling| {
        let same = sibling.value == *aside.sibling.value()
            && sibling.content_type.as_deref() == aside.sibling.content_type();
        sibling.dot == dot || (same && lasts_as_long(aside, sibling))
    });
    match left(aside) {
        _ if there => Fate::There,
        Some(time) if time.is_zero() => Fate::Expired,
        _ => Fate::Brought,
    }
}

/// Whether a value that is held is there for at least as long as the one put aside would be.
fn lasts_as_long(aside: &Aside, held: &Sibling) -> bool {
    let Some(expires) = &held.expires else { return true };
    let expires = expires.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    match (aside.sibling.expiry().time(), expires) {
        (Some(wanted), Some(held)) => held + CLOCKS_DIFFER_MS >= wanted.millis(),
        _ => false,
    }
}

/// How long it still is to live; none for a value that stays.
fn left(aside: &Aside) -> Option<Duration> {
    let at = aside.sibling.expiry().time()?.millis();
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    Some(Duration::from_millis(at.saturating_sub(now)))
}

async fn add(remote: &Remote, aside: &Aside) -> Result<(), OfValue> {
    let options = PutOptions {
        content_type: aside.sibling.content_type().map(str::to_owned),
        ttl: left(aside).map(|time| time.max(Duration::from_millis(1))),
        add: true,
        ..PutOptions::default()
    };
    remote.put_one(&aside.key, aside.sibling.value().clone(), &options).await
}

fn table(screen: Screen, lines: &[Line]) -> String {
    let cells = |line: &Line| {
        let becomes = match (line.fate, line.beside) {
            (Fate::There, _) => "there already".to_owned(),
            (Fate::Expired, _) => "has expired".to_owned(),
            (Fate::Refused, _) => "refused".to_owned(),
            (Fate::Brought, 0) => "added: the key has no value now".to_owned(),
            (Fate::Brought, beside) => format!("added beside {beside}"),
        };
        let written = line.written.clone().unwrap_or_else(|| "?".to_owned());
        let texts = [line.key.clone(), bytes_shown(line.bytes as u64), written, becomes];
        texts.into_iter().map(|text| Coloured::plain(output::harmless(&text))).collect()
    };
    screen.table(&["key", "size", "written", "becomes"], lines.iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Dot, Expiry, Hlc, Key, WriterId};

    use super::*;

    fn aside(expiry: Expiry) -> Aside {
        let dot = Dot { hlc: Hlc::new(1_000, 0), writer: WriterId(1) };
        let sibling = model::Sibling::new(dot, Bytes::from("same"), None, expiry);
        Aside { at_ms: 0, key: Key::new("k").unwrap(), sibling }
    }

    fn held(expires: Option<&str>) -> Siblings {
        let sibling = Sibling {
            value: Bytes::from("same"),
            content_type: None,
            etag: String::new(),
            dot: "another".into(),
            time: None,
            expires: expires.map(str::to_owned),
        };
        Siblings { siblings: vec![sibling], context: None }
    }

    #[test]
    fn a_value_is_there_only_if_it_lasts_as_long() {
        let (lasting, until_2100) = (Expiry::NEVER, Expiry::at(Hlc::new(4_102_444_800_000, 0)));
        let (before, at) = (Some("2099-12-31T23:59:50Z"), Some("2100-01-01T00:00:00.000Z"));
        let told = |expiry, expires| fate(&aside(expiry), &held(expires));
        assert_eq!(told(lasting, None), Fate::There);
        assert_eq!(told(lasting, at), Fate::Brought, "the one there expires");
        assert_eq!(told(until_2100, None), Fate::There);
        assert_eq!(told(until_2100, at), Fate::There);
        assert_eq!(told(until_2100, before), Fate::Brought);
    }
}
