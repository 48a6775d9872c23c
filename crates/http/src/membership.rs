//! `/v1/cluster/leave` and `/v1/cluster/evict`: what an operator does about who belongs. The JSON names are part of the API.

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use model::NodeId;
use serde::Serialize;

use crate::app::{App, json};
use crate::body::Inbound;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::repairs::accepted;
use crate::service::Service;
use crate::target::Query;
use crate::view::{displayed, moment};

/// How far the answering node has come that leaves its cluster, or may be told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaveView {
    /// Its name.
    pub node: String,
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub node_id: NodeId,
    /// Whether it is done.
    pub state: LeaveState,
    /// What it does, or waits for, as a sentence.
    pub detail: String,
    /// The members of which one must answer, so that it can go on.
    pub waits_for: Vec<String>,
    /// How many keys nobody else is known to hold, at most; null where that was not counted.
    pub keys_alone: Option<u64>,
}

/// Whether a node has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveState {
    /// It is a member, and nobody has told it to leave.
    Member,
    /// It takes no writes, and hands over what it holds.
    Leaving,
    /// It is no member any more, a member knows it, and its process ends.
    Left,
}

/// A member was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvictView {
    /// Its name.
    pub member: String,
    /// Its id, in hex.
    #[serde(serialize_with = "displayed")]
    pub member_id: NodeId,
    /// Whether nobody was asked.
    pub forced: bool,
    /// How many members promised it; null where nobody was asked.
    pub promised: Option<u64>,
    /// How many had to.
    pub needed: Option<u64>,
    /// When it was last proven identical to the answering node, in milliseconds since 1970; RFC 3339 in JSON, null when
    /// never.
    #[serde(serialize_with = "moment")]
    pub last_identical: Option<u64>,
    /// What may be lost by that, as a sentence.
    pub detail: String,
}

/// The answering node leaves its cluster. 200 once it has, 202 while it does. A GET changes nothing.
pub(crate) async fn leave<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    if parts.method != Method::POST {
        return json(&app.service.leaving().await?);
    }
    let force = Fields::read(app, parts, body, &["force"]).await?.flag("force")?;
    let view = app.service.leave(force).await?;
    if view.state == LeaveState::Left { json(&view) } else { accepted(&view) }
}

/// A member is removed for ever.
pub(crate) async fn evict<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let mut fields = Fields::read(app, parts, body, &["member", "force"]).await?;
    let member = fields.text("member", "n3")?;
    let force = fields.flag("force")?;
    json(&app.service.evict(member, force).await?)
}
