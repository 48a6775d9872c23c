//! The compose file as shipped.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
