//! The store against a plain map while tombstones and expired values are forgotten: after any writes, marks, crashes
//! and reopenings tree, sketch, counts, indexes and frozen views are those of the entries and the marks.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod check;
mod world;

use std::sync::Arc;

use proptest::prelude::*;
use storage::MemoryEngine;
use world::{Disk, World, name};

#[derive(Debug, Clone)]
enum Step {
    /// A client's write: with an expiry so far ahead, or none.
    Put(u8, Option<u64>),
    Delete(u8),
    /// Entries of other replicas: key, how long ago, when they expire (from now), what they are and replaced.
    Merge(Vec<world::Theirs>),
    /// The marks rise, and some steps are taken.
    Raise(u64, u64, usize),
    Finish,
    /// Up to so long ago, so many.
    Forget(u64, usize),
    Flush,
    Reopen {
        noted: bool,
    },
    /// Keeps about this share of the unflushed writes.
    Crash(f64),
    Freeze,
    Release,
    Maintain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..12_u8;
    let theirs = (key.clone(), 0..60_u64, prop::option::of(-40..60_i64), 0..4_u8);
    let one = prop_oneof![
        6 => (key.clone(), prop::option::of(1..60_u64)).prop_map(|(key, ttl)| Step::Put(key, ttl)),
        4 => key.prop_map(Step::Delete),
        5 => prop::collection::vec(theirs, 1..8).prop_map(Step::Merge),
        3 => (0..60_u64, 0..60_u64, 1..6_usize).prop_map(|(w, h, steps)| Step::Raise(w, h, steps)),
        3 => Just(Step::Finish),
        2 => (0..40_u64, 1..8_usize).prop_map(|(ago, limit)| Step::Forget(ago, limit)),
        2 => Just(Step::Flush),
        1 => any::<bool>().prop_map(|noted| Step::Reopen { noted }),
        2 => (0.0..1.0_f64).prop_map(Step::Crash),
        2 => Just(Step::Freeze),
        1 => Just(Step::Release),
        1 => Just(Step::Maintain),
    ];
    prop::collection::vec(one, 1..80)
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Put(i, ttl) => self.write(name(i), Some(ttl)),
            Step::Delete(i) => self.write(name(i), None),
            Step::Merge(theirs) => self.merge(theirs),
            Step::Raise(watermark, horizon, steps) => self.raise(watermark, horizon, steps),
            Step::Finish => self.finish(),
            Step::Forget(ago, limit) => self.forget(ago, limit),
            Step::Flush => self.flush(),
            Step::Reopen { noted } => self.reopen(noted),
            Step::Crash(kept) => self.crash(kept),
            Step::Freeze => self.freeze(),
            Step::Release => {
                if let Some((id, _)) = self.view.take() {
                    self.store().release(id);
                }
            }
            Step::Maintain => drop(self.store().maintain().unwrap()),
        }
        if self.is_done {
            self.check();
        }
    }
}

fn run(disk: Disk, steps: Vec<Step>) {
    let mut world = World::new(disk);
    for step in steps {
        world.step(step);
    }
    world.finish();
    world.reopen(false);
    world.reopen(true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn in_memory_tree_and_indexes_follow_from_entries_and_marks(steps in steps()) {
        run(Disk::Memory(Arc::new(MemoryEngine::new())), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn on_disk_tree_and_indexes_follow_from_entries_and_marks(steps in steps()) {
        run(Disk::Sled(tempfile::tempdir().unwrap()), steps);
    }
}
