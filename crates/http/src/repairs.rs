//! `/v1/repairs`: what repair does, and a session begun by hand.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use crate::app::{App, json};
use crate::body::Inbound;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::service::Service;
use crate::target::Query;

/// GET shows the sessions, POST begins one.
pub(crate) async fn repairs<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    if parts.method != Method::POST {
        return json(&app.service.repairs().await);
    }
    let peer = Fields::read(app, parts, body, &["peer"]).await?.text("peer", "n2")?;
    accepted(&app.service.repair(peer).await?)
}

/// An answer to what has begun and is not done yet.
pub(crate) fn accepted(document: &impl serde::Serialize) -> Result<Response, Problem> {
    let mut response = json(document)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
