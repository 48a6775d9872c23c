//! One search, both sides in turn.

use merkle::{FindError, FindMessage, Finder, Frozen, Next, Prefer, Width};

/// What a search came to, messages and openings as they would travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of all messages of both sides, openings left out.
    pub bytes: usize,
    /// Messages of both sides, openings left out.
    pub messages: usize,
    /// Times that the word changed sides.
    pub turns: usize,
    /// Entries that either side named: its own of each key that differs, by the sketch of each unit that differs.
    pub named: usize,
}

struct Side<'a, F> {
    frozen: &'a F,
    finder: Finder,
}

impl<F: Frozen> Side<'_, F> {
    /// The first step, or the one after a message, and all the work that follows. What is said goes to `said`.
    fn step(
        &mut self,
        heard: Option<FindMessage>,
        said: &mut Vec<FindMessage>,
        cost: &mut Cost,
    ) -> Result<(), FindError> {
        let mut step = match heard {
            None => self.finder.start(self.frozen)?,
            Some(message) => self.finder.handle(self.frozen, message)?,
        };
        loop {
            cost.named += step.differing.len();
            said.extend(step.message);
            match step.next {
                Next::Work => step = self.finder.resume(self.frozen)?,
                Next::Wait | Next::Done => return Ok(()),
            }
        }
    }
}

/// Finds what differs between two views in the way that the second prefers, from the openings until both sides know it.
///
/// # Errors
/// A view was lost; it does not happen while nobody writes.
pub fn search<F: Frozen>(mine: &F, theirs: &F, prefer: Prefer) -> Result<Cost, FindError> {
    let (my_opening, their_opening) = (mine.opening()?, theirs.opening()?);
    let mut initiator =
        Side { frozen: mine, finder: Finder::initiator(&my_opening, &their_opening, Width::Short) };
    let mut responder =
        Side { frozen: theirs, finder: Finder::responder(&their_opening, &my_opening, Width::Short, prefer) };
    let mut cost = Cost::default();
    let mut said = Vec::new();
    initiator.step(None, &mut said, &mut cost)?;
    responder.step(None, &mut said, &mut cost)?;
    let (mut listener, mut speaker) = (&mut initiator, &mut responder);
    while !said.is_empty() {
        cost.turns += 1;
        for message in std::mem::take(&mut said) {
            cost.bytes += message.bytes();
            cost.messages += 1;
            listener.step(Some(message), &mut said, &mut cost)?;
        }
        std::mem::swap(&mut listener, &mut speaker);
    }
    Ok(cost)
}
