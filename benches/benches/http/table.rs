//! The results, as a table for people or as JSON.

use std::fmt::Write;

use serde_json::json;

use crate::Options;
use crate::load::Outcome;

/// All that was measured.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    /// What could not be done.
    pub notes: Vec<&'static str>,
}

struct Row {
    part: &'static str,
    name: &'static str,
    rate: Spread,
    cpu_us: Spread,
    p50_us: Spread,
    p99_us: Spread,
    /// Of its rate to the first server's, round by round.
    ratio: Spread,
    /// Of the first server's CPU for a request to its own.
    cpu_ratio: Spread,
}

/// Of some rounds.
#[derive(Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (values[0], values[values.len() - 1]);
        Spread { min: first, median: values[values.len() / 2], max: last }
    }

    fn json(self) -> serde_json::Value {
        json!({ "min": self.min, "median": self.median, "max": self.max })
    }
}

impl Table {
    /// Adds a server's rounds; `against` are those of the server that it is held against.
    pub fn add(
        &mut self,
        part: &'static str,
        name: &'static str,
        runs: &[(Outcome, f64)],
        against: &[(Outcome, f64)],
    ) {
        let cpu = |(outcome, spent): &(Outcome, f64)| spent * 1e6 / outcome.requests as f64;
        let pairs = || runs.iter().zip(against);
        self.rows.push(Row {
            part,
            name,
            rate: Spread::of(runs.iter().map(|(outcome, _)| outcome.rate())),
            cpu_us: Spread::of(runs.iter().map(cpu)),
            p50_us: Spread::of(runs.iter().map(|(outcome, _)| outcome.p50_us as f64)),
            p99_us: Spread::of(runs.iter().map(|(outcome, _)| outcome.p99_us as f64)),
            ratio: Spread::of(pairs().map(|(own, other)| own.0.rate() / other.0.rate())),
            cpu_ratio: Spread::of(pairs().map(|(own, other)| cpu(other) / cpu(own))),
        });
    }

    /// One object a row.
    pub fn json(&self) -> String {
        let row = |row: &Row| {
            json!({
                "part": row.part, "server": row.name, "requests_per_second": row.rate.json(),
                "cpu_us_per_request": row.cpu_us.json(), "p50_us": row.p50_us.json(), "p99_us": row.p99_us.json(),
                "ratio": row.ratio.json(), "cpu_ratio": row.cpu_ratio.json(),
            })
        };
        self.rows.iter().fold(String::new(), |all, of| all + &row(of).to_string() + "\n")
    }

    /// For people.
    pub fn text(&self, options: &Options) -> String {
        let mut text = String::new();
        let Options { clients, keys, value_bytes, rounds, millis, .. } = options;
        let _ = writeln!(
            text,
            "{clients} clients on one core's worth of load in a process of its own, {keys} keys, values of \
             {value_bytes} bytes, {rounds} rounds of {} s.\nMedians, and in brackets the least and the greatest. A ratio \
             is to the first server of the part, in the same round;\nthat of CPU is the other way round, so that more is \
             better in both.\n",
            millis / 1_000
        );
        let _ = writeln!(
            text,
            "{:<13} {:<11} {:>24} {:>9} {:>9} {:>12} {:>20} {:>20}",
            "", "server", "requests/s", "p50 us", "p99 us", "CPU us each", "ratio of rates", "ratio of CPU"
        );
        let mut last = "";
        for row in &self.rows {
            let part = if row.part == last { "" } else { row.part };
            last = row.part;
            let rate = format!("{:.0} ({:.0}-{:.0})", row.rate.median, row.rate.min, row.rate.max);
            let ratio = |of: Spread| format!("{:.2} ({:.2}-{:.2})", of.median, of.min, of.max);
            let _ = writeln!(
                text,
                "{part:<13} {:<11} {rate:>24} {:>9.0} {:>9.0} {:>12.1} {:>20} {:>20}",
                row.name,
                row.p50_us.median,
                row.p99_us.median,
                row.cpu_us.median,
                ratio(row.ratio),
                ratio(row.cpu_ratio)
            );
        }
        self.notes.iter().for_each(|note| _ = writeln!(text, "{note}."));
        text
    }
}
