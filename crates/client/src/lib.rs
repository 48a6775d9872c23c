//! The typed client for Mangrove's HTTP API.
//!
//! A [`Client`] holds one endpoint or several. A read goes to the next endpoint whenever one
//! fails; a write only when it certainly was not stored (no connection, or a refusal that says
//! so), because a write stored twice leaves two siblings.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = client::Client::new(["127.0.0.1:7710", "127.0.0.1:7720"])?;
//! let key = model::Key::new("greeting")?;
//! client.put(&key, "hello").await?;
//! let read = client.get(&key).await?;
//! assert_eq!(read.value.map(|value| value.bytes), Some("hello".into()));
//! # Ok(())
//! # }
//! ```

mod cluster;
mod endpoint;
mod error;
mod forgetting;
mod kv;
mod list;
mod membership;
mod repairs;
mod send;

pub use cluster::{
    ClusterView, DamageView, Liveness, MemberView, NodeView, Readiness, RemovedView, ScrubView,
};
pub use error::{Error, Problem};
pub use forgetting::{Forgetting, WaitingTombstones, WaitsFor, WaitsWhy};
pub use kv::{Deleted, Head, Headed, PutOptions, Read, Sibling, Siblings, Value, Written};
pub use list::{Listed, Page};
pub use membership::{Evicted, Leave, LeaveState};
pub use repairs::{
    Brake, Drills, Governor, RepairBegun, RepairMethod, RepairOutcome, RepairPhase, RepairSession,
    RepairTotals, Repairs,
};
pub use send::{Client, ClientOptions};
