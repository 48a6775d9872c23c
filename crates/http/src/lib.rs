//! Mangrove's HTTP API: parses requests, calls a [`Service`], maps its errors, decides nothing.
//!
//! ```text
//! PUT GET HEAD DELETE  /v1/kv/{key}     the body is the value; Mangrove-Context, -Siblings, ETag
//! PUT GET HEAD DELETE  /v1/kv?key=      the same, for keys that URL libraries fold away (`..`)
//! GET                  /v1/kv           ?prefix= &start= &limit=   {"items": [...], "next": ...}
//! GET                  /v1/cluster      the cluster as this node sees it
//! POST                 /v1/cluster/leave  this node leaves; {"force": true} at once
//! POST                 /v1/cluster/evict  {"member": "n3"} removes a member that is down
//! GET POST             /v1/repairs      what repair does; {"peer": "n2"} begins a session now
//! GET POST             /v1/drills       {"isolate": "30s"} cuts the node off from the others
//! GET                  /metrics         counters and gauges, for Prometheus
//! GET                  /healthz         the program runs
//! GET                  /readyz          the node serves reads and writes
//! ```
//! A key is the raw path behind `/v1/kv/`, percent-decoded: slashes as they are, leading and
//! trailing ones too, and a plus sign is a plus sign. In a query a plus sign is a space, as URL
//! libraries write it. In JSON keys are percent-encoded and values base64.
//!
//! A GET answers with the sibling of the greatest dot, and with all of them for `?siblings=true`.
//! `Mangrove-Context` comes only with an answer that shows every sibling.
//!
//! # Problems
//! Every refusal and failure is a problem document (RFC 9457) with `type`, `title`, `status`,
//! `detail` (what to do) and, unless it would be very long, `instance`. The type is
//! `urn:mangrove:problem:` and one of:
//!
//! | type | status | when |
//! |---|---|---|
//! | `key-empty` | 400 | the key has no byte |
//! | `key-too-long` | 400 | the key has more than 1,024 bytes, decoded |
//! | `key-missing` | 400 | PUT or DELETE of `/v1/kv` without `?key=` |
//! | `bad-percent-encoding` | 400 | a `%` without two hexadecimal digits, in path or query |
//! | `unknown-parameter` | 400 | a query parameter not known here; the known ones are named |
//! | `duplicate-parameter` | 400 | a query parameter given twice |
//! | `bad-parameter` | 400 | a value it cannot have: `siblings`, `add`, or an over-long `prefix`, `start` |
//! | `bad-limit` | 400 | `limit` is no number from 1 to 1,000 |
//! | `bad-context` | 400 | a context token of another key or cluster, or a forged one |
//! | `bad-ttl` | 400 | `ttl` is no duration with its unit, or not from 1 ms to 100 years |
//! | `bad-header` | 400 | a Content-Type too long or not ASCII, a header twice, a Content-Range |
//! | `bad-body` | 400 | the body's framing is wrong or it broke off |
//! | `bad-json` | 400 | the body must be a JSON object and is none |
//! | `unknown-field` | 400 | a field of the body not known here; the known ones are named |
//! | `bad-field` | 400 | a field missing, given twice, or with a value it cannot have |
//! | `drills-not-allowed` | 403 | the node was not started with `--allow-drills` |
//! | `key-not-found` | 404 | nothing there; a tombstone's carries `Mangrove-Context` |
//! | `no-such-member` | 404 | no member of that name or id; the members are named, and what became of one removed |
//! | `no-such-route` | 404 | no such path |
//! | `method-not-allowed` | 405 | the methods that are there stand in `Allow` |
//! | `request-timeout` | 408 | the body came too slowly |
//! | `member-down` | 409 | the member to repair with does not answer |
//! | `not-a-peer` | 409 | the member to repair with is the node itself |
//! | `not-a-member` | 409 | the node to leave, or to remove another, was removed before |
//! | `last-member` | 409 | the last member would leave, or be removed |
//! | `nobody-stays` | 409 | all other members are leaving, too |
//! | `oneself` | 409 | a node is to evict itself; it leaves instead |
//! | `member-answers` | 409 | the member to evict answers |
//! | `no-majority` | 409 | too few members promise to remove the member |
//! | `too-many-siblings` | 409 | the write would leave more siblings than the limit |
//! | `context-too-large` | 409 | the write would leave a context of too many components |
//! | `value-too-large` | 413 | over the limit: said before the body is read, or where it passes it |
//! | `body-too-large` | 413 | a JSON body over 4 KiB |
//! | `uri-too-long` | 414 | path and query over 16 KiB |
//! | `unsupported-encoding` | 415 | a Content-Encoding, which would not be given back |
//! | `unsupported-media-type` | 415 | a body that must be JSON without `Content-Type: application/json` |
//! | `headers-too-large` | 431 | headers over 32 KiB |
//! | `internal` | 500 | a defect; the log says more |
//! | `unsupported-condition` | 501 | If-Match and the like on a write |
//! | `not-ready` | 503 | not joined yet, behind, leaving, or stopping; with `Retry-After` |
//! | `writes-stopped` | 503 | the node's disk failed |
//! | `overloaded` | 503 | too many requests at once; with `Retry-After` |
//! | `timed-out` | 503 | not done in time; with `Retry-After` |
//!
//! Nothing is stored by a request that is answered so, except that `internal`, `timed-out` and
//! `writes-stopped` cannot tell. What is no HTTP/1 at all (a request line that cannot be parsed,
//! more than 100 headers, a target over 64 KiB) is answered with its status alone and closed, and
//! a head that does not come in time is closed without an answer.

use std::time::Duration;

mod app;
mod body;
mod damage_view;
mod drills;
mod error;
mod fields;
mod forgetting_view;
mod headers;
mod kv;
mod list;
mod membership;
mod metrics;
mod problem;
mod repair_view;
mod repairs;
mod server;
mod service;
mod siblings;
mod status;
mod target;
mod ttl;
mod view;

pub use app::{RouterOptions, router};
pub use damage_view::DamageView;
pub use error::{ActRefused, ServiceError};
pub use forgetting_view::{ForgettingView, WaitingView, WaitsView, WaitsWhy};
pub use membership::{EvictView, LeaveState, LeaveView};
pub use problem::{PROBLEM_TYPE_PREFIX, ProblemKind};
pub use repair_view::{
    Brake, DrillsView, GovernorView, RepairBegun, RepairMethod, RepairOutcome, RepairPhase, RepairsView,
    SessionView, TotalsView,
};
pub use server::{ServeOptions, serve};
pub use service::{
    DeleteRequest, Deleted, Limits, ListItem, ListPage, ListRequest, PutRequest, Read, Service, Version,
    Written,
};
pub use ttl::{TtlError, parse_ttl};
pub use view::{
    ClusterView, Liveness, MemberView, NodeView, Readiness, RemovedView, RepairView, ScrubView, rfc3339,
};

/// Shortest time that a drill may last.
pub const DRILL_TIME_MIN: Duration = Duration::from_secs(1);

/// Longest time that a drill may last.
pub const DRILL_TIME_MAX: Duration = Duration::from_secs(600);

/// Greatest length of a Content-Type in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Greatest number of keys on one page of a listing.
pub const LIST_LIMIT_MAX: usize = 1_000;

/// Number of keys on one page of a listing when the client does not say.
pub const LIST_LIMIT_DEFAULT: usize = 100;
