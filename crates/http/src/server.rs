//! Accepting connections, and ending them: every one has its limits, none outlives the drain.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::Service;

/// Most bytes that a connection buffers of what it reads. Headers beyond it are answered 431.
const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// How long accepting rests after an error that is not one connection's, such as no free
/// descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are kept.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections at once; more wait in the kernel's queue. 1 or more.
    pub connections_max: usize,
    /// Longest wait for a whole request head, idle time between two requests included. The
    /// connection is then closed.
    pub header_time_max: Duration,
    /// Longest time in which a client takes nothing of its answer. The connection is then closed.
    pub write_idle_max: Duration,
    /// How long requests may take to end after shutdown has begun. Then they are cut off.
    pub drain_time_max: Duration,
}

impl Default for ServeOptions {
    /// 4,096 connections, 30 s for a head, 30 s for a reader that has stopped, 10 s to drain.
    fn default() -> Self {
        ServeOptions {
            connections_max: 4_096,
            header_time_max: Duration::from_secs(30),
            write_idle_max: Duration::from_secs(30),
            drain_time_max: Duration::from_secs(10),
        }
    }
}

/// Serves a router until `shutdown` ends, then stops accepting, lets the requests under way end,
/// and returns how many connections were cut off because they had not ended in time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, place)) => {
                let watched = graceful.watch(connection(stream, router.clone(), &options));
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = watched.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Err(error) => rest(&error).await,
        }
    }
    drop(listener);
    if tokio::time::timeout(options.drain_time_max, graceful.shutdown()).await.is_ok() {
        return 0;
    }
    while connections.try_join_next().is_some() {}
    connections.len()
}

/// A connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn rest(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "accepting connections failed; trying again");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
    options: &ServeOptions,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    // An answer is small and whole: waiting to fill a segment would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_idle_max));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.clone().call(request.map(Body::new));
        async move { Ok::<Response, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_time_max)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
}
