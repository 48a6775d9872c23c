//! A node that leaves its cluster, and a member that is removed from it.

use model::NodeId;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::cluster::text;
use crate::send::Call;
use crate::{Client, Error};

/// How far a node has come that leaves its cluster, or may be told to. In JSON as the node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// Its name.
    pub node: String,
    /// Its id.
    #[serde(with = "text")]
    pub node_id: NodeId,
    /// Whether it is done.
    pub state: LeaveState,
    /// What it does, or waits for, as a sentence.
    pub detail: String,
    /// The members of which one must answer, so that it can go on.
    pub waits_for: Vec<String>,
    /// How many keys nobody else is known to hold, at most; `None` where that was not counted.
    pub keys_alone: Option<u64>,
}

/// Whether a node has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveState {
    /// It is a member, and nobody has told it to leave.
    Member,
    /// It takes no writes, and hands over what it holds.
    Leaving,
    /// It is no member any more, and its process ends.
    Left,
}

/// A member was removed. In JSON as the node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// Its name.
    pub member: String,
    /// Its id.
    #[serde(with = "text")]
    pub member_id: NodeId,
    /// Whether nobody was asked.
    pub forced: bool,
    /// How many members promised it; `None` where nobody was asked.
    pub promised: Option<u64>,
    /// How many had to.
    pub needed: Option<u64>,
    /// When it was last proven identical to the node that answered, RFC 3339.
    pub last_identical: Option<String>,
    /// What may be lost by that, as a sentence.
    pub detail: String,
}

impl Client {
    /// How far the node is that leaves its cluster, or would, and what nobody else is known to hold. Changes nothing. Of
    /// several endpoints any may answer.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn leaving(&self) -> Result<Leave, Error> {
        self.send(Call::new(Method::GET, "/v1/cluster/leave")).await?.json()
    }

    /// Has the node leave its cluster; by `force` at once, handing nothing over. The node answers once that is done, or
    /// after some seconds while it goes on. Asking again asks how far it is. Of several endpoints any may be the one:
    /// give the client that of the node alone.
    ///
    /// # Errors
    /// Any [`Error`]; a [`crate::Problem`] where the node does not begin to leave, and has changed nothing.
    pub async fn leave(&self, force: bool) -> Result<Leave, Error> {
        self.post("/v1/cluster/leave", &serde_json::json!({ "force": force })).await
    }

    /// Has a member of this name or id removed for ever; by `force` without asking the others. Takes some seconds.
    ///
    /// # Errors
    /// Any [`Error`]; a [`crate::Problem`] where it was not removed.
    pub async fn evict(&self, member: &str, force: bool) -> Result<Evicted, Error> {
        self.post("/v1/cluster/evict", &serde_json::json!({ "member": member, "force": force })).await
    }
}
