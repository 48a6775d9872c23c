//! A measurement as a table for people and as an object for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::job::{Measured, per_second};
use super::tally::Kind;
use crate::cli::error::CliError;
use crate::cli::output::{Colour, Coloured, Screen, bytes_shown};

/// One measurement. The names are those of the JSON form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Phase {
    /// What was measured.
    phase: String,
    clients: usize,
    threads: usize,
    mix: String,
    /// The rate asked for, requests a second; null for as many as possible.
    rate: Option<u64>,
    keys: u64,
    key_size: usize,
    value_size: usize,
    seconds: f64,
    /// Answered requests, all kinds.
    requests: u64,
    per_second: f64,
    /// Requests not answered as asked, all kinds.
    failed: u64,
    /// Requests that were due and never sent; 0 without a rate.
    unsent: u64,
    operations: BTreeMap<&'static str, Row>,
    /// The repair beside it, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Beside>,
}

/// One kind of request. Latencies in microseconds; with a rate they count from when a request was due.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    requests: u64,
    per_second: f64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    errors: BTreeMap<String, u64>,
}

/// A repair beside a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Beside {
    pub(crate) governor: &'static str,
    /// Entries that it brought over meanwhile.
    pub(crate) entries: u64,
    pub(crate) entries_per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// Against the rate of the same repair without a load, 1 is as fast.
    pub(crate) of_unhindered: f64,
    /// Whether it was through before the measurement was.
    pub(crate) ended: bool,
}

impl Row {
    fn new(kind: &Kind, time: Duration) -> Self {
        let latencies = &kind.latencies;
        let at = |quantile: f64| if latencies.is_empty() { 0 } else { latencies.value_at_quantile(quantile) };
        Self {
            requests: latencies.len(),
            per_second: rounded(per_second(latencies.len(), time)),
            mean_us: rounded(if latencies.is_empty() { 0.0 } else { latencies.mean() }),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
            errors: kind.errors.clone(),
        }
    }

    fn cells(&self, name: &str) -> Vec<Coloured> {
        let failed: u64 = self.errors.values().sum();
        let colour = if failed == 0 { Colour::Dim } else { Colour::Red };
        let errors = if failed == 0 {
            "-".to_owned()
        } else {
            let parts: Vec<String> =
                self.errors.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
            parts.join(", ")
        };
        let times = [self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us];
        let mut cells = vec![Coloured::plain(name), Coloured::plain(self.requests.to_string())];
        cells.push(Coloured::of(Colour::Bold, format!("{:.0}", self.per_second)));
        cells.extend(times.into_iter().map(|micros| Coloured::plain(millis(micros))));
        cells.push(Coloured::of(colour, errors));
        cells
    }
}

impl Phase {
    pub(crate) fn new(phase: &str, measured: &Measured) -> Self {
        let (job, tally) = (&measured.job, &measured.tally);
        let rows = tally.kinds().map(|(operation, kind)| (operation.word(), Row::new(kind, measured.time)));
        Self {
            phase: phase.to_owned(),
            clients: job.clients,
            threads: job.threads,
            mix: job.mix.to_string(),
            rate: job.rate,
            keys: job.keys,
            key_size: job.data.key_bytes,
            value_size: job.data.value_bytes,
            seconds: rounded(measured.time.as_secs_f64()),
            requests: tally.done(),
            per_second: rounded(measured.per_second()),
            failed: tally.failed(),
            unsent: tally.unsent,
            operations: rows.collect(),
            repair: None,
        }
    }

    pub(crate) fn beside(mut self, repair: Beside) -> Self {
        self.repair = Some(repair);
        self
    }

    /// One object on one line.
    pub(crate) fn json(&self) -> Result<String, CliError> {
        let text = serde_json::to_string(self)
            .map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
        Ok(text + "\n")
    }

    pub(crate) fn text(&self, screen: Screen) -> String {
        let pace = match self.rate {
            Some(rate) => format!("{rate} requests a second asked for"),
            None => "at full speed".to_owned(),
        };
        let mut text = format!(
            "{}: {} clients, {pace}, {:.1} s, {} keys of {} + {} bytes: {} requests a second\n",
            screen.paint(Colour::Bold, &self.phase),
            self.clients,
            self.seconds,
            self.keys,
            self.key_size,
            self.value_size,
            screen.paint(Colour::Bold, &format!("{:.0}", self.per_second)),
        );
        let rows = self.operations.iter().map(|(name, row)| row.cells(name)).collect();
        let header = ["ms", "requests", "a second", "p50", "p90", "p99", "p99.9", "max", "errors"];
        text.push_str(&screen.table(&header, rows));
        // The last few were due as the measurement ended.
        if self.unsent > self.requests / 100 {
            let words =
                format!("{} requests were due and never sent: the nodes were too slow\n", self.unsent);
            text.push_str(&screen.paint(Colour::Red, &words));
        }
        if let Some(repair) = &self.repair {
            text.push_str(&repair.text());
        }
        text.push('\n');
        text
    }
}

impl Beside {
    fn text(&self) -> String {
        format!(
            "repair beside it, governor {}: {:.0} entries a second, {}/s, {:.0} % of its rate alone{}\n",
            self.governor,
            self.entries_per_second,
            bytes_shown(self.bytes_per_second as u64),
            self.of_unhindered * 100.0,
            if self.ended { "; it was through before the load was" } else { "" }
        )
    }
}

/// Two digits behind the point: more is noise, and makes the output long.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Microseconds as milliseconds.
pub(crate) fn millis(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1000.0)
}
