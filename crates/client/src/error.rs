//! What can go wrong on the client's side of the API.

use serde::Deserialize;

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An endpoint that is none. Nothing was sent.
    #[error("{endpoint:?} is no endpoint: {reason}")]
    BadEndpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A client without an endpoint. Nothing was sent.
    #[error("no endpoint was given")]
    NoEndpoint,
    /// An argument that no request can carry, such as a content type with a line break. Nothing
    /// was sent.
    #[error("the request cannot be made: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The node refused or failed, and said why. [`Problem::stored_nothing`] tells whether a
    /// write may have been stored all the same.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// No connection, or it broke, or no answer came in time.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// The last endpoint that was tried.
        endpoint: String,
        /// What happened, from the outermost cause to the innermost.
        reason: String,
        /// True when the request may have arrived: a write may be stored.
        sent: bool,
    },
    /// The answer is none of this API: a proxy's, or another server's. A write may be stored.
    #[error("{endpoint} gave an answer that is not Mangrove's: {reason}")]
    Decode {
        /// Who answered.
        endpoint: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The answer is longer than [`crate::ClientOptions::answer_bytes_max`]; the rest was not
    /// read.
    #[error("{endpoint} gave an answer of more than {limit_bytes} bytes")]
    AnswerTooLarge {
        /// Who answered.
        endpoint: String,
        /// The limit in bytes.
        limit_bytes: usize,
    },
}

/// A problem document (RFC 9457), as a node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{title}: {detail} ({status})")]
pub struct Problem {
    /// `urn:mangrove:problem:` and the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do next.
    pub detail: String,
    /// The path and query it answers, unless very long.
    #[serde(default)]
    pub instance: Option<String>,
    /// When to try again, in seconds, if the node said so.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
    /// The context token that came with it: a tombstone's 404 carries one.
    #[serde(skip)]
    pub context: Option<String>,
}

impl Problem {
    /// The kind alone: `not-ready`, `value-too-large`. Empty when it is none of Mangrove's.
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix("urn:mangrove:problem:").unwrap_or_default()
    }

    /// True when the request certainly changed nothing.
    pub fn stored_nothing(&self) -> bool {
        let refused = (400..500).contains(&self.status) || self.status == 501;
        refused || matches!(self.slug(), "not-ready" | "overloaded")
    }
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat the cause in the text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
