//! A frozen view answers as of its instant, exactly, whatever is written and however the tree grows meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::ops::Bound;

use merkle::{
    Cells, Frozen, FrozenEntry, FrozenView, Opening, Overlay, Prefer, Prefix, RangeDigest, Remainder, Tree,
    ViewLost, Width, closing,
};
use proptest::{collection::vec, prelude::*};
use support::{Data, Still, difference, digest_at, search};

/// A store that is written to while a view of it is open.
struct Live {
    data: Data,
    tree: Tree,
    view: FrozenView,
}

impl Live {
    fn new(data: Data, changes_max: usize) -> Live {
        let tree = Still::new(&data, 1_000).tree;
        let view = FrozenView::freeze(&tree, changes_max);
        Live { data, tree, view }
    }

    fn change(&mut self, token: u64, key: &[u8], new: Option<u128>) {
        let place = (token, Box::from(key));
        let old = match new {
            Some(new) => self.data.insert(place, new),
            None => self.data.remove(&place),
        };
        self.tree.change(token, old, new);
        self.view.record(token, key, old, new);
    }

    fn grow(&mut self) {
        self.tree.begin_growth();
        let batch = self.data.iter().map(|((token, _), digest)| (*token, *digest));
        self.tree.grow_step(batch, None).unwrap();
    }
}

/// Reads the frozen view as a store would: a scan of live entries under an overlay.
impl Frozen for Live {
    fn opening(&self) -> Result<Opening, ViewLost> {
        self.view.opening()
    }

    fn range(&self, prefix: Prefix) -> Result<RangeDigest, ViewLost> {
        self.view.range(&self.tree, prefix)
    }

    fn entries(
        &self,
        first: u64,
        last: u64,
        after: Option<(u64, &[u8])>,
        limit: usize,
    ) -> Result<Vec<FrozenEntry>, ViewLost> {
        let mut overlay = Overlay::new(&self.view, first, last, after, limit)?;
        let from = match after {
            Some((token, key)) => Bound::Excluded((token, Box::from(key))),
            None => Bound::Included((first, Box::default())),
        };
        for ((token, key), digest) in self.data.range((from, Bound::Unbounded)) {
            if *token > last || overlay.live(*token, key, *digest).is_break() {
                break;
            }
        }
        Ok(overlay.finish())
    }

    fn cells(&self, from: usize, to: usize) -> Result<Cells, ViewLost> {
        Ok(self.view.cells(&self.tree, from, to)?.undo())
    }

    fn digest_of(&self, token: u64, key: &[u8]) -> Result<Option<u128>, ViewLost> {
        self.view.digest_now_to_then(token, key, self.data.get(&(token, Box::from(key))).copied())
    }
}

fn any_token() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..6_u64, (0..16_u64).prop_map(|top| top << 60)]
}

fn any_entry() -> impl Strategy<Value = (u64, u8, Option<u64>)> {
    (any_token(), 0..3_u8, proptest::option::weighted(0.6, 0..4_u64))
}

fn put(data: &mut Data, (token, key, version): (u64, u8, Option<u64>)) {
    if let Some(version) = version {
        data.insert((token, [key].into()), digest_at(token, &[key], version));
    }
}

proptest! {
    #[test]
    fn a_view_equals_a_copy(
        before in vec(any_entry(), 0..60),
        writes in vec(any_entry(), 0..60),
        grow in any::<bool>(),
        span in (any_token(), any_token()),
        limit in 1..9_usize,
    ) {
        let mut data = Data::new();
        before.into_iter().for_each(|entry| put(&mut data, entry));
        let copy = Still::new(&data, 1_000);
        let mut live = Live::new(data, 1_000);
        for (token, key, version) in writes {
            // Half of the writes meet keys that were there.
            let known = live.data.keys().nth(token as usize % 97).map(|(token, key)| (*token, key[0]));
            let (token, key) = known.unwrap_or((token, key));
            live.change(token, &[key], version.map(|version| digest_at(token, &[key], version)));
        }
        if grow {
            live.grow();
        }
        live.tree.check().unwrap();

        prop_assert_eq!(live.opening(), copy.opening());
        let kept = 3 << copy.tree.leaf_bits();
        for (from, to) in [(0, 4), (0, kept), (5, 5), (kept / 2, kept - 1)] {
            prop_assert_eq!(live.cells(from, to), copy.cells(from, to));
        }
        prop_assert_eq!(live.cells(0, kept + 1), Err(ViewLost::TooDeep));
        for prefix in (0..=live.view.opening().unwrap().leaf_bits).flat_map(|bits| Prefix::ROOT.children(bits)) {
            prop_assert_eq!(live.range(prefix), copy.range(prefix));
        }
        let was = copy.entries.iter().map(|(token, key, _)| (*token, key));
        for (token, key) in was.chain(live.data.keys().map(|(token, key)| (*token, key))) {
            prop_assert_eq!(live.digest_of(token, key), copy.digest_of(token, key));
        }
        let (first, last) = (span.0.min(span.1), span.0.max(span.1));
        let mut after: Option<(u64, Box<[u8]>)> = None;
        loop {
            let resume = after.as_ref().map(|(token, key)| (*token, &**key));
            let page = live.entries(first, last, resume, limit).unwrap();
            prop_assert_eq!(&page, &copy.entries(first, last, resume, limit).unwrap());
            let Some((token, key, _)) = page.last() else { break };
            after = Some((*token, key.clone()));
        }
    }

    #[test]
    fn a_search_over_a_written_view_sees_its_instant(
        mine in vec(any_entry(), 0..60),
        theirs in vec(any_entry(), 0..60),
        writes in vec(any_entry(), 0..60),
    ) {
        let (mut data, mut others) = (Data::new(), Data::new());
        mine.into_iter().for_each(|entry| put(&mut data, entry));
        theirs.into_iter().for_each(|entry| put(&mut others, entry));
        let (copy, other) = (Still::new(&data, 1_000), Still::new(&others, 10_000));
        let mut live = Live::new(data, 1_000);
        for (token, key, version) in writes {
            live.change(token, &[key], version.map(|version| digest_at(token, &[key], version)));
        }
        live.grow();
        let outcome = search(&live, &other, Width::Full).unwrap();
        prop_assert_eq!(&outcome.initiator, &difference(&copy.entries, &other.entries));
        prop_assert_eq!(&outcome.responder, &difference(&other.entries, &copy.entries));

        // The closing check: both sides take out their own digests of all keys named by either.
        let named: std::collections::BTreeSet<(u64, Box<[u8]>)> =
            outcome.initiator.iter().chain(&outcome.responder).map(|(token, key, _)| (*token, key.clone())).collect();
        let keys = || named.iter().map(|(token, key)| (*token, &**key));
        prop_assert_eq!(closing(&live, keys()).unwrap(), closing(&other, keys()).unwrap());
        if let Some((token, key)) = named.first() {
            let mut remainder = Remainder::of(live.root().unwrap());
            named.iter().skip(1).for_each(|(token, key)| remainder.name(live.digest_of(*token, key).unwrap()));
            prop_assert_ne!(remainder.left(), closing(&other, keys().skip(1)).unwrap());
            remainder.name(live.digest_of(*token, key).unwrap());
            prop_assert_eq!(remainder.left(), closing(&other, keys()).unwrap());
        }
    }
}

#[test]
fn what_was_undone_is_forgotten() {
    let mut live = Live::new(Data::new(), 2);
    for round in 0..10 {
        live.change(round, b"key", Some(1));
        live.change(round, b"key", Some(2));
        assert_eq!(live.view.changes(), 1);
        live.change(round, b"key", None);
        assert_eq!(live.view.changes(), 0);
    }
    assert!(live.view.opening().unwrap().root.is_zero() && !live.view.overflowed());
}

#[test]
fn too_many_changes_lose_the_view() {
    let mut live = Live::new(Data::new(), 2);
    for token in 0..3 {
        assert!(!live.view.overflowed());
        live.change(token, b"key", Some(1));
    }
    assert!(live.view.overflowed());
    assert_eq!(live.root(), Err(ViewLost::Overflowed));
    assert_eq!(live.range(Prefix::ROOT), Err(ViewLost::Overflowed));
    assert_eq!(live.digest_of(0, b"key"), Err(ViewLost::Overflowed));
    assert_eq!(live.entries(0, 9, None, 9), Err(ViewLost::Overflowed));
    assert_eq!(live.view.changed_in(0, u64::MAX).count(), 0);
    live.change(0, b"key", None);
    assert!(live.view.overflowed(), "for good");
}

#[test]
fn long_keys_lose_the_view_sooner() {
    let mut live = Live::new(Data::new(), 1_000);
    let held = (0..1_000_u64).take_while(|token| {
        live.change(*token, &[1; 1024], Some(1));
        !live.view.overflowed()
    });
    assert_eq!(held.count(), 63);
}

#[test]
fn a_search_with_a_lost_view_ends_with_the_reason() {
    let mut live = Live::new(Data::new(), 1);
    live.change(1, b"a", Some(1));
    let opening = live.opening().unwrap();
    let other = Still::new(&Data::from([((9, [1].into()), 1)]), 10);
    let mut finder = merkle::Finder::responder(
        &other.opening().unwrap(),
        &other.opening().unwrap(),
        Width::Short,
        Prefer::Auto,
    );
    assert_eq!(finder.start(&live).unwrap().next, merkle::Next::Done);
    live.change(2, b"b", Some(1));
    let mut theirs = opening;
    theirs.root = RangeDigest::of(5);
    let mine = other.opening().unwrap();
    let mut finder = merkle::Finder::responder(&mine, &theirs, Width::Short, Prefer::Tree);
    assert_eq!(finder.start(&live).unwrap_err(), ViewLost::Overflowed.into());
    assert_eq!(finder.start(&live).unwrap_err(), merkle::FindError::Over);
}
