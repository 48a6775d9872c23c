//! What this crate asks of the node behind it: [`Service`] and the types that cross that line.
//!
//! The API parses, calls and maps errors; dots, folding, conditions and limits are the
//! service's. Nothing here knows how a value is stored or replicated.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use model::{Dot, Key};

use crate::error::ServiceError;
use crate::membership::{EvictView, LeaveView};
use crate::repair_view::{DrillsView, RepairBegun, RepairsView};
use crate::view::{ClusterView, Readiness};

/// The node, as the HTTP API sees it.
///
/// Every method may be called from many requests at once. A future may be dropped at any await
/// point (the client went away): a write that was already handed on must then still end in a
/// consistent state, acknowledged or not.
pub trait Service: Send + Sync + 'static {
    /// Stores a value and answers once it is durable on this node.
    ///
    /// # Errors
    /// Any [`ServiceError`]; its documentation says which of them leave the key untouched.
    fn put(&self, request: PutRequest) -> impl Future<Output = Result<Written, ServiceError>> + Send;

    /// Reads all that is stored under a key. `None`: nothing is, not even a tombstone.
    ///
    /// # Errors
    /// [`ServiceError::NotReady`], [`ServiceError::Stopped`], [`ServiceError::Timeout`] or
    /// [`ServiceError::Internal`].
    fn get(&self, key: Key) -> impl Future<Output = Result<Option<Read>, ServiceError>> + Send;

    /// Deletes what the context covers, or all that is stored, and answers once durable.
    ///
    /// # Errors
    /// Any [`ServiceError`] but [`ServiceError::ValueTooLarge`].
    fn delete(&self, request: DeleteRequest) -> impl Future<Output = Result<Deleted, ServiceError>> + Send;

    /// One page of live keys that have not expired, in ascending byte order.
    ///
    /// # Errors
    /// As [`Service::get`].
    fn list(&self, request: ListRequest) -> impl Future<Output = Result<ListPage, ServiceError>> + Send;

    /// The cluster as this node sees it. Answers also while the node is not ready.
    fn cluster(&self) -> impl Future<Output = ClusterView> + Send;

    /// What repair does and did. Answers also while the node is not ready.
    fn repairs(&self) -> impl Future<Output = RepairsView> + Send;

    /// Begins a session with a member of this name or id, and answers before it is done. Where one
    /// with it is running already, that one does.
    ///
    /// # Errors
    /// [`ServiceError::NoSuchMember`], [`ServiceError::NotAPeer`], [`ServiceError::MemberDown`],
    /// [`ServiceError::NotReady`], [`ServiceError::Stopped`] or [`ServiceError::Internal`].
    fn repair(&self, peer: String) -> impl Future<Output = Result<RepairBegun, ServiceError>> + Send;

    /// How far this node is that leaves its cluster, or would, and what nobody else is known to hold.
    ///
    /// # Errors
    /// [`ServiceError::ActRefused`], [`ServiceError::NotReady`] or [`ServiceError::Internal`].
    fn leaving(&self) -> impl Future<Output = Result<LeaveView, ServiceError>> + Send;

    /// Has this node leave its cluster, by `force` at once and handing nothing over. Answers once it has left, or after
    /// some seconds while it goes on; asked again, how far it is.
    ///
    /// # Errors
    /// [`ServiceError::ActRefused`], [`ServiceError::NotReady`] or [`ServiceError::Internal`]; nothing has changed. After
    /// [`ServiceError::Timeout`] that is not known.
    fn leave(&self, force: bool) -> impl Future<Output = Result<LeaveView, ServiceError>> + Send;

    /// Removes a member of this name or id for ever, by `force` without asking the others. Answers once that is done or
    /// given up.
    ///
    /// # Errors
    /// As [`Service::leave`], and [`ServiceError::NoSuchMember`].
    fn evict(
        &self,
        member: String,
        force: bool,
    ) -> impl Future<Output = Result<EvictView, ServiceError>> + Send;

    /// The drills that run. Answers also while the node is not ready.
    fn drills(&self) -> DrillsView;

    /// Cuts this node off from the others for this long (1 s to 10 min), whatever ran before.
    /// Clients are served meanwhile, and it ends by itself.
    ///
    /// # Errors
    /// [`ServiceError::DrillsNotAllowed`].
    fn isolate(&self, time: Duration) -> Result<DrillsView, ServiceError>;

    /// Whether this node serves reads and writes now, and if not, why. Cheap.
    fn ready(&self) -> Readiness;

    /// The limits in force. Asked once, when the router is made.
    fn limits(&self) -> Limits;
}

/// The limits that the API applies before it calls the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Greatest length of a value in bytes, at most 16 MiB. A longer body is answered 413
    /// without being read whole.
    pub value_bytes_max: usize,
}

impl Default for Limits {
    /// 1 MiB a value.
    fn default() -> Self {
        Limits { value_bytes_max: 1024 * 1024 }
    }
}

/// A client's PUT.
#[derive(Debug, Clone)]
pub struct PutRequest {
    /// The key to write.
    pub key: Key,
    /// The value, 0 to [`Limits::value_bytes_max`] bytes.
    pub value: Bytes,
    /// What the client said the value is: printable ASCII, at most
    /// [`crate::CONTENT_TYPE_BYTES_MAX`] bytes. `None` when it said nothing.
    pub content_type: Option<String>,
    /// The context token as sent (printable ASCII, not opened yet). `None`: replace all that
    /// the coordinator holds.
    pub context: Option<String>,
    /// Whether it is added beside all that is stored under the key, replacing nothing; then there is no context.
    pub add: bool,
    /// How long the value is to live; of any length, it was only read. `None`: it stays.
    pub ttl: Option<Duration>,
}

/// What a PUT did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// True when the key had no sibling to show before: 201 instead of 204.
    pub created: bool,
    /// Siblings under the key after the write, the written one included: 1 or more.
    pub siblings: usize,
    /// The written sibling's entity tag: `[0-9A-Za-z_-]+`, without quotes.
    pub etag: String,
    /// A context token that covers the entry. Set it only when the written sibling stands alone,
    /// so that no token covers what its holder was not shown.
    pub context: Option<String>,
    /// When the written sibling expires, in milliseconds since 1970; `None`: it does not.
    pub expires_ms: Option<u64>,
}

/// All that is stored under a key and has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Every sibling, the one of the greatest dot first. Empty: deleted or expired.
    pub siblings: Vec<Version>,
    /// A context token that covers the whole entry. The API hands it on only to a client that
    /// was shown every sibling. `None` where an expired one is there that is not shown.
    pub context: Option<String>,
}

impl Read {
    /// The sibling a plain GET answers with: the one of the greatest dot. `None`: a tombstone.
    pub fn winner(&self) -> Option<&Version> {
        self.siblings.first()
    }
}

/// One sibling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The value.
    pub value: Bytes,
    /// What its writer said it is; `None` is answered as `application/octet-stream`.
    pub content_type: Option<String>,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// The id of the write.
    pub dot: Dot,
    /// When it expires, in milliseconds since 1970; `None`: it does not.
    pub expires_ms: Option<u64>,
}

/// A client's DELETE.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// The key to delete.
    pub key: Key,
    /// The context token as sent, not opened yet. `None`: delete all that the coordinator holds.
    pub context: Option<String>,
}

/// What a DELETE left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Siblings that remain because the context did not cover them; mostly 0.
    pub siblings: usize,
    /// A context token that covers the tombstone. Set it only when no sibling remains.
    pub context: Option<String>,
}

/// A client's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Only keys that begin with these bytes; 0 to 1,024 of them.
    pub prefix: Vec<u8>,
    /// Only keys at or after these bytes; 0 to 1,024 of them.
    pub start: Option<Vec<u8>>,
    /// How many keys at most: 1 to [`crate::LIST_LIMIT_MAX`].
    pub limit: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The keys, in ascending byte order, at most as many as were asked for.
    pub items: Vec<ListItem>,
    /// Where the next page starts: the first key that may still be listed. `None`: the end.
    pub next: Option<Key>,
}

/// One key of a listing. Size, tag, content type, dot and expiry are those of the winner, the sibling
/// that a plain GET answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListItem {
    /// The key.
    pub key: Key,
    /// Length of the value in bytes.
    pub size: u64,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// Its content type, as its writer gave it.
    pub content_type: Option<String>,
    /// The id of its write.
    pub dot: Dot,
    /// How many siblings the key has: 1 or more.
    pub siblings: usize,
    /// When the winner expires, in milliseconds since 1970; `None`: it does not.
    pub expires_ms: Option<u64>,
}
