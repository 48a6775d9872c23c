//! `/metrics`.

use std::sync::atomic::Ordering;

use crate::support::Api;

/// The series of a scrape, in order; comments aside.
async fn series(api: &Api) -> Vec<String> {
    let answer = api.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("..\n"), "{text}");
    let mut series: Vec<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    for line in &series {
        let name = line.split(['{', ' ']).next().unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        assert!(
            text.contains(&format!("# HELP {name} ")) && text.contains(&format!("# TYPE {name} ")),
            "{line}"
        );
    }
    series.sort();
    series
}

#[tokio::test]
async fn what_the_node_measures_is_told_for_prometheus() {
    let api = Api::new();
    api.put("/v1/kv/a", "1").await;
    let expected = [
        r#"mangrove_behind 0.0"#,
        r#"mangrove_build_info{version="0.1.0"} 1.0"#,
        r#"mangrove_damage_unhealed 0.0"#,
        r#"mangrove_forgets_deletes 1.0"#,
        r#"mangrove_keys 1.0"#,
        r#"mangrove_member_clock_ahead_seconds{member="b"} 7.5"#,
        r#"mangrove_member_up{member="b"} 1.0"#,
        r#"mangrove_members{state="alive"} 1.0"#,
        r#"mangrove_members{state="down"} 0.0"#,
        r#"mangrove_members{state="leaving"} 1.0"#,
        r#"mangrove_members{state="removed"} 1.0"#,
        r#"mangrove_members{state="suspect"} 0.0"#,
        r#"mangrove_oldest_unverified_age_seconds 7.0"#,
        r#"mangrove_quarantine_bytes 600.0"#,
        r#"mangrove_quarantined_total 0"#,
        r#"mangrove_records_damaged_total 1"#,
        r#"mangrove_records_held_again_total 1"#,
        r#"mangrove_records_held_by_none_total 0"#,
        r#"mangrove_repair_bytes_received_total 2000"#,
        r#"mangrove_repair_bytes_sent_total 4000"#,
        r#"mangrove_repair_checks_total 7"#,
        r#"mangrove_repair_entries_received_total 10"#,
        r#"mangrove_repair_entries_sent_total 20"#,
        r#"mangrove_repair_failures_total{reason="timed out"} 2"#,
        r#"mangrove_repair_keys_total 30"#,
        r#"mangrove_repair_sessions_total 9"#,
        r#"mangrove_resurrections_blocked_total 3"#,
        r#"mangrove_scrub_bytes_total 3456"#,
        r#"mangrove_scrub_entries_total 12"#,
        r#"mangrove_scrub_passes_total 1"#,
        r#"mangrove_serving 1.0"#,
        r#"mangrove_tombstone_waiting_bytes{for="grace"} 500.0"#,
        r#"mangrove_tombstone_waiting_bytes{for="watermark"} 400.0"#,
        r#"mangrove_tombstones 0.0"#,
        r#"mangrove_tombstones_waiting{for="grace"} 5.0"#,
        r#"mangrove_tombstones_waiting{for="watermark"} 4.0"#,
        r#"mangrove_tree_bytes 4096.0"#,
        r#"mangrove_watermark_lag_seconds 21.5"#,
        r#"mangrove_watermark_waits_seconds{member="b"} 0.0"#,
    ];
    assert_eq!(series(&api).await, expected);
    // A node that is not ready is measured all the same.
    api.fake.not_ready.store(true, Ordering::SeqCst);
    assert_eq!(series(&api).await.len(), expected.len());
    api.get("/metrics?x=1").await.is_problem(400, "unknown-parameter");
    api.call("POST", "/metrics", &[], "").await.is_problem(405, "method-not-allowed");
}
