//! `mangrove simulate --story`: a scene told round by round, for teaching.

use std::fmt::Write;

use clap::ValueEnum;
use sim::crowd::story::{FILE_BYTES, Pass, Round, SERVERS, Story, tell};

use super::super::error::CliError;
use super::super::output::{self, Colour, Screen};

/// The scenes that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scene {
    /// One file spreads from server one over four servers
    FourServers,
}

/// Tells a scene.
pub(super) fn run(scene: Scene, seed: u64) -> Result<(), CliError> {
    let Scene::FourServers = scene;
    let story = tell(seed).map_err(|violation| CliError::Failed(violation.to_string()))?;
    output::print(told(Screen::stdout(), &story))
}

fn told(screen: Screen, story: &Story) -> String {
    let ms = story.round.as_millis();
    let mut text = format!(
        "Four servers keep the same files. A client gives server 1 a new one of {FILE_BYTES} bytes. Nobody is in charge:\n\
         in each round of {ms} ms every server that knows of it, and is not tired of telling, tells one other, drawn \
         at random.\n\n"
    );
    text += &picture(screen, &[1], &[]);
    text += "server 1 has the file, and has acknowledged it: it is on its disk.\n";
    for round in &story.rounds {
        let _ = write!(text, "\n{}\n\n", screen.paint(Colour::Bold, &format!("Round {}", round.number)));
        text += &picture(screen, &round.having, &round.passes);
        text += &words(round);
    }
    text += &end(story);
    text
}

fn words(round: &Round) -> String {
    let mut text = String::new();
    for Pass { from, to, news } in &round.passes {
        let what = if *news {
            "which did not know it, stores it, and will tell others"
        } else {
            "which knew it already, and says so"
        };
        let _ = writeln!(text, "server {from} tells server {to}, {what}.");
    }
    let have = round.having.len();
    let _ = match round.having.iter().max() {
        _ if have == usize::from(SERVERS) => writeln!(text, "All four have it."),
        _ => writeln!(text, "{have} of {SERVERS} have it."),
    };
    text
}

fn end(story: &Story) -> String {
    let root = |root: &[u8; 16]| root.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    let roots: Vec<String> = story.roots.iter().map(root).collect();
    let mut text = format!(
        "\nNow nobody tells any more: who has told all, or met two who knew it, is tired of it. Had a message been \
         lost, some\nserver might not know it still. So the servers also compare: each keeps a tree over its files, \
         and two with the\nsame root hold the same. {:.1} s after the write every pair has compared:\n\n",
        story.proven.as_secs_f64()
    );
    for (place, root) in roots.iter().enumerate() {
        let _ = writeln!(text, "  server {}  root {root}...", place + 1);
    }
    let same = roots.windows(2).all(|pair| pair.first() == pair.last());
    text += if same { "\nOne root: the four are identical.\n" } else { "\nThe roots differ.\n" };
    text
}

/// Where the servers stand in the picture: column and row of each.
const PLACES: [(usize, usize); 4] = [(2, 0), (12, 0), (2, 4), (12, 4)];

/// Who has it, and who told whom.
fn picture(screen: Screen, having: &[u16], passes: &[Pass]) -> String {
    let mut canvas = [[' '; 15]; 5];
    for pass in passes {
        let place = |server: u16| PLACES.get(usize::from(server).saturating_sub(1)).copied();
        if let (Some(from), Some(to)) = (place(pass.from), place(pass.to)) {
            arrow(&mut canvas, from, to);
        }
    }
    for (place, (column, row)) in PLACES.iter().enumerate() {
        let has = having.contains(&(place as u16 + 1));
        let number = char::from_digit(place as u32 + 1, 10).unwrap_or('?');
        set(&mut canvas, *column, *row, if has { '●' } else { '○' });
        set(&mut canvas, if *column < 7 { column - 2 } else { column + 2 }, *row, number);
    }
    let mut text = String::new();
    for row in &canvas {
        let line: String = row.iter().collect();
        let line = line.trim_end().replace('●', &screen.paint(Colour::Green, "●"));
        let _ = writeln!(text, "{}", format!("    {line}").trim_end());
    }
    text.push('\n');
    text
}

fn set(canvas: &mut [[char; 15]; 5], column: usize, row: usize, what: char) {
    if let Some(place) = canvas.get_mut(row).and_then(|row| row.get_mut(column)) {
        *place = match (*place, what) {
            ('╲', '╱') | ('╱', '╲') => '╳',
            (_, what) => what,
        };
    }
}

/// A line between two servers, with its head where the file arrives.
fn arrow(canvas: &mut [[char; 15]; 5], from: (usize, usize), to: (usize, usize)) {
    if from.1 == to.1 {
        (4..=10).for_each(|column| set(canvas, column, from.1, '─'));
        let (column, head) = if to.0 > from.0 { (10, '▶') } else { (4, '◀') };
        return set(canvas, column, from.1, head);
    }
    let head = if to.1 > from.1 { (3, '▼') } else { (1, '▲') };
    if from.0 == to.0 {
        (1..=3).for_each(|row| set(canvas, from.0, row, '│'));
        return set(canvas, from.0, head.0, head.1);
    }
    // From the upper left to the lower right, or the other diagonal.
    let falls = (from.0 < to.0) == (from.1 < to.1);
    let column = |row: usize| if falls { 1 + row * 3 } else { 13 - row * 3 };
    (1..=3).for_each(|row| set(canvas, column(row), row, if falls { '╲' } else { '╱' }));
    set(canvas, column(head.0), head.0, head.1);
}
