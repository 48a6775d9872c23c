//! Every wrong request and every failure: the status, the type, a sentence, and nothing stored.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{Api, Failure, VALUE_BYTES_MAX};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::poll_immediate;
use futures_util::{StreamExt, stream};
use http_api::{RouterOptions, ServiceError};

const TOO_LONG_KEY: usize = 1025;

#[tokio::test]
async fn every_wrong_target_is_named_and_stores_nothing() {
    let api = Api::new();
    let long = "k".repeat(TOO_LONG_KEY);
    let longer = "k".repeat(17 * 1024);
    let rows: &[(&str, &str, u16, &str)] = &[
        ("PUT", "/v1/kv/", 400, "key-empty"),
        ("GET", "/v1/kv/", 400, "key-empty"),
        ("PUT", "/v1/kv?key=", 400, "key-empty"),
        ("GET", "/v1/kv?key", 400, "key-empty"),
        ("PUT", "/v1/kv", 400, "key-missing"),
        ("DELETE", "/v1/kv", 400, "key-missing"),
        ("PUT", &format!("/v1/kv/{long}"), 400, "key-too-long"),
        ("GET", &format!("/v1/kv/{long}"), 400, "key-too-long"),
        ("PUT", &format!("/v1/kv?key={long}"), 400, "key-too-long"),
        ("PUT", &format!("/v1/kv/{longer}"), 414, "uri-too-long"),
        ("GET", &format!("/{longer}"), 414, "uri-too-long"),
        ("PUT", "/v1/kv/a%", 400, "bad-percent-encoding"),
        ("PUT", "/v1/kv/a%4", 400, "bad-percent-encoding"),
        ("PUT", "/v1/kv/a%zz", 400, "bad-percent-encoding"),
        ("PUT", "/v1/kv?key=%g1", 400, "bad-percent-encoding"),
        ("GET", "/v1/kv?prefix=%", 400, "bad-percent-encoding"),
        ("PUT", "/v1/kv/a?ttl=30", 400, "bad-ttl"),
        ("PUT", "/v1/kv/a?siblings=true", 400, "unknown-parameter"),
        ("GET", "/v1/kv/a?key=b", 400, "unknown-parameter"),
        ("DELETE", "/v1/kv/a?x", 400, "unknown-parameter"),
        ("PUT", "/v1/kv?key=a&limit=1", 400, "unknown-parameter"),
        ("GET", "/v1/kv?key=a&prefix=b", 400, "unknown-parameter"),
        ("GET", "/v1/kv?perfix=a", 400, "unknown-parameter"),
        ("GET", "/v1/kv?siblings=true", 400, "unknown-parameter"),
        ("GET", "/v1/cluster?verbose", 400, "unknown-parameter"),
        ("GET", "/healthz?a=b", 400, "unknown-parameter"),
        ("GET", "/readyz?a=b", 400, "unknown-parameter"),
        ("PUT", "/v1/kv?key=a&key=b", 400, "duplicate-parameter"),
        ("GET", "/v1/kv/a?siblings=true&siblings=true", 400, "duplicate-parameter"),
        ("GET", "/v1/kv?limit=1&limit=2", 400, "duplicate-parameter"),
        ("GET", "/v1/kv/a?siblings=yes", 400, "bad-parameter"),
        ("GET", "/v1/kv/a?siblings", 400, "bad-parameter"),
        ("GET", &format!("/v1/kv?prefix={long}"), 400, "bad-parameter"),
        ("GET", &format!("/v1/kv?start={long}"), 400, "bad-parameter"),
        ("GET", "/v1/kv?limit=0", 400, "bad-limit"),
        ("GET", "/v1/kv?limit=1001", 400, "bad-limit"),
        ("GET", "/v1/kv?limit=", 400, "bad-limit"),
        ("GET", "/v1/kv?limit=-1", 400, "bad-limit"),
        ("GET", "/v1/kv?limit=%2B1", 400, "bad-limit"),
        ("GET", "/v1/kv?limit=99999999999999999999999", 400, "bad-limit"),
        ("GET", "/", 404, "no-such-route"),
        ("PUT", "/v1/kvs/a", 404, "no-such-route"),
        ("PUT", "/v1", 404, "no-such-route"),
        ("GET", "/v1/cluster/", 404, "no-such-route"),
        ("GET", "/v1/kv/never", 404, "key-not-found"),
        ("POST", "/v1/kv/a", 405, "method-not-allowed"),
        ("PATCH", "/v1/kv/a", 405, "method-not-allowed"),
        ("OPTIONS", "/v1/kv", 405, "method-not-allowed"),
        ("BREW", "/v1/kv/", 405, "method-not-allowed"),
        ("PUT", "/v1/cluster", 405, "method-not-allowed"),
        ("POST", "/healthz", 405, "method-not-allowed"),
        ("DELETE", "/readyz", 405, "method-not-allowed"),
    ];
    for (method, target, status, slug) in rows {
        let answer = api.call(method, target, &[], "value").await;
        let document = answer.is_problem(*status, slug);
        let instance = document.get("instance").and_then(|instance| instance.as_str());
        assert_eq!(instance, Some(*target).filter(|target| target.len() < 2048), "{method} {target}");
        assert!(api.fake.is_empty(), "{method} {target}");
    }
}

#[tokio::test]
async fn the_known_parameters_and_methods_are_named() {
    let api = Api::new();
    for (target, known) in [
        ("/v1/kv/a?x=1", "Known: siblings."),
        ("/v1/kv?key=a&x=1", "Known: key, siblings."),
        ("/v1/kv?x=1", "Known: prefix, start, limit."),
    ] {
        let document = api.get(target).await.is_problem(400, "unknown-parameter");
        assert!(document["detail"].as_str().unwrap().contains(known), "{document}");
    }
    let kv = api.call("POST", "/v1/kv/a", &[], "").await;
    assert_eq!(kv.header("allow"), Some("PUT, GET, HEAD, DELETE"));
    assert_eq!(api.put("/v1/cluster", "").await.header("allow"), Some("GET, HEAD"));
    assert_eq!(api.put("/v1/repairs", "").await.header("allow"), Some("GET, HEAD, POST"));
}

/// A method, headers, and the status and kind of problem they get.
type HeaderRow<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn every_wrong_header_is_named_and_stores_nothing() {
    let api = Api::new();
    let long = "x".repeat(257);
    let huge = "x".repeat(33 * 1024);
    let rows: &[HeaderRow] = &[
        ("PUT", &[("content-type", &long)], 400, "bad-header"),
        ("PUT", &[("content-type", "t\u{e9}xt")], 400, "bad-header"),
        ("PUT", &[("content-type", "a/b"), ("content-type", "c/d")], 400, "bad-header"),
        ("PUT", &[("content-range", "bytes 0-4/10")], 400, "bad-header"),
        ("PUT", &[("mangrove-context", "x"), ("mangrove-context", "y")], 400, "bad-header"),
        ("PUT", &[("mangrove-context", "forged")], 400, "bad-context"),
        ("PUT", &[("mangrove-context", "")], 400, "bad-context"),
        ("PUT", &[("mangrove-context", "t\u{e9}")], 400, "bad-context"),
        ("DELETE", &[("mangrove-context", "forged")], 400, "bad-context"),
        ("DELETE", &[("mangrove-context", "x"), ("mangrove-context", "y")], 400, "bad-header"),
        ("PUT", &[("content-encoding", "gzip")], 415, "unsupported-encoding"),
        ("PUT", &[("if-match", "\"e1\"")], 501, "unsupported-condition"),
        ("PUT", &[("if-none-match", "*")], 501, "unsupported-condition"),
        ("DELETE", &[("if-unmodified-since", "x")], 501, "unsupported-condition"),
        ("PUT", &[("x-huge", &huge)], 431, "headers-too-large"),
        ("GET", &[("cookie", &huge)], 431, "headers-too-large"),
    ];
    for (method, headers, status, slug) in rows {
        api.call(method, "/v1/kv/a", headers, "value").await.is_problem(*status, slug);
        assert!(api.fake.is_empty(), "{method} {slug}");
    }
    let identity = api.call("PUT", "/v1/kv/a", &[("content-encoding", "identity")], "value").await;
    assert_eq!(identity.status, 201);
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let api = Api::new();
    let token = api.put("/v1/kv/a", "1").await.header("mangrove-context").unwrap().to_owned();
    let answer = api.call("PUT", "/v1/kv/b", &[("mangrove-context", &token)], "2").await;
    answer.is_problem(400, "bad-context");
    assert_eq!(api.call("PUT", "/v1/kv/a", &[("mangrove-context", &token)], "2").await.status, 204);
}

/// A body of `count` pieces without a length.
fn pieces(count: usize, length: usize) -> Body {
    Body::from_stream(
        stream::iter(0..count).map(move |_| Ok::<_, std::io::Error>(Bytes::from(vec![7; length]))),
    )
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_in_either_framing() {
    let api = Api::new();
    let announced = vec![0; VALUE_BYTES_MAX + 1];
    let answer = api.call("PUT", "/v1/kv/a", &[], announced).await;
    let document = answer.is_problem(413, "value-too-large");
    assert!(document["detail"].as_str().unwrap().contains("65536"));
    for body in [pieces(65, 1024), pieces(1, VALUE_BYTES_MAX + 1), pieces(100_000, 1024)] {
        api.call("PUT", "/v1/kv/a", &[], body).await.is_problem(413, "value-too-large");
    }
    assert_eq!(api.fake.calls.load(Ordering::SeqCst), 0);
    assert_eq!(api.call("PUT", "/v1/kv/a", &[], pieces(64, 1024)).await.status, 201);
    assert_eq!(api.fake.values(b"a"), [vec![7; VALUE_BYTES_MAX]]);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_stores_nothing() {
    let options = RouterOptions { body_idle_max: Duration::from_millis(50), ..RouterOptions::default() };
    let api = Api::with(options);
    let broken = stream::iter([Ok(Bytes::from("half")), Err(std::io::Error::other("gone"))]);
    api.call("PUT", "/v1/kv/a", &[], Body::from_stream(broken)).await.is_problem(400, "bad-body");
    let stalled = stream::iter([Ok::<_, std::io::Error>(Bytes::from("half"))]).chain(stream::pending());
    api.call("PUT", "/v1/kv/a", &[], Body::from_stream(stalled)).await.is_problem(408, "request-timeout");
    let options = RouterOptions { body_time_max: Duration::from_millis(100), ..RouterOptions::default() };
    let slow = Api::with(options);
    let drops = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from("x")), ()))
    });
    slow.call("PUT", "/v1/kv/a", &[], Body::from_stream(drops)).await.is_problem(408, "request-timeout");
    assert_eq!(api.fake.calls.load(Ordering::SeqCst) + slow.fake.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_failure_of_the_service_is_a_problem() {
    let api = Api::new();
    let said = |text: &str| text.to_owned();
    let rows = [
        (ServiceError::NotReady { reason: said("Joining.") }, 503, "not-ready", Some("1")),
        (ServiceError::Stopped { reason: said("fdatasync failed.") }, 503, "writes-stopped", None),
        (ServiceError::BadContext { reason: said("Cut short.") }, 400, "bad-context", None),
        (ServiceError::ValueTooLarge { limit_bytes: 5 }, 413, "value-too-large", None),
        (ServiceError::TooManySiblings { limit: 64 }, 409, "too-many-siblings", None),
        (ServiceError::ContextTooLarge { limit: 256 }, 409, "context-too-large", None),
        (ServiceError::Timeout { reason: said("The disk is slow.") }, 503, "timed-out", Some("1")),
        (ServiceError::Internal { reason: said("secret") }, 500, "internal", None),
    ];
    for (error, status, slug, retry_after) in rows {
        api.fake.fail(Failure::Error(error));
        for (method, target) in
            [("PUT", "/v1/kv/a"), ("DELETE", "/v1/kv/a"), ("GET", "/v1/kv/a"), ("GET", "/v1/kv")]
        {
            let answer = api.call(method, target, &[], "v").await;
            let document = answer.is_problem(status, slug);
            assert_eq!(answer.header("retry-after"), retry_after, "{slug}");
            assert!(!document.to_string().contains("secret"), "the log's reason is not the client's");
        }
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_failure() {
    let api = Api::new();
    api.fake.fail(Failure::Panic);
    let document = api.put("/v1/kv/a", "v").await.is_problem(500, "internal");
    assert!(!document.to_string().contains("as the test asked"));
    api.fake.state.lock().unwrap().fail = None;
    assert_eq!(api.put("/v1/kv/a", "v").await.status, 201);
}

#[tokio::test]
async fn more_requests_than_it_takes_are_turned_away() {
    let api = Api::with(RouterOptions { requests_max: 1, ..RouterOptions::default() });
    api.fake.fail(Failure::Hang);
    let mut first = Box::pin(api.get("/v1/kv/a"));
    assert!(poll_immediate(&mut first).await.is_none());
    let turned_away = api.put("/v1/kv/b", "v").await;
    turned_away.is_problem(503, "overloaded");
    assert_eq!(turned_away.header("retry-after"), Some("1"));
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
    drop(first);
    api.fake.state.lock().unwrap().fail = None;
    assert_eq!(api.put("/v1/kv/b", "v").await.status, 201);
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let api = Api::with(RouterOptions { body_bytes_max: VALUE_BYTES_MAX, ..RouterOptions::default() });
    api.fake.fail(Failure::Hang);
    let mut first = Box::pin(api.call("PUT", "/v1/kv/a", &[], vec![0; VALUE_BYTES_MAX]));
    assert!(poll_immediate(&mut first).await.is_none());
    api.put("/v1/kv/b", "v").await.is_problem(503, "overloaded");
    drop(first);
    api.fake.state.lock().unwrap().fail = None;
    assert_eq!(api.put("/v1/kv/b", "v").await.status, 201);
}
