//! The rows by which whole clusters are compared: three nodes on one machine.

mod gone;
mod steps;

use serde::Serialize;

use super::data::Data;
use super::nodes::Nodes;
use crate::cli::error::CliError;
use crate::cli::output::{self, Coloured, Screen};

/// How many nodes the cluster has.
pub(crate) const NODES: usize = 3;

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) data: Data,
    /// Rows that a node misses after it was down, and that a wiped one is refilled with, beside what the load wrote.
    pub(crate) keys: u64,
    pub(crate) clients: usize,
    pub(crate) threads: usize,
    pub(crate) seconds: u64,
    pub(crate) json: bool,
}

/// One measured row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    row: &'static str,
    value: f64,
    unit: &'static str,
    /// What else there is to know.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl Row {
    fn new(row: &'static str, value: f64, unit: &'static str) -> Self {
        Self { row, value: (value * 100.0).round() / 100.0, unit, note: String::new() }
    }

    fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// Measures all rows by which clusters are compared.
pub(crate) async fn run(nodes: &mut Nodes, plan: &Plan) -> Result<(), CliError> {
    let mut shown = Shown::new(plan);
    steps::all(nodes, plan, &mut |row| shown.show(row)).await?;
    shown.end()
}

/// Writes all keys, deletes them, and measures what is given back, and when.
pub(crate) async fn deletes(nodes: &mut Nodes, plan: &Plan) -> Result<(), CliError> {
    let mut shown = Shown::new(plan);
    gone::deletes(nodes, plan, &mut |row| shown.show(row)).await?;
    shown.end()
}

/// Writes all keys with a time to live while one node is down, and measures when nothing is left of them.
pub(crate) async fn expiry(nodes: &mut Nodes, plan: &Plan) -> Result<(), CliError> {
    let mut shown = Shown::new(plan);
    gone::expiry(nodes, plan, &mut |row| shown.show(row)).await?;
    shown.end()
}

/// Rows, each shown when it is known where programs read, as one table at the end for people.
struct Shown {
    json: bool,
    rows: Vec<Row>,
}

impl Shown {
    fn new(plan: &Plan) -> Self {
        Self { json: plan.json, rows: Vec::new() }
    }

    fn show(&mut self, row: Row) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string(&row)
                .map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
            output::print(text + "\n")?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn end(self) -> Result<(), CliError> {
        if self.json { Ok(()) } else { output::print(text(Screen::stdout(), &self.rows)) }
    }
}

fn text(screen: Screen, rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let value =
            if row.value >= 100.0 { format!("{:.0}", row.value) } else { format!("{:.2}", row.value) };
        [row.row.to_owned(), value, row.unit.to_owned(), row.note.clone()].map(Coloured::plain).to_vec()
    };
    screen.table(&["three nodes, one machine", "", "", ""], rows.iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shown() {
        let rows = [
            Row::new("single PUT, fsync", 4_321.987, "a second"),
            Row::new("visible on all nodes, p50", 2.345, "ms").noted("500 writes"),
        ];
        insta::assert_snapshot!(text(Screen::PLAIN, &rows));
        insta::assert_snapshot!(serde_json::to_string(&rows[1]).unwrap());
    }
}
