//! Rows as a table, as JSON and as comma-separated values.

use serde_json::Value;

use super::Repair;
use super::row::Row;
use crate::cli::error::CliError;
use crate::cli::output::{self, Colour, Coloured, Screen, bytes_shown};

/// Shows a row as soon as it is known where programs read, and a line of it where people wait for the table.
pub(crate) fn each(arguments: &Repair, rows: &mut Vec<Row>, row: Row) -> Result<(), CliError> {
    if arguments.json {
        output::print(json(&row)?)?;
    } else if arguments.csv {
        output::print(csv(&row, rows.is_empty()))?;
    } else {
        let found_by = row.found_by();
        let how = if found_by.is_empty() { String::new() } else { format!(", {found_by}") };
        let (cell, wall) = (&row.cell, row.median("wall_ms"));
        output::say(&format!("{} of {} differ ({}{how}): {wall:.1} ms", cell.differ, cell.keys, cell.shape));
    }
    rows.push(row);
    Ok(())
}

/// One object on one line.
pub(crate) fn json(row: &Row) -> Result<String, CliError> {
    let text = serde_json::to_string(row)
        .map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
    Ok(text + "\n")
}

/// One line, with the names in a line of their own before the first.
pub(crate) fn csv(row: &Row, first: bool) -> String {
    let columns = row.columns();
    let mut text = String::new();
    if first {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        text = names.join(",") + "\n";
    }
    // No word of ours holds a comma, a quote or a line's end.
    let plain = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    let values: Vec<String> = columns.iter().map(|(_, value)| plain(value)).collect();
    text + &values.join(",") + "\n"
}

const HEADER: [&str; 12] = [
    "differ", "shape", "method", "rtt", "trips", "to find", "names", "total", "ideal", "wall", "keys/s",
    "CPU",
];

/// All rows for people.
pub(crate) fn table(screen: Screen, rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let cell = &first.cell;
    let mut text = format!(
        "{} nodes, {} keys of {} bytes with values of {}; medians of {}\n",
        cell.nodes,
        cell.keys,
        cell.key_bytes,
        cell.value_bytes,
        match rows.iter().map(|row| row.samples.len()).max() {
            Some(1) | None => "one run".to_owned(),
            Some(repeats) => format!("up to {repeats} runs"),
        }
    );
    text.push_str(&screen.table(&HEADER, rows.iter().map(cells).collect()));
    text.push_str(
        "empty: a node without data that is filled; method: how it was found (auto: nothing differed)\n\
         trips: round trips until both sides know what differs; to find: the bytes of that, both ways\n\
         names: who holds what of it; total: whole frames, both ways, and what that is of the ideal: the\n\
         keys and encoded siblings that each side lacked, nothing else; wall: of the sessions, or with\n\
         --cluster from the end of the drill until the roots are equal; CPU: of all nodes\n",
    );
    text
}

fn cells(row: &Row) -> Vec<Coloured> {
    let bytes = |measure: &str| bytes_shown(row.median(measure) as u64);
    let (total, ideal) = (row.median("bytes_total"), row.median("bytes_ideal"));
    let ratio = if ideal > 0.0 { format!(" ({:.2}x)", total / ideal) } else { String::new() };
    let method = match row.found_by() {
        found if found.is_empty() => row.cell.method.to_owned(),
        found => found,
    };
    vec![
        Coloured::of(Colour::Bold, row.cell.differ.to_string()),
        Coloured::plain(row.cell.shape),
        Coloured::plain(method),
        Coloured::plain(row.cell.rtt.map_or("-".to_owned(), |rtt| format!("{} ms", rtt.as_millis()))),
        Coloured::plain(row.median("round_trips").to_string()),
        Coloured::plain(bytes("bytes_find")),
        Coloured::plain(bytes("bytes_names")),
        Coloured::plain(bytes("bytes_total") + &ratio),
        Coloured::plain(bytes("bytes_ideal")),
        Coloured::plain(time(row.median("wall_ms"))),
        Coloured::of(Colour::Bold, format!("{:.0}", row.median("keys_per_second"))),
        Coloured::plain(row.spread("cpu_ms").map_or("-".to_owned(), |spread| time(spread.median))),
    ]
}

fn time(millis: f64) -> String {
    if millis < 10_000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1000.0) }
}
