//! The results, as a table for people or as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::method::Session;
use crate::options::Options;

/// One method with one number of differing keys.
pub struct Row {
    method: &'static str,
    differing: usize,
    outcome: Result<Outcome, &'static str>,
}

struct Outcome {
    bytes: usize,
    round_trips: usize,
    rows: usize,
    cpu: Duration,
}

/// What a method costs beside sessions.
pub struct Upkeep {
    /// Its name.
    pub method: &'static str,
    /// Its settings.
    pub settings: &'static str,
    /// CPU of a write in nanoseconds.
    pub write: Option<f64>,
    /// Memory of a key in bytes.
    pub bytes_a_key: Option<f64>,
}

/// All that was measured.
pub struct Report {
    keys: usize,
    /// Sessions.
    pub rows: Vec<Row>,
    /// Everything else.
    pub upkeep: Vec<Upkeep>,
}

impl Row {
    /// What a session came to, and its CPU, both sides together.
    pub fn of(method: &'static str, differing: usize, session: &Session, cpu: Duration) -> Row {
        let Session { bytes, round_trips, rows, .. } = *session;
        Row { method, differing, outcome: Ok(Outcome { bytes, round_trips, rows, cpu }) }
    }

    /// It was not run, and why.
    pub fn skipped(method: &'static str, differing: usize, why: &'static str) -> Row {
        Row { method, differing, outcome: Err(why) }
    }

    fn json(&self, keys: usize) -> Value {
        let Row { method, differing, outcome } = self;
        match outcome {
            Ok(Outcome { bytes, round_trips, rows, cpu }) => json!({
                "method": method, "keys": keys, "differ": differing, "bytes": bytes, "round_trips": round_trips,
                "rows": rows, "cpu_us": cpu.as_nanos() as f64 / 1e3,
            }),
            Err(why) => json!({ "method": method, "keys": keys, "differ": differing, "skipped": why }),
        }
    }

    fn cells(&self) -> [String; 7] {
        let per_key = |number: usize| match self.differing {
            0 => "-".to_owned(),
            differing => short(number as f64 / differing as f64),
        };
        let (differing, method) = (grouped(self.differing), self.method.to_owned());
        match &self.outcome {
            Ok(Outcome { bytes, round_trips, rows, cpu }) => [
                differing,
                method,
                grouped(*bytes),
                per_key(*bytes),
                round_trips.to_string(),
                time(cpu.as_nanos() as f64),
                if *rows == 0 { "-".to_owned() } else { per_key(*rows) },
            ],
            Err(_) => [differing, method, "-".into(), "-".into(), "-".into(), "-".into(), "-".into()],
        }
    }
}

impl Report {
    /// An empty one.
    pub fn new(options: &Options) -> Report {
        Report { keys: options.keys, rows: Vec::new(), upkeep: Vec::new() }
    }

    /// One object a row: sessions, then upkeep.
    pub fn json(&self) -> String {
        let upkeep = self.upkeep.iter().map(|of| {
            json!({
                "method": of.method, "keys": self.keys, "write_ns": of.write, "bytes_a_key": of.bytes_a_key,
                "settings": of.settings,
            })
        });
        let rows = self.rows.iter().map(|row| row.json(self.keys));
        rows.chain(upkeep).fold(String::new(), |all, object| all + &object.to_string() + "\n")
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let keys = grouped(self.keys);
        let _ = writeln!(
            text,
            "{keys} keys of 16 bytes on two replicas in memory; of those that differ, anywhere among them, half are \
             updated\nand a quarter is missing on each side. Bytes: both directions, values not counted, until \
             everything that differs\nis known. CPU: both sides. {}\n",
            machine()
        );
        let head = ["differ", "method", "bytes", "a key", "round trips", "CPU", "rows sent a key"]
            .map(str::to_owned);
        let mut sorted: Vec<&Row> = self.rows.iter().collect();
        sorted.sort_by_key(|row| row.differing);
        let mut cells = vec![head.to_vec()];
        for (at, row) in sorted.iter().enumerate() {
            if at > 0 && sorted[at - 1].differing != row.differing {
                cells.push(vec![String::new(); 7]);
            }
            cells.push(row.cells().to_vec());
        }
        text += &aligned(&cells, 1);
        if !self.upkeep.is_empty() {
            let head = ["method", "CPU of a write", "memory of a key"].map(str::to_owned);
            let number = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".to_owned(), show);
            let of = |of: &Upkeep| {
                let memory = number(of.bytes_a_key, |bytes| format!("{} B", short(bytes)));
                vec![of.method.to_owned(), number(of.write, time), memory]
            };
            text += "\n";
            text += &aligned(&[vec![head.to_vec()], self.upkeep.iter().map(of).collect()].concat(), 0);
            text += "\n";
            for of in &self.upkeep {
                let _ = writeln!(text, "{}: {}.", of.method, of.settings);
            }
        }
        let mut skipped: Vec<&str> =
            self.rows.iter().filter_map(|row| row.outcome.as_ref().err().copied()).collect();
        skipped.dedup();
        skipped.iter().for_each(|why| _ = writeln!(text, "Left out: {why}."));
        text
    }
}

/// Columns, all but one of them flush right.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.len().max(*width));
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let width = *width;
            let _ =
                if at == left { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits that count.
fn short(number: f64) -> String {
    match number {
        n if n >= 1_000.0 => grouped(n.round() as usize),
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

fn time(nanos: f64) -> String {
    match nanos {
        n if n >= 1e9 => format!("{:.2} s", n / 1e9),
        n if n >= 1e6 => format!("{} ms", short(n / 1e6)),
        n if n >= 1e3 => format!("{} us", short(n / 1e3)),
        n => format!("{n:.0} ns"),
    }
}

/// What it ran on, as far as Linux says.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{model}, {cores} cores, load {load}.")
}
