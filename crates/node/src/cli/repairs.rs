//! `mangrove repairs`: the sessions of one node, running and recent.

mod changes;
mod table;

use std::time::Duration;

use clap::Args;
use client::Repairs as View;

use self::changes::Changes;
#[cfg(test)]
pub(crate) use self::table::tests;
pub(crate) use self::table::{left, method, seconds, share};
use super::endpoint::{Endpoints, Remote};
use super::error::CliError;
use super::output::{self, Colour, Screen};

/// Between two looks at the node.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Clears the screen, and puts the cursor where the next picture begins.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Show what repair does on one node: sessions that run, and the last ones that ended
#[derive(Debug, Args)]
pub(crate) struct Repairs {
    /// Print one JSON document; with --watch one a line, for each change
    #[arg(long)]
    json: bool,

    /// Go on showing them: a picture twice a second on a terminal, a line for each change where piped
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Repairs) -> Result<(), CliError> {
    let remote = arguments.endpoints.connect()?;
    let screen = Screen::stdout();
    let view = remote.repairs().await?;
    match (arguments.watch, arguments.json) {
        (false, true) => output::print_json(&view),
        (false, false) => output::print(table::text(screen, &view)),
        (true, false) if screen.terminal => pictures(&remote, screen, view).await,
        (true, json) => lines(&remote, view, json).await,
    }
}

/// A picture after the other. A node that does not answer for a while is said and asked again.
async fn pictures(remote: &Remote, screen: Screen, first: View) -> Result<(), CliError> {
    let mut text = table::text(screen, &first);
    loop {
        output::print(format!("{CLEAR}{text}"))?;
        tokio::time::sleep(LOOK_EVERY).await;
        text = match remote.repairs().await {
            Ok(view) => table::text(screen, &view),
            Err(error) => screen.paint(Colour::Red, &error.message().unwrap_or_default()) + "\n",
        };
    }
}

/// A line for each change, until whoever reads them has seen enough.
async fn lines(remote: &Remote, first: View, json: bool) -> Result<(), CliError> {
    let mut changes = Changes::since(&first);
    if json {
        output::print(changes::document(&first)?)?;
    } else {
        output::print(changes::running(&first))?;
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let view = match remote.repairs().await {
            Ok(view) => view,
            Err(error) => {
                output::say(&error.message().unwrap_or_default());
                continue;
            }
        };
        let text = changes.next(&view);
        if text.is_empty() {
            continue;
        }
        output::print(if json { changes::document(&view)? } else { text })?;
    }
}
