//! The `merkle-search-tree` crate: a B-tree whose shape follows from the keys' hashes, compared page by page.

use std::ops::Range;

use merkle_search_tree::MerkleSearchTree;
use merkle_search_tree::diff::{DiffRange, PageRange, diff};
use merkle_search_tree::digest::PageDigest;
use serde::{Deserialize, Serialize};

use crate::method::{Method, Session};
use crate::workload::{Item, Name, Workload, differing_between, position};

type Tree = MerkleSearchTree<Name, Digest16>;
type Digest16 = [u8; 16];

/// Two replicas' trees, and their entries.
pub struct BySearchTree {
    first: (Tree, Vec<Item>),
    second: (Tree, Vec<Item>),
}

/// A page as it travels: the least and the greatest key under it, and its hash.
#[derive(Clone, Serialize, Deserialize)]
struct Page {
    start: Name,
    end: Name,
    hash: [u8; 16],
}

fn pages(tree: &Tree) -> Vec<Page> {
    let ranges = tree.serialise_page_ranges().unwrap();
    let page = |range: PageRange<'_, Name>| Page {
        start: *range.start(),
        end: *range.end(),
        hash: *range.hash().as_bytes(),
    };
    ranges.into_iter().map(page).collect()
}

fn ranges(pages: &[Page]) -> Vec<PageRange<'_, Name>> {
    pages.iter().map(|page| PageRange::new(&page.start, &page.end, PageDigest::new(page.hash))).collect()
}

fn upsert(tree: &mut Tree, items: &[Item]) {
    items.iter().for_each(|(name, digest)| tree.upsert(*name, &digest.to_be_bytes()));
    tree.root_hash();
}

/// Ranges of keys, first and last, that overlap nowhere.
fn joined(mut ranges: Vec<(Name, Name)>) -> Vec<(Name, Name)> {
    ranges.sort_unstable();
    let mut joined: Vec<(Name, Name)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

fn within(items: &[Item], (start, end): &(Name, Name)) -> Range<usize> {
    position(items, start)..items.partition_point(|item| item.0 <= *end)
}

impl Method for BySearchTree {
    type Kept = Tree;

    const NAME: &'static str = "merkle-search-tree";
    const SETTINGS: &'static str = "merkle-search-tree 0.8.0: defaults, as its README shows it: root hashes, then all \
        page ranges, then the keys and digests of the ranges that `diff` names in either direction";

    fn kept(common: &[Item]) -> Tree {
        let mut tree = Tree::default();
        upsert(&mut tree, common);
        tree
    }

    fn pair(kept: &Tree, workload: &Workload) -> BySearchTree {
        let side = |writes: &[Item], items| {
            let mut tree = kept.clone();
            upsert(&mut tree, writes);
            (tree, items)
        };
        BySearchTree {
            first: side(&workload.first, workload.first_side()),
            second: side(&workload.second, workload.second_side()),
        }
    }

    fn session(&self) -> Session {
        let mut session = Session::default();
        let ((mine, my_items), (theirs, their_items)) = (&self.first, &self.second);
        let my_root: [u8; 16] = *mine.root_hash_cached().unwrap().as_bytes();
        session.round_trips = 1;
        if session.send(&my_root) == *theirs.root_hash_cached().unwrap().as_bytes() {
            session.send(&None::<Vec<Page>>);
            return session;
        }
        let theirs = session.send(&Some(pages(theirs))).unwrap();
        let (theirs, mine) = (ranges(&theirs), mine.serialise_page_ranges().unwrap());
        let whole = |range: &DiffRange<'_, Name>| (*range.start(), *range.end());
        let mut differ: Vec<(Name, Name)> =
            diff(mine.iter().cloned(), theirs.iter().cloned()).iter().map(whole).collect();
        differ.extend(diff(theirs.iter().cloned(), mine.iter().cloned()).iter().map(whole));
        let asked = session.send(&joined(differ));
        session.round_trips += 1;
        let rows: Vec<Item> =
            asked.iter().flat_map(|range| &their_items[within(their_items, range)]).copied().collect();
        session.rows = rows.len();
        let rows = session.send(&rows);
        let own: Vec<Item> =
            asked.iter().flat_map(|range| &my_items[within(my_items, range)]).copied().collect();
        session.found = differing_between(&own, &rows);
        session
    }

    fn write(kept: &mut Tree, updates: &[(Item, Item)]) -> Option<()> {
        updates.iter().for_each(|(_, (name, digest))| kept.upsert(*name, &digest.to_be_bytes()));
        kept.root_hash();
        Some(())
    }
}
