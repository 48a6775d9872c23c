//! The initiator's side of a search by the sketch: it takes its own cells from the peer's, peels, asks for more until
//! every cell is empty, and tells which units differ.

use super::{
    blob::Blob,
    choice::Reason,
    error::FindError,
    finder::{Finder, State, Way},
    giving::{cells_a_message, cells_a_turn},
    job::{Job, Output},
    limits::{ASKS_MAX, DECODE_UNITS, HEADER_BYTES, MESSAGE_BYTES_MAX, STEP_SCANNED},
    message::{Body, FindMessage},
    sizing::more_cells,
    units::{NamingUnits, write_units},
};
use crate::{
    frozen::{Frozen, ViewLost},
    hint::COUNTERS,
    sketch::{Decoder, Field, Prior, Progress, unpack_cells},
};

/// How far decoding has come.
#[derive(Debug)]
pub(super) struct Taking {
    field: Field,
    kept: usize,
    estimate: u64,
    decoder: Decoder,
    /// The number of cells that the current turn must end at; `None` while the peer chooses it.
    asked: Option<usize>,
    asks: u32,
    outcome: Outcome,
}

/// What is to be said next.
#[derive(Debug)]
enum Outcome {
    /// Not known yet.
    Open,
    Ask(usize),
    /// The units that differ, and how many have been told.
    Tell(Vec<u32>, usize),
    GiveUp(Reason),
}

impl Taking {
    /// `estimate` is of the units that differ, from the openings.
    pub(super) fn new(field: Field, kept: usize, estimate: u64) -> Taking {
        let decoder = Decoder::new(field);
        Taking { field, kept, estimate, decoder, asked: None, asks: 0, outcome: Outcome::Open }
    }

    /// Takes in cells of the peer. They are read from the own view at once, 2 MiB of them at most in a turn.
    fn take(&mut self, frozen: &impl Frozen, more: bool, bytes: &Blob) -> Result<(), FindError> {
        let wrong = || FindError::WrongCells { bytes: bytes.0.len() };
        let theirs = unpack_cells(self.field, &bytes.0).ok_or_else(wrong)?;
        let from = self.decoder.cells();
        let to = from + theirs.len();
        let most = self.asked.unwrap_or(self.kept);
        // A part that is not the last is a full one.
        let is_drip = more && theirs.len() != cells_a_message(self.field);
        let ends_early = !more && self.asked.is_some_and(|asked| to != asked);
        if theirs.is_empty() || to > most || is_drip || ends_early {
            return Err(wrong());
        }
        if matches!(self.outcome, Outcome::GiveUp(_)) {
            return Ok(());
        }
        match frozen.cells(from, to) {
            Err(ViewLost::FieldChanged) => self.outcome = Outcome::GiveUp(Reason::FieldsDiffer),
            Err(lost) => return Err(lost.into()),
            Ok(mine) if mine.field() == self.field && (mine.from(), mine.end()) == (from, to) => {
                self.decoder.push(&mine.less(&theirs));
            }
            Ok(_) => return Err(FindError::ViewChanged),
        }
        Ok(())
    }

    /// Peels for one step's time. False when that was not enough to know what comes next.
    fn decode(&mut self) -> bool {
        if !matches!(self.outcome, Outcome::Open) {
            return true;
        }
        self.outcome = match self.decoder.step(DECODE_UNITS) {
            Progress::Working => return false,
            Progress::Decoded => Outcome::Tell(self.decoder.units(), 0),
            Progress::Endless => Outcome::GiveUp(Reason::Undecoded),
            Progress::Stuck => self.ask(),
        };
        true
    }

    fn ask(&mut self) -> Outcome {
        let have = self.decoder.cells();
        self.asks += 1;
        let prior = Prior { units: self.estimate as f64, counters: COUNTERS as f64 };
        let told = self.decoder.likely(Some(prior));
        let more = more_cells(told, have, self.kept, self.asks).filter(|_| self.asks <= ASKS_MAX);
        match more {
            Some(upto) => Outcome::Ask(upto.min(have + cells_a_turn(self.field))),
            None => Outcome::GiveUp(Reason::Undecoded),
        }
    }
}

impl Finder {
    /// The peer's first message has cells: the search goes by the sketch.
    pub(super) fn hear_cells(
        &mut self,
        frozen: &impl Frozen,
        more: bool,
        cells: &Blob,
        parts: u32,
    ) -> Result<(), FindError> {
        let Way::Take(taking) = &mut self.way else { return Err(FindError::OutOfPlace) };
        taking.take(frozen, more, cells)?;
        self.state = if more { State::Listening { parts: parts + 1 } } else { State::Heard };
        Ok(())
    }

    /// Goes on decoding once the peer's turn is over. False while there is more to do.
    pub(super) fn decode(&mut self, output: &mut Output) -> bool {
        let Way::Take(taking) = &mut self.way else { return true };
        let is_known = taking.decode();
        if !is_known {
            output.scanned += STEP_SCANNED;
        }
        is_known
    }

    /// Asks for more cells, tells the units, or gives the sketch up.
    pub(super) fn speak_of_cells(&mut self, parts: u32) -> Result<FindMessage, FindError> {
        let Way::Take(taking) = &mut self.way else { return Err(FindError::Over) };
        match std::mem::replace(&mut taking.outcome, Outcome::Open) {
            Outcome::Open => Err(FindError::Over),
            Outcome::Ask(upto) => {
                taking.asked = Some(upto);
                self.state = State::Listening { parts: 0 };
                Ok(FindMessage(Body::More { upto: upto as u64 }))
            }
            Outcome::Tell(units, at) => {
                let mut bytes = Vec::new();
                let next = write_units(&units, at, MESSAGE_BYTES_MAX - HEADER_BYTES, &mut bytes);
                let more = next < units.len();
                if more {
                    taking.outcome = Outcome::Tell(units, next);
                    self.state = State::Speaking { parts: parts + 1 };
                } else {
                    self.jobs.push_back(Job::Units(NamingUnits::new(taking.field, units)));
                    self.state = State::Ending;
                }
                Ok(FindMessage(Body::Units { more, units: Blob(bytes) }))
            }
            Outcome::GiveUp(reason) => {
                self.walk_instead(reason);
                self.state = State::Listening { parts: 0 };
                Ok(FindMessage(Body::Walk))
            }
        }
    }
}
