//! How an entry lies in the engine: its key, and a head before its stored form.
//!
//! The head's digest covers the key and all of the entry, so it proves the record whole at every read. The head can be
//! read without the rest: it has all that a search over a token range needs.

use std::ops::Bound;

use model::{DigestKey, Entry, Hlc, Key, stored};

use crate::store::marks::Purged;

/// Of a record's head: the entry's digest (16), and when it leaves the tree (8), both big endian.
pub(crate) const HEAD_BYTES: usize = 24;
/// Stands for an entry with siblings, which does not leave.
const STAYS: u64 = u64::MAX;

/// What stands before an entry's stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) digest: u128,
    /// See [`leaves_at`].
    pub(crate) leaves: Option<Hlc>,
}

impl Head {
    /// Whether it is of a tombstone under this engine key that has left the tree.
    pub(crate) fn has_left(&self, at: &[u8], purged: &Purged) -> bool {
        self.leaves.is_some_and(|time| purged.is_behind(time, at))
    }
}

/// Of a tombstone, the newest dot that it has seen: at a watermark there or above it leaves the tree. None of an entry
/// with siblings.
pub(crate) fn leaves_at(entry: &Entry) -> Option<Hlc> {
    entry.is_tombstone().then(|| entry.context().newest().min(Hlc::from_u64(STAYS - 1)))
}

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
    let mut record = Vec::with_capacity(HEAD_BYTES + stored.len());
    record.extend_from_slice(&digest.to_be_bytes());
    record.extend_from_slice(&leaves_at(entry).map_or(STAYS, Hlc::as_u64).to_be_bytes());
    record.extend_from_slice(&stored);
    record
}

/// The head alone.
pub(crate) fn read_head(record: &[u8]) -> Option<Head> {
    let (digest, rest) = record.split_first_chunk::<16>()?;
    let leaves = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    Some(Head {
        digest: u128::from_be_bytes(*digest),
        leaves: (leaves != STAYS).then_some(Hlc::from_u64(leaves)),
    })
}

/// The digest and the entry, or what is wrong with the record.
pub(crate) fn read(key: &Key, record: &[u8], digest_key: &DigestKey) -> Result<(u128, Entry), String> {
    let (Some(head), Some(form)) = (read_head(record), record.get(HEAD_BYTES..)) else {
        return Err("it is cut short".to_owned());
    };
    let entry = stored::decode(form).map_err(|error| error.to_string())?;
    if entry.digest(key, digest_key) != head.digest {
        return Err("it does not match its digest".to_owned());
    }
    if leaves_at(&entry) != head.leaves {
        return Err("its head says another time than its context".to_owned());
    }
    Ok((head.digest, entry))
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
