//! `mangrove list`: the keys, page by page.

use std::ffi::OsString;

use clap::Args;
use client::Listed;
use serde::Serialize;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::keys;
use super::output::{self, Coloured, Screen, harmless};

/// How many keys are asked for at once.
const PAGE_KEYS: usize = 1_000;

/// List keys in key order, percent-encoded
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only keys that start with this; percent-encoded like keys
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: OsString,

    /// At most this many keys
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,

    /// Show size, time, siblings, content type and when it expires, too
    #[arg(long)]
    long: bool,

    /// Print one JSON document a line, one for each key
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

/// One key.
#[derive(Debug, Serialize)]
struct KeyRow {
    /// Percent-encoded.
    key: String,
    /// Bytes of the latest value.
    size: u64,
    etag: String,
    content_type: Option<String>,
    time: Option<String>,
    siblings: usize,
    /// RFC 3339; null where it does not.
    expires: Option<String>,
}

impl KeyRow {
    fn new(listed: Listed) -> Self {
        Self {
            key: listed.key.to_percent(),
            size: listed.size,
            etag: listed.etag,
            content_type: listed.content_type,
            time: listed.time,
            siblings: listed.siblings,
            expires: listed.expires,
        }
    }
}

pub(crate) async fn run(arguments: List) -> Result<(), CliError> {
    let prefix = keys::prefix(&arguments.prefix)?;
    let remote = arguments.endpoints.connect()?;
    let screen = Screen::stdout();
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut start = None;
    while left > 0 {
        let page = remote.list(&prefix, start.as_ref(), left.min(PAGE_KEYS)).await?;
        left = left.saturating_sub(page.items.len());
        let rows = page.items.into_iter().map(KeyRow::new).collect();
        output::print(shown(screen, rows, &arguments)?)?;
        // A server that does not move on must not keep us for ever.
        start = page.next.filter(|next| start.as_ref().is_none_or(|start| next > start));
        if start.is_none() {
            break;
        }
    }
    Ok(())
}

/// One page. On a terminal `--long` is a table, piped it is one line a key, so that pages join seamlessly.
fn shown(screen: Screen, rows: Vec<KeyRow>, arguments: &List) -> Result<String, CliError> {
    if arguments.json {
        return lines(&rows);
    }
    if arguments.long && screen.terminal {
        let header = ["key", "bytes", "written", "values", "content type", "expires"];
        return Ok(screen.table(&header, rows.iter().map(cells).collect()));
    }
    let line = |row: &KeyRow| {
        if !arguments.long {
            return format!("{}\n", harmless(&row.key));
        }
        format!("{}\n", columns(row).map(|column| harmless(&column)).join("\t"))
    };
    Ok(rows.iter().map(line).collect())
}

fn columns(row: &KeyRow) -> [String; 6] {
    [
        row.key.clone(),
        row.size.to_string(),
        row.time.clone().unwrap_or_else(|| "?".to_owned()),
        row.siblings.to_string(),
        row.content_type.clone().unwrap_or_else(|| "-".to_owned()),
        row.expires.clone().unwrap_or_else(|| "never".to_owned()),
    ]
}

fn cells(row: &KeyRow) -> Vec<Coloured> {
    columns(row).into_iter().map(|column| Coloured::plain(harmless(&column))).collect()
}

fn lines(rows: &[impl Serialize]) -> Result<String, CliError> {
    let mut text = String::new();
    for row in rows {
        let line = serde_json::to_string(row)
            .map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        list: List,
    }

    fn rows() -> Vec<KeyRow> {
        vec![KeyRow {
            key: "etc/a%20b".into(),
            size: 12,
            etag: "e".into(),
            content_type: None,
            time: Some("2026-01-02T03:04:05.678Z".into()),
            siblings: 2,
            expires: Some("2026-01-03T00:00:00.000Z".into()),
        }]
    }

    fn listed(arguments: &[&str]) -> String {
        let line = Line::parse_from(std::iter::once(&"list").chain(arguments));
        shown(Screen::PLAIN, rows(), &line.list).unwrap()
    }

    #[test]
    fn keys_are_lines_that_programs_can_read() {
        assert_eq!(listed(&[]), "etc/a%20b\n");
        assert_eq!(
            listed(&["--long"]),
            "etc/a%20b\t12\t2026-01-02T03:04:05.678Z\t2\t-\t2026-01-03T00:00:00.000Z\n"
        );
        assert_eq!(
            listed(&["--json"]),
            "{\"key\":\"etc/a%20b\",\"size\":12,\"etag\":\"e\",\"content_type\":null,\
             \"time\":\"2026-01-02T03:04:05.678Z\",\"siblings\":2,\
             \"expires\":\"2026-01-03T00:00:00.000Z\"}\n"
        );
    }
}
