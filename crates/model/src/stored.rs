//! The form in which an entry is kept on disk: a version byte, then bincode.

use thiserror::Error;

use crate::Entry;

/// The version of the stored form; its first byte.
pub const VERSION: u8 = 1;

/// The longest stored form that is read, in bytes: far above what any coordinator lets grow (64
/// siblings of 16 MiB), since a merge never refuses, and still a bound on a corrupt length.
pub const BYTES_MAX: usize = 2 << 30;

/// Why bytes are not a stored entry. Nothing is changed by such an error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FormError {
    /// There are no bytes at all.
    #[error("the record is empty")]
    Empty,
    /// Written by a version that this one does not know.
    #[error("the record has form version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// The bytes do not decode, do not hold together, or do not match their hashes.
    #[error("the record is damaged: {0}")]
    Damaged(String),
}

/// The stored form of an entry.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.weight() + 16);
    out.push(VERSION);
    // Encoding into memory a value made of integers, byte strings and maps cannot fail.
    let encoded = bincode::serde::encode_into_std_write(entry, &mut out, bincode::config::standard());
    debug_assert!(encoded.is_ok());
    out
}

/// The entry that was stored as these bytes, its values checked against their hashes.
pub fn decode(bytes: &[u8]) -> Result<Entry, FormError> {
    let (version, body) = bytes.split_first().ok_or(FormError::Empty)?;
    if *version != VERSION {
        return Err(FormError::Version(*version));
    }
    let config = bincode::config::standard().with_limit::<BYTES_MAX>();
    let (entry, used) = bincode::serde::decode_from_slice::<Entry, _>(body, config)
        .map_err(|error| FormError::Damaged(error.to_string()))?;
    if used != body.len() {
        return Err(FormError::Damaged(format!("{} bytes too many", body.len() - used)));
    }
    Ok(entry)
}
