//! `mangrove members`: who belongs to the cluster, and who did, as one node sees it; of each what it says itself.

use clap::Args;
use client::{Forgetting, MemberView, RemovedView};
use jiff::Timestamp;
use serde::Serialize;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::output::{self, Coloured, Screen, harmless};
use super::status::{Row, since, take_words, words};

/// Show who belongs to the cluster and who was removed, as one node sees it
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

/// The whole of `members --json`.
#[derive(Debug, Serialize)]
struct Document {
    /// How far deletes are forgotten, and whom that waits for, in the word of the node that was asked.
    forgetting: Forgetting,
    members: Vec<Line>,
    removed: Vec<RemovedView>,
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    member: MemberView,
    /// The version of its program, in its own word; null where it does not answer.
    version: Option<String>,
    /// How far deletes are forgotten there, in its own word.
    forgetting: Option<Forgetting>,
}

pub(crate) async fn run(arguments: Members) -> Result<(), CliError> {
    let remote = arguments.endpoints.connect()?;
    let view = remote.cluster().await?;
    let mut rows = Row::all(&view);
    let mut heard = words(&rows).await;
    heard.insert(view.node.id.to_string(), view.clone());
    if arguments.json {
        let line = |member: MemberView| {
            let word = heard.get(&member.id.to_string());
            let version = word.map(|word| word.node.version.clone());
            Line { member, version, forgetting: word.map(|word| word.forgetting.clone()) }
        };
        let members = view.members.into_iter().map(line).collect();
        return output::print_json(&Document { forgetting: view.forgetting, members, removed: view.removed });
    }
    if view.cluster.is_none() {
        output::say("not a member of a cluster yet");
    }
    take_words(&mut rows, &heard);
    output::print(text(Screen::stdout(), &rows) + &gone(&view.removed, Timestamp::now()))
}

fn text(screen: Screen, rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let unknown = || "?".to_owned();
        let texts = [
            row.name.clone(),
            row.id.clone(),
            if row.leaving { format!("{}, leaving", row.liveness) } else { row.liveness.clone() },
            row.http.clone().unwrap_or_else(unknown),
            row.gossip.clone().unwrap_or_else(unknown),
            row.version.clone().unwrap_or_else(unknown),
        ];
        texts.into_iter().map(|text| Coloured::plain(harmless(&text))).collect()
    };
    let header = ["name", "id", "liveness", "http", "gossip", "version"];
    screen.table(&header, rows.iter().map(cells).collect())
}

/// A line for each node that was a member.
fn gone(removed: &[RemovedView], now: Timestamp) -> String {
    let line = |removed: &RemovedView| {
        let at = removed.at.as_deref().map_or_else(|| "?".to_owned(), |at| since(at, now));
        let name = harmless(&removed.name);
        let how = if removed.by == removed.name {
            "has left".to_owned()
        } else {
            format!("was removed by {}", harmless(&removed.by))
        };
        format!("{name} ({}) {how}, {at}\n", removed.id)
    };
    let lines: String = removed.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_a_member_is_said_and_how_that_ended() {
        let removed = |name: &str, by: &str| RemovedView {
            id: "0000000000000003".parse().unwrap(),
            name: name.into(),
            at: Some("2026-01-02T03:04:05Z".into()),
            by: by.into(),
        };
        let now = "2026-01-02T03:04:08Z".parse().unwrap();
        assert_eq!(gone(&[], now), "");
        insta::assert_snapshot!(gone(&[removed("n3", "n1"), removed("n4", "n4")], now), @r"

        n3 (0000000000000003) was removed by n1, 3 s ago (2026-01-02T03:04:05Z)
        n4 (0000000000000003) has left, 3 s ago (2026-01-02T03:04:05Z)
        ");
    }
}
