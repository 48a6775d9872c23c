//! `/v1/cluster/leave` and `/v1/cluster/evict`, and a value added beside others.

use crate::support::{Answer, Api};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn post(api: &Api, target: &str, body: &str) -> Answer {
    api.call("POST", target, JSON, body.to_owned()).await
}

#[tokio::test]
async fn a_node_says_how_far_it_has_come_that_leaves() {
    let api = Api::new();
    let answer = post(&api, "/v1/cluster/leave", "{}").await;
    let told = serde_json::json!({
        "node": "a", "node_id": "0000000000000001", "state": "leaving", "detail": "It waits for b to answer.",
        "waits_for": ["b"], "keys_alone": 7,
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (202, told));
    // To look changes nothing.
    let looked = api.get("/v1/cluster/leave").await;
    assert_eq!((looked.status.as_u16(), &looked.json()["state"]), (200, &"member".into()));
    assert_eq!(looked.json()["keys_alone"], 7);
    let left = post(&api, "/v1/cluster/leave", r#"{"force": true}"#).await;
    assert_eq!((left.status.as_u16(), &left.json()["state"]), (200, &"left".into()));
}

#[tokio::test]
async fn a_member_is_removed_or_it_is_said_why_not() {
    let api = Api::new();
    let document =
        post(&api, "/v1/cluster/evict", r#"{"member": "b"}"#).await.is_problem(409, "member-answers");
    assert_eq!(document["detail"], "b answers. Stop it first.");
    let answer = post(&api, "/v1/cluster/evict", r#"{"member": "b", "force": true}"#).await;
    let gone = serde_json::json!({
        "member": "b", "member_id": "0000000000000002", "forced": true, "promised": null, "needed": null,
        "last_identical": "2023-11-14T22:13:20.000Z", "detail": "It is gone.",
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (200, gone));
}

#[tokio::test]
async fn every_wrong_request_is_named() {
    let api = Api::new();
    for (target, body, slug, says) in [
        ("/v1/cluster/leave", "", "bad-json", "force"),
        ("/v1/cluster/leave", r#"{"force": "yes"}"#, "bad-field", "'force' is true or false"),
        ("/v1/cluster/leave", r#"{"member": "b"}"#, "unknown-field", "Known: force."),
        ("/v1/cluster/evict", "{}", "bad-field", "'member' is missing"),
        ("/v1/cluster/evict", r#"{"member": 2}"#, "bad-field", "'member' is a text"),
        ("/v1/cluster/evict", r#"{"member": "b", "force": 1}"#, "bad-field", "'force' is true or false"),
    ] {
        let document = post(&api, target, body).await.is_problem(400, slug);
        assert!(document["detail"].as_str().unwrap().contains(says), "{body}: {document}");
    }
    for target in ["/v1/cluster/leave", "/v1/cluster/evict"] {
        let refused = api.call("PUT", target, &[], "").await;
        let reads = target.ends_with("leave");
        assert_eq!(refused.header("allow"), Some(if reads { "GET, HEAD, POST" } else { "POST" }));
        refused.is_problem(405, "method-not-allowed");
        post(&api, &format!("{target}?force=true"), "{}").await.is_problem(400, "unknown-parameter");
        // What a page of another origin can send without asking is not taken.
        let plain = [("content-type", "text/plain")];
        api.call("POST", target, &plain, "{}").await.is_problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn a_value_that_is_added_replaces_nothing_and_takes_no_token() {
    let api = Api::new();
    for (target, status) in [("/v1/kv/k?add=true", 201), ("/v1/kv?key=k&add=true", 204)] {
        assert_eq!(api.call("PUT", target, &[], "v").await.status, status, "{target}");
    }
    let values = api.get("/v1/kv/k?siblings=true").await.json();
    assert_eq!(values["siblings"].as_array().unwrap().len(), 2, "{values}");
    let token = [("mangrove-context", "any")];
    api.call("PUT", "/v1/kv/k?add=true", &token, "v").await.is_problem(400, "bad-parameter");
    api.call("PUT", "/v1/kv/k?add=perhaps", &[], "v").await.is_problem(400, "bad-parameter");
    api.call("DELETE", "/v1/kv/k?add=true", &[], "").await.is_problem(400, "unknown-parameter");
}
