//! What a side receives in an exchange, made into entries to be merged.

use bytes::Bytes;
use model::{Delta, Entry, Key, stored};
use storage::Store;

use super::Failure;

/// Resolves deltas, and puts pieces together.
#[derive(Debug, Default)]
pub struct Incoming {
    pieces: Vec<u8>,
    /// How many bytes are still to come of what the pieces make up.
    pieces_left: Option<u64>,
    /// Keys whose delta did not fit what is held here: then nothing is claimed.
    pub left_out: u64,
}

impl Incoming {
    /// The entries that these deltas stand for.
    pub fn entries(
        &mut self,
        deltas: Vec<(Key, Delta)>,
        store: &Store,
    ) -> Result<Vec<(Key, Entry)>, Failure> {
        let mut entries = Vec::with_capacity(deltas.len());
        for (key, delta) in deltas {
            let held = if delta.rests_on_held() { store.get(&key).map_err(Failure::Store)? } else { None };
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
