//! What comes before the siblings of an item: its shape, its context, its last expiry.

use model::{Context, Dot, Expiry, Hlc, WriterId};

use super::Malformed;
use super::primitives::{Packer, Unpacker};

/// The context is what the siblings' dots make up.
pub const PLAIN: u8 = 1;
/// Expiries follow.
pub const EXPIRES: u8 = 2;
/// Content types follow.
pub const TYPED: u8 = 4;
/// Siblings may be named only.
pub const KNOWN: u8 = 8;
/// Nothing is held; with no sibling.
const BLANK: u8 = KNOWN;
const FLAGS: u8 = 0x0f;

/// An item's shape as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    flags: u8,
    /// Bits 6 and 7.
    pub place: u8,
    siblings: u64,
}

impl Shape {
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether nothing is held.
    pub fn is_blank(self) -> bool {
        self.flags == BLANK && self.siblings == 0
    }

    /// How many siblings are said to follow.
    pub fn siblings(self) -> u64 {
        self.siblings
    }
}

/// What an item says before its siblings.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub context: &'a Context,
    pub last_expiry: Expiry,
}

impl Head<'_> {
    /// Whether nothing is held, `dots` being those of the siblings.
    pub fn is_blank(&self, dots: &[Dot]) -> bool {
        dots.is_empty() && self.context.is_empty() && self.last_expiry == Expiry::NONE_YET
    }

    /// The flags of its own, `dots` being those of the siblings.
    pub fn flags(&self, dots: &[Dot]) -> u8 {
        if self.is_blank(dots) {
            return BLANK;
        }
        let plain = self.context.floor() == Hlc::ZERO && extra(self.context, dots).next().is_none();
        let expires = self.last_expiry != Expiry::NEVER;
        (u8::from(plain) * PLAIN) | (u8::from(expires) * EXPIRES)
    }

    /// Writes context and last expiry, in the shape `flags`.
    pub fn pack(&self, flags: u8, dots: &[Dot], out: &mut Packer) {
        if flags & PLAIN == 0 {
            let floor = self.context.floor();
            let extra: Vec<Dot> = extra(self.context, dots).collect();
            out.varint((extra.len() as u64) << 1 | u64::from(floor != Hlc::ZERO));
            if floor != Hlc::ZERO {
                out.time(floor);
            }
            extra.into_iter().for_each(|dot| out.dot(dot));
        }
        if flags & EXPIRES != 0 {
            pack_expiry(self.last_expiry, out);
        }
    }
}

/// Writes the shape's byte and, if need be, the number of siblings.
pub fn pack_shape(flags: u8, place: u8, siblings: usize, out: &mut Packer) {
    out.body.push(flags & FLAGS | (siblings.min(3) as u8) << 4 | place << 6);
    if siblings >= 3 {
        out.varint(siblings as u64);
    }
}

pub fn unpack_shape(from: &mut Unpacker) -> Result<Shape, Malformed> {
    let byte = from.byte()?;
    let siblings = match byte >> 4 & 3 {
        3 => from.varint()?,
        few => u64::from(few),
    };
    // Each takes at least two bytes: what cannot be is noticed before any is read.
    if siblings > from.left() as u64 / 2 {
        return Err(Malformed::Short);
    }
    Ok(Shape { flags: byte & FLAGS, place: byte >> 6, siblings })
}

/// A context without what the siblings' dots, still to be read, will add; and the last expiry.
pub fn unpack_head(shape: Shape, from: &mut Unpacker) -> Result<(Context, Expiry), Malformed> {
    let mut context = Context::default();
    if !shape.has(PLAIN) {
        let code = from.varint()?;
        if code >> 1 > from.left() as u64 / 2 {
            return Err(Malformed::Short);
        }
        if code & 1 == 1 {
            context.raise_floor(from.time()?);
        }
        for _ in 0..code >> 1 {
            context.insert(from.dot()?);
        }
    }
    let last_expiry = if shape.has(EXPIRES) { unpack_expiry(from)? } else { Expiry::NEVER };
    Ok((context, last_expiry))
}

pub fn pack_expiry(expiry: Expiry, out: &mut Packer) {
    let time = expiry.time().unwrap_or(Hlc::MAX);
    out.bytes(&time.as_u64().to_le_bytes());
}

pub fn unpack_expiry(from: &mut Unpacker) -> Result<Expiry, Malformed> {
    Ok(Expiry::at(Hlc::from_u64(u64::from_le_bytes(from.array()?))))
}

/// The components that the dots alone do not make up.
fn extra(context: &Context, dots: &[Dot]) -> impl Iterator<Item = Dot> {
    let told = |writer: WriterId| dots.iter().filter(|d| d.writer == writer).map(|d| d.hlc).max();
    let components = context.greatest().iter().map(|(writer, hlc)| Dot { hlc: *hlc, writer: *writer });
    components.filter(move |component| told(component.writer) != Some(component.hlc))
}
