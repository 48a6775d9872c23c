//! Ids that name nodes, lives and clusters, and the key that all of a cluster's digests share.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that should be an id and is not: ids are lower-case hexadecimal of a fixed length.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an id is {expected} hexadecimal digits")]
pub struct IdError {
    /// How many digits this kind of id has.
    pub expected: usize,
}

macro_rules! id64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { expected: 16 };
                if text.len() != 16 || text.starts_with('+') {
                    return Err(wrong);
                }
                u64::from_str_radix(text, 16).map(Self).map_err(|_| wrong)
            }
        }
    };
}

id64! {
    /// A node, for as long as its data directory lives. Random, made once.
    NodeId
}
id64! {
    /// One life of a node: random, made at each start and whenever one of the node's records is found
    /// lost, so that a node never claims to have seen what an earlier life wrote.
    WriterId
}

/// A cluster: random, made once at founding. Clusters of different ids never merge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

impl FromStr for ClusterId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = IdError { expected: 32 };
        if text.len() != 32 || text.starts_with('+') {
            return Err(wrong);
        }
        let n = u128::from_str_radix(text, 16).map_err(|_| wrong)?;
        Ok(Self(n.to_be_bytes()))
    }
}

/// The key of every digest in a cluster, made at founding and handed over in a join, never rotated: a
/// new one would make every entry differ. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestKey(pub [u8; 32]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(hidden)")
    }
}

/// A BLAKE3 hash, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The first 8 bytes, big endian: enough to notice by accident-free chance that two values differ.
    pub fn short(&self) -> u64 {
        self.0.iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte))
    }

    /// The first 4 bytes, big endian.
    pub fn brief(&self) -> u32 {
        (self.short() >> 32) as u32
    }

    /// The first 16 bytes in hexadecimal, 32 digits.
    pub fn head(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, self.0.first_chunk::<16>().map_or(&[], |head| head));
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |of: u8| DIGITS.get(usize::from(of & 15)).copied().unwrap_or('0');
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(*byte)]));
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    f.write_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_from_their_text() {
        let node = NodeId(0x00ab);
        assert_eq!(node.to_string(), "00000000000000ab");
        assert_eq!(node.to_string().parse(), Ok(node));
        let cluster = ClusterId([7; 16]);
        assert_eq!(cluster.to_string().parse(), Ok(cluster));
        for wrong in ["", "ab", "+0000000000000ab", "zz000000000000ab"] {
            assert_eq!(wrong.parse::<NodeId>(), Err(IdError { expected: 16 }), "{wrong}");
        }
    }

    #[test]
    fn a_hash_prints_itself_in_hexadecimal() {
        let hash = Hash(std::array::from_fn(|at| at as u8 * 8 + 3));
        assert_eq!(hash.to_string(), "030b131b232b333b434b535b636b737b838b939ba3abb3bbc3cbd3dbe3ebf3fb");
        assert_eq!(hash.head(), &hash.to_string()[..32]);
    }

    #[test]
    fn a_digest_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", DigestKey([1; 32])), "DigestKey(hidden)");
    }
}
