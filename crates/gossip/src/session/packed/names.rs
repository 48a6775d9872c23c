//! Names: keys and what is held of them. Wants: what is lacking of what was named.

use bytes::Bytes;
use model::{Dot, Key, Summary};

use super::primitives::{Packer, Unpacker};
use super::shape::{Head, Shape, pack_shape, unpack_head, unpack_shape};
use super::{Malformed, NAMES_A_FRAME_MAX};

/// A key that differs, and what the namer holds under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The key.
    pub key: Key,
    /// What is held.
    pub summary: Summary,
}

/// A name of which the joiner lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// How many names lie between the last one wanted and this one.
    pub skipped: u64,
    /// What the joiner holds.
    pub held: Summary,
}

/// A frame of names.
pub fn pack_names(names: &[Name]) -> Bytes {
    let mut out = Packer::new(names.iter().map(|name| &name.summary.context));
    for name in names {
        pack_summary(&name.summary, Some(&name.key), &mut out);
    }
    out.finish()
}

/// The names of a frame.
pub fn unpack_names(frame: Bytes) -> Result<Vec<Name>, Malformed> {
    let mut from = Unpacker::new(frame)?;
    let mut names = Vec::new();
    while !from.is_done() {
        if names.len() >= NAMES_A_FRAME_MAX {
            return Err(Malformed::TooMany);
        }
        let shape = unpack_shape(&mut from)?;
        let key = from.key()?;
        names.push(Name { key, summary: unpack_summary(shape, &mut from)? });
    }
    Ok(names)
}

/// A frame of wants.
pub fn pack_wants(wants: &[Want]) -> Bytes {
    let mut out = Packer::new(wants.iter().map(|want| &want.held.context));
    for want in wants {
        out.varint(want.skipped);
        pack_summary(&want.held, None, &mut out);
    }
    out.finish()
}

/// The wants of a frame.
pub fn unpack_wants(frame: Bytes) -> Result<Vec<Want>, Malformed> {
    let mut from = Unpacker::new(frame)?;
    let mut wants = Vec::new();
    while !from.is_done() {
        if wants.len() >= NAMES_A_FRAME_MAX {
            return Err(Malformed::TooMany);
        }
        let skipped = from.varint()?;
        let shape = unpack_shape(&mut from)?;
        wants.push(Want { skipped, held: unpack_summary(shape, &mut from)? });
    }
    Ok(wants)
}

fn pack_summary(summary: &Summary, key: Option<&Key>, out: &mut Packer) {
    let dots: Vec<Dot> = summary.siblings.iter().map(|(dot, _)| *dot).collect();
    let head = Head { context: &summary.context, last_expiry: summary.last_expiry };
    let flags = head.flags(&dots);
    pack_shape(flags, 0, dots.len(), out);
    if let Some(key) = key {
        out.key(key);
    }
    if head.is_blank(&dots) {
        return;
    }
    head.pack(flags, &dots, out);
    for (dot, hash) in &summary.siblings {
        out.dot(*dot);
        out.bytes(&hash.to_le_bytes());
    }
}

fn unpack_summary(shape: Shape, from: &mut Unpacker) -> Result<Summary, Malformed> {
    if shape.is_blank() {
        return Ok(Summary::default());
    }
    let (context, last_expiry) = unpack_head(shape, from)?;
    let mut summary = Summary { context, last_expiry, siblings: Vec::new() };
    for _ in 0..shape.siblings() {
        let dot = from.dot()?;
        summary.context.insert(dot);
        summary.siblings.push((dot, u32::from_le_bytes(from.array()?)));
    }
    Ok(summary)
}
