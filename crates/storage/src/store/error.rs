//! What can go wrong in the store.

use std::sync::Arc;

use model::Key;
use thiserror::Error;

use crate::engine::EngineError;
use crate::store::Seq;

/// Why the store did not do what it was asked to.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Nothing is written any more, for good: an engine failed, or a record is damaged. Reads go on
    /// where they can. Only a store that is opened anew changes that: see [`crate::Store::give_up`].
    #[error("the store has stopped writing: {0}")]
    Stopped(Arc<str>),
    /// This key's record is not what was written. The store has stopped.
    #[error("the record of {key} is damaged: {why}")]
    Corrupt {
        /// Whose record.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// The engine could not read. The store has stopped.
    #[error("the engine failed: {0}")]
    Engine(#[from] EngineError),
    /// A damaged record could not be kept for people to look at; it is where it was.
    #[error("a damaged record cannot be set aside: {0}")]
    NotSetAside(String),
    /// As many frozen views are open as there may be. Nothing changed.
    #[error("{0} frozen views are open, and no more may be")]
    TooManyViews(usize),
    /// A sequence number that no write of this store has had. Nothing changed.
    #[error("no write has the number {0:?}")]
    NeverWritten(Seq),
    /// The flusher was shut down before it could tell.
    #[error("the flusher is gone")]
    FlusherGone,
}

/// Why [`crate::Store::update`] wrote nothing.
#[derive(Debug, Clone, Error)]
pub enum UpdateError<E> {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller decided so.
    #[error("{0}")]
    Decision(E),
}
