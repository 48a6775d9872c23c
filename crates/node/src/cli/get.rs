//! `mangrove get`: read one value, or all concurrent ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::keys;
use super::output::{self, Coloured, Screen, bytes_shown, harmless};
use super::siblings::{SiblingRow, SiblingsView};

/// Read a value and write it to stdout, byte for byte
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key, percent-encoded as list prints it
    #[arg(value_name = "KEY")]
    key: OsString,

    /// Write the value to this file instead; - is stdout
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["siblings", "json"])]
    output: Option<PathBuf>,

    /// Show all siblings in a table, and the context token that replaces them
    #[arg(long)]
    siblings: bool,

    /// Print one JSON document: all values in base64, and the context token
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Get) -> Result<(), CliError> {
    let key = keys::key(&arguments.key)?;
    let remote = arguments.endpoints.connect()?;
    let missing = || CliError::Failed(format!("{key} is not there"));
    if arguments.json || arguments.siblings {
        let all = SiblingsView::new(&key, remote.siblings(&key).await?).ok_or_else(missing)?;
        return if arguments.json {
            output::print_json(&all)
        } else {
            output::print(text(Screen::stdout(), &all))
        };
    }
    let got = remote.get(&key).await?;
    let client::Value { bytes: value, expires, .. } = got.value.ok_or_else(missing)?;
    match arguments.output.filter(|path| path != Path::new("-")) {
        None => {
            output::print(&value)?;
            // A person's prompt should not stick to the value; a program gets it byte for byte.
            if Screen::stdout().terminal && !value.ends_with(b"\n") {
                output::print("\n")?;
            }
        }
        Some(path) => std::fs::write(&path, &value)
            .map_err(|error| CliError::Failed(format!("{} cannot be written: {error}", path.display())))?,
    }
    if let Some(expires) = expires.filter(|_| Screen::stdout().terminal) {
        output::say(&format!("{key} expires at {}", harmless(&expires)));
    }
    if got.siblings > 1 {
        output::say(&format!(
            "{key} has {} siblings, this is the latest; see all with: mangrove get --siblings {key}",
            got.siblings
        ));
    }
    Ok(())
}

fn text(screen: Screen, all: &SiblingsView) -> String {
    let rows = all.siblings.iter().map(cells).collect();
    let mut text = screen.table(&["written", "bytes", "expires", "content type", "dot", "value"], rows);
    if let Some(context) = &all.context {
        text.push_str(&format!(
            "\nto replace all of them: mangrove put {} VALUE --context {}\n",
            all.key,
            harmless(context)
        ));
    }
    text
}

fn cells(sibling: &SiblingRow) -> Vec<Coloured> {
    let texts = [
        sibling.time.as_deref().unwrap_or("?").to_owned(),
        bytes_shown(sibling.bytes),
        sibling.expires.clone().unwrap_or_else(|| "never".to_owned()),
        sibling.content_type.clone().unwrap_or_default(),
        sibling.dot.clone(),
        sibling.excerpt.clone(),
    ];
    texts.into_iter().map(|text| Coloured::plain(harmless(&text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_values_are_a_table_and_the_way_to_replace_them() {
        let sibling = |dot: &str, value: &[u8], expires: Option<&str>| {
            SiblingRow::new(client::Sibling {
                value: value.to_vec().into(),
                content_type: Some("text/plain".into()),
                etag: String::new(),
                dot: dot.into(),
                time: Some("2026-01-02T03:04:05.678Z".into()),
                expires: expires.map(str::to_owned),
            })
        };
        let all = SiblingsView {
            key: "a/b".into(),
            context: Some("token".into()),
            siblings: vec![
                sibling("2-b", b"second", None),
                sibling(
                    "1-a",
                    b"first\x1b[2J, and more than fits into a cell",
                    Some("2026-01-02T04:00:00.000Z"),
                ),
            ],
        };
        insta::assert_snapshot!(text(Screen::PLAIN, &all), @r"
        written                   bytes  expires                   content type  dot  value
        2026-01-02T03:04:05.678Z  6 B    never                     text/plain    2-b  second
        2026-01-02T03:04:05.678Z  41 B   2026-01-02T04:00:00.000Z  text/plain    1-a  first�[2J, and more than fits in…

        to replace all of them: mangrove put a/b VALUE --context token
        ");
    }
}
