//! The client: sending a request to one endpoint after the other until one answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};

use crate::endpoint::Endpoint;
use crate::error::with_causes;
use crate::{Error, Problem};

/// Longest problem document that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// How long a connection is kept for the next request: well under the node's 30 s, so that no
/// request is sent into one that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// How a client waits and what it takes.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Longest wait for a connection to one endpoint.
    pub connect_time_max: Duration,
    /// Longest time for a request to one endpoint, its whole answer included.
    pub request_time_max: Duration,
    /// Longest answer in bytes. All siblings of a key come in one answer, in base64.
    pub answer_bytes_max: usize,
}

impl Default for ClientOptions {
    /// 2 s to connect, 30 s a request, answers of 128 MiB.
    fn default() -> Self {
        ClientOptions {
            connect_time_max: Duration::from_secs(2),
            request_time_max: Duration::from_secs(30),
            answer_bytes_max: 128 * 1024 * 1024,
        }
    }
}

/// A client of one cluster. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoints: Arc<[Endpoint]>,
    /// The endpoint that answered last: where the next request begins.
    preferred: Arc<AtomicUsize>,
    answer_bytes_max: usize,
}

/// A request, to be sent to any endpoint.
pub(crate) struct Call {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

impl Call {
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Call { method, target: target.into(), headers: HeaderMap::new(), body: None }
    }

    /// With a header whose value came from outside.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Self, Error> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::BadRequest { reason: format!("{name} holds a byte that no header can") })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    fn reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// An answer that is no failure, read whole.
pub(crate) struct Answer {
    pub endpoint: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// A client of these endpoints, each `host:port` or `http://host:port`. Connects to none yet.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`] and [`Error::NoEndpoint`].
    pub fn new(endpoints: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        Self::with(endpoints, ClientOptions::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with(
        endpoints: impl IntoIterator<Item = impl AsRef<str>>,
        options: ClientOptions,
    ) -> Result<Self, Error> {
        let endpoints: Result<Vec<_>, _> =
            endpoints.into_iter().map(|endpoint| Endpoint::parse(endpoint.as_ref())).collect();
        let endpoints: Arc<[Endpoint]> = endpoints?.into();
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        let http = reqwest::Client::builder()
            // A cluster's own addresses are never meant for the proxy to the outside.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_time_max)
            .timeout(options.request_time_max)
            .pool_idle_timeout(POOL_IDLE)
            .build()
            .map_err(|error| Error::BadRequest { reason: with_causes(&error) })?;
        Ok(Client {
            http,
            endpoints,
            preferred: Arc::new(AtomicUsize::new(0)),
            answer_bytes_max: options.answer_bytes_max,
        })
    }

    /// Sends a call, to the next endpoint as long as that can do no harm.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed = Error::NoEndpoint;
        for turn in 0..self.endpoints.len() {
            let at = first.wrapping_add(turn) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(at) else { break };
            match self.send_to(endpoint, &call).await {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if another_may_help(&error, call.reads()) => failed = telling(failed, error),
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    async fn send_to(&self, endpoint: &Endpoint, call: &Call) -> Result<Answer, Error> {
        let url = endpoint.join(&call.target)?;
        let mut request = self.http.request(call.method.clone(), url).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(|error| unreachable(endpoint, &error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let failed = !status.is_success();
        let limit = if failed { PROBLEM_BYTES_MAX } else { self.answer_bytes_max };
        let body = read(endpoint, response, limit).await?;
        if failed {
            return Err(failure(endpoint, call, status, &headers, &body));
        }
        Ok(Answer { endpoint: endpoint.as_str().to_owned(), status, headers, body })
    }
}

async fn read(endpoint: &Endpoint, mut response: Response, limit_bytes: usize) -> Result<Bytes, Error> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(endpoint, &error))? {
        if piece.len() > limit_bytes.saturating_sub(first.len().max(whole.len())) {
            return Err(Error::AnswerTooLarge { endpoint: endpoint.as_str().to_owned(), limit_bytes });
        }
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&first);
            first = Bytes::new();
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn unreachable(endpoint: &Endpoint, error: &reqwest::Error) -> Error {
    Error::Unreachable {
        endpoint: endpoint.as_str().to_owned(),
        reason: with_causes(error),
        sent: !error.is_connect(),
    }
}

/// The problem document of an answer, or what stands in its place.
fn failure(endpoint: &Endpoint, call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let documented = text(CONTENT_TYPE.as_str()) == Some("application/problem+json");
    let mut problem = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem,
        // An answer to HEAD has no document.
        Err(_) if documented && call.method == Method::HEAD => Problem {
            kind: String::new(),
            title: status.canonical_reason().unwrap_or("Unknown status").to_owned(),
            status: status.as_u16(),
            detail: "An answer to HEAD says no more; GET does.".to_owned(),
            instance: None,
            retry_after_s: None,
            context: None,
        },
        Err(_) => {
            let reason = format!("status {status} without a problem document");
            return Error::Decode { endpoint: endpoint.as_str().to_owned(), reason };
        }
    };
    problem.status = status.as_u16();
    problem.retry_after_s = text(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    problem.context = text("mangrove-context").map(str::to_owned);
    Error::Problem(Box::new(problem))
}

/// Whether the next endpoint may be asked after this failure. A write goes on only when it
/// certainly was not stored; a read also when the node failed.
fn another_may_help(error: &Error, reads: bool) -> bool {
    match error {
        Error::Unreachable { sent, .. } => reads || !sent,
        Error::Problem(problem) => {
            matches!(problem.slug(), "not-ready" | "overloaded")
                || (reads && problem.status >= 500 && problem.status != 501)
        }
        Error::Decode { .. } => reads,
        _ => false,
    }
}

/// Of two failures the one that says more: what a node answered before a missing connection.
fn telling(earlier: Error, later: Error) -> Error {
    match (&earlier, &later) {
        (Error::Problem(_), Error::Unreachable { .. }) => earlier,
        _ => later,
    }
}
