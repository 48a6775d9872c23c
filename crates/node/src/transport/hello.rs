//! The first exchange on a connection: who calls, and whether the other side takes it.
//!
//! Each of these frames begins with nine bytes that no wire version may change: a magic word, the
//! kind, and two version numbers. What follows is bincode; a later version may append to it, and
//! this one ignores what it does not know.

use bytes::{BufMut, Bytes, BytesMut};
use model::{ClusterId, NodeId, WriterId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::identity::{Contact, check_texts};
use super::refusal::{Refusal, RefusalCode};

/// Bytes before the body of a first frame or its answer.
pub(super) const PRELUDE_BYTES: usize = 9;
const MAGIC: [u8; 4] = *b"MGRV";
const BODY_BYTES_MAX: usize = 2 << 10;

const KIND_HELLO: u8 = 1;
const KIND_JOIN: u8 = 2;
const KIND_WELCOME: u8 = 16;
const KIND_REFUSED: u8 = 17;
const KIND_JOINED: u8 = 18;

/// Says who calls, and whom it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub cluster: ClusterId,
    pub from: NodeId,
    pub to: Option<NodeId>,
    pub life: WriterId,
    pub name: String,
    pub contact: Contact,
}

/// Says who was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub from: NodeId,
    pub life: WriterId,
}

/// The first frame of an accepted connection, with the versions that the caller speaks.
#[derive(Debug)]
pub(super) struct First {
    pub wire_min: u16,
    pub wire_max: u16,
    pub asks: Asks,
}

/// What a caller wants.
#[derive(Debug)]
pub(super) enum Asks {
    /// To send frames; the body is read once a common version is known.
    Hello(Bytes),
    /// To join the cluster.
    Join(Bytes),
}

/// What the first frame is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    Welcome { wire: u16, welcome: Welcome },
    Refused(Refusal),
    Joined(Bytes),
}

/// Why a first frame or its answer cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum FormError {
    #[error("does not begin as Mangrove's frames do")]
    NotOurs,
    #[error("is of unknown kind {0}")]
    Kind(u8),
    #[error("has {0} bytes, more than a first frame may have")]
    TooLong(usize),
    #[error("cannot be decoded: {0}")]
    Body(String),
}

impl Hello {
    pub(super) fn encode(&self, wire_min: u16, wire_max: u16) -> Result<Bytes, FormError> {
        Ok(frame(KIND_HELLO, wire_min, wire_max, &encode(self)?))
    }

    pub(super) fn decode(body: &[u8]) -> Result<Hello, FormError> {
        let hello: Hello = decode(body)?;
        check_texts(&hello.name, &hello.contact).map_err(|e| FormError::Body(e.to_string()))?;
        Ok(hello)
    }
}

pub(super) fn encode_join(wire_min: u16, wire_max: u16, request: &[u8]) -> Bytes {
    frame(KIND_JOIN, wire_min, wire_max, request)
}

impl First {
    pub(super) fn decode(bytes: Bytes, hello_bytes_max: usize) -> Result<First, FormError> {
        let length = bytes.len();
        let (kind, wire_min, wire_max, body) = open(bytes)?;
        let asks = match kind {
            KIND_HELLO if length > hello_bytes_max => return Err(FormError::TooLong(length)),
            KIND_HELLO => Asks::Hello(body),
            KIND_JOIN => Asks::Join(body),
            other => return Err(FormError::Kind(other)),
        };
        Ok(First { wire_min, wire_max, asks })
    }
}

impl Answer {
    pub(super) fn encode(&self, wire_min: u16, wire_max: u16) -> Result<Bytes, FormError> {
        Ok(match self {
            Answer::Welcome { wire, welcome } => frame(KIND_WELCOME, *wire, *wire, &encode(welcome)?),
            Answer::Refused(refusal) => {
                let body = encode(&(refusal.code.number(), refusal.reason.as_str()))?;
                frame(KIND_REFUSED, wire_min, wire_max, &body)
            }
            Answer::Joined(bytes) => frame(KIND_JOINED, wire_min, wire_max, bytes),
        })
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Answer, FormError> {
        let (kind, wire, _, body) = open(bytes)?;
        match kind {
            KIND_WELCOME => Ok(Answer::Welcome { wire, welcome: decode(&body)? }),
            KIND_REFUSED => {
                let (code, reason): (u8, String) = decode(&body)?;
                Ok(Answer::Refused(Refusal::new(RefusalCode::from_number(code), reason)))
            }
            KIND_JOINED => Ok(Answer::Joined(body)),
            other => Err(FormError::Kind(other)),
        }
    }
}

fn frame(kind: u8, low: u16, high: u16, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PRELUDE_BYTES + body.len());
    bytes.put_slice(&MAGIC);
    bytes.put_u8(kind);
    bytes.put_u16(low);
    bytes.put_u16(high);
    bytes.put_slice(body);
    bytes.freeze()
}

fn open(mut bytes: Bytes) -> Result<(u8, u16, u16, Bytes), FormError> {
    let body = if bytes.len() < PRELUDE_BYTES { None } else { Some(bytes.split_off(PRELUDE_BYTES)) };
    match (bytes.as_ref(), body) {
        (&[a, b, c, d, kind, low_1, low_2, high_1, high_2], Some(body)) if [a, b, c, d] == MAGIC => {
            Ok((kind, u16::from_be_bytes([low_1, low_2]), u16::from_be_bytes([high_1, high_2]), body))
        }
        _ => Err(FormError::NotOurs),
    }
}

fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, FormError> {
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    bincode::serde::encode_to_vec(body, config).map_err(|e| FormError::Body(e.to_string()))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FormError> {
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    match bincode::serde::decode_from_slice(body, config) {
        Ok((value, _)) => Ok(value),
        Err(e) => Err(FormError::Body(e.to_string())),
    }
}
