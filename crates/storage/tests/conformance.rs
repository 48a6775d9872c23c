//! What every engine must do alike. Each case runs on each engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use storage::{Batch, Engine, FIRST_BYTES_CHEAP, MemoryEngine, Part, SledEngine, SledOptions, Space, Write};

struct Home {
    engine: Arc<dyn Engine>,
    _dir: Option<tempfile::TempDir>,
}

fn memory() -> Home {
    Home { engine: Arc::new(MemoryEngine::new()), _dir: None }
}

fn sled() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let opened = SledEngine::open(&dir.path().join("engine"), &SledOptions::default()).unwrap();
    assert_eq!(opened.losses, None);
    Home { engine: Arc::new(opened.engine), _dir: Some(dir) }
}

type Pair = (Vec<u8>, Vec<u8>);

fn range(engine: &dyn Engine, space: Space, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<Pair> {
    let mut seen = Vec::new();
    engine
        .range(space, from, to, Part::Whole, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

fn all(engine: &dyn Engine, space: Space) -> Vec<Pair> {
    range(engine, space, Bound::Unbounded, Bound::Unbounded)
}

fn put(engine: &dyn Engine, space: Space, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(space, key, value.to_vec());
    engine.apply(&batch).unwrap();
}

fn value(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ salt).collect()
}

fn a_key_has_the_value_of_its_last_put(engine: &dyn Engine) {
    assert_eq!(engine.get(Space::Entries, b"a").unwrap(), None);
    put(engine, Space::Entries, b"a", b"1");
    put(engine, Space::Entries, b"a", b"2");
    assert_eq!(engine.get(Space::Entries, b"a").unwrap().unwrap(), &b"2"[..]);
    put(engine, Space::Entries, b"a", b"");
    assert_eq!(engine.get(Space::Entries, b"a").unwrap().unwrap(), &b""[..]);
    let mut batch = Batch::new();
    batch.remove(Space::Entries, &b"a"[..]).remove(Space::Entries, &b"never"[..]);
    engine.apply(&batch).unwrap();
    assert_eq!(engine.get(Space::Entries, b"a").unwrap(), None);
}

fn a_batch_is_applied_in_its_order(engine: &dyn Engine) {
    let mut batch = Batch::new();
    batch.put(Space::Names, &b"k"[..], &b"1"[..]).remove(Space::Names, &b"k"[..]);
    batch.put(Space::Entries, &b"k"[..], &b"1"[..]).put(Space::Entries, &b"k"[..], &b"2"[..]);
    engine.apply(&batch).unwrap();
    engine.apply(&Batch::new()).unwrap();
    assert_eq!(engine.get(Space::Names, b"k").unwrap(), None);
    assert_eq!(engine.get(Space::Entries, b"k").unwrap().unwrap(), &b"2"[..]);
}

fn spaces_are_apart(engine: &dyn Engine) {
    for space in Space::ALL {
        put(engine, space, b"k", &[space.index() as u8]);
    }
    for space in Space::ALL {
        assert_eq!(engine.get(space, b"k").unwrap().unwrap(), vec![space.index() as u8]);
        assert_eq!(all(engine, space), vec![(b"k".to_vec(), vec![space.index() as u8])]);
    }
}

fn ranges_are_ascending_and_keep_their_bounds(engine: &dyn Engine) {
    for key in [&b"b"[..], b"a", b"", b"ba", b"c", &[0xff; 9]] {
        put(engine, Space::Entries, key, key);
    }
    let keys =
        |from, to| range(engine, Space::Entries, from, to).into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    let (inc, exc) = (Bound::Included::<&[u8]>, Bound::Excluded::<&[u8]>);
    let every: Vec<&[u8]> = vec![b"", b"a", b"b", b"ba", b"c", &[0xff; 9]];
    assert_eq!(keys(Bound::Unbounded, Bound::Unbounded), every);
    assert_eq!(keys(inc(b"b"), exc(b"c")), [&b"b"[..], b"ba"]);
    assert_eq!(keys(exc(b"b"), inc(b"c")), [&b"ba"[..], b"c"]);
    assert_eq!(keys(inc(b"aa"), exc(b"ab")), Vec::<Vec<u8>>::new());
    assert_eq!(keys(inc(b"b"), inc(b"b")), [b"b"]);
    for (from, to) in [
        (inc(b"b"), exc(b"b")),
        (exc(b"b"), exc(b"b")),
        (exc(b"b"), inc(b"b")),
        (inc(b"c"), inc(b"a")),
        (exc(b"c"), exc(b"a")),
    ] {
        assert_eq!(keys(from, to), Vec::<Vec<u8>>::new(), "{from:?} {to:?}");
    }
}

fn a_visit_can_stop_a_range(engine: &dyn Engine) {
    for i in 0..100_u8 {
        put(engine, Space::Entries, &[i], &[i]);
    }
    let mut seen = 0;
    engine
        .range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::Whole, &mut |_, _| {
            seen += 1;
            if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 7);
}

fn values_of_any_size_come_back(engine: &dyn Engine) {
    let sizes =
        [0, 1, 63, 64, 65, 4096, 16 << 10, (16 << 10) + 1, 32 << 10, (32 << 10) + 1, 100_000, 1 << 20];
    for (i, size) in sizes.into_iter().enumerate() {
        put(engine, Space::Entries, &[i as u8], &value(size, i as u8));
    }
    engine.flush().unwrap();
    for (i, size) in sizes.into_iter().enumerate() {
        assert!(
            engine.get(Space::Entries, &[i as u8]).unwrap().unwrap() == value(size, i as u8),
            "{size} bytes"
        );
    }
    for ((_, got), (i, size)) in all(engine, Space::Entries).into_iter().zip(sizes.into_iter().enumerate()) {
        assert!(got == value(size, i as u8), "{size} bytes in a range");
    }
}

fn a_value_can_grow_and_shrink(engine: &dyn Engine) {
    for (salt, size) in [10, 40_000, 20_000, 20_000, 5, 300_000, 0].into_iter().enumerate() {
        put(engine, Space::Entries, b"k", &value(size, salt as u8));
        assert!(engine.get(Space::Entries, b"k").unwrap().unwrap() == value(size, salt as u8));
    }
}

fn first_bytes_are_at_least_those_asked_for(engine: &dyn Engine) {
    for size in [0, 10, 16 << 10, 40_000] {
        put(engine, Space::Entries, b"k", &value(size, 1));
        for asked in [0, 16, FIRST_BYTES_CHEAP, FIRST_BYTES_CHEAP + 1, 39_000, 1 << 20] {
            let mut got = Vec::new();
            let mut visit = |_: &[u8], value: &[u8]| {
                got = value.to_vec();
                ControlFlow::Continue(())
            };
            engine
                .range(Space::Entries, Bound::Unbounded, Bound::Unbounded, Part::First(asked), &mut visit)
                .unwrap();
            assert!(got.len() >= asked.min(size), "{asked} of {size}");
            assert!(value(size, 1).starts_with(&got));
        }
    }
}

fn many_keys_come_and_go(engine: &dyn Engine) {
    let key = |i: u32| (i.wrapping_mul(2_654_435_761)).to_be_bytes();
    for chunk in 0..20_u32 {
        let mut batch = Batch::new();
        for i in chunk * 100..(chunk + 1) * 100 {
            batch.put(Space::Entries, key(i), i.to_be_bytes().to_vec());
        }
        engine.apply(&batch).unwrap();
    }
    for i in (0..2000).step_by(2) {
        let mut batch = Batch::new();
        batch.remove(Space::Entries, key(i));
        engine.apply(&batch).unwrap();
    }
    engine.flush().unwrap();
    let expected: BTreeMap<Vec<u8>, Vec<u8>> =
        (1..2000).step_by(2).map(|i| (key(i).to_vec(), i.to_be_bytes().to_vec())).collect();
    assert_eq!(all(engine, Space::Entries), expected.into_iter().collect::<Vec<_>>());
}

/// How an index is worked off: its first rows are read and removed until there are none, while others come behind.
fn first_rows_are_taken_until_none_is_left(engine: &dyn Engine) {
    for space in [Space::Expiry, Space::Tombstones] {
        (0..500_u32).for_each(|i| put(engine, space, &i.to_be_bytes(), b""));
        let (mut taken, mut next) = (Vec::new(), 500_u32);
        loop {
            let mut first = Vec::new();
            let mut visit = |key: &[u8], _: &[u8]| {
                first.push(key.to_vec());
                if first.len() < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            engine.range(space, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut visit).unwrap();
            if first.is_empty() {
                break;
            }
            let mut batch = Batch::new();
            for key in &first {
                batch.remove(space, &key[..]);
            }
            if next < 600 {
                batch.put(space, next.to_be_bytes(), &b""[..]);
                next += 1;
            }
            engine.apply(&batch).unwrap();
            taken.extend(first);
        }
        let expected: Vec<Vec<u8>> = (0..next).map(|i| i.to_be_bytes().to_vec()).collect();
        assert!(taken == expected && next > 550);
    }
}

fn threads_see_their_own_writes(engine: &dyn Engine) {
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                for i in 0..200_u8 {
                    // Every other value is large, so that parts come and go beside one another.
                    let bytes = value(if i % 2 == 0 { 10 } else { 20_000 }, i);
                    put(engine, Space::Entries, &[thread, i % 8], &bytes);
                    assert!(engine.get(Space::Entries, &[thread, i % 8]).unwrap().unwrap() == bytes);
                }
                engine.flush().unwrap();
            });
        }
    });
    assert_eq!(all(engine, Space::Entries).len(), 4 * 8);
}

/// A reader of a large value that is being replaced sees one whole value or another.
fn readers_never_see_half_a_value(engine: &dyn Engine) {
    put(engine, Space::Entries, b"k", &[0; 50_000]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 1..=100_u8 {
                put(engine, Space::Entries, b"k", &vec![i; 50_000 + usize::from(i)]);
            }
        });
        while !writer.is_finished() {
            let got = engine.get(Space::Entries, b"k").unwrap().unwrap();
            let i = got[0];
            assert_eq!(got.len(), 50_000 + usize::from(i));
            assert!(got.iter().all(|byte| *byte == i));
            assert_eq!(all(engine, Space::Entries).len(), 1);
        }
    });
}

fn writes() -> impl Strategy<Value = Write> {
    let key = prop::collection::vec(any::<u8>(), 0..3);
    let len = prop_oneof![6 => 0..100_usize, 1 => 16_300..16_500_usize, 1 => 30_000..60_000_usize];
    let space = prop::sample::select(Space::ALL.to_vec());
    (space, key, prop::option::weighted(0.7, (len, any::<u8>()))).prop_map(|(space, key, new)| match new {
        Some((len, salt)) => Write::Put { space, key: key.into(), value: value(len, salt).into() },
        None => Write::Remove { space, key: key.into() },
    })
}

fn random_batches_equal_a_map(engine: &dyn Engine) {
    let mut model: BTreeMap<(Space, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let cases = prop::collection::vec(prop::collection::vec(writes(), 0..8), 30);
    let mut runner = TestRunner::deterministic();
    for batches in (0..4).map(|_| cases.new_tree(&mut runner).unwrap().current()) {
        for writes in batches {
            let mut batch = Batch::new();
            for write in writes {
                match write {
                    Write::Put { space, key, value } => {
                        model.insert((space, key.to_vec()), value.to_vec());
                        batch.put(space, key, value);
                    }
                    Write::Remove { space, key } => {
                        model.remove(&(space, key.to_vec()));
                        batch.remove(space, key);
                    }
                }
            }
            engine.apply(&batch).unwrap();
        }
        for space in Space::ALL {
            let expected: Vec<Pair> = model
                .iter()
                .filter(|((s, _), _)| *s == space)
                .map(|((_, k), v)| (k.clone(), v.clone()))
                .collect();
            assert!(all(engine, space) == expected, "{space:?}");
        }
        engine.flush().unwrap();
    }
}

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        mod on_memory {
            $(#[test] fn $case() { super::$case(&*super::memory().engine); })*
        }
        mod on_sled {
            $(#[test] fn $case() { super::$case(&*super::sled().engine); })*
        }
    };
}

use proptest::strategy::ValueTree;

suite! {
    a_key_has_the_value_of_its_last_put,
    a_batch_is_applied_in_its_order,
    spaces_are_apart,
    ranges_are_ascending_and_keep_their_bounds,
    a_visit_can_stop_a_range,
    values_of_any_size_come_back,
    a_value_can_grow_and_shrink,
    first_bytes_are_at_least_those_asked_for,
    many_keys_come_and_go,
    first_rows_are_taken_until_none_is_left,
    threads_see_their_own_writes,
    readers_never_see_half_a_value,
    random_batches_equal_a_map,
}
