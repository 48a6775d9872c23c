//! Keys, their place in token order, and their text form.

use std::fmt;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Why bytes or text are no key. Nothing is changed by such an error.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// A key has at least one byte.
    #[error("a key has at least 1 byte")]
    Empty,
    /// A key has at most [`KEY_BYTES_MAX`] bytes.
    #[error("a key has at most {KEY_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A percent sign that two hexadecimal digits do not follow.
    #[error("'%' must be followed by two hexadecimal digits (at byte {0}); write a percent sign as %25")]
    BadPercent(usize),
}

/// A key: 1 to 1,024 bytes of any kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Key(Bytes);

/// The place of a key in token order: the first 64 bits, big endian, of the BLAKE3 hash of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

/// RFC 3986 "unreserved", and the slash, stand for themselves.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, KeyError> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => Err(KeyError::Empty),
            n if n > KEY_BYTES_MAX => Err(KeyError::TooLong(n)),
            _ => Ok(Self(bytes)),
        }
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key's place in token order.
    pub fn token(&self) -> Token {
        Token(crate::Hash(*blake3::hash(&self.0).as_bytes()).short())
    }

    /// The key as text: RFC 3986 unreserved characters and slashes as they are, every other byte `%XX`.
    pub fn to_percent(&self) -> String {
        percent_encode(&self.0, KEPT).to_string()
    }

    /// The key that this text stands for. Strict: a `%` without two hexadecimal digits is an error.
    pub fn from_percent(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Vec::with_capacity(text.len().min(KEY_BYTES_MAX * 3));
        let mut rest = text.bytes().enumerate();
        while let Some((at, byte)) = rest.next() {
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digit = |next: Option<(usize, u8)>| next.and_then(|(_, b)| char::from(b).to_digit(16));
            match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => return Err(KeyError::BadPercent(at)),
            }
        }
        Self::new(bytes)
    }
}

impl TryFrom<Bytes> for Key {
    type Error = KeyError;

    fn try_from(bytes: Bytes) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}

impl From<Key> for Bytes {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_percent())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.to_percent())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_1_to_1024_bytes() {
        assert_eq!(Key::new(vec![]), Err(KeyError::Empty));
        assert!(Key::new(vec![0; 1024]).is_ok());
        assert_eq!(Key::new(vec![0; 1025]), Err(KeyError::TooLong(1025)));
    }

    #[test]
    fn a_bad_percent_sign_is_named_by_its_place() {
        for (text, at) in [("a%", 1), ("%4", 0), ("ab%zz", 2), ("%%41", 0), ("%é", 0)] {
            assert_eq!(Key::from_percent(text), Err(KeyError::BadPercent(at)), "{text}");
        }
        assert_eq!(Key::from_percent("a%2Fb%00").unwrap().as_bytes(), b"a/b\0");
    }

    #[test]
    fn tokens_are_the_head_of_blake3() {
        let key = Key::new(&b"etc/hosts"[..]).unwrap();
        let head: [u8; 8] = blake3::hash(b"etc/hosts").as_bytes()[..8].try_into().unwrap();
        assert_eq!(key.token(), Token(u64::from_be_bytes(head)));
    }

    proptest! {
        #[test]
        fn any_key_reads_back_from_its_text(bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
            let key = Key::new(bytes).unwrap();
            prop_assert_eq!(Key::from_percent(&key.to_percent()), Ok(key));
        }
    }
}
