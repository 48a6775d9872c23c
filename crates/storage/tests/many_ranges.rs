//! Many token ranges read at once are the ranges read one by one, and cells of a view are those of its instant,
//! whatever is written meanwhile; on both engines.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use common::{delete, dot, key, open, put};
use merkle::{Cells, Field, Frozen, FrozenEntry};
use proptest::{collection::vec, prelude::*};
use storage::{Engine, MemoryEngine, SledEngine, SledOptions, Store, View};

const KEYS: u64 = 3_000;

/// All entries of some spans as `scan_many` gives them, page by page.
fn read_many(view: &View<'_>, spans: &[(u64, u64)], limit: usize) -> Vec<(usize, FrozenEntry)> {
    let mut rows: Vec<(usize, FrozenEntry)> = Vec::new();
    let (mut at, mut after) = (0, None);
    while at < spans.len() {
        let resume: Option<(u64, Box<[u8]>)> = after.take();
        let resume = resume.as_ref().map(|(token, key)| (*token, &**key));
        let before = rows.len();
        view.scan_many(&spans[at..], resume, limit, &mut |number, token, key, digest| {
            rows.push((at + number, (token, key.into(), digest)));
        })
        .unwrap();
        assert!(rows.len() - before <= limit);
        if rows.len() - before < limit {
            break;
        }
        let (number, (token, key, _)) = rows.last().unwrap();
        (at, after) = (*number, Some((*token, key.clone())));
    }
    rows
}

fn read_one_by_one(view: &View<'_>, spans: &[(u64, u64)]) -> Vec<(usize, FrozenEntry)> {
    let rows = spans.iter().enumerate().flat_map(|(number, (first, last))| {
        let rows = view.entries(*first, *last, None, usize::MAX).unwrap();
        rows.into_iter().map(move |row| (number, row))
    });
    rows.collect()
}

/// Spans out of bounds in any order: ascending, disjoint, some next to each other, some far apart.
fn spans(mut bounds: Vec<u64>, close: bool) -> Vec<(u64, u64)> {
    if close {
        bounds.iter_mut().for_each(|bound| *bound >>= 6);
    }
    bounds.sort_unstable();
    bounds.dedup();
    bounds.chunks_exact(2).map(|pair| (pair[0], pair[1] - 1)).collect()
}

fn filled(engine: Arc<dyn Engine>) -> Store {
    let store = open(engine);
    (0..KEYS).for_each(|number| _ = put(&store, &key(number.to_string()), dot(1, 1), b"a value"));
    store
}

fn write(store: &Store, number: u64, kind: u8) {
    let name = key(number.to_string());
    _ = match kind {
        0 => delete(store, &name, dot(2, 1)),
        1 => store.update(&name, |_| Ok::<_, ()>(Some(model::Entry::default()))).unwrap(),
        _ => put(store, &name, dot(3, 1), b"another"),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn many_ranges_are_the_ranges_one_by_one(
        bounds in vec(any::<u64>(), 0..300),
        close in any::<bool>(),
        limit in prop_oneof![1..40_usize, Just(1_024)],
        writes in vec((0..KEYS + 200, 0..3_u8), 0..60),
    ) {
        let store = filled(Arc::new(MemoryEngine::new()));
        let (id, _) = store.freeze().unwrap();
        let view = store.view(id);
        let spans = spans(bounds, close);
        let before = read_one_by_one(&view, &spans);
        prop_assert_eq!(&read_many(&view, &spans, limit), &before);
        writes.into_iter().for_each(|(number, kind)| write(&store, number, kind));
        prop_assert_eq!(&read_many(&view, &spans, limit), &before);
        prop_assert_eq!(&read_one_by_one(&view, &spans), &before);
    }
}

/// The cells that entries make up.
fn cells_of(entries: &[FrozenEntry], len: usize) -> Cells {
    let mut cells = Cells::empty(Field::Small, 0, len);
    entries.iter().for_each(|(token, _, digest)| cells.change(*token, None, Some(*digest)));
    cells
}

fn cells_stay(store: &Store) {
    let (id, _) = store.freeze().unwrap();
    let view = store.view(id);
    let kept = 3 << view.opening().unwrap().leaf_bits;
    let then = cells_of(&view.entries(0, u64::MAX, None, usize::MAX).unwrap(), kept);
    assert_eq!(view.cells(0, kept).unwrap(), then);
    // Enough new keys that the tree grows twice, some of the old ones changed.
    (0..3 * KEYS).for_each(|number| write(store, number * 2, (number % 3) as u8 * 2));
    while store.maintain().unwrap() {}
    assert_eq!(view.cells(0, kept).unwrap(), then);
    let (now_id, _) = store.freeze().unwrap();
    let now = store.view(now_id);
    let now_kept = 3 << now.opening().unwrap().leaf_bits;
    assert!(now_kept > kept, "it has grown");
    let entries = now.entries(0, u64::MAX, None, usize::MAX).unwrap();
    assert_eq!(now.cells(0, now_kept).unwrap(), cells_of(&entries, now_kept));
}

#[test]
fn cells_of_a_view_stay_those_of_its_instant_in_memory() {
    cells_stay(&filled(Arc::new(MemoryEngine::new())));
}

#[test]
fn cells_and_ranges_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let opened = SledEngine::open(&dir.path().join("engine"), &SledOptions::default()).unwrap();
    let store = filled(Arc::new(opened.engine));
    let (id, _) = store.freeze().unwrap();
    let view = store.view(id);
    let spans = spans((1..200).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect(), true);
    assert_eq!(read_many(&view, &spans, 7), read_one_by_one(&view, &spans));
    cells_stay(&store);
}
