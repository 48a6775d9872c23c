//! Problem documents (RFC 9457): every refusal and failure in one table.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::uri::Uri;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::error::{ActRefused, ServiceError};

/// What every problem's `type` begins with; the rest is [`ProblemKind::slug`].
pub const PROBLEM_TYPE_PREFIX: &str = "urn:mangrove:problem:";

/// Longest request target that is repeated in a problem's `instance`, in bytes.
const INSTANCE_BYTES_MAX: usize = 2_048;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $status:ident $slug:literal $title:literal;)*) => {
        /// The kinds of problem. A kind's slug and status are part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind { $($(#[$doc])* $name,)* }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$name,)*];

            /// The last part of its `type`.
            pub fn slug(self) -> &'static str {
                match self { $(ProblemKind::$name => $slug,)* }
            }

            /// Its status.
            pub fn status(self) -> StatusCode {
                match self { $(ProblemKind::$name => StatusCode::$status,)* }
            }

            /// Its title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(ProblemKind::$name => $title,)* }
            }
        }
    };
}

kinds! {
    /// The key has no byte.
    KeyEmpty BAD_REQUEST "key-empty" "The key is empty";
    /// The key has more than 1,024 bytes.
    KeyTooLong BAD_REQUEST "key-too-long" "The key is too long";
    /// `/v1/kv` was written to without `?key=`.
    KeyMissing BAD_REQUEST "key-missing" "No key is given";
    /// A `%` that two hexadecimal digits do not follow.
    BadPercentEncoding BAD_REQUEST "bad-percent-encoding" "The percent-encoding is broken";
    /// A query parameter that this request does not know.
    UnknownParameter BAD_REQUEST "unknown-parameter" "Unknown query parameter";
    /// A query parameter given twice.
    DuplicateParameter BAD_REQUEST "duplicate-parameter" "Query parameter given twice";
    /// A query parameter with a value that it cannot have.
    BadParameter BAD_REQUEST "bad-parameter" "Bad query parameter";
    /// `limit` is no number from 1 to 1,000.
    BadLimit BAD_REQUEST "bad-limit" "Bad limit";
    /// A context token of another key or cluster, or one that was never handed out.
    BadContext BAD_REQUEST "bad-context" "Bad context token";
    /// `ttl` is no duration, or none that a value can have.
    BadTtl BAD_REQUEST "bad-ttl" "Bad time to live";
    /// A header that cannot be taken as it is.
    BadHeader BAD_REQUEST "bad-header" "Bad header";
    /// The body broke off or its framing is wrong.
    BadBody BAD_REQUEST "bad-body" "The body could not be read";
    /// The body is no JSON object.
    BadJson BAD_REQUEST "bad-json" "The body is no JSON object";
    /// A field of a JSON body that this request does not know.
    UnknownField BAD_REQUEST "unknown-field" "Unknown field";
    /// A field of a JSON body that is missing, given twice, or has a value that it cannot have.
    BadField BAD_REQUEST "bad-field" "Bad field";
    /// The node was not started with `--allow-drills`.
    DrillsNotAllowed FORBIDDEN "drills-not-allowed" "Drills are not allowed here";
    /// Nothing is stored under the key.
    KeyNotFound NOT_FOUND "key-not-found" "No value under this key";
    /// No member of this name or id.
    NoSuchMember NOT_FOUND "no-such-member" "No such member";
    /// No such path.
    NoSuchRoute NOT_FOUND "no-such-route" "No such path";
    /// The path is there, the method is not.
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "Method not allowed here";
    /// The body did not come in time.
    RequestTimeout REQUEST_TIMEOUT "request-timeout" "The request came too slowly";
    /// The member to repair with does not answer.
    MemberDown CONFLICT "member-down" "The member is down";
    /// The member to repair with is the node itself.
    NotAPeer CONFLICT "not-a-peer" "A node has no session with itself";
    /// The node to leave is no member.
    NotAMember CONFLICT "not-a-member" "The node is no member any more";
    /// The node to leave or to be removed is the last member.
    LastMember CONFLICT "last-member" "The last member of the cluster";
    /// All other members are leaving, too.
    NobodyStays CONFLICT "nobody-stays" "Every member is leaving";
    /// The member to be removed is the node that is asked.
    Oneself CONFLICT "oneself" "A node does not evict itself";
    /// The member to be removed answers.
    MemberAnswers CONFLICT "member-answers" "The member answers";
    /// Too few members promise a removal.
    NoMajority CONFLICT "no-majority" "Too few members promise it";
    /// The write would leave too many siblings.
    TooManySiblings CONFLICT "too-many-siblings" "Too many siblings";
    /// The write would leave a context of too many components.
    ContextTooLarge CONFLICT "context-too-large" "The context is too large";
    /// The value is over the limit.
    ValueTooLarge PAYLOAD_TOO_LARGE "value-too-large" "The value is too large";
    /// A JSON body is over 4 KiB.
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
    /// The path and query are too long.
    UriTooLong URI_TOO_LONG "uri-too-long" "The path and query are too long";
    /// A Content-Encoding, which would not be given back.
    UnsupportedEncoding UNSUPPORTED_MEDIA_TYPE "unsupported-encoding" "Content-Encoding is not kept";
    /// A body that must be JSON and does not say so.
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body must be JSON";
    /// The headers are too large.
    HeadersTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "headers-too-large" "The headers are too large";
    /// A defect of this node.
    Internal INTERNAL_SERVER_ERROR "internal" "Internal error";
    /// A condition on a write.
    UnsupportedCondition NOT_IMPLEMENTED "unsupported-condition" "Conditions on writes are not supported";
    /// Not joined yet, behind, or stopping.
    NotReady SERVICE_UNAVAILABLE "not-ready" "This node is not ready";
    /// The node's disk or engine failed.
    Stopped SERVICE_UNAVAILABLE "writes-stopped" "This node has stopped writing";
    /// More requests at once than the node takes.
    Overloaded SERVICE_UNAVAILABLE "overloaded" "Too many requests at once";
    /// Not done in time.
    Timeout SERVICE_UNAVAILABLE "timed-out" "Not done in time";
}

/// One refusal or failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    pub kind: ProblemKind,
    pub detail: Cow<'static, str>,
    /// Headers beyond Content-Type.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What goes to the log and not to the client.
    pub logged: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem { kind, detail: detail.into(), headers: Vec::new(), logged: None }
    }

    /// With one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A 503 that passes: try again in a second.
    pub fn passing(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(kind, detail).with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// A defect: the reason is for the log.
    pub fn internal(reason: impl Into<String>) -> Self {
        let detail = "This node failed in a way that it should not; whether a write was stored is not known. \
                      Read the key before writing again, and see the node's log.";
        Problem { logged: Some(reason.into()), ..Problem::new(ProblemKind::Internal, detail) }
    }

    /// The document, naming the request it answers.
    pub fn into_response(self, uri: &Uri) -> Response {
        let target = uri.path_and_query().map(|target| target.as_str());
        let document = Document {
            r#type: format!("{PROBLEM_TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: target.filter(|target| target.len() <= INSTANCE_BYTES_MAX),
        };
        // Strings and a number: this cannot fail, and if it did the status would still be right.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        use ProblemKind as Kind;
        match error {
            ServiceError::NotReady { reason } => Problem::passing(
                Kind::NotReady,
                format!("{} Nothing was read or stored; try again, or another node.", sentence(&reason)),
            ),
            ServiceError::Stopped { reason } => Problem::new(
                Kind::Stopped,
                format!(
                    "{} Use another node until this one is repaired and started again.",
                    sentence(&reason)
                ),
            ),
            ServiceError::BadContext { reason } => Problem::new(
                Kind::BadContext,
                format!(
                    "{} Send the Mangrove-Context of a GET of this very key, unchanged, or none.",
                    sentence(&reason)
                ),
            ),
            ServiceError::BadTtl { reason } => bad_ttl(&reason),
            ServiceError::ValueTooLarge { limit_bytes } => too_large(limit_bytes),
            ServiceError::TooManySiblings { limit } => Problem::new(
                Kind::TooManySiblings,
                format!(
                    "The key would have more than {limit} siblings. GET it with ?siblings=true and send the \
                     Mangrove-Context of the answer, so that the write replaces them."
                ),
            ),
            ServiceError::ContextTooLarge { limit } => Problem::new(
                Kind::ContextTooLarge,
                format!(
                    "The key's context would name more than {limit} lives of nodes that wrote it, which is as many as \
                     are kept. Write under another key."
                ),
            ),
            ServiceError::NoSuchMember { .. }
            | ServiceError::NotAPeer { .. }
            | ServiceError::MemberDown { .. }
            | ServiceError::DrillsNotAllowed => about_members(&error),
            ServiceError::ActRefused { why, detail } => Problem::new(act_refused(why), detail),
            ServiceError::Timeout { reason } => Problem::passing(
                Kind::Timeout,
                format!("{} It may still be done: look before you ask again.", sentence(&reason)),
            ),
            ServiceError::Internal { reason } => Problem::internal(reason),
        }
    }
}

/// The problems of repairs and drills.
fn about_members(error: &ServiceError) -> Problem {
    use ProblemKind as Kind;
    match error {
        ServiceError::NoSuchMember { name, members, removed } => {
            let shown: String = name.chars().take(64).collect();
            let members = if members.is_empty() { "none yet".to_owned() } else { members.join(", ") };
            let what = removed.clone().unwrap_or_else(|| format!("No member is called '{shown}'"));
            Problem::new(Kind::NoSuchMember, format!("{what}. The members are: {members}."))
        }
        ServiceError::NotAPeer { name } => {
            Problem::new(Kind::NotAPeer, format!("{name} is this node itself. Name another member."))
        }
        ServiceError::MemberDown { name } => Problem::new(
            Kind::MemberDown,
            format!(
                "{name} does not answer, so there is nobody to compare with. Start it, or let it be reached again: a \
                 session then begins by itself."
            ),
        ),
        _ => Problem::new(
            Kind::DrillsNotAllowed,
            "This node takes no drills. Start it with --allow-drills where people practise, not where strangers \
             reach its HTTP port.",
        ),
    }
}

fn act_refused(why: ActRefused) -> ProblemKind {
    match why {
        ActRefused::NotAMember => ProblemKind::NotAMember,
        ActRefused::LastMember => ProblemKind::LastMember,
        ActRefused::NobodyStays => ProblemKind::NobodyStays,
        ActRefused::Oneself => ProblemKind::Oneself,
        ActRefused::MemberAnswers => ProblemKind::MemberAnswers,
        ActRefused::NoMajority => ProblemKind::NoMajority,
    }
}

/// A service's reason as a whole sentence: a capital first, a full stop last.
pub(crate) fn sentence(reason: &str) -> String {
    let mut letters = reason.trim().chars();
    let mut text: String =
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// A time to live that a value cannot have.
pub(crate) fn bad_ttl(reason: &str) -> Problem {
    Problem::new(
        ProblemKind::BadTtl,
        format!(
            "{} Nothing was stored. Write it like ttl=30s, 5m, 12h or 7d, or leave it out for a value that stays.",
            sentence(reason)
        ),
    )
}

/// A value over `limit_bytes`.
pub(crate) fn too_large(limit_bytes: usize) -> Problem {
    Problem::new(
        ProblemKind::ValueTooLarge,
        format!(
            "A value has at most {limit_bytes} bytes here. Split it over several keys, or raise the node's limit \
             (--value-bytes-max)."
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_slug_of_its_own_and_a_row_in_the_crate_documentation() {
        let slugs: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
        let table = include_str!("lib.rs");
        for kind in ProblemKind::ALL {
            let row = format!("//! | `{}` | {} |", kind.slug(), kind.status().as_u16());
            assert!(table.contains(&row), "no row begins {row}");
        }
    }
}
