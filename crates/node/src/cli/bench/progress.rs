//! How far a benchmark is, on stderr: a bar where a person watches, a line now and then where it is piped.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::output;

/// Between two lines where output is piped.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// One piece of long work. May be shared by threads.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// Begins to show work of `total` steps.
    pub(crate) fn new(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| bar(&what, total));
        Self { what, total, done: AtomicU64::new(0), bar, last_line: Mutex::new(Instant::now()) }
    }

    /// So many more steps are done.
    pub(crate) fn add(&self, steps: u64) {
        self.set(self.done.fetch_add(steps, Ordering::Relaxed).saturating_add(steps));
    }

    /// So many steps are done in all.
    pub(crate) fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            // Drawing is limited by the bar itself.
            bar.set_position(done);
        } else if done.is_multiple_of(64)
            && let Ok(mut last) = self.last_line.try_lock()
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            output::say(&format!("{}: {done} of {}", self.what, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = "{msg}  {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
