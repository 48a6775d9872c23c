//! Mangrove's data model: what is stored under a key, how two replicas' versions of it become one, and
//! the exact bytes that are hashed, stored and handed to clients.
//!
//! Everything here is a pure value: no IO, no clock, no task. The rules are those of dotted version
//! vectors with a floor: an [`Entry`] is a [`Context`] (which writes it has seen) and zero or more
//! [`Sibling`]s (concurrent values). [`Entry::merge`] is a join, so replicas may exchange entries in any
//! order, any number of times, and end equal. (Preguiça, Baquero, Almeida, Fonte, Gonçalves, "Dotted
//! Version Vectors", 2012; the optimised-OR-set merge of Bieniusa et al., "An optimized conflict-free
//! replicated set", 2012.)
//!
//! | file | what it holds |
//! |---|---|
//! | `ids` | node, writer and cluster ids, the digest key |
//! | `key` | [`Key`], [`Token`], percent-encoding |
//! | `time` | [`Hlc`], [`Dot`], [`Expiry`] |
//! | `context` | [`Context`]: floor and greatest timestamp per writer |
//! | `entry` | [`Sibling`], [`Entry`], merge |
//! | `delta` | what one replica must send another so that both hold the same entry |
//! | `canonical` | the bytes that are hashed, written by hand |
//! | `stored` | the form in which an entry is kept on disk |
//! | `seen` | what a client has seen, and how much of that a node may act on |
//! | `context_token` | that as a client carries it, bound by a MAC |

pub mod canonical;
mod context;
pub mod context_token;
mod delta;
mod entry;
mod ids;
mod key;
mod seen;
pub mod stored;
mod time;

pub use context::Context;
pub use context_token::{TokenError, TokenKey};
pub use delta::{Delta, DeltaSibling, MissingSibling, Summary};
pub use entry::{Entry, EntryError, Merged, Sibling};
pub use ids::{ClusterId, DigestKey, Hash, IdError, NodeId, WriterId};
pub use key::{KEY_BYTES_MAX, Key, KeyError, Token};
pub use seen::Seen;
pub use stored::FormError;
pub use time::{Dot, Expiry, Hlc};
