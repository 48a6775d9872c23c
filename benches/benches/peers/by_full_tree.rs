//! A hash tree of a fixed number of leaves that is made for each session and sent whole, in the shape that Cassandra
//! uses: 2^15 leaves over the tokens, and all rows of each leaf that differs.

use crate::method::{Method, Session};
use crate::workload::{Item, Name, Workload, differing_between};

const LEAF_BITS: u32 = 15;
type Hash = [u8; 32];

/// A side: its entries in order of token.
type Rows = Vec<(u64, Item)>;

/// Two replicas.
pub struct ByFullTree {
    first: Rows,
    second: Rows,
}

fn by_token(items: &[Item]) -> Rows {
    let token = |name: &Name| u64::from_be_bytes(blake3::hash(name).as_bytes()[..8].try_into().unwrap());
    let mut rows: Rows = items.iter().map(|item| (token(&item.0), *item)).collect();
    rows.sort_unstable();
    rows
}

fn leaf(token: u64) -> u32 {
    (token >> (64 - LEAF_BITS)) as u32
}

/// The hashes of the leaves: those of the rows, folded together by exclusive or.
fn leaves(rows: &Rows) -> Vec<Hash> {
    let mut leaves = vec![[0; 32]; 1 << LEAF_BITS];
    for (token, (name, digest)) in rows {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name).update(&digest.to_be_bytes());
        let of_leaf: &mut Hash = &mut leaves[leaf(*token) as usize];
        of_leaf.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(all, one)| *all ^= one);
    }
    leaves
}

/// Key and version of each row in some leaves, by key.
fn rows_of(rows: &Rows, leaves: &[u32]) -> Vec<Item> {
    let mut found = Vec::new();
    for wanted in leaves {
        let from = rows.partition_point(|row| leaf(row.0) < *wanted);
        found.extend(rows[from..].iter().take_while(|row| leaf(row.0) == *wanted).map(|row| row.1));
    }
    found
}

/// What is sent of a row, values not counted: the key and 8 bytes of its version.
fn sent(rows: &[Item]) -> Vec<(Name, [u8; 8])> {
    rows.iter().map(|(name, digest)| (*name, (*digest as u64).to_be_bytes())).collect()
}

fn received(rows: &[(Name, [u8; 8])]) -> Vec<Item> {
    let mut rows: Vec<Item> = rows.iter().map(|row| (row.0, u64::from_be_bytes(row.1).into())).collect();
    rows.sort_unstable();
    rows
}

impl Method for ByFullTree {
    /// The hashes, while a session runs.
    type Kept = Vec<Hash>;

    const NAME: &'static str = "full tree, 2^15 leaves";
    const SETTINGS: &'static str = "as Cassandra has it: made from all rows in each session, hashes of 32 bytes, whole \
        leaves streamed both ways; only the leaves' hashes are sent, since the rest follows from them, and of a row the \
        key and 8 bytes of its version; reading the rows from a disk is not counted";

    fn kept(common: &[Item]) -> Vec<Hash> {
        leaves(&by_token(common))
    }

    fn pair(_: &Vec<Hash>, workload: &Workload) -> ByFullTree {
        ByFullTree { first: by_token(&workload.first_side()), second: by_token(&workload.second_side()) }
    }

    fn session(&self) -> Session {
        let mut session = Session { round_trips: 1, ..Session::default() };
        session.send(&LEAF_BITS);
        let theirs = session.send(&leaves(&self.second));
        let mine = leaves(&self.first);
        let unequal = |(_, (mine, theirs)): &(u32, (&Hash, &Hash))| mine != theirs;
        let differ: Vec<u32> =
            (0..).zip(mine.iter().zip(&theirs)).filter(unequal).map(|(leaf, _)| leaf).collect();
        if differ.is_empty() {
            return session;
        }
        let own = sent(&rows_of(&self.first, &differ));
        let (asked, own) = session.send(&(differ, own));
        session.round_trips += 1;
        let rows = session.send(&sent(&rows_of(&self.second, &asked)));
        session.rows = own.len() + rows.len();
        session.found = differing_between(&received(&own), &received(&rows));
        session
    }
}
