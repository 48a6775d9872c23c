//! `mangrove import`: every readable file under a folder becomes a key.

mod kind;
mod progress;
mod skipped;
#[cfg(test)]
mod tests;
mod walk;
mod write;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt;
use serde::Serialize;

use self::progress::Progress;
use self::skipped::{Skipped, SkippedView};
use self::walk::{Found, ToWrite};
pub(crate) use self::write::PutError;
use self::write::{Outcome, Target};
use super::endpoint::{Endpoints, Remote};
use super::error::CliError;
use super::keys;
use super::output::{self, Colour, Screen, bytes_shown};

/// How many failures are shown one by one.
const FAILURES_SHOWN: usize = 10;

/// After this many failures in a row nothing more is tried: the cluster is gone, not the files.
const FAILURES_IN_A_ROW_MAX: usize = 20;

/// Write every readable file under a folder, its path as the key
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// What keys start with, in front of the path below the folder; percent-encoded like keys
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: OsString,

    /// How many files are written at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(arguments: Import) -> Result<(), CliError> {
    let prefix = keys::prefix(&arguments.prefix)?;
    let remote = arguments.endpoints.connect()?;
    let found = walk::walk(&arguments.dir, &prefix)?;
    let summary = import(&remote, found, usize::from(arguments.jobs)).await;
    if arguments.json {
        output::print_json(&summary.view())?;
    } else {
        output::print(summary.text(Screen::stdout()))?;
    }
    match summary.failed.len() {
        0 => Ok(()),
        count => {
            Err(CliError::Failed(format!("{count} of the files were not written; run the same import again")))
        }
    }
}

/// Writes all that was found, `jobs` files at a time.
async fn import(target: &impl Target, found: Found, jobs: usize) -> Summary {
    let started = Instant::now();
    let mut summary = Summary { skipped: found.skipped, ..Summary::default() };
    let mut progress =
        Progress::new(found.files.len() as u64, found.files.iter().map(|file| file.bytes).sum());
    let mut outcomes = futures_util::stream::iter(found.files)
        .map(|file| async move { (write::write(target, &file).await, file) })
        .buffer_unordered(jobs);
    let mut failures_in_a_row = 0;
    while let Some((outcome, file)) = outcomes.next().await {
        progress.step(file.bytes);
        failures_in_a_row = if matches!(outcome, Outcome::Failed(_)) { failures_in_a_row + 1 } else { 0 };
        summary.add(file, outcome);
        if failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
            summary.given_up = true;
            break;
        }
    }
    progress.finish();
    summary.skipped.sort_by(|one, other| one.path.cmp(&other.path));
    summary.took = started.elapsed();
    summary
}

/// What an import did.
#[derive(Debug, Default)]
struct Summary {
    files: u64,
    bytes: u64,
    took: Duration,
    skipped: Vec<Skipped>,
    failed: Vec<(PathBuf, String)>,
    /// Whether files were left because too many in a row had failed.
    given_up: bool,
}

/// The whole of `import --json`.
#[derive(Debug, Serialize)]
struct SummaryView {
    files: u64,
    bytes: u64,
    seconds: f64,
    skipped: Vec<SkippedView>,
    failed: Vec<FailedView>,
    given_up: bool,
}

#[derive(Debug, Serialize)]
struct FailedView {
    path: String,
    error: String,
}

impl Summary {
    fn add(&mut self, file: ToWrite, outcome: Outcome) {
        match outcome {
            Outcome::Written(bytes) => {
                self.files += 1;
                self.bytes += bytes;
            }
            Outcome::Skipped(reason) => self.skipped.push(Skipped { path: file.path, reason }),
            Outcome::Failed(why) => self.failed.push((file.path, why)),
        }
    }

    fn view(&self) -> SummaryView {
        let failed = self
            .failed
            .iter()
            .map(|(path, error)| FailedView { path: walk::shown(path), error: error.clone() });
        SummaryView {
            files: self.files,
            bytes: self.bytes,
            seconds: self.took.as_secs_f64(),
            skipped: self.skipped.iter().map(Skipped::view).collect(),
            failed: failed.collect(),
            given_up: self.given_up,
        }
    }

    fn text(&self, screen: Screen) -> String {
        let line = format!(
            "imported {} files, {}, in {:.1} s",
            self.files,
            bytes_shown(self.bytes),
            self.took.as_secs_f64()
        );
        let mut text = format!("{}\n", screen.paint(Colour::Green, &line));
        if !self.skipped.is_empty() {
            text.push_str(&format!(
                "skipped {}:\n{}",
                self.skipped.len(),
                skipped::table(screen, &self.skipped)
            ));
        }
        for (path, why) in self.failed.iter().take(FAILURES_SHOWN) {
            let line = format!("not written: {}: {}", walk::shown(path), output::harmless(why));
            text.push_str(&format!("{}\n", screen.paint(Colour::Red, &line)));
        }
        if let Some(more) = self.failed.len().checked_sub(FAILURES_SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("and {more} more were not written\n"));
        }
        if self.given_up {
            text.push_str("gave up: too many in a row failed, the rest was not tried\n");
        }
        text
    }
}

impl Target for Remote {
    async fn put(&self, file: &ToWrite, value: Bytes, content_type: &str) -> Result<(), PutError> {
        self.import(&file.key, value, content_type).await
    }
}
