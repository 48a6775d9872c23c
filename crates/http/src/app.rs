//! The router, and what every request passes through: limits, panics caught, the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::body::{BodyLimits, Inbound};
use crate::problem::{Problem, ProblemKind};
use crate::service::Service;
use crate::target::TARGET_BYTES_MAX;
use crate::{drills, kv, list, membership, metrics, repairs, status};

/// Greatest length of a request's headers in bytes, all together.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// The unit in which memory for bodies is handed out, in bytes.
const BODY_UNIT_BYTES: usize = 1_024;

/// How much the API takes on at once. Beyond it answers 503 and nothing is stored.
#[derive(Debug, Clone, Copy)]
pub struct RouterOptions {
    /// Requests at once, `/healthz` and `/readyz` aside; 1 or more.
    pub requests_max: usize,
    /// Bytes of bodies held at once, all requests together. Held at one value's limit or more.
    pub body_bytes_max: usize,
    /// Longest pause within a body.
    pub body_idle_max: Duration,
    /// Longest time for a whole body.
    pub body_time_max: Duration,
}

impl Default for RouterOptions {
    /// 1,024 requests, 256 MiB of bodies, 10 s of silence, 2 min a body.
    fn default() -> Self {
        RouterOptions {
            requests_max: 1_024,
            body_bytes_max: 256 * 1024 * 1024,
            body_idle_max: Duration::from_secs(10),
            body_time_max: Duration::from_secs(120),
        }
    }
}

/// What every request needs.
pub(crate) struct App<S> {
    pub service: Arc<S>,
    pub body_limits: BodyLimits,
    requests: Semaphore,
    body_units: Semaphore,
}

/// What a request asks for, by its path and method.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// Put, get or delete a key named by the path.
    Key,
    /// The same with `?key=`, or a listing.
    Keys,
    Cluster,
    Leave,
    Evict,
    Repairs,
    Drills,
    Metrics,
    Health,
    Ready,
    NoRoute,
    /// No such method; these are there.
    NoMethod(&'static str),
}

const KV_METHODS: &str = "PUT, GET, HEAD, DELETE";
const VIEW_METHODS: &str = "GET, HEAD";
const START_METHODS: &str = "GET, HEAD, POST";
const ACT_METHODS: &str = "POST";

/// The routes of the API, in front of a service.
pub fn router<S: Service>(service: Arc<S>, options: RouterOptions) -> Router {
    let bytes_max = service.limits().value_bytes_max;
    let app = Arc::new(App {
        service,
        body_limits: BodyLimits {
            bytes_max,
            idle_max: options.body_idle_max,
            time_max: options.body_time_max,
        },
        requests: Semaphore::new(options.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
        body_units: Semaphore::new(units(options.body_bytes_max.max(bytes_max)) as usize),
    });
    let to = |call| To { app: Arc::clone(&app), call };
    let view = |call, methods| get(to(call)).fallback(to(Call::NoMethod(methods)));
    let start = |call| view(call, START_METHODS).post(to(call));
    let act = |call| post(to(call)).fallback(to(Call::NoMethod(ACT_METHODS)));
    let kv = |call| view(call, KV_METHODS).put(to(call)).delete(to(call));
    Router::new()
        .route("/v1/kv", kv(Call::Keys))
        .route("/v1/kv/", kv(Call::Key))
        .route("/v1/kv/{*key}", kv(Call::Key))
        .route("/v1/cluster", view(Call::Cluster, VIEW_METHODS))
        .route("/v1/cluster/leave", start(Call::Leave))
        .route("/v1/cluster/evict", act(Call::Evict))
        .route("/v1/repairs", start(Call::Repairs))
        .route("/v1/drills", start(Call::Drills))
        .route("/metrics", view(Call::Metrics, VIEW_METHODS))
        .route("/healthz", view(Call::Health, VIEW_METHODS))
        .route("/readyz", view(Call::Ready, VIEW_METHODS))
        .fallback(to(Call::NoRoute))
}

/// A handler that makes one call. axum answers HEAD through GET's, without the body.
struct To<S> {
    app: Arc<App<S>>,
    call: Call,
}

impl<S> Clone for To<S> {
    fn clone(&self) -> Self {
        To { app: Arc::clone(&self.app), call: self.call }
    }
}

impl<S: Service> Handler<(), ()> for To<S> {
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, (): ()) -> Self::Future {
        self.app.answer(self.call, request).boxed()
    }
}

impl<S: Service> App<S> {
    /// Answers one request.
    async fn answer(self: Arc<Self>, call: Call, request: Request) -> Response {
        let begun = tracing::enabled!(tracing::Level::DEBUG).then(Instant::now);
        let (parts, body) = request.into_parts();
        let mut body = Inbound::new(body);
        let outcome = AssertUnwindSafe(self.serve(call, &parts, &mut body)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(Problem::internal(panicked(panic.as_ref()))));
        let response = match outcome {
            Ok(response) => response,
            Err(problem) => {
                // Whoever was too slow gets no more time.
                if problem.kind != ProblemKind::RequestTimeout {
                    body.discard(parts.headers.contains_key(header::EXPECT));
                }
                log_failure(&problem, &parts);
                problem.into_response(&parts.uri)
            }
        };
        if let Some(begun) = begun {
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            let status = response.status().as_u16();
            tracing::debug!(method = %parts.method, path = parts.uri.path(), status, micros, "request");
        }
        response
    }

    async fn serve(&self, call: Call, parts: &Parts, body: &mut Inbound) -> Result<Response, Problem> {
        within_limits(parts)?;
        let _admitted = match call {
            Call::Health | Call::Ready => None,
            _ => Some(self.requests.try_acquire().map_err(|_| overloaded())?),
        };
        match call {
            Call::Key => kv::by_path(self, parts, body).await,
            Call::Keys if list::is_listing(parts) => list::list(self, parts).await,
            Call::Keys => kv::by_query(self, parts, body).await,
            Call::Cluster => status::cluster(self, parts).await,
            Call::Leave => membership::leave(self, parts, body).await,
            Call::Evict => membership::evict(self, parts, body).await,
            Call::Repairs => repairs::repairs(self, parts, body).await,
            Call::Drills => drills::drills(self, parts, body).await,
            Call::Metrics => metrics::metrics(self, parts).await,
            Call::Health => status::health(parts),
            Call::Ready => status::ready(self, parts),
            Call::NoRoute => Err(no_route()),
            Call::NoMethod(methods) => Err(no_method(&parts.method, methods)),
        }
    }

    /// Reads a value. What comes with it is its share of the memory for bodies: hold it as long as the value.
    pub async fn read_value(
        &self,
        body: &mut Inbound,
    ) -> Result<(bytes::Bytes, impl Send + use<'_, S>), Problem> {
        let announced = body.announced(&self.body_limits)?;
        let share = self.body_units.try_acquire_many(units(announced)).map_err(|_| overloaded())?;
        Ok((body.read(&self.body_limits).await?, share))
    }
}

fn units(bytes: usize) -> u32 {
    let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    u32::try_from(bytes.div_ceil(BODY_UNIT_BYTES)).unwrap_or(most).min(most)
}

fn within_limits(parts: &Parts) -> Result<(), Problem> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        let detail = format!(
            "Path and query have at most {TARGET_BYTES_MAX} bytes, these have {target}. Use a shorter key."
        );
        return Err(Problem::new(ProblemKind::UriTooLong, detail));
    }
    let headers = header_bytes(&parts.headers);
    if headers > HEADER_BYTES_MAX {
        let detail = format!(
            "Headers have at most {HEADER_BYTES_MAX} bytes, these have {headers}. Send fewer or shorter ones."
        );
        return Err(Problem::new(ProblemKind::HeadersTooLarge, detail));
    }
    Ok(())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    // A colon, a space and a line's end besides.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn overloaded() -> Problem {
    let detail =
        "This node is at its limit of requests at once. Nothing was stored; try again, or another node.";
    Problem::passing(ProblemKind::Overloaded, detail)
}

fn no_route() -> Problem {
    let detail = "There is /v1/kv/{key}, /v1/kv (a listing, or ?key=), /v1/cluster, /v1/cluster/leave, \
                  /v1/cluster/evict, /v1/repairs, /v1/drills, /metrics, /healthz and /readyz. Check the path.";
    Problem::new(ProblemKind::NoSuchRoute, detail)
}

fn no_method(method: &Method, methods: &'static str) -> Problem {
    let method: String = method.as_str().chars().take(32).collect();
    Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("{method} is not there for this path. Use {methods}."),
    )
    .with(header::ALLOW, HeaderValue::from_static(methods))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a request panicked: {}", message.unwrap_or("no message"))
}

/// Failures of the node are told at `warn`; that it is not ready or full is told elsewhere, and
/// would be told once a request here.
fn log_failure(problem: &Problem, parts: &Parts) {
    let status = problem.kind.status();
    if status.is_server_error()
        && !matches!(
            problem.kind,
            ProblemKind::NotReady
                | ProblemKind::Stopped
                | ProblemKind::Overloaded
                | ProblemKind::UnsupportedCondition
        )
    {
        let why = problem.logged.as_deref().unwrap_or(&problem.detail);
        tracing::warn!(method = %parts.method, path = parts.uri.path(), status = status.as_u16(), why, "request failed");
    }
}

/// An answer of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<Response, Problem> {
    let body =
        serde_json::to_vec(value).map_err(|error| Problem::internal(format!("writing JSON: {error}")))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
