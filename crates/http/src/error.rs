//! Why a service could not do what a client asked.

/// A refusal or a failure of a [`crate::Service`].
///
/// "Nothing stored" means that the key is as it was before the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// 503 with `Retry-After`: not joined yet, behind, or stopping. Nothing stored.
    #[error("not ready: {reason}")]
    NotReady {
        /// One sentence for people, shown to the client.
        reason: String,
    },
    /// 503: this node's disk or engine failed and its writes stopped for good. An earlier
    /// acknowledged write is not affected; this one may or may not be on disk.
    #[error("stopped: {reason}")]
    Stopped {
        /// What failed, shown to the client.
        reason: String,
    },
    /// 400: the context token was not made by this cluster for this key. Nothing stored.
    #[error("bad context token: {reason}")]
    BadContext {
        /// What is wrong with it, shown to the client.
        reason: String,
    },
    /// 400: the time after which the value is to expire is none that a value can have. Nothing stored.
    #[error("bad ttl: {reason}")]
    BadTtl {
        /// What is wrong with it, shown to the client.
        reason: String,
    },
    /// 413: the value is over the coordinator's limit. Nothing stored.
    #[error("value over {limit_bytes} bytes")]
    ValueTooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// 409: the write would leave more siblings than the limit. Nothing stored.
    #[error("more than {limit} siblings")]
    TooManySiblings {
        /// Greatest number of siblings.
        limit: usize,
    },
    /// 409: the write would leave a context of more components than the limit. Nothing stored.
    #[error("context of more than {limit} components")]
    ContextTooLarge {
        /// Greatest number of components.
        limit: usize,
    },
    /// 404: no member of this name or id.
    #[error("no member {name}")]
    NoSuchMember {
        /// As it was given.
        name: String,
        /// The names that there are, shown to the client.
        members: Vec<String>,
        /// That it was a member, and what became of it, as a sentence; shown to the client.
        removed: Option<String>,
    },
    /// 409: the member named is this very node.
    #[error("{name} is this node")]
    NotAPeer {
        /// Its name.
        name: String,
    },
    /// 409: the member does not answer.
    #[error("{name} is down")]
    MemberDown {
        /// Its name.
        name: String,
    },
    /// 409: what an operator asks for would lose data, or might. Nothing has changed.
    #[error("refused: {detail}")]
    ActRefused {
        /// Why.
        why: ActRefused,
        /// What would be lost and what to do, in sentences, shown to the client.
        detail: String,
    },
    /// 403: the node was not started with `--allow-drills`.
    #[error("drills are not allowed")]
    DrillsNotAllowed,
    /// 503: not done in time. What was asked for may or may not be done, now or a little later.
    #[error("timed out: {reason}")]
    Timeout {
        /// What was waited for, and where to look whether it was done, shown to the client.
        reason: String,
    },
    /// 500: a defect. The reason goes to the log, not to the client. A write may or may not be
    /// stored.
    #[error("internal error: {reason}")]
    Internal {
        /// What went wrong, for the log.
        reason: String,
    },
}

/// Why a node does not leave, or a member is not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActRefused {
    /// The node that is to leave is no member any more.
    NotAMember,
    /// It is the last member.
    LastMember,
    /// All others are leaving, too.
    NobodyStays,
    /// The member to be removed is the very node that is asked.
    Oneself,
    /// The member to be removed answers.
    MemberAnswers,
    /// Too few members promise it.
    NoMajority,
}
