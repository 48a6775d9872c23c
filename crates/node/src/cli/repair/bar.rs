//! How far a repair is: a bar where a person watches, a line now and then where output is piped.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use client::RepairSession;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::output::{self, bytes_shown};
use super::super::repairs::{left, method, share};

/// Between two lines where output is piped.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What a whole bar is.
const WHOLE: u64 = 1_000;

/// Shown on stderr, so that stdout holds the result alone.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    silent: bool,
    last_line: Instant,
}

impl Bar {
    /// `silent`: no lines where there is no terminal.
    pub(super) fn new(silent: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(bar);
        Self { bar, silent, last_line: Instant::now() }
    }

    pub(super) fn show(&mut self, session: &RepairSession) {
        let position = share(session).map_or(0, |share| (share * WHOLE as f64) as u64);
        self.say(position, text(session));
    }

    /// The node repairs with another first.
    pub(super) fn wait_for(&mut self, first: &str) {
        let text = format!("waits until the session with {} has ended", output::harmless(first));
        self.say(0, text);
    }

    fn say(&mut self, position: u64, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(text);
        } else if !self.silent && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            output::say(&text);
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The remaining time is the node's own estimate, `-` while it has none.
fn text(session: &RepairSession) -> String {
    let moved = session.sent.saturating_add(session.received);
    let rate = bytes_shown(session.rate_bytes_per_second);
    let found = session.found.max(session.estimate);
    format!("{} of {found} keys by {}  {rate}/s  {} left", moved, method(session), left(session))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}
