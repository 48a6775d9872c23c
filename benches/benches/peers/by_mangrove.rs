//! Mangrove's own finder: as it chooses by itself, and held to one of its two ways.

use std::marker::PhantomData;

use mangrove_benches::Sorted;
use merkle::{FindMessage, Finder, Frozen, FrozenEntry, Next, Prefer, Tree, Width};

use crate::method::{Method, Session};
use crate::workload::{Item, Name, Workload};

/// Two replicas: sorted entries, as a store would read them, and what the crate keeps in step with them.
pub struct ByMangrove<W> {
    first: Sorted,
    second: Sorted,
    way: PhantomData<W>,
}

/// Which way it goes.
pub trait Way {
    /// As in the table.
    const NAME: &'static str;
    /// What is said of it.
    const SETTINGS: &'static str;
    /// What the second side prefers.
    const PREFER: Prefer;
}

/// As it chooses by itself.
pub struct ByChoice;

impl Way for ByChoice {
    const NAME: &'static str = "Mangrove";
    const SETTINGS: &'static str =
        "openings, then sketch or tree as the second side chooses; what a key costs is of both";
    const PREFER: Prefer = Prefer::Auto;
}

/// The tree.
pub struct ByTree;

impl Way for ByTree {
    const NAME: &'static str = "Mangrove, tree only";
    const SETTINGS: &'static str = "openings, and the walk of the range tree";
    const PREFER: Prefer = Prefer::Tree;
}

/// The sketch.
pub struct BySketch;

impl Way for BySketch {
    const NAME: &'static str = "Mangrove, sketch only";
    const SETTINGS: &'static str =
        "openings, and cells of the sketch; by the tree all the same where it cannot decode";
    const PREFER: Prefer = Prefer::Sketch;
}

fn token(name: &Name) -> u64 {
    u64::from_be_bytes(blake3::hash(name).as_bytes()[..8].try_into().unwrap())
}

fn sorted(items: &[Item]) -> Sorted {
    let entry = |(name, digest): &Item| -> FrozenEntry { (token(name), name[..].into(), *digest) };
    Sorted::new(items.iter().map(entry).collect())
}

/// One side of a search.
struct Side<'a> {
    frozen: &'a Sorted,
    finder: Finder,
    found: Vec<Name>,
}

impl Side<'_> {
    /// The first step, or the one after a message, and all the work that follows.
    fn step(&mut self, heard: Option<FindMessage>, said: &mut Vec<FindMessage>) {
        let mut step = match heard {
            None => self.finder.start(self.frozen).unwrap(),
            Some(message) => self.finder.handle(self.frozen, message).unwrap(),
        };
        loop {
            self.found.extend(step.differing.iter().map(|entry| Name::try_from(&entry.1[..]).unwrap()));
            said.extend(step.message);
            match step.next {
                Next::Work => step = self.finder.resume(self.frozen).unwrap(),
                Next::Wait | Next::Done => return,
            }
        }
    }
}

impl<W: Way> Method for ByMangrove<W> {
    type Kept = Tree;

    const NAME: &'static str = W::NAME;
    const SETTINGS: &'static str = W::SETTINGS;
    const UPKEEP: bool = matches!(W::PREFER, Prefer::Auto);

    fn kept(common: &[Item]) -> Tree {
        let mut tree = Tree::with_keys(common.len() as u64);
        common.iter().for_each(|(name, digest)| tree.change(token(name), None, Some(*digest)));
        tree
    }

    fn pair(_: &Tree, workload: &Workload) -> ByMangrove<W> {
        let (first, second) = (sorted(&workload.first_side()), sorted(&workload.second_side()));
        ByMangrove { first, second, way: PhantomData }
    }

    fn session(&self) -> Session {
        let mut session = Session { round_trips: 1, ..Session::default() };
        let opening = session.send(&self.first.opening().unwrap());
        let answer = session.send(&self.second.opening().unwrap());
        let finder = Finder::initiator(&self.first.opening().unwrap(), &answer, Width::Short);
        let mut initiator = Side { frozen: &self.first, finder, found: Vec::new() };
        let finder = Finder::responder(&self.second.opening().unwrap(), &opening, Width::Short, W::PREFER);
        let mut responder = Side { frozen: &self.second, finder, found: Vec::new() };
        let mut said = Vec::new();
        initiator.step(None, &mut said);
        responder.step(None, &mut said);
        let mut responder_spoke = true;
        while !said.is_empty() {
            session.round_trips += usize::from(!responder_spoke);
            let listener = if responder_spoke { &mut initiator } else { &mut responder };
            for message in std::mem::take(&mut said) {
                listener.step(Some(session.send(&message)), &mut said);
            }
            responder_spoke = !responder_spoke;
        }
        session.found = initiator.found;
        session.found.extend(responder.found);
        session
    }

    fn write(kept: &mut Tree, updates: &[(Item, Item)]) -> Option<()> {
        updates.iter().for_each(|(old, new)| kept.change(token(&old.0), Some(old.1), Some(new.1)));
        Some(())
    }
}
