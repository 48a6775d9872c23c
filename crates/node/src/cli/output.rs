//! Output for people on a terminal (tables, colour) and plain lines where it is piped.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use super::error::CliError;

/// Where output goes and what it may look like there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Whether a person watches: long work gets a progress bar.
    pub(crate) terminal: bool,
    /// Whether colour is wanted.
    pub(crate) colour: bool,
}

impl Screen {
    /// For what is written to stdout.
    pub(crate) fn stdout() -> Self {
        Self::on(io::stdout().is_terminal())
    }

    fn on(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal, colour: terminal && !refused }
    }

    /// Nothing but text: for pipes and for tests.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { terminal: false, colour: false };

    /// The text in a colour, where colour is wanted.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A table: columns and nothing else, so that it fits a narrow terminal. Ends with a newline.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Vec<Coloured>>) -> String {
        let mut table = Table::new();
        // Cells are never broken: a terminal wraps a whole line better than a table its columns.
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.load_preset(presets::NOTHING);
        if !self.colour {
            table.force_no_tty();
        }
        table.set_header(header.iter().copied());
        for row in rows {
            table.add_row(row.into_iter().map(|coloured| self.cell(coloured)));
        }
        let mut text = String::new();
        for line in table.to_string().lines() {
            // The first column's padding is a blank in front of every line, the last one's behind it. A coloured cell
            // begins with that blank inside of its colour.
            text.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
            text.push('\n');
        }
        text
    }

    fn cell(self, coloured: Coloured) -> Cell {
        let cell = Cell::new(coloured.text);
        match coloured.colour.filter(|_| self.colour) {
            Some(Colour::Green) => cell.fg(comfy_table::Color::Green),
            Some(Colour::Yellow) => cell.fg(comfy_table::Color::Yellow),
            Some(Colour::Red) => cell.fg(comfy_table::Color::Red),
            Some(Colour::Dim) => cell.add_attribute(comfy_table::Attribute::Dim),
            Some(Colour::Bold) => cell.add_attribute(comfy_table::Attribute::Bold),
            None => cell,
        }
    }
}

/// What a colour is used for: green good, yellow in doubt, red bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

/// A text of a table and its colour.
#[derive(Debug, Clone)]
pub(crate) struct Coloured {
    text: String,
    colour: Option<Colour>,
}

impl Coloured {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None }
    }

    pub(crate) fn of(colour: Colour, text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: Some(colour) }
    }
}

/// Writes to stdout at once.
pub(crate) fn print(bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes.as_ref()).and_then(|()| stdout.flush()).map_err(|error| CliError::output(&error))
}

/// Writes one JSON document and a newline to stdout.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(document)
        .map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
    text.push('\n');
    print(text)
}

/// Writes a line to stderr; one that cannot be written is dropped, since nowhere is left to say so.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a file that is to be written after long work can be, before it. What it holds stays; one that is not there is
/// not left behind.
pub(crate) fn writable(path: &Path) -> Result<(), String> {
    if path == Path::new("-") {
        return Err("the chart is not written to stdout: name a file (one of that name is ./-)".to_owned());
    }
    let was_there = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| format!("it cannot be written: {error}; name another file"))?;
    if !was_there {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Asks a person on a terminal whether that is to be done, unless they have said `--yes`. Where nobody can be asked it is
/// done, or, if `must_say`, refused.
pub(crate) fn confirm(yes: bool, must_say: bool, what: &str) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let refused = || CliError::Refused(format!("{what}: say --yes, since nobody can be asked here"));
        return if must_say { Err(refused()) } else { Ok(()) };
    }
    let _ = write!(io::stderr().lock(), "{what}. Go on? [y/N] ");
    let mut answer = String::new();
    // An answer that cannot be read is none.
    let _ = stdin.lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Refused("nothing was done".to_owned())),
    }
}

/// The longest answer to a question that is read.
const ANSWER_BYTES_MAX: u64 = 64;

/// A number of bytes for people: `1.5 MiB`.
pub(crate) fn bytes_shown(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut amount, mut shown) = (bytes as f64, "B");
    for unit in UNITS {
        if amount < 1024.0 {
            break;
        }
        (amount, shown) = (amount / 1024.0, unit);
    }
    format!("{amount:.1} {shown}")
}

/// A text from elsewhere as it may be shown: control characters could rewrite the terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_table_is_columns_and_nothing_else() {
        let rows = vec![
            vec![Coloured::of(Colour::Green, "n1"), Coloured::plain("12")],
            vec![Coloured::plain("a-longer-name"), Coloured::plain("7")],
        ];
        insta::assert_snapshot!(Screen::PLAIN.table(&["name", "keys"], rows), @r"
        name           keys
        n1             12
        a-longer-name  7
        ");
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(bytes_shown(0), "0 B");
        assert_eq!(bytes_shown(1023), "1023 B");
        assert_eq!(bytes_shown(1536), "1.5 KiB");
        assert_eq!(bytes_shown(5 << 40), "5.0 TiB");
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
