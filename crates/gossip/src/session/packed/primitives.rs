//! Numbers, and what the items of a frame share: writers, and the newest time.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use model::{Context, Dot, Hlc, Key, WriterId};

use super::Malformed;

/// Appends a number in groups of seven bits.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes the items of a frame.
#[derive(Debug)]
pub struct Packer {
    newest: u64,
    writers: Vec<WriterId>,
    places: BTreeMap<WriterId, u64>,
    /// The items so far.
    pub body: Vec<u8>,
}

impl Packer {
    /// For a frame of items with these contexts. Each dot of an item is covered by its context.
    pub fn new<'a>(contexts: impl Iterator<Item = &'a Context>) -> Self {
        let newest = contexts.map(Context::newest).max().unwrap_or_default().millis();
        Self { newest, writers: Vec::new(), places: BTreeMap::new(), body: Vec::new() }
    }

    pub fn varint(&mut self, number: u64) {
        put_varint(&mut self.body, number);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    pub fn key(&mut self, key: &Key) {
        self.varint(key.as_bytes().len() as u64);
        self.bytes(key.as_bytes());
    }

    pub fn time(&mut self, time: Hlc) {
        // A time above the newest cannot be, and would only come out as another one.
        let before = self.newest.saturating_sub(time.millis());
        let counter = time.counter();
        self.varint(before << 1 | u64::from(counter != 0));
        if counter != 0 {
            self.varint(u64::from(counter));
        }
    }

    pub fn dot(&mut self, dot: Dot) {
        let next = self.writers.len() as u64;
        let place = *self.places.entry(dot.writer).or_insert(next);
        if place == next {
            self.writers.push(dot.writer);
        }
        self.varint(place);
        self.time(dot.hlc);
    }

    /// The whole frame.
    pub fn finish(self) -> Bytes {
        let mut out = Vec::with_capacity(self.body.len() + 20 + 8 * self.writers.len());
        put_varint(&mut out, self.newest);
        put_varint(&mut out, self.writers.len() as u64);
        for writer in &self.writers {
            out.extend_from_slice(&writer.0.to_le_bytes());
        }
        out.extend_from_slice(&self.body);
        out.into()
    }
}

/// Reads the items of a frame.
#[derive(Debug)]
pub struct Unpacker {
    newest: u64,
    writers: Vec<WriterId>,
    rest: Bytes,
}

impl Unpacker {
    pub fn new(frame: Bytes) -> Result<Self, Malformed> {
        let mut reader = Self { newest: 0, writers: Vec::new(), rest: frame };
        reader.newest = reader.varint()?;
        if reader.newest > Hlc::MILLIS_MAX {
            return Err(Malformed::Impossible);
        }
        let writers = reader.varint()?;
        if writers > reader.rest.len() as u64 / 8 {
            return Err(Malformed::Short);
        }
        for _ in 0..writers {
            let writer = u64::from_le_bytes(reader.array()?);
            reader.writers.push(WriterId(writer));
        }
        Ok(reader)
    }

    /// Whether there is nothing more.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.rest.first().ok_or(Malformed::Short)?;
        self.rest.advance(1);
        Ok(byte)
    }

    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(Malformed::Impossible);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Impossible)
    }

    /// So many bytes, without copying them.
    pub fn bytes(&mut self, length: u64) -> Result<Bytes, Malformed> {
        if length > self.rest.len() as u64 {
            return Err(Malformed::Short);
        }
        Ok(self.rest.split_to(length as usize))
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let array = *self.rest.first_chunk().ok_or(Malformed::Short)?;
        self.rest.advance(N);
        Ok(array)
    }

    pub fn key(&mut self) -> Result<Key, Malformed> {
        let length = self.varint()?;
        Key::new(self.bytes(length)?).map_err(|_| Malformed::Impossible)
    }

    pub fn time(&mut self) -> Result<Hlc, Malformed> {
        let code = self.varint()?;
        let millis = self.newest.checked_sub(code >> 1).ok_or(Malformed::Impossible)?;
        let counter = if code & 1 == 1 { self.varint()? } else { 0 };
        let counter = u16::try_from(counter).map_err(|_| Malformed::Impossible)?;
        Ok(Hlc::new(millis, counter))
    }

    pub fn dot(&mut self) -> Result<Dot, Malformed> {
        let place = usize::try_from(self.varint()?).map_err(|_| Malformed::Impossible)?;
        let writer = *self.writers.get(place).ok_or(Malformed::Impossible)?;
        Ok(Dot { hlc: self.time()?, writer })
    }
}
