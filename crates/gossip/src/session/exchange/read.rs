//! Reading many entries: one by one where they lie far apart, by the range where they lie close together.

use model::Key;
use storage::{Store, Stored};

use super::super::Failure;

/// Entries are read while they take about this many bytes.
const BYTES_AT_A_TIME: usize = 512 << 10;
/// A range is read where it holds no more than so many entries for each that is wanted.
const DENSE: u64 = 3;
/// Fewer are read one by one.
const FEW: usize = 16;

/// What is held under these keys, fastest where they ascend by token and key; perhaps only under the first of them, but
/// at least under one. `held` is about how many entries the store holds.
pub fn read(store: &Store, places: &[(u64, Key)], held: u64) -> Result<Vec<Option<Stored>>, Failure> {
    let (Some((first, _)), Some((last, _))) = (places.first(), places.last()) else { return Ok(Vec::new()) };
    let wanted = places.len() as u64;
    let between = (u128::from(last.saturating_sub(*first)) * u128::from(held)) >> 64;
    if places.len() >= FEW && places.is_sorted() && between <= u128::from(wanted * DENSE) {
        let entries = by_range(store, places, (*first, *last))?;
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    let keys: Vec<Key> = places.iter().map(|(_, key)| key.clone()).collect();
    store.get_many(&keys, BYTES_AT_A_TIME).map_err(Failure::Store)
}

fn by_range(
    store: &Store,
    places: &[(u64, Key)],
    (first, last): (u64, u64),
) -> Result<Vec<Option<Stored>>, Failure> {
    let rows_max = places.len() * (DENSE as usize + 1);
    let range = store.read_range(None, first, last, BYTES_AT_A_TIME, rows_max).map_err(Failure::Store)?;
    let mut rows = range.rows.into_iter().map(|(key, stored)| (key.token().0, key, stored)).peekable();
    let mut entries = Vec::with_capacity(places.len());
    for (token, key) in places {
        while rows.next_if(|(at, row, _)| (*at, row) < (*token, key)).is_some() {}
        match rows.peek() {
            Some((_, row, _)) if row == key => entries.push(rows.next().map(|(_, _, stored)| stored)),
            Some(_) => entries.push(None),
            // What lies behind the bound was not read.
            None if range.more => break,
            None => entries.push(None),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use model::{Context, DigestKey, Dot, Entry, Expiry, Hlc, Sibling, WriterId};
    use storage::{Marks, MemoryEngine};

    use super::*;

    #[test]
    fn keys_in_disorder_are_read_as_well() {
        let store =
            Store::open(Arc::new(MemoryEngine::new()), DigestKey([7; 32]), Marks::default(), &mut |_| {})
                .unwrap();
        let mut entry = Entry::default();
        entry.write(&Context::default(), Dot { hlc: Hlc::new(1, 0), writer: WriterId(1) }, None);
        let mut places = Vec::new();
        for n in 0..100 {
            let key = Key::new(format!("key {n}")).unwrap();
            store.merge(&[(key.clone(), entry.clone())]).unwrap();
            places.push((key.token().0, key));
        }
        places.sort();
        places.reverse();
        assert!(read(&store, &places, 0).unwrap().iter().all(Option::is_some));
    }

    #[test]
    fn both_ways_give_the_same() {
        let store =
            Store::open(Arc::new(MemoryEngine::new()), DigestKey([7; 32]), Marks::default(), &mut |_| {})
                .unwrap();
        let mut rows: Vec<(u64, Key)> =
            (0..600).map(|n| Key::new(format!("key {n}")).unwrap()).map(|key| (key.token().0, key)).collect();
        rows.sort();
        for (n, (_, key)) in rows.iter().enumerate().filter(|(n, _)| n % 7 != 0) {
            let dot = Dot { hlc: Hlc::new(n as u64 + 1, 0), writer: WriterId(1) };
            let mut entry = Entry::default();
            let value = Bytes::from(vec![n as u8; n * 5]);
            entry.write(&Context::default(), dot, Some(Sibling::new(dot, value, None, Expiry::NEVER)));
            store.merge(&[(key.clone(), entry)]).unwrap();
        }
        let one_by_one: Vec<Option<Entry>> = rows.iter().map(|(_, key)| store.get(key).unwrap()).collect();
        for step in [1, 2, 5] {
            let places: Vec<(u64, Key)> = rows.iter().step_by(step).cloned().collect();
            let expected: Vec<Option<Entry>> = one_by_one.iter().step_by(step).cloned().collect();
            for held in [0, 512, u64::MAX] {
                let mut told = Vec::new();
                while told.len() < places.len() {
                    let more = read(&store, &places[told.len()..], held).unwrap();
                    assert!(!more.is_empty());
                    told.extend(more.into_iter().map(|stored| stored.map(|stored| stored.entry)));
                }
                assert_eq!(told, expected, "each {step}th of {held}");
            }
        }
    }
}
