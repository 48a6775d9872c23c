//! Asking to join: one question and one answer on a connection of its own.

use std::io;

use bytes::Bytes;
use thiserror::Error;

use super::dial::{DialError, exchange, keep_better, resolve};
use super::hello::{Answer, PRELUDE_BYTES, encode_join};
use super::limits::Limits;
use super::refusal::Refusal;

/// Why nobody answered a request to join. Asking again is always safe.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The name cannot be resolved now.
    #[error("{address} cannot be resolved: {source}")]
    Resolve {
        /// The address as given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody answers at any of the name's addresses.
    #[error("{address} does not answer: {source}")]
    NoAnswer {
        /// The address as given.
        address: String,
        /// What happened at the first of its addresses.
        source: io::Error,
    },
    /// Somebody answers, but does not take the question.
    #[error("{address} {refusal}")]
    Refused {
        /// The address as given.
        address: String,
        /// What it said.
        refusal: Refusal,
    },
    /// What answers is not Mangrove.
    #[error("{address} answers, but not as a Mangrove node: {what}")]
    BadAnswer {
        /// The address as given.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// The request has more bytes than the other side takes. Nothing was sent.
    #[error("a request to join may have {max} bytes, this one has {length}")]
    TooLong {
        /// Bytes of the request.
        length: usize,
        /// Bytes it may have.
        max: usize,
    },
}

/// Asks at `host:port`, resolved now, at each of its addresses until one answers.
pub(super) async fn join(limits: &Limits, address: &str, request: &[u8]) -> Result<Bytes, JoinError> {
    let (length, max) = (request.len(), limits.join_request_bytes_max);
    if length > max {
        return Err(JoinError::TooLong { length, max });
    }
    let named = |error| JoinError::from_dial(address, error);
    let first = encode_join(limits.wire_min, limits.wire_max, request);
    let answer_max = limits.frame_bytes_max.saturating_add(PRELUDE_BYTES);
    let mut kept = None;
    for remote in resolve(address, limits.resolve_time_max).await.map_err(named)? {
        match exchange(limits, remote, first.clone(), answer_max, limits.join_time_max).await {
            Ok((_, _, Answer::Joined(answer))) => return Ok(answer),
            Ok((_, _, Answer::Refused(refusal))) => {
                keep_better(&mut kept, DialError::Refused { remote, refusal });
            }
            Ok((_, _, Answer::Welcome { .. })) => {
                let what = "the answer to another question".to_owned();
                keep_better(&mut kept, DialError::BadAnswer { remote, what });
            }
            Err(error) => keep_better(&mut kept, error),
        }
    }
    Err(kept.map_or_else(|| JoinError::nobody(address), named))
}

impl JoinError {
    fn nobody(address: &str) -> JoinError {
        JoinError::NoAnswer { address: address.to_owned(), source: io::ErrorKind::NotFound.into() }
    }

    /// This node is held apart from all others.
    pub(super) fn isolated(address: &str) -> JoinError {
        let source = io::Error::other("a drill holds this node apart");
        JoinError::NoAnswer { address: address.to_owned(), source }
    }

    fn from_dial(address: &str, error: DialError) -> JoinError {
        let address = address.to_owned();
        match error {
            DialError::Resolve { source, .. } => JoinError::Resolve { address, source },
            DialError::Io { source, .. } => JoinError::NoAnswer { address, source },
            DialError::Refused { refusal, .. } => JoinError::Refused { address, refusal },
            DialError::Isolated => JoinError::isolated(&address),
            DialError::BadAnswer { what, .. } => JoinError::BadAnswer { address, what },
        }
    }
}
