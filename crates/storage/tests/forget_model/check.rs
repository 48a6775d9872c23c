//! What follows from entries and marks.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use merkle::{Cells, Field, Frozen, SizeHint};
use model::{Entry, Key};
use storage::{Part, Space, Waiting};

use crate::common::*;
use crate::world::{World, is_in_tree, name, place};

impl World {
    pub fn visible(&self) -> Map {
        let visible = |(_, entry): &(&Key, &Entry)| is_in_tree(entry, self.marks.watermark);
        self.map.iter().filter(visible).map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    fn check_view(&self) {
        let Some((id, then)) = &self.view else { return };
        let view = self.store().view(*id);
        assert_eq!(view.root().unwrap(), root_of(then));
        let mut expected: Vec<(u64, Box<[u8]>, u128)> =
            then.iter().map(|(k, e)| (k.token().0, k.as_bytes().into(), e.digest(k, &DIGEST_KEY))).collect();
        expected.sort();
        for limit in [1, 3, 100] {
            let mut seen: Vec<(u64, Box<[u8]>, u128)> = Vec::new();
            loop {
                let after = seen.last().map(|(token, key, _)| (*token, key.clone()));
                let page = view.entries(0, u64::MAX, after.as_ref().map(|(t, k)| (*t, &**k)), limit).unwrap();
                let is_last = page.len() < limit;
                seen.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
        let mut many = Vec::new();
        let spans = [(0, u64::MAX / 3), (u64::MAX / 3 + 1, u64::MAX / 2), (u64::MAX / 2 + 1, u64::MAX)];
        view.scan_many(&spans, None, 1_000, &mut |_, token, key, digest| {
            many.push((token, key.into(), digest))
        })
        .unwrap();
        assert_eq!(many, expected);
        for i in 0..12 {
            let key = name(i);
            let digest = then.get(&key).map(|entry| entry.digest(&key, &DIGEST_KEY));
            assert_eq!(view.digest_of(key.token().0, key.as_bytes()).unwrap(), digest);
        }
    }

    /// Everything that follows from entries and marks.
    pub fn check(&self) {
        assert!(self.is_done);
        let (store, visible) = (self.store(), self.visible());
        assert_eq!(store.marks(), self.marks);
        assert_eq!((store.root(), store.counts()), (root_of(&visible), counts_of(&visible)));
        assert!(list_all(store, b"", 5).iter().map(|(k, e)| (k, e)).eq(live(&self.map)));
        for i in 0..12 {
            assert_eq!(self.held(&name(i)).as_ref(), self.map.get(&name(i)));
        }
        self.check_sketch(&visible);
        let mut waiting = Waiting::default();
        let (mut expiries, mut tombstones) = (BTreeSet::new(), BTreeSet::new());
        for (key, entry) in &self.map {
            if let Some(time) = entry.next_expiry().time() {
                expiries.insert([&time.as_u64().to_be_bytes()[..], &place(key)].concat());
            }
            if entry.siblings().is_empty() {
                let time = entry.context().newest();
                tombstones.insert([&time.as_u64().to_be_bytes()[..], &place(key)].concat());
                let bytes = (place(key).len() + 24 + model::stored::encode(entry).len()) as u64;
                let (count, sum) = match is_in_tree(entry, self.marks.watermark) {
                    true => (&mut waiting.tombstones, &mut waiting.tombstone_bytes),
                    false => (&mut waiting.purged, &mut waiting.purged_bytes),
                };
                (*count, *sum) = (*count + 1, *sum + bytes);
            }
        }
        assert_eq!(store.waiting(), waiting);
        assert_eq!(self.rows(Space::Expiry), expiries);
        assert_eq!(self.rows(Space::Tombstones), tombstones);
        self.check_view();
    }

    fn check_sketch(&self, visible: &Map) {
        let (id, _) = self.store().freeze().unwrap();
        let view = self.store().view(id);
        let opening = view.opening().unwrap();
        let len = 3 << opening.leaf_bits;
        let mut cells = Cells::empty(Field::of_leaves(opening.leaf_bits), 0, len);
        let mut hint = SizeHint::default();
        for (key, entry) in visible {
            let digest = Some(entry.digest(key, &DIGEST_KEY));
            cells.change(key.token().0, None, digest);
            hint.change(key.token().0, None, digest);
        }
        assert_eq!((view.cells(0, len).unwrap(), opening.hint), (cells, hint));
        self.store().release(id);
    }

    fn rows(&self, space: Space) -> BTreeSet<Vec<u8>> {
        let mut rows = BTreeSet::new();
        let mut visit = |row: &[u8], _: &[u8]| {
            rows.insert(row.to_vec());
            ControlFlow::Continue(())
        };
        self.engine.range(space, Bound::Unbounded, Bound::Unbounded, Part::First(0), &mut visit).unwrap();
        rows
    }
}
