//! `/v1/cluster`, `/healthz` and `/readyz`.

use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use crate::app::{App, json};
use crate::problem::{Problem, ProblemKind, sentence};
use crate::service::Service;
use crate::target::Query;

/// The cluster as this node sees it.
pub(crate) async fn cluster<S: Service>(app: &App<S>, parts: &Parts) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    json(&app.service.cluster().await)
}

#[derive(Serialize)]
struct Health {
    healthy: bool,
}

/// The program runs and answers.
pub(crate) fn health(parts: &Parts) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    json(&Health { healthy: true })
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

/// The node serves reads and writes.
pub(crate) fn ready<S: Service>(app: &App<S>, parts: &Parts) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let readiness = app.service.ready();
    if readiness.ready {
        return json(&Ready { ready: true });
    }
    let reason = readiness.reason.unwrap_or_else(|| "This node is not ready.".to_owned());
    Err(Problem::passing(
        ProblemKind::NotReady,
        format!("{} Ask again, or use another node.", sentence(&reason)),
    ))
}
