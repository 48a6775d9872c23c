//! PUT, GET, HEAD and DELETE of one key.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use model::Key;

use crate::app::App;
use crate::body::Inbound;
use crate::headers::{self, CONTEXT, EXPIRES, SIBLINGS};
use crate::problem::{Problem, ProblemKind, bad_ttl};
use crate::service::{DeleteRequest, PutRequest, Read, Service, Version};
use crate::siblings;
use crate::target::{self, Query};
use crate::ttl::parse_ttl;

/// About as many headers as an answer has.
const HEADERS: usize = 12;
/// What a value is when nobody said.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A request whose key stands in its path.
pub(crate) async fn by_path<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    let raw = parts.uri.path().strip_prefix("/v1/kv/").unwrap_or_default();
    let key = target::key_of_path(raw)?;
    let known: &[&str] = if reads(parts) {
        &["siblings"]
    } else if puts(parts) {
        &["ttl", "add"]
    } else {
        &[]
    };
    let query = Query::parse(parts.uri.query(), known)?;
    one_key(app, key, query, parts, body).await
}

/// A request whose key stands in its query.
pub(crate) async fn by_query<S: Service>(
    app: &App<S>,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    let known: &[&str] = if reads(parts) {
        &["key", "siblings"]
    } else if puts(parts) {
        &["key", "ttl", "add"]
    } else {
        &["key"]
    };
    let mut query = Query::parse(parts.uri.query(), known)?;
    let key = query.take("key").ok_or_else(|| {
        Problem::new(ProblemKind::KeyMissing, "Say which key: put it after /v1/kv/, or into ?key=.")
    })?;
    one_key(app, target::key(key)?, query, parts, body).await
}

fn reads(parts: &Parts) -> bool {
    parts.method == Method::GET || parts.method == Method::HEAD
}

fn puts(parts: &Parts) -> bool {
    parts.method == Method::PUT
}

async fn one_key<S: Service>(
    app: &App<S>,
    key: Key,
    mut query: Query,
    parts: &Parts,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    match parts.method {
        Method::PUT => {
            let how = (ttl(query.take("ttl"))?, query.flag("add")?);
            put(app, key, how, &parts.headers, body).await
        }
        Method::DELETE => delete(app, key, &parts.headers).await,
        _ => get(app, key, query.flag("siblings")?, &parts.headers).await,
    }
}

async fn put<S: Service>(
    app: &App<S>,
    key: Key,
    (ttl, add): (Option<Duration>, bool),
    sent: &HeaderMap,
    body: &mut Inbound,
) -> Result<Response, Problem> {
    headers::refuse_conditions(sent)?;
    headers::refuse_partial(sent)?;
    let content_type = headers::content_type(sent)?;
    let context = headers::context(sent)?;
    if add && context.is_some() {
        let detail = "'add' replaces nothing, and a context token says what to replace. Send one of the two.";
        return Err(Problem::new(ProblemKind::BadParameter, detail));
    }
    let (value, _share) = app.read_value(body).await?;
    let written = app.service.put(PutRequest { key, value, content_type, context, add, ttl }).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, headers::etag(&written.etag)?);
    headers.insert(SIBLINGS, HeaderValue::from(written.siblings));
    put_expires(headers, written.expires_ms);
    put_context(headers, written.context)?;
    Ok(response)
}

/// How long a value is to live. Whether it may is the service's to say.
fn ttl(given: Option<Vec<u8>>) -> Result<Option<Duration>, Problem> {
    let Some(bytes) = given else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    parse_ttl(&text).map(Some).map_err(|wrong| bad_ttl(&wrong.to_string()))
}

async fn delete<S: Service>(app: &App<S>, key: Key, sent: &HeaderMap) -> Result<Response, Problem> {
    headers::refuse_conditions(sent)?;
    let context = headers::context(sent)?;
    let deleted = app.service.delete(DeleteRequest { key, context }).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(SIBLINGS, HeaderValue::from(deleted.siblings));
    put_context(response.headers_mut(), deleted.context)?;
    Ok(response)
}

async fn get<S: Service>(app: &App<S>, key: Key, all: bool, sent: &HeaderMap) -> Result<Response, Problem> {
    let Some(read) = app.service.get(key.clone()).await? else {
        return Err(not_found(&key, "Nothing is stored under"));
    };
    let Some(winner) = read.winner() else {
        return deleted(&key, read.context);
    };
    let count = read.siblings.len();
    let mut response = if all { siblings::all(&key, &read)? } else { value(winner, sent)? };
    response.headers_mut().insert(SIBLINGS, HeaderValue::from(count));
    // No token may cover what its holder was not shown.
    if all || count == 1 {
        let Read { context, .. } = read;
        put_context(response.headers_mut(), context)?;
    }
    Ok(response)
}

/// The value of the greatest dot, or 304 to a client that holds it.
fn value(winner: &Version, sent: &HeaderMap) -> Result<Response, Problem> {
    let etag = headers::etag(&winner.etag)?;
    let mut response = if headers::holds(sent, &etag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Body::from(winner.value.clone()));
        response.headers_mut().reserve(HEADERS);
        let stored = winner.content_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        response.headers_mut().insert(header::CONTENT_TYPE, stored.unwrap_or(OCTETS));
        response
    };
    let headers = response.headers_mut();
    put_expires(headers, winner.expires_ms);
    headers.insert(header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Anyone who may write chooses the content: a browser must not run it as this node's own page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

/// 404 where all was deleted or has expired; with the token of a tombstone, which was shown whole, for there is
/// nothing to show.
fn deleted(key: &Key, context: Option<String>) -> Result<Response, Problem> {
    let mut problem = not_found(key, "Nothing is left under").with(SIBLINGS, HeaderValue::from(0_u64));
    if let Some(token) = context {
        problem = problem.with(CONTEXT, token_value(token)?);
    }
    Err(problem)
}

fn not_found(key: &Key, what: &str) -> Problem {
    let mut shown = key.to_percent();
    if shown.len() > 256 {
        shown.truncate(256); // ASCII
        shown.push_str("...");
    }
    let detail = format!(
        "{what} the key {shown} on this node. PUT a value first, or see what is there: GET /v1/kv?prefix=."
    );
    Problem::new(ProblemKind::KeyNotFound, detail)
}

fn put_expires(headers: &mut HeaderMap, millis: Option<u64>) {
    if let Some(value) = headers::expires(millis) {
        headers.insert(EXPIRES, value);
    }
}

fn put_context(headers: &mut HeaderMap, context: Option<String>) -> Result<(), Problem> {
    if let Some(token) = context {
        headers.insert(CONTEXT, token_value(token)?);
    }
    Ok(())
}

fn token_value(token: String) -> Result<HeaderValue, Problem> {
    HeaderValue::from_maybe_shared(Bytes::from(token))
        .map_err(|_| Problem::internal("a context token that no header can hold"))
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(HEADERS);
    *response.status_mut() = status;
    response
}
