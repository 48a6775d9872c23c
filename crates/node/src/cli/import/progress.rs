//! How far an import is: a bar where a person watches, a line now and then where output is piped.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::output;

/// Between two lines where output is piped.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Shown on stderr, so that stdout holds the result alone.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    files: u64,
    done: u64,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(files: u64, bytes: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(bytes));
        Self { bar, files, done: 0, last_line: Instant::now() }
    }

    /// One more file is dealt with; it was found with this size.
    pub(crate) fn step(&mut self, bytes: u64) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(format!("{} of {} files", self.done, self.files));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            output::say(&format!("{} of {} files", self.done, self.files));
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let template = "{wide_bar} {msg}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
