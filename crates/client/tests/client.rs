//! The client against a real server: the API's router before a service in memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, dead_code)]

#[path = "../../http/tests/api/support/fake.rs"]
mod fake;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{
    Brake, Client, ClientOptions, Error, Liveness, PutOptions, RepairMethod, RepairOutcome, RepairPhase,
};
use fake::{Failure, Fake, VALUE_BYTES_MAX};
use futures_util::TryStreamExt;
use http_api::{RouterOptions, ServeOptions, ServiceError};
use model::Key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Node {
    fake: Arc<Fake>,
    address: SocketAddr,
}

async fn node() -> Node {
    let fake = Arc::new(Fake::default());
    let router = http_api::router(Arc::clone(&fake), RouterOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http_api::serve(listener, router, ServeOptions::default(), std::future::pending()));
    Node { fake, address }
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A server that answers every connection with these bytes and closes it.
async fn stranger(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 4096]).await;
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn to(addresses: &[SocketAddr]) -> Client {
    Client::new(addresses.iter().map(SocketAddr::to_string)).unwrap()
}

fn key(bytes: impl AsRef<[u8]>) -> Key {
    Key::new(bytes.as_ref().to_vec()).unwrap()
}

fn problem(error: Error) -> client::Problem {
    match error {
        Error::Problem(problem) => *problem,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_value_is_put_read_and_deleted() {
    let node = node().await;
    let client = to(&[node.address]);
    let key = key("etc/hosts");
    let missing = client.get(&key).await.unwrap();
    assert_eq!((missing.value, missing.siblings, missing.context), (None, 0, None));
    assert_eq!(client.head(&key).await.unwrap().head, None);

    let options = PutOptions { content_type: Some("text/plain".into()), ..PutOptions::default() };
    let written = client.put_with(&key, "127.0.0.1", &options).await.unwrap();
    assert!(written.created && written.siblings == 1 && written.context.is_some());
    let read = client.get(&key).await.unwrap();
    let value = read.value.unwrap();
    assert_eq!((&value.bytes[..], &value.content_type[..]), (&b"127.0.0.1"[..], "text/plain"));
    assert_eq!(value.etag, written.etag);
    let head = client.head(&key).await.unwrap().head.unwrap();
    assert_eq!((head.size, head.etag, head.content_type), (9, value.etag, value.content_type));

    assert!(!client.put(&key, "").await.unwrap().created);
    assert!(client.get(&key).await.unwrap().value.unwrap().bytes.is_empty());
    let deleted = client.delete(&key, None).await.unwrap();
    assert!(deleted.siblings == 0 && deleted.context.is_some());
    let gone = client.get(&key).await.unwrap();
    assert!(gone.value.is_none() && gone.context.is_some(), "a tombstone was shown whole");
    assert!(client.head(&key).await.unwrap().context.is_some());
    assert!(client.get_siblings(&key).await.unwrap().siblings.is_empty());
}

#[tokio::test]
async fn a_value_is_added_and_members_leave_and_are_removed() {
    let node = node().await;
    let client = to(&[node.address]);
    let add = PutOptions { add: true, ..PutOptions::default() };
    client.put(&key("../k"), "one").await.unwrap();
    assert_eq!(client.put_with(&key("../k"), "two", &add).await.unwrap().siblings, 2);
    let leaving = client.leave(false).await.unwrap();
    assert_eq!((leaving.state, leaving.keys_alone), (client::LeaveState::Leaving, Some(7)));
    assert_eq!(client.leave(true).await.unwrap().state, client::LeaveState::Left);
    assert_eq!(problem(client.evict("b", false).await.unwrap_err()).slug(), "member-answers");
    let gone = client.evict("b", true).await.unwrap();
    assert!(gone.forced && gone.last_identical.as_deref() == Some("2023-11-14T22:13:20.000Z"));
}

#[tokio::test]
async fn a_value_may_expire() {
    let node = node().await;
    let client = to(&[node.address]);
    let expires = Some("2023-11-14T22:14:50.001Z".to_owned());
    for key in [key("a/b"), key("../x")] {
        *node.fake.state.lock().unwrap() = fake::State::default();
        let options = PutOptions { ttl: Some(Duration::from_secs(90)), ..PutOptions::default() };
        assert_eq!(client.put_with(&key, "v", &options).await.unwrap().expires, expires);
        assert_eq!(client.get(&key).await.unwrap().value.unwrap().expires, expires);
        assert_eq!(client.head(&key).await.unwrap().head.unwrap().expires, expires);
        assert_eq!(client.get_siblings(&key).await.unwrap().siblings[0].expires, expires);
        assert_eq!(client.list(b"", None, 9).await.unwrap().items[0].expires, expires);
        assert_eq!(client.put(&key, "v").await.unwrap().expires, None);
        assert_eq!(client.get(&key).await.unwrap().value.unwrap().expires, None);
        let none = PutOptions { ttl: Some(Duration::ZERO), ..PutOptions::default() };
        assert_eq!(problem(client.put_with(&key, "v", &none).await.unwrap_err()).slug(), "bad-ttl");
    }
}

#[tokio::test]
async fn siblings_are_read_and_replaced_by_their_token() {
    let node = node().await;
    let client = to(&[node.address]);
    let key = key("k/..");
    node.fake.add_sibling(key.as_bytes(), b"one", Some("text/plain"));
    node.fake.add_sibling(key.as_bytes(), b"\x00two", None);
    let read = client.get(&key).await.unwrap();
    assert_eq!((read.siblings, read.context), (2, None));
    let all = client.get_siblings(&key).await.unwrap();
    let values: Vec<_> = all.siblings.iter().map(|sibling| &sibling.value[..]).collect();
    assert_eq!(values, [&b"\x00two"[..], b"one"]);
    assert_eq!(all.siblings[1].content_type.as_deref(), Some("text/plain"));
    assert!(all.siblings[1].time.is_some());
    let options = PutOptions { context: all.context, ..PutOptions::default() };
    assert_eq!(client.put_with(&key, "merged", &options).await.unwrap().siblings, 1);
    node.fake.add_sibling(key.as_bytes(), b"late", None);
    let deleted = client.delete(&key, options.context.as_deref()).await.unwrap();
    assert_eq!((deleted.siblings, deleted.context), (2, None));
}

#[tokio::test]
async fn any_key_arrives_as_it_is() {
    let node = node().await;
    let client = to(&[node.address]);
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [
        &b"a b+c%2F?x=1&key=y#z"[..],
        b"..",
        b".",
        b"../../etc/passwd",
        b"a/../b",
        b"/",
        b"//",
        b"/a//b/",
        b"\\..\\",
        b"%2e%2e",
        &every,
        &[b'k'; 1024],
    ] {
        let key = key(bytes);
        client.put(&key, "v").await.unwrap();
        assert_eq!(node.fake.values(bytes), [b"v".to_vec()], "{key}");
        assert!(client.get(&key).await.unwrap().value.is_some());
        assert_eq!(client.head(&key).await.unwrap().siblings, 1);
        assert_eq!(client.get_siblings(&key).await.unwrap().siblings.len(), 1);
        client.delete(&key, None).await.unwrap();
        assert!(node.fake.values(bytes).is_empty());
    }
}

#[tokio::test]
async fn listings_are_pages_and_streams() {
    let node = node().await;
    let client = to(&[node.address]);
    for n in 0..2_500_u32 {
        node.fake.add_sibling(format!("a+/{n:04}").as_bytes(), b"xyz", None);
    }
    node.fake.add_sibling(b"b", b"", None);
    let page = client.list(b"a+/", None, 2).await.unwrap();
    assert_eq!(page.items[1].key, key("a+/0001"));
    assert_eq!((page.items[1].size, page.items[1].siblings), (3, 1));
    assert_eq!(page.next, Some(key("a+/0002")));
    let page = client.list(b"a+/", Some(b"a+/2499"), 1_000).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    let all: Vec<_> = client.keys(b"a+/").try_collect().await.unwrap();
    assert_eq!(all.len(), 2_500);
    assert!(all.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(client.keys(b"none").try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(problem(client.list(b"", None, 0).await.unwrap_err()).slug(), "bad-limit");
}

#[tokio::test]
async fn the_cluster_is_told_and_given_back_as_it_came() {
    let node = node().await;
    let client = to(&[node.address]);
    let view = client.cluster().await.unwrap();
    assert_eq!(view.members[1].liveness, Liveness::Suspect);
    assert_eq!(view.members[1].repair.as_deref(), Some("running"));
    assert_eq!(view.scrub.as_ref().and_then(|scrub| scrub.oldest_unverified_age_ms), Some(7_000));
    assert_eq!(view.members[0].last_identical.as_deref(), Some("2023-11-14T22:13:20.123Z"));
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(json["node"]["id"], "0000000000000001");
    assert_eq!(serde_json::from_value::<client::ClusterView>(json).unwrap(), view);

    assert!(client.ready().await.unwrap().ready && client.healthy().await.unwrap());
    node.fake.not_ready.store(true, Ordering::SeqCst);
    let ready = client.ready().await.unwrap();
    assert!(!ready.ready && ready.reason.unwrap().contains("not joined"));
    assert!(client.healthy().await.unwrap());
}

#[tokio::test]
async fn refusals_are_typed() {
    let node = node().await;
    let client = to(&[node.address]);
    let key = key("k");
    let refused = problem(client.put(&key, vec![0; 4 * 1024 * 1024]).await.unwrap_err());
    assert_eq!((refused.status, refused.slug(), refused.stored_nothing()), (413, "value-too-large", true));
    assert!(refused.detail.contains(&VALUE_BYTES_MAX.to_string()) && refused.instance.is_some());
    let forged = PutOptions { context: Some("forged".into()), ..PutOptions::default() };
    assert_eq!(problem(client.put_with(&key, "v", &forged).await.unwrap_err()).slug(), "bad-context");
    let broken = PutOptions { context: Some("a\nb".into()), ..PutOptions::default() };
    assert!(matches!(client.put_with(&key, "v", &broken).await, Err(Error::BadRequest { .. })));
    node.fake.fail(Failure::Error(ServiceError::Timeout { reason: "The disk is slow.".into() }));
    let late = problem(client.put(&key, "v").await.unwrap_err());
    assert_eq!((late.slug(), late.stored_nothing(), late.retry_after_s), ("timed-out", false, Some(1)));
    node.fake.fail(Failure::Panic);
    assert_eq!(problem(client.get(&key).await.unwrap_err()).status, 500);
    assert_eq!(problem(client.head(&key).await.unwrap_err()).status, 500);
    assert!(node.fake.is_empty());
}

#[tokio::test]
async fn reads_and_writes_go_on_to_an_endpoint_that_answers() {
    let (one, two) = (node().await, node().await);
    let client = to(&[nowhere().await, one.address, two.address]);
    let key = key("k");
    client.put(&key, "v").await.unwrap();
    assert_eq!(one.fake.values(b"k"), [b"v".to_vec()]);
    // Not joined: nothing was stored there, so even a write goes on.
    one.fake.not_ready.store(true, Ordering::SeqCst);
    client.put(&key, "w").await.unwrap();
    assert_eq!(two.fake.values(b"k"), [b"w".to_vec()]);
    assert_eq!(client.get(&key).await.unwrap().value.unwrap().bytes, "w");
    // A read goes on after any failure of a node.
    one.fake.not_ready.store(false, Ordering::SeqCst);
    two.fake.fail(Failure::Error(ServiceError::Stopped { reason: "The disk failed.".into() }));
    assert_eq!(client.get(&key).await.unwrap().value.unwrap().bytes, "v");
    one.fake.not_ready.store(true, Ordering::SeqCst);
    two.fake.not_ready.store(true, Ordering::SeqCst);
    let refused = problem(client.put(&key, "x").await.unwrap_err());
    assert_eq!(refused.slug(), "not-ready", "what a node said is worth more than a missing connection");
}

#[tokio::test]
async fn a_write_that_may_be_stored_is_not_sent_again() {
    let two = node().await;
    let strange = stranger("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops").await;
    let broken = stranger("").await;
    let key = key("k");
    let error = to(&[strange, two.address]).put(&key, "v").await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    let error = to(&[broken, two.address]).put(&key, "v").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { sent: true, .. }), "{error}");
    let stopped = node().await;
    stopped.fake.fail(Failure::Error(ServiceError::Stopped { reason: "The disk failed.".into() }));
    let error = to(&[stopped.address, two.address]).delete(&key, None).await.unwrap_err();
    assert_eq!(problem(error).slug(), "writes-stopped");
    assert_eq!(two.fake.calls.load(Ordering::SeqCst), 0);
    assert_eq!(to(&[strange, broken, two.address]).get(&key).await.unwrap().value, None);
}

#[tokio::test]
async fn what_is_no_answer_of_ours_is_told_as_such() {
    let key = key("k");
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
    ] {
        let client = to(&[stranger(answer).await]);
        assert!(matches!(client.get(&key).await, Err(Error::Decode { .. })), "{answer}");
        assert!(matches!(client.head(&key).await, Err(Error::Decode { .. })), "{answer}");
        assert!(matches!(client.cluster().await, Err(Error::Decode { .. })), "{answer}");
    }
    let error = to(&[nowhere().await]).get(&key).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { sent: false, .. }));
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(matches!(Client::new([""; 0]), Err(Error::NoEndpoint)));
}

#[tokio::test]
async fn answers_have_limits_of_time_and_size() {
    let node = node().await;
    let options = ClientOptions {
        request_time_max: Duration::from_millis(200),
        answer_bytes_max: 100,
        ..ClientOptions::default()
    };
    let client = Client::with([node.address.to_string()], options).unwrap();
    let key = key("k");
    client.put(&key, vec![1; 101]).await.unwrap();
    assert!(matches!(client.get(&key).await, Err(Error::AnswerTooLarge { limit_bytes: 100, .. })));
    node.fake.fail(Failure::Hang);
    assert!(matches!(client.get(&key).await, Err(Error::Unreachable { sent: true, .. })));
}

#[tokio::test]
async fn repairs_are_shown_and_begun() {
    let node = node().await;
    let client = to(&[node.address]);
    let repairs = client.repairs().await.unwrap();
    assert_eq!((repairs.node.as_str(), repairs.checks, repairs.repairs.len()), ("a", 7, 2));
    let running = &repairs.repairs[0];
    assert_eq!((running.phase, running.outcome), (RepairPhase::Exchanging, None));
    assert_eq!((running.method, running.remaining_ms), (Some(RepairMethod::Sketch), Some(1_500)));
    assert_eq!(repairs.repairs[1].outcome, Some(RepairOutcome::Aborted));
    assert_eq!(repairs.governor.as_ref().map(|governor| governor.brake), Some(Brake::Cap));
    // What the client makes of it is again the node's own form.
    let asked =
        reqwest::get(format!("http://{}/v1/repairs", node.address)).await.unwrap().text().await.unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(serde_json::to_value(&repairs).unwrap(), theirs);

    let begun = client.repair("b").await.unwrap();
    assert_eq!((begun.peer.as_str(), begun.since_ms), ("b", 1_700_000_000_000));
    for (peer, slug, status) in
        [("x\"y", "no-such-member", 404), ("c", "member-down", 409), ("a", "not-a-peer", 409)]
    {
        let refused = problem(client.repair(peer).await.unwrap_err());
        assert_eq!((refused.slug(), refused.status, refused.stored_nothing()), (slug, status, true));
    }
    assert_eq!(node.fake.state.lock().unwrap().repairs, ["b", "x\"y", "c", "a"]);
}

#[tokio::test]
async fn words_of_a_later_version_are_taken() {
    let (phase, outcome, method) = ("\"napping\"", "\"bored\"", "\"guess\"");
    assert_eq!(serde_json::from_str::<RepairPhase>(phase).unwrap(), RepairPhase::Unknown);
    assert_eq!(serde_json::from_str::<RepairOutcome>(outcome).unwrap(), RepairOutcome::Unknown);
    assert_eq!(serde_json::from_str::<RepairMethod>(method).unwrap(), RepairMethod::Unknown);
}

#[tokio::test]
async fn a_node_is_cut_off_for_a_while_where_that_is_allowed() {
    let node = node().await;
    let client = to(&[node.address]);
    assert_eq!(client.drills().await.unwrap().isolated_until_ms, None);
    let drill = client.drill_isolate(Duration::from_millis(1_500)).await.unwrap();
    assert_eq!((drill.node.as_str(), drill.allowed, drill.remaining_ms), ("a", true, Some(1_500)));
    assert_eq!(client.drills().await.unwrap(), drill);
    let short = problem(client.drill_isolate(Duration::from_millis(999)).await.unwrap_err());
    assert_eq!(short.slug(), "bad-field");
    node.fake.state.lock().unwrap().drills_refused = true;
    let refused = problem(client.drill_isolate(Duration::from_secs(30)).await.unwrap_err());
    assert_eq!((refused.slug(), refused.status), ("drills-not-allowed", 403));
}
