//! Why a node does not take a connection, as told to the caller.

use std::fmt;

const REASON_CHARS_MAX: usize = 300;

/// A refusal: what a program acts on, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What a program acts on.
    pub code: RefusalCode,
    /// A sentence for people, at most 300 characters, no control characters.
    pub reason: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// The other node belongs to another cluster.
    WrongCluster,
    /// The two programs speak no common wire version.
    NoCommonVersion,
    /// Another node answers at this address.
    NotWhoYouMeant,
    /// The other side has as many connections as it takes.
    TooMany,
    /// The other node has not joined a cluster yet, or is stopping.
    NotReady,
    /// The caller reached itself.
    Yourself,
    /// A code that this version does not know.
    Other(u8),
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, reason: impl Into<String>) -> Refusal {
        let reason = reason.into();
        let reason = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        Refusal { code, reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.reason)
    }
}

impl RefusalCode {
    pub(super) fn number(self) -> u8 {
        match self {
            RefusalCode::WrongCluster => 1,
            RefusalCode::NoCommonVersion => 2,
            RefusalCode::NotWhoYouMeant => 3,
            RefusalCode::TooMany => 4,
            RefusalCode::NotReady => 5,
            RefusalCode::Yourself => 6,
            RefusalCode::Other(number) => number,
        }
    }

    pub(super) fn from_number(number: u8) -> RefusalCode {
        match number {
            1 => RefusalCode::WrongCluster,
            2 => RefusalCode::NoCommonVersion,
            3 => RefusalCode::NotWhoYouMeant,
            4 => RefusalCode::TooMany,
            5 => RefusalCode::NotReady,
            6 => RefusalCode::Yourself,
            other => RefusalCode::Other(other),
        }
    }
}
