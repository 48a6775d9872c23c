//! One space of the engine in memory: an ordered map whose nodes hold what scans look at, short keys and the first bytes
//! of values, so that a scan that needs no more does not leave them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::engine::{Part, Visit};

/// Keys up to so many bytes lie in the map itself.
const SHORT_BYTES: usize = 31;
/// So many first bytes of a value lie in the map itself, if it has as many.
const HEAD_BYTES: usize = 24;

#[derive(Clone, Debug)]
enum Name {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

#[derive(Clone, Debug)]
struct Held {
    head: [u8; HEAD_BYTES],
    value: Bytes,
}

/// Keys in order, with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    rows: BTreeMap<Name, Held>,
}

impl Image {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key).map(|held| &held.value)
    }

    /// Gives what was there before.
    pub(crate) fn insert(&mut self, key: &[u8], value: Bytes) -> Option<Bytes> {
        let mut head = [0; HEAD_BYTES];
        head.iter_mut().zip(value.iter()).for_each(|(to, from)| *to = *from);
        self.rows.insert(Name::new(key), Held { head, value }).map(|before| before.value)
    }

    /// Gives what was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        self.rows.remove(key).map(|before| before.value)
    }

    /// Visits the rows between two bounds, which must not be inverted, until told to break; of each value as much as
    /// `part` asks for, or all of it.
    pub(crate) fn visit(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, part: Part, visit: Visit<'_>) {
        for (name, held) in self.rows.range::<[u8], _>((from, to)) {
            let value = match part {
                Part::First(bytes) if bytes <= HEAD_BYTES && held.value.len() >= HEAD_BYTES => {
                    held.head.get(..bytes).unwrap_or(&held.value)
                }
                _ => &held.value,
            };
            if visit(name.as_slice(), value).is_break() {
                break;
            }
        }
    }
}

impl Name {
    fn new(key: &[u8]) -> Name {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..key.len()) {
            Some(place) => {
                place.copy_from_slice(key);
                Name::Short { len: key.len() as u8, bytes }
            }
            None => Name::Long(key.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Name::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Name::Long(key) => key,
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Name {}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    #[test]
    fn keys_and_values_of_all_lengths_come_back_in_order() {
        let mut image = Image::default();
        let keys: Vec<Vec<u8>> = (0..70).map(|len| vec![7; len]).collect();
        for key in keys.iter().rev() {
            assert_eq!(image.insert(key, Bytes::from(key.clone())), None);
        }
        for first in [0, 5, 23, 24, 25, 100] {
            let mut seen = Vec::new();
            image.visit(Bound::Unbounded, Bound::Unbounded, Part::First(first), &mut |key, value| {
                assert_eq!(value.get(..first.min(key.len())), key.get(..first.min(key.len())));
                seen.push(key.to_vec());
                ControlFlow::Continue(())
            });
            assert_eq!(seen, keys);
        }
        for key in &keys {
            assert_eq!(image.get(key).map(|value| &value[..]), Some(&key[..]));
            assert_eq!(image.insert(key, Bytes::new()), Some(Bytes::from(key.clone())));
            assert_eq!(image.remove(key), Some(Bytes::new()));
        }
    }
}
