//! `mangrove members`: who belongs to the cluster, as one node sees it.

use clap::Args;

use super::endpoint::Endpoints;
use super::error::CliError;
use super::output::{self, Coloured, Screen, harmless};
use super::status::Row;

/// Show who belongs to the cluster, as one node sees it
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Members) -> Result<(), CliError> {
    let remote = arguments.endpoints.connect()?;
    let view = remote.cluster().await?;
    if arguments.json {
        return output::print_json(&view.members);
    }
    if view.cluster.is_none() {
        output::say("not a member of a cluster yet");
    }
    let rows: Vec<Row> = view.members.iter().map(|member| Row::heard(member, &view.node)).collect();
    output::print(text(Screen::stdout(), &rows))
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
        ];
        texts.into_iter().map(|text| Coloured::plain(harmless(&text))).collect()
    };
    screen.table(&["name", "id", "liveness", "http", "gossip"], rows.iter().map(cells).collect())
}
