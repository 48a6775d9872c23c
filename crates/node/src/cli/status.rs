//! `mangrove status`: every member, and whether they hold the same data.

mod row;
mod table;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use client::ClusterView;
use futures_util::StreamExt;
use jiff::Timestamp;

pub(crate) use self::row::{Row, liveness};
use self::table::Report;
pub(crate) use self::table::since;
use super::endpoint::{Endpoints, Remote};
use super::error::CliError;
use super::output::{self, Screen};
use super::repairs::{method, share};

/// How long a member may take to give its own word.
const MEMBER_WITHIN: Duration = Duration::from_secs(2);

/// How many members are asked at the same time.
const ASKED_AT_ONCE: usize = 16;

/// Show every member: liveness, keys, root, when last proven identical
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Status) -> Result<(), CliError> {
    let report = report(&arguments.endpoints.connect()?).await?;
    if arguments.json {
        return output::print_json(&report);
    }
    output::print(report.text(Screen::stdout(), Timestamp::now()))
}

/// Asks one node for the members, then every member for its own keys and root. Each root is as of the moment
/// its node answered: under writes they differ although all is well.
async fn report(remote: &Remote) -> Result<Report, CliError> {
    let view = remote.cluster().await?;
    let mut rows = Row::all(&view);
    let mut words = words(&rows).await;
    if rows.iter().any(|row| row.repair.is_some()) {
        show_progress(remote, &view, &mut rows).await;
    }
    let cluster = view.cluster.as_ref().map(|cluster| cluster.to_string());
    words.insert(view.node.id.to_string(), view);
    take_words(&mut rows, &words);
    Ok(Report::new(cluster, rows))
}

/// Every other member's own word, by its id; of those that answer in time.
pub(crate) async fn words(rows: &[Row]) -> BTreeMap<String, ClusterView> {
    let others = rows.iter().filter(|row| !row.asked).filter_map(|row| row.http.clone());
    futures_util::stream::iter(others)
        .map(|address| async move {
            let word = Remote::to(&address, MEMBER_WITHIN).ok()?.cluster().await.ok()?;
            Some((word.node.id.to_string(), word))
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// Gives each member its own word.
pub(crate) fn take_words(rows: &mut [Row], words: &BTreeMap<String, ClusterView>) {
    for row in rows {
        // By id: at a member's address another node may answer by now.
        if let Some(word) = words.get(&row.id) {
            row.take_word(word);
        }
    }
}

/// How, and how far, the asked node's running sessions are. Without an answer nothing more is shown.
async fn show_progress(remote: &Remote, view: &ClusterView, rows: &mut [Row]) {
    let Ok(repairs) = remote.repairs().await else { return };
    if repairs.node_id != view.node.id {
        return;
    }
    for session in repairs.repairs.iter().filter(|session| session.outcome.is_none()) {
        let id = session.peer_id.to_string();
        if let Some(row) = rows.iter_mut().find(|row| row.id == id && row.repair.is_some()) {
            let percent = share(session).map(|share| format!(" {:.0} %", share * 100.0));
            row.progress = Some(format!("{}{}", method(session), percent.unwrap_or_default()));
        }
    }
}
