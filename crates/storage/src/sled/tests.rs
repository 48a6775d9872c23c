use super::*;

fn home() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("engine");
    (home, dir)
}

fn open(dir: &Path) -> SledEngine {
    let opened = SledEngine::open(dir, &SledOptions::default()).unwrap();
    assert_eq!(opened.losses, None);
    opened.engine
}

fn put(engine: &SledEngine, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(Space::Entries, key, value.to_vec());
    engine.apply(&batch).unwrap();
}

/// A crash cuts the writes of a large value anywhere: between its parts, before its head, while the parts of
/// the value before are removed.
#[test]
fn parts_without_a_head_are_removed_on_opening() {
    let (_home, dir) = home();
    let engine = open(&dir);
    let large = vec![5; 3 * PART_BYTES];
    put(&engine, b"kept", &large);
    put(&engine, b"small now", b"small");
    let owners = [(90, &b"never written"[..]), (91, b"kept"), (92, b"small now")];
    for (id, key) in owners {
        engine.parts.insert(part_key(id, 0), owner(Space::Entries, key)).unwrap();
        for number in 1..=2 {
            engine.parts.insert(part_key(id, number), &large[..PART_BYTES]).unwrap();
        }
    }
    engine.flush().unwrap();
    drop(engine);

    let engine = open(&dir);
    assert_eq!(engine.parts.len(), 4, "those of the one large value");
    assert_eq!(engine.get(Space::Entries, b"kept").unwrap().unwrap(), large);
    assert_eq!(engine.get(Space::Entries, b"small now").unwrap().unwrap(), &b"small"[..]);
    put(&engine, b"next", &large);
    assert_eq!(engine.get(Space::Entries, b"next").unwrap().unwrap(), large);
}

#[test]
fn replaced_and_removed_values_leave_no_parts() {
    let (_home, dir) = home();
    let engine = open(&dir);
    for len in [PART_BYTES + 1, 5 * PART_BYTES, 2 * PART_BYTES] {
        put(&engine, b"k", &vec![1; len]);
        assert_eq!(engine.parts.len(), 1 + usize::try_from(part_count(len as u64)).unwrap());
    }
    put(&engine, b"k", b"small");
    assert_eq!(engine.parts.len(), 0);
    put(&engine, b"k", &vec![1; 2 * PART_BYTES]);
    let mut batch = Batch::new();
    batch.remove(Space::Entries, &b"k"[..]);
    engine.apply(&batch).unwrap();
    assert_eq!(engine.parts.len(), 0);
}

#[test]
fn a_large_value_without_all_its_parts_is_damaged_and_never_missing() {
    let (_home, dir) = home();
    let engine = open(&dir);
    put(&engine, b"k", &vec![1; 3 * PART_BYTES]);
    let (key, part) = engine.parts.iter().nth(2).unwrap().unwrap();
    engine.parts.remove(&key).unwrap();
    assert!(matches!(engine.get(Space::Entries, b"k"), Err(EngineError::Damaged { .. })));
    engine.parts.insert(&key, &part[1..]).unwrap();
    assert!(matches!(engine.get(Space::Entries, b"k"), Err(EngineError::Damaged { .. })));
    engine.parts.insert(&key, &part).unwrap();
    assert!(engine.get(Space::Entries, b"k").unwrap().is_some());
    engine.space(Space::Entries).insert(b"k", &[9, 9]).unwrap();
    assert!(matches!(engine.get(Space::Entries, b"k"), Err(EngineError::Damaged { .. })));
}

#[test]
fn lost_flushes_are_noticed() {
    let (_home, dir) = home();
    let engine = open(&dir);
    for i in 0..5 {
        put(&engine, &[i], b"v");
        engine.flush().unwrap();
    }
    // As if the log had lost its end.
    engine.meta.insert(FLUSHES, &3_u64.to_be_bytes()).unwrap();
    engine.db.flush().unwrap();
    drop(engine);
    // Told until it was taken note of, though the engine has gone on.
    for _ in 0..2 {
        let opened = SledEngine::open(&dir, &SledOptions::default()).unwrap();
        assert!(opened.losses.unwrap().contains("2 of 5 flushes"));
        opened.engine.flush().unwrap();
    }
    crate::forget_losses(&dir).unwrap();
    open(&dir);
}

#[test]
fn after_a_panic_in_a_write_nothing_more_is_written() {
    let (_home, dir) = home();
    let engine = open(&dir);
    let panicked = engine.guarded_write("test", || panic!("on purpose"));
    assert!(matches!(panicked, Err(EngineError::Panicked { .. })));
    let mut batch = Batch::new();
    batch.put(Space::Entries, &b"k"[..], &b"v"[..]);
    assert!(matches!(engine.apply(&batch), Err(EngineError::Panicked { .. })));
    assert!(matches!(engine.flush(), Err(EngineError::Panicked { .. })));
    assert_eq!(engine.get(Space::Entries, b"k").unwrap(), None);
}

#[test]
fn a_second_opening_is_refused_and_moves_nothing() {
    let (_home, dir) = home();
    let engine = open(&dir);
    put(&engine, b"k", b"v");
    engine.flush().unwrap();
    let second = SledEngine::open(&dir, &SledOptions::default());
    assert!(matches!(second, Err(EngineError::InUse { .. })), "{second:?}");
    assert!(engine.get(Space::Entries, b"k").unwrap().is_some());
}
