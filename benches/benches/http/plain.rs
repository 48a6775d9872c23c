//! What Mangrove's HTTP is held against: an axum handler that does the same to the engine and sends the same headers,
//! and one that does nothing at all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Captured, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use model::Key;
use storage::{Batch, Engine, SledEngine, SledOptions, Space};

/// As long as a token of one writer is.
const CONTEXT: HeaderValue =
    HeaderValue::from_static("AQAAAAAAAAAAAAAAAQ8TbDq8iyGxAAAAAZ3q2Tkq1nWd5hW9xgYrxlqhYB0B");
const FLUSH_EVERY: Duration = Duration::from_secs(1);

struct Plain {
    engine: SledEngine,
    writes: AtomicU64,
}

/// Serves the handler that keeps values in an engine of its own, flushed every second.
pub fn serve_plain(address: SocketAddr, dir: &Path) {
    let opened = SledEngine::open(dir, &SledOptions::default()).unwrap();
    let plain = Arc::new(Plain { engine: opened.engine, writes: AtomicU64::new(0) });
    let flushed = Arc::clone(&plain);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(FLUSH_EVERY);
            flushed.engine.flush().unwrap();
        }
    });
    let router = Router::new().route("/v1/kv/{*key}", get(read).put(write)).with_state(plain);
    serve(address, router);
}

/// Serves the handler that answers with a value of its own and keeps nothing.
pub fn serve_bare(address: SocketAddr, value_bytes: usize) {
    let value = Bytes::from(vec![b'x'; value_bytes]);
    let read = move || std::future::ready(value.clone());
    let write = |_: Bytes| async { StatusCode::NO_CONTENT };
    serve(address, Router::new().route("/v1/kv/{*key}", get(read).put(write)));
}

/// On a runtime like the node's.
fn serve(address: SocketAddr, router: Router) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        axum::serve(listener, router).await.unwrap();
    });
}

/// Where an entry lies: by its token, as in a node's store.
fn place(key: &str) -> (Key, Box<[u8]>) {
    let key = Key::new(key.as_bytes().to_vec()).unwrap();
    let place = [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat();
    (key, place.into())
}

fn etag(version: &[u8]) -> HeaderValue {
    let version = u128::from_be_bytes(version.try_into().unwrap());
    HeaderValue::from_maybe_shared(Bytes::from(format!("\"{version:032x}\""))).unwrap()
}

async fn read(State(plain): State<Arc<Plain>>, Captured(key): Captured<String>) -> Response {
    let (_, place) = place(&key);
    let Some(record) = plain.engine.get(Space::Entries, &place).unwrap() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ETAG, etag(&record[..16]));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert("mangrove-siblings", HeaderValue::from(1));
    headers.insert("mangrove-context", CONTEXT);
    (headers, record.slice(16..)).into_response()
}

async fn write(State(plain): State<Arc<Plain>>, Captured(key): Captured<String>, value: Bytes) -> Response {
    let (key, place) = place(&key);
    let held = plain.engine.get(Space::Entries, &place).unwrap();
    let version = u128::from(plain.writes.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let mut batch = Batch::new();
    if held.is_none() {
        batch.put(Space::Names, key.as_bytes(), Bytes::new());
    }
    batch.put(Space::Entries, place, [&version[..], &value].concat());
    plain.engine.apply(&batch).unwrap();
    let status = if held.is_none() { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::ETAG, etag(&version));
    headers.insert("mangrove-siblings", HeaderValue::from(1));
    headers.insert("mangrove-context", CONTEXT);
    (status, headers).into_response()
}
