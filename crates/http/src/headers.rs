//! The headers that a request on a key may carry, checked, and those that its answer does.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;

use crate::CONTENT_TYPE_BYTES_MAX;
use crate::problem::{Problem, ProblemKind};
use crate::view::rfc3339;

/// `Mangrove-Context`: a context token, both ways.
pub(crate) const CONTEXT: HeaderName = HeaderName::from_static("mangrove-context");
/// `Mangrove-Siblings`: how many siblings the key has.
pub(crate) const SIBLINGS: HeaderName = HeaderName::from_static("mangrove-siblings");

/// `Mangrove-Expires`: when the value shown expires; not there where it does not.
pub(crate) const EXPIRES: HeaderName = HeaderName::from_static("mangrove-expires");

/// When a value expires, in milliseconds since 1970, as a header shows it.
pub(crate) fn expires(millis: Option<u64>) -> Option<HeaderValue> {
    HeaderValue::from_str(&rfc3339(millis?)?).ok()
}

/// The Content-Type to keep with a value.
pub(crate) fn content_type(sent: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = single(sent, &header::CONTENT_TYPE)? else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|text| text.len() <= CONTENT_TYPE_BYTES_MAX);
    let text = text.ok_or_else(|| {
        let detail = format!(
            "A Content-Type is printable ASCII of at most {CONTENT_TYPE_BYTES_MAX} bytes. Nothing was stored; \
             send a shorter one, or none."
        );
        Problem::new(ProblemKind::BadHeader, detail)
    })?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// The context token, not opened.
pub(crate) fn context(sent: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = single(sent, &CONTEXT)? else {
        return Ok(None);
    };
    let token = value.to_str().map_err(|_| {
        let detail =
            "A context token is printable ASCII. Send the Mangrove-Context of a GET unchanged, or none.";
        Problem::new(ProblemKind::BadContext, detail)
    })?;
    Ok(Some(token.to_owned()))
}

fn single<'a>(sent: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = sent.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => {
            let detail = format!("The header {name} is there more than once. Send it once.");
            Err(Problem::new(ProblemKind::BadHeader, detail))
        }
    }
}

/// A write that says "only if" must not be done as if it did not.
pub(crate) fn refuse_conditions(sent: &HeaderMap) -> Result<(), Problem> {
    let conditions =
        [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE];
    match conditions.into_iter().find(|name| sent.contains_key(name)) {
        None => Ok(()),
        Some(name) => {
            let detail = format!(
                "{name} is not supported on a write, and nothing was stored. Send the Mangrove-Context of a GET: \
                 the write then replaces what that GET showed and nothing else."
            );
            Err(Problem::new(ProblemKind::UnsupportedCondition, detail))
        }
    }
}

/// A value is stored whole and as it is: what would be lost is refused.
pub(crate) fn refuse_partial(sent: &HeaderMap) -> Result<(), Problem> {
    if sent.contains_key(header::CONTENT_RANGE) {
        let detail = "A value is written whole. Nothing was stored; send all of it, without Content-Range.";
        return Err(Problem::new(ProblemKind::BadHeader, detail));
    }
    match sent.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let detail = "A Content-Encoding is not kept, so a GET could not give it back. Nothing was stored; send \
                          the value decoded, or as it is with a Content-Type that names its form.";
            Err(Problem::new(ProblemKind::UnsupportedEncoding, detail))
        }
        _ => Ok(()),
    }
}

/// An entity tag in its quotes.
pub(crate) fn etag(tag: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_maybe_shared(Bytes::from(format!("\"{tag}\"")))
        .map_err(|_| Problem::internal("an entity tag that no header can hold"))
}

/// True when If-None-Match says that the client holds this version.
pub(crate) fn holds(sent: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = sent.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
