//! An import against a node that is not one: it keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;

use super::*;

/// The raw path and the content type of what was put, and its bytes.
type Kept = Arc<Mutex<BTreeMap<String, (String, Bytes)>>>;

fn problem(status: StatusCode, slug: &str, detail: &str) -> Response {
    let document = serde_json::json!({
        "type": format!("urn:mangrove:problem:{slug}"), "title": slug, "status": status.as_u16(), "detail": detail,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response()
}

async fn keep(State(kept): State<Kept>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if body.len() > 100 {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "value-too-large", "too large");
    }
    if body.starts_with(b"refused") {
        return problem(StatusCode::CONFLICT, "too-many-siblings", "resolve them first");
    }
    let content_type = headers.get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
    let mut kept = kept.lock().unwrap();
    if body.starts_with(b"later") && !kept.contains_key("asked") {
        kept.insert("asked".to_owned(), Default::default());
        return problem(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "not joined yet");
    }
    kept.insert(uri.path().to_owned(), (content_type, body));
    (StatusCode::CREATED, [("mangrove-siblings", "1"), ("etag", "\"e\"")]).into_response()
}

async fn fake_node() -> (Remote, Kept) {
    let kept = Kept::default();
    let app = Router::new().route("/v1/kv/{*key}", put(keep)).with_state(Arc::clone(&kept));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Remote::to(&address, Duration::from_secs(10)).unwrap(), kept)
}

async fn imported(remote: &Remote, files: &[(&str, &[u8])]) -> Summary {
    let home = tempfile::tempdir().unwrap();
    for (name, value) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    import(remote, walk::walk(home.path(), b"p/").unwrap(), 4).await
}

#[tokio::test]
async fn files_arrive_whole_under_their_keys() {
    let (remote, kept) = fake_node().await;
    let files: [(&str, &[u8]); 4] =
        [("a b.json", b"{}"), ("deep/er/c%d", b"\x00\xff"), ("empty", b""), ("busy", b"later")];
    let summary = imported(&remote, &files).await;
    assert_eq!((summary.files, summary.bytes), (4, 9));
    assert!(summary.skipped.is_empty() && summary.failed.is_empty());
    let mut kept = kept.lock().unwrap();
    assert!(kept.remove("asked").is_some());
    let octets = "application/octet-stream".to_owned();
    let expected = BTreeMap::from([
        ("/v1/kv/p/a%20b.json".to_owned(), ("application/json".to_owned(), Bytes::from("{}"))),
        ("/v1/kv/p/busy".to_owned(), (octets.clone(), Bytes::from("later"))),
        ("/v1/kv/p/deep/er/c%25d".to_owned(), (octets.clone(), Bytes::from_static(b"\x00\xff"))),
        ("/v1/kv/p/empty".to_owned(), (octets, Bytes::new())),
    ]);
    assert_eq!(*kept, expected);
}

#[tokio::test]
async fn too_large_is_skipped_and_refused_fails() {
    let (remote, _) = fake_node().await;
    let summary = imported(&remote, &[("large", &[b'x'; 101]), ("no", b"refused"), ("yes", b"1")]).await;
    assert_eq!(summary.files, 1);
    assert_eq!(
        summary.skipped.iter().map(|one| &one.reason).collect::<Vec<_>>(),
        [&skipped::Reason::TooLarge]
    );
    assert_eq!(
        summary.failed.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>(),
        ["resolve them first"]
    );
}

#[test]
fn the_summary_says_what_was_done_left_out_and_not_written() {
    let summary = Summary {
        files: 2,
        bytes: 2048,
        took: Duration::from_millis(1_230),
        skipped: vec![Skipped { path: "/etc/link".into(), reason: skipped::Reason::Symlink }],
        failed: vec![("/etc/x".into(), "resolve them first".into())],
        given_up: false,
    };
    insta::assert_snapshot!(summary.text(Screen::PLAIN), @r"
    imported 2 files, 2.0 KiB, in 1.2 s
    skipped 1:
    skipped  why              path
    1        a symbolic link  /etc/link
    not written: /etc/x: resolve them first
    ");
}
