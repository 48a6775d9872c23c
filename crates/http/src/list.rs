//! Listing keys.

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use model::KEY_BYTES_MAX;
use serde::Serialize;

use crate::app::{App, json};
use crate::problem::{Problem, ProblemKind};
use crate::service::{ListItem, ListPage, ListRequest, Service};
use crate::target::{Query, names_a_key};
use crate::view::rfc3339;
use crate::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    key: String,
    size: u64,
    etag: String,
    content_type: Option<String>,
    dot: String,
    time: Option<String>,
    siblings: usize,
    expires: Option<String>,
}

/// True when a request to `/v1/kv` asks for a listing: it reads, and names no key.
pub(crate) fn is_listing(parts: &Parts) -> bool {
    (parts.method == Method::GET || parts.method == Method::HEAD) && !names_a_key(parts.uri.query())
}

/// One page of keys.
pub(crate) async fn list<S: Service>(app: &App<S>, parts: &Parts) -> Result<Response, Problem> {
    let mut query = Query::parse(parts.uri.query(), &["prefix", "start", "limit"])?;
    let request = ListRequest {
        prefix: within_a_key("prefix", query.take("prefix"))?.unwrap_or_default(),
        start: within_a_key("start", query.take("start"))?,
        limit: limit(query.take("limit"))?,
    };
    let ListPage { items, next } = app.service.list(request).await?;
    let items = items.into_iter().map(item).collect();
    json(&Page { items, next: next.map(|key| key.to_percent()) })
}

fn item(item: ListItem) -> Item {
    Item {
        key: item.key.to_percent(),
        size: item.size,
        etag: item.etag,
        content_type: item.content_type,
        dot: item.dot.to_string(),
        time: rfc3339(item.dot.hlc.millis()),
        siblings: item.siblings,
        expires: item.expires_ms.and_then(rfc3339),
    }
}

fn within_a_key(name: &str, bytes: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Problem> {
    match bytes {
        Some(bytes) if bytes.len() > KEY_BYTES_MAX => {
            let detail =
                format!("'{name}' has at most {KEY_BYTES_MAX} bytes, as a key has. Use a shorter one.");
            Err(Problem::new(ProblemKind::BadParameter, detail))
        }
        bytes => Ok(bytes),
    }
}

fn limit(bytes: Option<Vec<u8>>) -> Result<usize, Problem> {
    let Some(bytes) = bytes else {
        return Ok(LIST_LIMIT_DEFAULT);
    };
    let digits =
        std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number.filter(|limit| (1..=LIST_LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!(
            "'limit' is a number from 1 to {LIST_LIMIT_MAX}. Go on with 'start' where the answer says 'next'."
        );
        Problem::new(ProblemKind::BadLimit, detail)
    })
}
