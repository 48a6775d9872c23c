//! All siblings of a key in one answer.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Key;
use serde::Serialize;

use crate::app::json;
use crate::problem::Problem;
use crate::service::Read;
use crate::view::rfc3339;

#[derive(Serialize)]
struct All<'a> {
    key: String,
    siblings: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    value: String,
    content_type: Option<&'a str>,
    etag: &'a str,
    dot: String,
    time: Option<String>,
    expires: Option<String>,
}

/// Every sibling, the one of the greatest dot first.
pub(crate) fn all(key: &Key, read: &Read) -> Result<Response, Problem> {
    let siblings = read.siblings.iter().map(|sibling| One {
        value: STANDARD.encode(&sibling.value),
        content_type: sibling.content_type.as_deref(),
        etag: &sibling.etag,
        dot: sibling.dot.to_string(),
        time: rfc3339(sibling.dot.hlc.millis()),
        expires: sibling.expires_ms.and_then(rfc3339),
    });
    json(&All { key: key.to_percent(), siblings: siblings.collect() })
}
