//! The bytes that are hashed, written by hand so that no change of a codec can ever change a root.
//!
//! Every integer is big endian. Everything of variable length stands behind its length, so no two
//! different values have the same bytes. A change here is a new version, and a version switches only
//! when every member offers it: until then each entry would differ from itself elsewhere.

use crate::{Context, DigestKey, Dot, Entry, Expiry, Hash, Key};

/// The version of every form in this file; the first byte of all that is hashed.
pub const VERSION: u8 = 1;

fn dot(out: &mut Vec<u8>, dot: Dot) {
    out.extend_from_slice(&dot.hlc.as_u64().to_be_bytes());
    out.extend_from_slice(&dot.writer.0.to_be_bytes());
}

/// A context: floor (8), number of components (4), each component: writer (8), timestamp (8), in
/// order of writer.
pub fn context(out: &mut Vec<u8>, context: &Context) {
    out.extend_from_slice(&context.floor().as_u64().to_be_bytes());
    out.extend_from_slice(&(context.components() as u32).to_be_bytes());
    for (writer, hlc) in context.greatest() {
        out.extend_from_slice(&writer.0.to_be_bytes());
        out.extend_from_slice(&hlc.as_u64().to_be_bytes());
    }
}

/// The hash of a sibling: BLAKE3 over version (1), dot (16), expiry (8), content type (1 + length 4 +
/// bytes, or one zero byte), value (to the end).
pub fn sibling_hash(of: Dot, value: &[u8], content_type: Option<&str>, expiry: Expiry) -> Hash {
    let mut head = Vec::with_capacity(64);
    head.push(VERSION);
    dot(&mut head, of);
    head.extend_from_slice(&expiry.bits().to_be_bytes());
    match content_type {
        None => head.push(0),
        Some(text) => {
            head.push(1);
            head.extend_from_slice(&(text.len() as u32).to_be_bytes());
            head.extend_from_slice(text.as_bytes());
        }
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head);
    hasher.update(value);
    Hash(*hasher.finalize().as_bytes())
}

/// An entry under its key: version (1), key length (2) and bytes, context, last expiry (8), number of
/// siblings (4), each: dot (16), hash (32), in order of dot.
pub fn entry(key: &Key, of: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + key.as_bytes().len() + 48 * of.siblings().len());
    out.push(VERSION);
    out.extend_from_slice(&(key.as_bytes().len() as u16).to_be_bytes());
    out.extend_from_slice(key.as_bytes());
    context(&mut out, of.context());
    out.extend_from_slice(&of.last_expiry().bits().to_be_bytes());
    out.extend_from_slice(&(of.siblings().len() as u32).to_be_bytes());
    for sibling in of.siblings() {
        dot(&mut out, sibling.dot());
        out.extend_from_slice(&sibling.hash().0);
    }
    out
}

/// The digest of an entry in the tree: the first 128 bits, little endian, of BLAKE3 keyed with the
/// cluster's digest key over [`entry`].
pub fn digest(key: &Key, of: &Entry, digest_key: &DigestKey) -> u128 {
    let hash = blake3::keyed_hash(&digest_key.0, &entry(key, of));
    hash.as_bytes().iter().take(16).rev().fold(0, |n, byte| (n << 8) | u128::from(*byte))
}
