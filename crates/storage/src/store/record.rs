//! How an entry lies in the engine: its key, and its digest before its stored form.
//!
//! The digest covers the key and all of the entry, so it proves the record whole at every read; and it can
//! be read without the rest, which is what a search over a token range needs.

use std::ops::Bound;

use model::{DigestKey, Entry, Key, stored};

/// At the head of each record, the entry's digest, big endian.
pub(crate) const DIGEST_BYTES: usize = 16;

/// Token order, then key order.
pub(crate) fn entry_key(token: u64, key: &[u8]) -> Box<[u8]> {
    [&token.to_be_bytes()[..], key].concat().into()
}

/// The token and the key in an engine's key.
pub(crate) fn read_entry_key(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (token, key) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*token), key))
}

pub(crate) fn write(entry: &Entry, digest: u128) -> Vec<u8> {
    let stored = stored::encode(entry);
    let mut record = Vec::with_capacity(DIGEST_BYTES + stored.len());
    record.extend_from_slice(&digest.to_be_bytes());
    record.extend_from_slice(&stored);
    record
}

/// The digest alone.
pub(crate) fn read_digest(record: &[u8]) -> Option<u128> {
    record.first_chunk::<DIGEST_BYTES>().map(|digest| u128::from_be_bytes(*digest))
}

/// The digest and the entry, or what is wrong with the record.
pub(crate) fn read(key: &Key, record: &[u8], digest_key: &DigestKey) -> Result<(u128, Entry), String> {
    let (digest, form) = record.split_first_chunk::<DIGEST_BYTES>().ok_or("it is cut short")?;
    let entry = stored::decode(form).map_err(|error| error.to_string())?;
    let digest = u128::from_be_bytes(*digest);
    if entry.digest(key, digest_key) != digest {
        return Err("it does not match its digest".to_owned());
    }
    Ok((digest, entry))
}

/// The token and the key of an entry found in a scan, or what is wrong with it.
pub(crate) fn read_scanned_key(bytes: &[u8]) -> Result<(u64, Key), String> {
    let (token, key) = read_entry_key(bytes).ok_or("its key is cut short")?;
    let key = Key::new(key.to_vec()).map_err(|error| error.to_string())?;
    if key.token().0 == token {
        Ok((token, key))
    } else {
        Err(format!("it stands at the token of another key than {key}"))
    }
}

/// The first key that a token can have.
pub(crate) fn from_token(token: u64) -> [u8; 8] {
    token.to_be_bytes()
}

/// A bound behind the last key that a token can have.
pub(crate) fn past_token(token: u64, room: &mut [u8; 8]) -> Bound<&[u8]> {
    match token.checked_add(1) {
        Some(next) => {
            *room = next.to_be_bytes();
            Bound::Excluded(&room[..])
        }
        None => Bound::Unbounded,
    }
}
