//! Distances between timestamps as they travel: in milliseconds, since most have no counter.
//!
//! A number is the distance in milliseconds, its sign and then a flag in the last bits. Where the flag is set, what is left
//! of the distance, the difference of the counters, is the number behind it.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const COUNTER_BITS: u32 = 16;

/// The distances, packed.
pub(super) fn serialize<S: Serializer>(distances: &[i64], to: S) -> Result<S::Ok, S::Error> {
    let mut numbers: Vec<u64> = Vec::with_capacity(distances.len());
    for distance in distances {
        let (millis, counter) = (distance >> COUNTER_BITS, distance.cast_unsigned() & u64::from(u16::MAX));
        let signed = ((millis << 1) ^ (millis >> 63)).cast_unsigned();
        numbers.push((signed << 1) | u64::from(counter != 0));
        if counter != 0 {
            numbers.push(counter);
        }
    }
    numbers.serialize(to)
}

/// The distances of packed ones.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    let mut numbers = Vec::<u64>::deserialize(from)?.into_iter();
    let mut distances = Vec::with_capacity(numbers.len());
    while let Some(number) = numbers.next() {
        let counter = if number & 1 == 1 {
            let counter = numbers.next().and_then(|counter| u16::try_from(counter).ok());
            counter.ok_or_else(|| D::Error::custom("a distance without its counter"))?
        } else {
            0
        };
        let signed = number >> 1;
        let millis = (signed >> 1).cast_signed() ^ -(signed & 1).cast_signed();
        distances.push((millis << COUNTER_BITS) | i64::from(counter));
    }
    Ok(distances)
}

/// A distance by itself: in milliseconds, and the difference of the counters.
pub(super) mod one {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::COUNTER_BITS;

    /// The distance, packed.
    pub(in crate::stability) fn serialize<S: Serializer>(distance: &i64, to: S) -> Result<S::Ok, S::Error> {
        let counter = distance.cast_unsigned() & u64::from(u16::MAX);
        (distance >> COUNTER_BITS, counter).serialize(to)
    }

    /// The distance of a packed one.
    pub(in crate::stability) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let (millis, counter) = <(i64, u16)>::deserialize(from)?;
        Ok((millis << COUNTER_BITS) | i64::from(counter))
    }
}

#[cfg(test)]
mod tests {
    use model::{Hlc, NodeId};
    use proptest::prelude::*;

    use crate::roster::{Add, Roster};
    use crate::stability::{Own, Places, Publications, Published, Said, SaidVector};

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Form(#[serde(with = "super")] Vec<i64>);

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct One(#[serde(with = "super::one")] i64);

    fn bytes(form: &impl serde::Serialize) -> Vec<u8> {
        bincode::serde::encode_to_vec(form, bincode::config::standard()).unwrap()
    }

    fn read(bytes: &[u8]) -> Option<Form> {
        bincode::serde::decode_from_slice(bytes, bincode::config::standard()).ok().map(|(form, _)| form)
    }

    proptest! {
        #[test]
        fn what_was_packed_is_what_comes_out(
            wide in prop::collection::vec(any::<i64>(), 0..20),
            millis in prop::collection::vec(-90_000..90_000_i64, 0..20),
        ) {
            let distances = wide.into_iter().chain(millis.into_iter().map(|millis| millis << 16));
            let form = Form(distances.collect());
            for distance in &form.0 {
                let (one, _) = bincode::serde::decode_from_slice(&bytes(&One(*distance)), bincode::config::standard()).unwrap();
                prop_assert_eq!(One(*distance), one);
            }
            prop_assert_eq!(read(&bytes(&form)), Some(form));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_distance_without_its_counter_is_refused() {
        assert_eq!(read(&bytes(&vec![3_u64])), None);
        assert_eq!(read(&bytes(&vec![3_u64, 70_000])), None);
        assert!(read(&bytes(&vec![3_u64, 7])).is_some());
    }

    /// Of a cluster of so many members, where each of the others was last heard of up to a minute ago: a publication, told
    /// by another member, and a vector.
    fn costs(members: u64) -> (usize, usize) {
        let (start, now) = (1_700_000_000_000, 1_700_000_600_000);
        let mut roster = Roster::default();
        for id in 1..=members {
            let name = format!("n{id}");
            let add = Add { at: Hlc::new(start + id, 0), sponsor: NodeId(1), name };
            roster.add(NodeId(id), add).unwrap();
        }
        let ids: Vec<NodeId> = roster.members().collect();
        let places = Places { members: &ids, version: roster.version() };
        // Members publish at a step, each some milliseconds behind it by its clock.
        let ago = |id: u64| if id == members { 0 } else { id % 6 * 10_000 + id * 7 % 40 };
        let vector = ids.iter().map(|id| (*id, Hlc::new(now - ago(id.0), 0))).collect();
        let of = NodeId(members);
        let own = Own { roster: places.version, adopted: Hlc::new(start + 5_000, 0), unproven: false };
        let mut published = Published::new(of, own, &vector, &Publications::default());
        published.meets = crate::stability::Adoptions::of([]);
        let base = Hlc::new(now - 8_500, 0);
        let said = Said::of(places, base, of, &published).unwrap();
        (bytes(&said).len(), bytes(&SaidVector::of(places, published.at, &vector)).len())
    }

    #[test]
    fn the_cost_of_a_publication_and_of_a_vector() {
        let table = [3, 100, 1_000].map(|members| {
            let (said, vector) = costs(members);
            format!("{members} members: {said} bytes, vector {vector} bytes")
        });
        insta::assert_snapshot!(table.join("\n"), @r"
        3 members: 26 bytes, vector 10 bytes
        100 members: 28 bytes, vector 399 bytes
        1000 members: 30 bytes, vector 4001 bytes
        ");
    }
}
