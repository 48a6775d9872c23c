//! The API against a service in memory: through the router, and over a real socket.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod keys;
mod membership;
mod metrics;
mod node_state;
mod problems;
mod repairs;
mod socket;
mod support;
