//! `/v1/cluster`, `/healthz` and `/readyz`.

use std::sync::atomic::Ordering;

use crate::support::Api;

#[tokio::test]
async fn the_cluster_is_told_in_the_names_of_the_api() {
    let api = Api::new();
    api.put("/v1/kv/a", "1").await;
    let answer = api.get("/v1/cluster").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "cluster": "07070707070707070707070707070707",
            "node": {
                "ready": true, "reason": null, "id": "0000000000000001", "name": "a", "version": "0.1.0",
                "uptime_ms": 5_000, "http": "127.0.0.1:7710", "gossip": "127.0.0.1:7711",
            },
            "root": "abcd",
            "keys": 1,
            "tombstones": 0,
            "tree_bytes": 4_096,
            "forgetting": {
                "on": true, "watermark": "2023-11-14T22:13:20.000Z", "watermark_lag_ms": 21_500,
                "waits_for": {"id": "0000000000000002", "name": "b", "since": "2023-11-14T22:13:23.250Z", "why": "slow"},
                "horizon": null, "behind": null, "resurrections_blocked": 3, "quarantined": 0,
                "waiting": {"tombstones": 4, "tombstone_bytes": 400, "purged": 5, "purged_bytes": 500},
            },
            "scrub": {
                "bytes_per_second": 2_097_152, "running": true, "entries": 12, "bytes": 3_456, "passes": 1,
                "oldest_unverified_age_ms": 7_000,
            },
            "damage": {
                "found_at": "2023-11-14T22:13:20.000Z",
                "what": "the record of a was damaged: it does not match its digest",
                "records": 1, "held_again": 1, "held_by_none": 0, "healed": true, "kept_in": "/data/damaged",
            },
            "quarantine_bytes": 600,
            "removed": [
                {"id": "0000000000000003", "name": "c", "at": "2023-11-14T22:13:20.500Z", "by": "a"},
            ],
            "members": [
                {
                    "id": "0000000000000001", "name": "a", "liveness": "alive", "leaving": false, "root": "abcd",
                    "last_identical": "2023-11-14T22:13:20.123Z", "clock_ahead_ms": 0, "repair": null,
                    "refused": null, "http": null, "gossip": "127.0.0.1:7711",
                },
                {
                    "id": "0000000000000002", "name": "b", "liveness": "suspect", "leaving": true, "root": null,
                    "last_identical": null, "clock_ahead_ms": 7_500, "repair": "running",
                    "refused": "wire versions 1 to 2 were offered, this node speaks 3 to 4", "http": null, "gossip": "127.0.0.1:7711",
                },
            ],
        })
    );
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why_and_is_still_healthy() {
    let api = Api::new();
    assert_eq!(api.get("/readyz").await.json(), serde_json::json!({"ready": true}));
    api.fake.not_ready.store(true, Ordering::SeqCst);
    for (method, target) in [
        ("GET", "/readyz"),
        ("GET", "/v1/kv"),
        ("GET", "/v1/kv/a"),
        ("PUT", "/v1/kv/a"),
        ("DELETE", "/v1/kv/a"),
    ] {
        let answer = api.call(method, target, &[], "").await;
        let document = answer.is_problem(503, "not-ready");
        assert!(document["detail"].as_str().unwrap().contains("not joined"), "{method} {target}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(api.get("/healthz").await.json(), serde_json::json!({"healthy": true}));
    assert_eq!(api.get("/v1/cluster").await.status, 200);
}
