//! The responder's side of a search by the sketch: it gives cells until the other side has decoded them, and hears
//! which units differ.

use super::{
    blob::Blob,
    choice::{Method, Reason},
    error::FindError,
    finder::{Finder, State, Way},
    job::Job,
    limits::{ASKS_MAX, HEADER_BYTES, MESSAGE_BYTES_MAX, TURN_PARTS_MAX, UNITS_SPARE},
    message::{Body, FindMessage},
    units::{NamingUnits, read_units},
};
use crate::{
    frozen::{Frozen, ViewLost},
    sketch::{Field, pack_cells},
};

/// How far the cells have been given, and the units have been told.
#[derive(Debug)]
pub(super) struct Giving {
    field: Field,
    /// Cells that both sides keep.
    kept: usize,
    given: usize,
    /// The end of the current turn.
    upto: usize,
    asks: u32,
    units: usize,
    /// The least unit that may come next.
    least_unit: u64,
}

impl Giving {
    pub(super) fn new(field: Field, kept: usize, first: usize) -> Giving {
        let upto = first.min(kept).min(cells_a_turn(field));
        Giving { field, kept, given: 0, upto, asks: 0, units: 0, least_unit: 0 }
    }

    /// Takes in that cells up to `upto` are wanted.
    fn ask(&mut self, upto: u64) -> Result<(), FindError> {
        self.asks += 1;
        let most = self.kept.min(self.given + cells_a_turn(self.field)) as u64;
        if upto <= self.given as u64 || upto > most || self.asks > ASKS_MAX {
            return Err(FindError::WrongAsk { cells: upto });
        }
        self.upto = upto as usize;
        Ok(())
    }

    /// Takes in some of the units that differ.
    fn hear_units(&mut self, bytes: &Blob, more: bool) -> Result<Vec<u32>, FindError> {
        let wrong = FindError::WrongUnits { bytes: bytes.0.len() };
        let units = read_units(&bytes.0, self.least_unit, self.field.prime()).ok_or(wrong.clone())?;
        self.units += units.len();
        // No cells hold more units than there are cells; and a part that is not the last is no small one.
        let is_drip = more && bytes.0.len() < MESSAGE_BYTES_MAX / 2;
        if self.units > self.given + UNITS_SPARE || is_drip {
            return Err(wrong);
        }
        self.least_unit = units.last().map_or(self.least_unit, |last| u64::from(*last) + 1);
        Ok(units)
    }
}

/// Cells that fit into one message.
pub(super) fn cells_a_message(field: Field) -> usize {
    (MESSAGE_BYTES_MAX - HEADER_BYTES) / field.cell_bytes()
}

/// Cells that fit into one turn.
pub(super) fn cells_a_turn(field: Field) -> usize {
    cells_a_message(field) * TURN_PARTS_MAX as usize
}

impl Finder {
    /// The next cells. Where they cannot be read any more, because the store has outgrown their field, the search goes
    /// on by the tree.
    pub(super) fn speak_cells(&mut self, frozen: &impl Frozen, parts: u32) -> Result<FindMessage, FindError> {
        let Way::Give(giving) = &mut self.way else { return Err(FindError::Over) };
        let to = giving.upto.min(giving.given + cells_a_message(giving.field));
        let cells = match frozen.cells(giving.given, to) {
            Err(ViewLost::FieldChanged) => {
                self.walk_instead(Reason::FieldsDiffer);
                return self.speak(frozen, 0);
            }
            cells => cells?,
        };
        if cells.field() != giving.field || (cells.from(), cells.end()) != (giving.given, to) {
            return Err(FindError::ViewChanged);
        }
        let mut bytes = Vec::new();
        pack_cells(giving.field, cells.as_slice(), &mut bytes);
        giving.given = to;
        let more = to < giving.upto;
        self.state = if more { State::Speaking { parts: parts + 1 } } else { State::Listening { parts: 0 } };
        Ok(FindMessage(Body::Cells { more, cells: Blob(bytes) }))
    }

    /// Takes in an answer to cells.
    pub(super) fn hear_of_cells(&mut self, body: Body) -> Result<(), FindError> {
        let Way::Give(giving) = &mut self.way else { return Err(FindError::OutOfPlace) };
        self.state = match body {
            Body::More { upto } if giving.units == 0 => {
                giving.ask(upto)?;
                State::Heard
            }
            Body::Units { more, units } => {
                let units = giving.hear_units(&units, more)?;
                self.jobs.push_back(Job::Units(NamingUnits::new(giving.field, units)));
                if more { State::Listening { parts: 0 } } else { State::Ending }
            }
            Body::Walk if giving.units == 0 => {
                self.walk_instead(Reason::Undecoded);
                State::Heard
            }
            _ => return Err(FindError::OutOfPlace),
        };
        Ok(())
    }

    /// Goes on by the tree, as if nothing had been said.
    pub(super) fn walk_instead(&mut self, reason: Reason) {
        self.way = Way::Walk;
        if let Some(choice) = &mut self.choice {
            (choice.method, choice.reason) = (Method::Tree, reason);
        }
    }
}
