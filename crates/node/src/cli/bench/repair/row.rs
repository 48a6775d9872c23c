//! One row: what a divergence cost, over all repeats.

use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::session::{Costs, Repaired};
use crate::cli::bench::load::per_second;

/// What was measured under which circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Keys asked for.
    pub(crate) keys: u64,
    pub(crate) differ: u64,
    pub(crate) shape: &'static str,
    /// The method asked for.
    pub(crate) method: &'static str,
    pub(crate) nodes: usize,
    /// The round-trip time that was added; none for a cluster that is not the benchmark's own.
    pub(crate) rtt: Option<Duration>,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
}

/// One measurement of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) repaired: Repaired,
    /// What it took, as the nodes say or as seen from outside.
    pub(crate) wall: Duration,
    /// CPU time of all nodes; none where they are not ours to look at.
    pub(crate) cpu: Option<Duration>,
    /// Keys that the nodes held before.
    pub(crate) held: u64,
}

/// A cell with its measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) samples: Vec<Sample>,
}

/// The median, and what lies around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of no numbers. The median of an even count is the mean of the middle two.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let upper = *numbers.get(middle)?;
        let lower = if numbers.len().is_multiple_of(2) { *numbers.get(middle - 1)? } else { upper };
        Some(Self { median: (lower + upper) / 2.0, min, max })
    }
}

/// The measured columns, in order.
pub(crate) const MEASURES: [&str; 11] = [
    "sessions",
    "round_trips",
    "found",
    "bytes_find",
    "bytes_names",
    "bytes_total",
    "bytes_ideal",
    "wall_ms",
    "cpu_ms",
    "keys_per_second",
    "keys_held",
];

impl Row {
    /// One of [`MEASURES`] over all repeats; none where it is not known.
    pub(crate) fn spread(&self, measure: &str) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(|sample| self.number(sample, measure)).collect())
    }

    /// Its median, 0 where it is not known.
    pub(crate) fn median(&self, measure: &str) -> f64 {
        self.spread(measure).map_or(0.0, |spread| spread.median)
    }

    fn number(&self, sample: &Sample, measure: &str) -> Option<f64> {
        let Costs { sessions, round_trips, found, bytes_find, bytes_names, bytes_total, bytes_ideal, .. } =
            sample.repaired.costs;
        let count = |number: u64| Some(number as f64);
        match measure {
            "sessions" => count(sessions),
            "round_trips" => count(round_trips),
            "found" => count(found),
            "bytes_find" => count(bytes_find),
            "bytes_names" => count(bytes_names),
            "bytes_total" => count(bytes_total),
            "bytes_ideal" => count(bytes_ideal),
            "wall_ms" => Some(millis(sample.wall)),
            "cpu_ms" => sample.cpu.map(millis),
            "keys_per_second" => Some(per_second(self.cell.differ, sample.wall).round()),
            "keys_held" => count(sample.held),
            _ => None,
        }
    }

    /// How what differed was found, all repeats together.
    pub(crate) fn found_by(&self) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for method in self.samples.iter().flat_map(|sample| &sample.repaired.methods) {
            if !methods.contains(method) {
                methods.push(method);
            }
        }
        methods.join("+")
    }

    /// The row with the names of its columns, in order: every measure by its median, its least and its greatest.
    pub(crate) fn columns(&self) -> Vec<(String, Value)> {
        let cell = &self.cell;
        let mut columns = Vec::new();
        let mut say = |name: &str, value: Value| columns.push((name.to_owned(), value));
        say("keys", cell.keys.into());
        say("differ", cell.differ.into());
        say("shape", cell.shape.into());
        say("method", cell.method.into());
        say("found_by", self.found_by().into());
        say("nodes", cell.nodes.into());
        say("rtt_ms", cell.rtt.map_or(Value::Null, |rtt| number(millis(rtt))));
        say("key_size", cell.key_bytes.into());
        say("value_size", cell.value_bytes.into());
        say("repeat", self.samples.len().into());
        for measure in MEASURES {
            let spread = self.spread(measure);
            let of = |pick: fn(Spread) -> f64| spread.map_or(Value::Null, |spread| number(pick(spread)));
            say(measure, of(|spread| spread.median));
            say(&format!("{measure}_min"), of(|spread| spread.min));
            say(&format!("{measure}_max"), of(|spread| spread.max));
        }
        columns
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.columns() {
            map.serialize_entry(&name, &value)?;
        }
        map.end()
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// A whole number without a point behind it, others to a thousandth.
fn number(number: f64) -> Value {
    let number = (number * 1000.0).round() / 1000.0;
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}
