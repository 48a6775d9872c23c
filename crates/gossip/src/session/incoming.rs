//! What a side receives in an exchange, made into entries to be merged.

use bytes::Bytes;
use model::{Delta, Entry, Key, stored};
use storage::Store;

use super::Failure;

/// Takes data frames and puts pieces together.
#[derive(Debug, Default)]
pub struct Incoming {
    pieces: Vec<u8>,
    /// Keys whose delta did not fit what is held here: then nothing is claimed.
    pub left_out: u64,
    /// Entries received.
    pub entries: u64,
}

impl Incoming {
    /// The entries that these deltas stand for.
    pub fn data(&mut self, deltas: Vec<(Key, Delta)>, store: &Store) -> Result<Vec<(Key, Entry)>, Failure> {
        let mut entries = Vec::with_capacity(deltas.len());
        for (key, delta) in deltas {
            self.entries += 1;
            let held = store.get(&key).map_err(Failure::Store)?.unwrap_or_default();
            match delta.resolve(&held) {
                Ok(entry) => entries.push((key, entry)),
                Err(error) => {
                    tracing::warn!(%key, %error, "an entry is left out of the session");
                    self.left_out += 1;
                }
            }
        }
        Ok(entries)
    }

    /// Keeps a piece; with the last one, the entry they make up.
    pub fn piece(&mut self, last: bool, bytes: &Bytes, store: &Store) -> Result<Vec<(Key, Entry)>, Failure> {
        if self.pieces.len().saturating_add(bytes.len()) > stored::BYTES_MAX {
            return Err(Failure::Protocol("an entry beyond all bounds"));
        }
        self.pieces.extend_from_slice(bytes);
        if !last {
            return Ok(Vec::new());
        }
        let whole = std::mem::take(&mut self.pieces);
        let config = bincode::config::standard().with_limit::<{ stored::BYTES_MAX }>();
        let (delta, used) = bincode::serde::decode_from_slice::<(Key, Delta), _>(&whole, config)
            .map_err(|_| Failure::Protocol("pieces that make up no entry"))?;
        if used != whole.len() {
            return Err(Failure::Protocol("pieces with bytes left over"));
        }
        self.data(vec![delta], store)
    }
}
