//! What a side receives in an exchange, made into entries to be merged.

use bytes::Bytes;
use model::{Entry, Key, stored};
use storage::Store;

use super::Failure;
use super::exchange::Came;
use crate::stability::{Judge, Ruling, Terms, split};

/// Resolves deltas, and puts pieces together.
#[derive(Debug, Default)]
pub struct Incoming {
    pieces: Vec<u8>,
    /// How many bytes are still to come of what the pieces make up.
    pieces_left: Option<u64>,
    /// Keys whose delta did not fit what is held here: then nothing is claimed.
    pub left_out: u64,
    /// Keys of which nothing was taken, since nobody could say what of it was replaced (H28).
    pub withheld: u64,
    /// Siblings that were not taken, since they were replaced long ago.
    pub refused: u64,
}

impl Incoming {
    /// The entries that these deltas stand for, as far as they are taken.
    pub fn entries(
        &mut self,
        came: Vec<Came>,
        judge: Judge,
        store: &Store,
    ) -> Result<Vec<(Key, Entry)>, Failure> {
        let mut entries = Vec::with_capacity(came.len());
        for Came { key, delta, .. } in came {
            let wants_held = delta.rests_on_held() || judge.needs_held(&delta);
            let held = if wants_held { store.get(&key).map_err(Failure::Store)? } else { None };
            let delta = match judge.rule(delta, held.as_ref()) {
                Ruling::Take(delta, refused) => {
                    self.refused += refused as u64;
                    delta
                }
                Ruling::Known(refused) => {
                    self.refused += refused as u64;
                    continue;
                }
                Ruling::LeftOut => {
                    self.withheld += 1;
                    continue;
                }
            };
            match delta.resolve(&held.unwrap_or_default()) {
                Ok(entry) if entry.is_blank() => {}
                Ok(entry) => entries.push((key, entry)),
                Err(error) => {
                    tracing::warn!(%key, %error, "an entry is left out of the session");
                    self.left_out += 1;
                }
            }
        }
        Ok(entries)
    }

    /// What this side, which is behind, holds of these keys and the other one neither holds nor knows of.
    pub fn alone(&self, came: &[Came], judge: Judge, store: &Store) -> Result<Vec<(Key, Entry)>, Failure> {
        let mut alone = Vec::new();
        for came in came.iter().filter(|_| judge.terms == Terms::Behind) {
            let Some(held) = store.get(&came.key).map_err(Failure::Store)? else { continue };
            let dots = came.theirs(&held).map_or_else(Vec::new, |theirs| judge.alone(&held, &theirs));
            if !dots.is_empty() {
                alone.push((came.key.clone(), split(&held, &dots).1));
            }
        }
        Ok(alone)
    }

    /// Whether pieces have come whose end has not.
    pub fn is_open(&self) -> bool {
        self.pieces_left.is_some()
    }

    /// Keeps a piece, after which so many bytes are to come; with the last one, the whole.
    pub fn piece(&mut self, left: u64, bytes: &Bytes) -> Result<Option<Bytes>, Failure> {
        let length = bytes.len() as u64;
        let fits = match self.pieces_left {
            None => left <= stored::BYTES_MAX as u64,
            Some(expected) => expected.checked_sub(length) == Some(left),
        };
        if !fits || length == 0 {
            return Err(Failure::Protocol("pieces that do not fit together"));
        }
        self.pieces.extend_from_slice(bytes);
        self.pieces_left = (left > 0).then_some(left);
        Ok((left == 0).then(|| std::mem::take(&mut self.pieces).into()))
    }
}
