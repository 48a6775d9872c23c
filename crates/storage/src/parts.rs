//! How a value lies in an engine whose pages hold several values each: a small one as it is, a large
//! one as numbered parts with a head in its place.
//!
//! A page that grows past a bound would be kept in a file of its own that the engine never syncs, and
//! every write to one of its keys would rewrite all of it. Parts keep pages small, whatever the values.

use std::num::NonZeroU64;

use crate::engine::{FIRST_BYTES_CHEAP, Space};

/// Values up to this many bytes lie in their page.
pub(crate) const INLINE_BYTES_MAX: usize = 16 << 10;
/// A larger value is cut into parts of this many bytes.
pub(crate) const PART_BYTES: usize = 16 << 10;
/// No value is larger, in bytes: a bound on what a damaged head can ask for.
pub(crate) const VALUE_BYTES_MAX: u64 = 4 << 30;

const INLINE: u8 = 0;
const CUT: u8 = 1;

/// The number under which a large value's parts lie. Never used twice while an engine is open.
pub(crate) type PartsId = NonZeroU64;

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// The value itself.
    Inline(&'a [u8]),
    /// Where the parts of the value are.
    Cut(Head<'a>),
}

/// A large value's place holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) id: PartsId,
    /// Of the whole value, in bytes.
    pub(crate) len: u64,
    /// The value's first bytes, [`FIRST_BYTES_CHEAP`] of them.
    pub(crate) first: &'a [u8],
}

/// The stored form of a small value, written over what `out` holds.
pub(crate) fn inline(value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(INLINE);
    out.extend_from_slice(value);
}

/// How many bytes stand before a small value in its stored form.
pub(crate) const INLINE_HEAD_BYTES: usize = 1;

/// The stored form of a large value's head.
pub(crate) fn head(id: PartsId, value: &[u8]) -> Vec<u8> {
    let first = value.get(..FIRST_BYTES_CHEAP).unwrap_or(value);
    let mut out = Vec::with_capacity(17 + first.len());
    out.push(CUT);
    out.extend_from_slice(&id.get().to_be_bytes());
    out.extend_from_slice(&(value.len() as u64).to_be_bytes());
    out.extend_from_slice(first);
    out
}

/// What was stored as these bytes; none if nothing is ever stored like that.
pub(crate) fn read(stored: &[u8]) -> Option<Stored<'_>> {
    let (form, rest) = stored.split_first()?;
    match *form {
        INLINE => Some(Stored::Inline(rest)),
        CUT => {
            let (id, rest) = rest.split_first_chunk::<8>()?;
            let (len, first) = rest.split_first_chunk::<8>()?;
            let len = u64::from_be_bytes(*len);
            let bounds = INLINE_BYTES_MAX as u64 + 1..=VALUE_BYTES_MAX;
            let id = PartsId::new(u64::from_be_bytes(*id))?;
            (bounds.contains(&len) && first.len() == FIRST_BYTES_CHEAP).then_some(Stored::Cut(Head {
                id,
                len,
                first,
            }))
        }
        _ => None,
    }
}

/// The key of a part. Part 0 says whose the parts are; the value's bytes follow from part 1 on.
pub(crate) fn part_key(id: u64, number: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (high, low) = key.split_at_mut(8);
    high.copy_from_slice(&id.to_be_bytes());
    low.copy_from_slice(&number.to_be_bytes());
    key
}

/// The id and the number in a part's key.
pub(crate) fn read_part_key(key: &[u8]) -> Option<(u64, u32)> {
    let (id, number) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*id), u32::from_be_bytes(number.try_into().ok()?)))
}

/// How many parts a value of this length has, part 0 not counted.
pub(crate) fn part_count(len: u64) -> u32 {
    u32::try_from(len.div_ceil(PART_BYTES as u64)).unwrap_or(u32::MAX)
}

/// What part 0 holds: under which key of which space the head stands.
pub(crate) fn owner(space: Space, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(space.index() as u8);
    out.extend_from_slice(key);
    out
}

/// The space and the key in a part 0.
pub(crate) fn read_owner(owner: &[u8]) -> Option<(Space, &[u8])> {
    let (space, key) = owner.split_first()?;
    Some((*Space::ALL.get(usize::from(*space))?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_forms_read_back() {
        let mut form = b"left over".to_vec();
        for value in [&b""[..], b"abc"] {
            inline(value, &mut form);
            assert_eq!(read(&form), Some(Stored::Inline(value)));
        }
        let value = vec![7; INLINE_BYTES_MAX + 1];
        let id = PartsId::new(9).unwrap();
        let expected = Head { id, len: value.len() as u64, first: &value[..FIRST_BYTES_CHEAP] };
        assert_eq!(read(&head(id, &value)), Some(Stored::Cut(expected)));
        assert_eq!(read_part_key(&part_key(5, 6)), Some((5, 6)));
        assert_eq!(read_owner(&owner(Space::Names, b"k")), Some((Space::Names, &b"k"[..])));
    }

    #[test]
    fn what_was_never_stored_is_refused() {
        let value = vec![7; INLINE_BYTES_MAX + 1];
        let good = head(PartsId::new(9).unwrap(), &value);
        assert_eq!(read(b""), None);
        assert_eq!(read(&[2, 0]), None);
        for len in 0..good.len() {
            assert_eq!(read(&good[..len]), None, "cut at {len}");
        }
        let mut endless = good.clone();
        endless[9] = 0xff;
        assert_eq!(read(&endless), None);
        assert_eq!(read_owner(&[9, 1]), None);
        assert_eq!(read_part_key(b"short"), None);
    }
}
