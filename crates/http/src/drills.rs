//! `/v1/drills`: faults that people make on purpose, to see what happens.

use std::time::Duration;

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;

use crate::app::{App, json};
use crate::body::Inbound;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::repairs::accepted;
use crate::service::Service;
use crate::target::Query;
use crate::{DRILL_TIME_MAX, DRILL_TIME_MIN};

/// GET shows what runs, POST cuts the node off from the others for a while.
pub(crate) async fn drills<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    if parts.method != Method::POST {
        return json(&app.service.drills());
    }
    let mut fields = Fields::read(app, parts, body, &["isolate"]).await?;
    let time: Duration = fields.duration("isolate", DRILL_TIME_MIN, DRILL_TIME_MAX)?;
    accepted(&app.service.isolate(time)?)
}
