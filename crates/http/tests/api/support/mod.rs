//! What the tests of the API share.

pub mod fake;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use tower::ServiceExt;

pub use fake::{Failure, Fake, VALUE_BYTES_MAX};

/// The router before a fake, without a socket.
pub struct Api {
    pub fake: Arc<Fake>,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Api {
    pub fn new() -> Self {
        Self::with(http_api::RouterOptions::default())
    }

    pub fn with(options: http_api::RouterOptions) -> Self {
        let fake = Arc::new(Fake::default());
        let router = http_api::router(Arc::clone(&fake), options);
        Api { fake, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub async fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn put(&self, target: &str, body: &'static str) -> Answer {
        self.call("PUT", target, &[], body).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], "").await
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is a whole problem document of this kind.
    pub fn is_problem(&self, status: u16, slug: &str) -> serde_json::Value {
        assert_eq!(self.status.as_u16(), status, "{slug}: {}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let document = self.json();
        check_document(&document, status, slug);
        document
    }
}

/// Asserts that a problem document is whole and of this kind.
pub fn check_document(document: &serde_json::Value, status: u16, slug: &str) {
    assert_eq!(document["type"], format!("urn:mangrove:problem:{slug}"));
    assert_eq!(document["status"], status);
    assert!(!document["title"].as_str().unwrap().is_empty());
    let detail = document["detail"].as_str().unwrap();
    assert!(detail.ends_with('.') && detail.len() > 20, "{slug}: {detail}");
}
