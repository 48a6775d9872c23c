//! What the benches share: keys, entries, engines, and pairs of replicas that differ, and a search
//! played by both sides. Everything is the same in each run.
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

mod engines;
mod lazy;
mod pair;
mod search;
mod sorted_pair;
mod store_pair;

use bytes::Bytes;
use model::{Context, DigestKey, Dot, Entry, Expiry, Hlc, Key, Sibling, WriterId};

pub use engines::{Disk, EngineUnderTest};
pub use lazy::Lazy;
pub use pair::{Differs, Pair};
pub use search::{Cost, search};
pub use sorted_pair::{Sorted, SortedPair};
pub use store_pair::{StorePair, fill, open_store, overwrite};

/// As in the program: see its `main`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The digest key of every store in the benches.
pub const DIGEST_KEY: DigestKey = DigestKey([7; 32]);

/// A key of 16 bytes. Keys ascend with their numbers; their tokens are spread at random.
pub fn key(number: u64) -> Key {
    Key::new([number.to_be_bytes(), (!number).to_be_bytes()].concat()).unwrap()
}

/// A value of this many bytes.
pub fn value(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// The id of the write that a writer makes at this millisecond.
pub fn dot(millis: u64, writer: u64) -> Dot {
    Dot { hlc: Hlc::new(millis, 0), writer: WriterId(writer) }
}

/// An entry with one value, as after the first write of its key.
pub fn entry(dot: Dot, value: Bytes) -> Entry {
    written(Entry::default(), &Context::default(), dot, value)
}

/// `held` after a client's write that replaces what `seen` covers.
pub fn written(mut held: Entry, seen: &Context, dot: Dot, value: Bytes) -> Entry {
    held.write(seen, dot, Some(Sibling::new(dot, value, None, Expiry::NEVER)));
    held
}

/// `held` after a client's write that replaces all of it.
pub fn overwritten(held: Entry, dot: Dot, value: Bytes) -> Entry {
    let seen = held.context().clone();
    written(held, &seen, dot, value)
}
