//! The `riblt` crate: a rateless invertible Bloom lookup table over ids.

use std::iter::Map;
use std::slice::Iter;

use riblt::{CodedSymbol, RatelessIBLT, Symbol, UnmanagedRatelessIBLT};
use serde::{Deserialize, Serialize};

use crate::method::{Method, Session};
use crate::workload::{Item, Workload};

/// Two replicas' entries: the crate keeps nothing in step with them.
pub struct ByRiblt {
    first: Vec<Item>,
    second: Vec<Item>,
    /// The fewest cells from which everything comes out.
    cells: usize,
}

/// 8 bytes of an entry's digest: it stands for the key and its version.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Id([u8; 8]);

impl Symbol for Id {
    const BYTE_ARRAY_LENGTH: usize = 8;

    fn encode_to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn decode_from_bytes(bytes: &Vec<u8>) -> Id {
        Id(bytes[..].try_into().unwrap())
    }
}

fn id(item: &Item) -> Id {
    Id((item.1 as u64).to_be_bytes())
}

type Table<'a> = RatelessIBLT<Id, Map<Iter<'a, Item>, fn(&'a Item) -> Id>>;

fn table(items: &[Item], cells: usize) -> Table<'_> {
    let mut table: Table<'_> = RatelessIBLT::new(items.iter().map(id as fn(&Item) -> Id));
    table.extend_coded_symbols(cells - 1);
    table
}

/// How many ids come out of the first cells of a difference, if all do.
fn peeled(difference: &UnmanagedRatelessIBLT<Id>, cells: usize) -> Option<usize> {
    let mut part = UnmanagedRatelessIBLT { coded_symbols: difference.coded_symbols[..cells].to_vec() };
    let ids = part.peel_all_symbols().len();
    part.is_empty().then_some(ids)
}

/// The fewest cells from which everything comes out. That a prefix suffices is monotonic in its length.
fn fewest(first: &[Item], second: &[Item], ids: usize) -> usize {
    let most = (4 * ids).max(64);
    let theirs = UnmanagedRatelessIBLT { coded_symbols: table(second, most).coded_symbols };
    let difference = table(first, most).collapse(&theirs);
    let (mut too_few, mut enough) = (0, most);
    while too_few + 1 < enough {
        let cells = (too_few + enough) / 2;
        match peeled(&difference, cells) {
            Some(found) if found == ids => enough = cells,
            _ => too_few = cells,
        }
    }
    enough
}

impl Method for ByRiblt {
    type Kept = ();

    const NAME: &'static str = "riblt";
    const SETTINGS: &'static str = "riblt 0.1.1: ids of 8 bytes, its own hash; the fewest cells that decode are known \
        beforehand (a real session sends more), and both sides make just those";

    fn kept(_: &[Item]) {}

    fn pair((): &(), workload: &Workload) -> ByRiblt {
        let (first, second) = (workload.first_side(), workload.second_side());
        let cells = fewest(&first, &second, workload.differing().len() + workload.updated());
        ByRiblt { first, second, cells }
    }

    fn session(&self) -> Session {
        let mut session = Session { round_trips: 1, ..Session::default() };
        let mut sent = table(&self.second, self.cells).coded_symbols;
        sent.truncate(self.cells);
        let coded_symbols: Vec<CodedSymbol<Id>> = session.send(&sent);
        let mut mine = table(&self.first, self.cells);
        let mut difference = mine.collapse(&UnmanagedRatelessIBLT { coded_symbols });
        session.ids = Some(difference.peel_all_symbols().len());
        assert!(difference.is_empty());
        session
    }

    fn skipped(differing: usize) -> Option<&'static str> {
        (differing > 10_000).then_some("riblt looks through all cells for each id it takes out: minutes")
    }
}
