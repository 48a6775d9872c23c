//! Data: what the receiver lacks.

use bytes::Bytes;
use model::{Delta, DeltaSibling, Dot, Expiry, Hash, Key, Sibling};

use super::primitives::{Packer, Unpacker};
use super::shape::{
    EXPIRES, Head, KNOWN, Shape, TYPED, pack_expiry, pack_shape, unpack_expiry, unpack_head, unpack_shape,
};
use super::{ITEMS_A_FRAME_MAX, Malformed};

/// Which key an item is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This one, which nobody named.
    Key(Key),
    /// One that the receiver named; so many names lie between it and the last one sent something of.
    Name(u64),
    /// The next one that the receiver wanted.
    Next,
}

/// What the receiver lacks of one entry; a delta that is blank says that there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose.
    pub place: Place,
    /// What.
    pub delta: Delta,
    /// Bytes that its full siblings take in the frame: known once it was packed or unpacked.
    pub sibling_bytes: usize,
}

/// A frame of data, and how many of its bytes are full siblings.
pub fn pack_data(items: &[Item]) -> (Bytes, usize) {
    let mut out = Packer::new(items.iter().map(|item| &item.delta.context));
    let mut sibling_bytes = 0;
    for item in items {
        sibling_bytes += pack_item(item, &mut out);
    }
    (out.finish(), sibling_bytes)
}

/// The items of a frame.
pub fn unpack_data(frame: Bytes) -> Result<Vec<Item>, Malformed> {
    let mut from = Unpacker::new(frame)?;
    let mut items = Vec::new();
    while !from.is_done() {
        if items.len() >= ITEMS_A_FRAME_MAX {
            return Err(Malformed::TooMany);
        }
        items.push(unpack_item(&mut from)?);
    }
    Ok(items)
}

fn pack_item(item: &Item, out: &mut Packer) -> usize {
    let delta = &item.delta;
    let dots: Vec<Dot> = delta.siblings.iter().map(DeltaSibling::dot).collect();
    let head = Head { context: &delta.context, last_expiry: delta.last_expiry };
    let full = || delta.siblings.iter().filter_map(DeltaSibling::full);
    let mut flags = head.flags(&dots);
    if !head.is_blank(&dots) {
        let expires = full().any(|s| s.expiry() != Expiry::NEVER);
        flags |= u8::from(expires) * EXPIRES;
        flags |= u8::from(full().any(|s| s.content_type().is_some())) * TYPED;
        flags |= u8::from(delta.rests_on_held()) * KNOWN;
    }
    let place = match &item.place {
        Place::Key(_) => 0,
        Place::Name(_) => 1,
        Place::Next => 2,
    };
    pack_shape(flags, place, dots.len(), out);
    match &item.place {
        Place::Key(key) => out.key(key),
        Place::Name(skipped) => out.varint(*skipped),
        Place::Next => {}
    }
    if head.is_blank(&dots) {
        return 0;
    }
    head.pack(flags, &dots, out);
    delta.siblings.iter().map(|sibling| pack_sibling(sibling, flags, out)).sum()
}

fn pack_sibling(sibling: &DeltaSibling, flags: u8, out: &mut Packer) -> usize {
    if flags & KNOWN != 0 {
        out.body.push(u8::from(sibling.full().is_some()));
    }
    let before = out.body.len();
    out.dot(sibling.dot());
    let Some(full) = sibling.full() else { return 0 };
    if flags & EXPIRES != 0 {
        pack_expiry(full.expiry(), out);
    }
    if flags & TYPED != 0 {
        out.varint(full.content_type().map_or(0, |text| text.len() as u64 + 1));
        out.bytes(full.content_type().unwrap_or_default().as_bytes());
    }
    out.varint(full.value().len() as u64);
    out.bytes(full.value());
    out.bytes(&full.hash().0);
    out.body.len() - before
}

fn unpack_item(from: &mut Unpacker) -> Result<Item, Malformed> {
    let shape = unpack_shape(from)?;
    let place = match shape.place {
        0 => Place::Key(from.key()?),
        1 => Place::Name(from.varint()?),
        2 => Place::Next,
        _ => return Err(Malformed::Impossible),
    };
    if shape.is_blank() {
        return Ok(Item { place, delta: Delta::default(), sibling_bytes: 0 });
    }
    let (context, last_expiry) = unpack_head(shape, from)?;
    let mut delta = Delta { context, last_expiry, siblings: Vec::new() };
    let mut sibling_bytes = 0;
    for _ in 0..shape.siblings() {
        let (sibling, bytes) = unpack_sibling(shape, from)?;
        delta.context.insert(sibling.dot());
        delta.siblings.push(sibling);
        sibling_bytes += bytes;
    }
    Ok(Item { place, delta, sibling_bytes })
}

fn unpack_sibling(shape: Shape, from: &mut Unpacker) -> Result<(DeltaSibling, usize), Malformed> {
    let full = !shape.has(KNOWN) || from.byte()? != 0;
    let before = from.left();
    let dot = from.dot()?;
    if !full {
        return Ok((DeltaSibling::Known(dot), 0));
    }
    let expiry = if shape.has(EXPIRES) { unpack_expiry(from)? } else { Expiry::NEVER };
    let content_type = match if shape.has(TYPED) { from.varint()? } else { 0 } {
        0 => None,
        more => {
            let text = from.bytes(more - 1)?;
            Some(String::from_utf8(text.to_vec()).map_err(|_| Malformed::Impossible)?)
        }
    };
    let length = from.varint()?;
    let value = from.bytes(length)?;
    let hash = Hash(from.array()?);
    let sibling = Sibling::checked(dot, value, content_type, expiry, hash).map_err(|_| Malformed::Hash)?;
    Ok((DeltaSibling::Full(sibling), before - from.left()))
}
