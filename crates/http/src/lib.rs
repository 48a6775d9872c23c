//! Mangrove's HTTP API: parses requests, calls a [`Service`], maps its errors.

mod error;
mod service;
mod view;

pub use error::ServiceError;
pub use service::{
    DeleteRequest, Deleted, Limits, ListItem, ListPage, ListRequest, PutRequest, Read, Service,
    Version, Written,
};
pub use view::{ClusterView, Liveness, MemberView, NodeView, Readiness, RepairView};

/// Greatest length of a Content-Type in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Greatest number of keys on one page of a listing.
pub const LIST_LIMIT_MAX: usize = 1_000;
