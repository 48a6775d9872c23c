//! `/v1/repairs` and `/v1/drills`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{Answer, Api, Failure};
use http_api::ServiceError;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn post(api: &Api, target: &str, body: &str) -> Answer {
    api.call("POST", target, JSON, body.to_owned()).await
}

#[tokio::test]
async fn sessions_are_told_in_the_names_of_the_api() {
    let api = Api::new();
    let answer = api.get("/v1/repairs").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let running = serde_json::json!({
        "id": "0000000000000001-9", "peer": "b", "peer_id": "0000000000000002", "initiated": true,
        "started_ms": 1_700_000_000_500_u64, "elapsed_ms": 500, "elapsed_us": 500_250, "phase": "exchanging", "outcome": null,
        "failure": null, "method": "sketch", "reason": "about 900 keys differ: cheapest by sketch",
        "estimate": 900, "found": 880, "sent": 200, "received": 20, "bytes_sent": 40_000,
        "bytes_received": 14_000, "bytes_find": 12_000, "bytes_names": 9_000, "bytes_ideal": 30_000,
        "round_trips": 2, "frames": 40, "rate_bytes_per_second": 108_000, "remaining_ms": 1_500,
    });
    let document = answer.json();
    assert_eq!(document["repairs"][0], running);
    let ended = &document["repairs"][1];
    assert_eq!((&ended["phase"], &ended["outcome"]), (&"ended".into(), &"aborted".into()));
    assert_eq!(ended["failure"], "the peer lost its frozen view");
    assert!(ended["method"].is_null() && ended["remaining_ms"].is_null() && ended["reason"] == "");
    assert_eq!((&document["node"], &document["node_id"]), (&"a".into(), &"0000000000000001".into()));
    assert_eq!((&document["checks"], &document["now_ms"]), (&7.into(), &1_700_000_001_000_u64.into()));
    assert_eq!(document["failures"], serde_json::json!({"timed out": 2}));
    assert_eq!(
        document["governor"],
        serde_json::json!({
            "limit_bytes_per_second": 50_000_000, "brake": "cap", "reason": "the operator's limit",
            "rate_bytes_per_second": 108_000, "p99_us": 900, "baseline_p99_us": null,
        })
    );
    let head = api.call("HEAD", "/v1/repairs", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_repair_is_begun_with_a_member_that_answers() {
    let api = Api::new();
    let answer = post(&api, "/v1/repairs", r#"{"peer": "b"}"#).await;
    assert_eq!(answer.status, 202);
    let begun =
        serde_json::json!({"peer": "b", "peer_id": "0000000000000002", "since_ms": 1_700_000_000_000_u64});
    assert_eq!(answer.json(), begun);
    for (peer, status, slug, says) in [
        ("nobody", 404, "no-such-member", "a, b"),
        ("c", 409, "member-down", "Start it"),
        ("a", 409, "not-a-peer", "another member"),
        ("", 404, "no-such-member", "called ''"),
    ] {
        let body = serde_json::json!({ "peer": peer }).to_string();
        let document = post(&api, "/v1/repairs", &body).await.is_problem(status, slug);
        assert!(document["detail"].as_str().unwrap().contains(says), "{document}");
    }
    assert_eq!(api.fake.state.lock().unwrap().repairs, ["b", "nobody", "c", "a", ""]);
    api.fake.fail(Failure::Error(ServiceError::Stopped { reason: "fdatasync failed".into() }));
    post(&api, "/v1/repairs", r#"{"peer": "b"}"#).await.is_problem(503, "writes-stopped");
    api.fake.not_ready.store(true, Ordering::SeqCst);
    post(&api, "/v1/repairs", r#"{"peer": "b"}"#).await.is_problem(503, "not-ready");
    assert_eq!(api.get("/v1/repairs").await.status, 200);
}

#[tokio::test]
async fn a_drill_has_a_length_and_must_be_allowed() {
    let api = Api::new();
    let nothing = serde_json::json!({
        "node": "a", "allowed": true, "isolated_until_ms": null, "remaining_ms": null,
    });
    assert_eq!(api.get("/v1/drills").await.json(), nothing);
    for (text, seconds) in [("30s", 30), ("1s", 1), ("10m", 600), ("1m 30s", 90)] {
        let body = serde_json::json!({ "isolate": text }).to_string();
        let answer = post(&api, "/v1/drills", &body).await;
        assert_eq!(answer.status, 202, "{text}");
        assert_eq!(answer.json()["remaining_ms"], seconds * 1_000, "{text}");
        assert_eq!(answer.json()["isolated_until_ms"], 1_700_000_000_000_u64 + seconds * 1_000);
        assert_eq!(api.fake.state.lock().unwrap().drills.pop(), Some(Duration::from_secs(seconds)));
    }
    for text in ["", "30", "0s", "999ms", "601s", "-1s", "1h", "99999999999999999999999s", "soon"] {
        let body = serde_json::json!({ "isolate": text }).to_string();
        let document = post(&api, "/v1/drills", &body).await.is_problem(400, "bad-field");
        assert!(document["detail"].as_str().unwrap().contains("from 1s to 10m"), "{document}");
    }
    api.fake.state.lock().unwrap().drills_refused = true;
    let document =
        post(&api, "/v1/drills", r#"{"isolate": "30s"}"#).await.is_problem(403, "drills-not-allowed");
    assert!(document["detail"].as_str().unwrap().contains("--allow-drills"), "{document}");
    assert_eq!(api.get("/v1/drills").await.json()["allowed"], false);
    assert!(api.fake.state.lock().unwrap().drills.is_empty());
}

#[tokio::test]
async fn every_wrong_body_is_named_and_begins_nothing() {
    let api = Api::new();
    let long = format!("{{\"peer\": \"{}\"}}", "b".repeat(5_000));
    let rows: &[(&str, &str, u16, &str, &str)] = &[
        ("/v1/repairs", "", 400, "bad-json", "peer"),
        ("/v1/repairs", "peer=b", 400, "bad-json", "peer"),
        ("/v1/repairs", "[\"b\"]", 400, "bad-json", "peer"),
        ("/v1/repairs", "{\"peer\": \"b\"", 400, "bad-json", "peer"),
        ("/v1/repairs", "{\"peer\": \"b\"} {}", 400, "bad-json", "peer"),
        ("/v1/repairs", "{\"peer\": \"\u{1}\"}", 400, "bad-json", "peer"),
        ("/v1/repairs", "{}", 400, "bad-field", "'peer' is missing"),
        ("/v1/repairs", "{\"peer\": 2}", 400, "bad-field", "'peer' is a text"),
        ("/v1/repairs", "{\"peer\": \"b\", \"peer\": \"c\"}", 400, "bad-field", "more than once"),
        ("/v1/repairs", "{\"pear\": \"b\"}", 400, "unknown-field", "'pear' is not known here. Known: peer."),
        ("/v1/repairs", "{\"peer\": \"b\", \"force\": true}", 400, "unknown-field", "'force'"),
        ("/v1/repairs", &long, 413, "body-too-large", "4096"),
        ("/v1/drills", "{\"isolate\": 30}", 400, "bad-field", "'isolate' is a text"),
        ("/v1/drills", "{\"isolate\": \"30s\", \"node\": \"n3\"}", 400, "unknown-field", "Known: isolate."),
        ("/v1/drills", &" ".repeat(5_000), 413, "body-too-large", "4096"),
    ];
    for (target, body, status, slug, says) in rows {
        let document = post(&api, target, body).await.is_problem(*status, slug);
        assert!(document["detail"].as_str().unwrap().contains(says), "{body}: {document}");
    }
    for (method, target, status, slug) in [
        ("GET", "/v1/repairs?peer=b", 400, "unknown-parameter"),
        ("POST", "/v1/repairs?peer=b", 400, "unknown-parameter"),
        ("POST", "/v1/drills?isolate=30s", 400, "unknown-parameter"),
        ("GET", "/v1/repairs/", 404, "no-such-route"),
        ("PUT", "/v1/repairs", 405, "method-not-allowed"),
        ("DELETE", "/v1/drills", 405, "method-not-allowed"),
    ] {
        api.call(method, target, JSON, r#"{"peer": "b"}"#).await.is_problem(status, slug);
    }
    // What a page of another origin can send without asking is not taken.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "", "application/json-patch+json"] {
        for target in ["/v1/repairs", "/v1/drills"] {
            let answer = api.call("POST", target, &[("content-type", kind)], r#"{"peer": "b"}"#).await;
            answer.is_problem(415, "unsupported-media-type");
        }
    }
    api.call("POST", "/v1/repairs", &[], r#"{"peer": "b"}"#).await.is_problem(415, "unsupported-media-type");
    {
        let state = api.fake.state.lock().unwrap();
        assert!(state.repairs.is_empty() && state.drills.is_empty());
    }
    let kind = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(api.call("POST", "/v1/repairs", &kind, r#"{"peer": "b"}"#).await.status, 202);
}
