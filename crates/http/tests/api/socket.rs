//! The server on a real socket, spoken to in bytes, hostile ones too.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::wire::Server;
use crate::support::{Failure, VALUE_BYTES_MAX};
use http_api::{RouterOptions, ServeOptions};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

fn put(key: &str, length: usize) -> String {
    format!("PUT /v1/kv/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::plain().await;
    let mut wire = server.connect().await;
    wire.send(put("a", 5) + "hello" + "GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.unwrap().status, 201);
    let read = wire.answer().await.unwrap();
    assert_eq!((read.status, &read.body[..]), (200, &b"hello"[..]));
    // A refusal does not end the connection either.
    wire.send("GET /v1/kv/%zz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    wire.answer().await.unwrap().is_problem(400, "bad-percent-encoding");
    wire.send(put("%zz", 5) + "hello").await;
    wire.answer().await.unwrap().is_problem(400, "bad-percent-encoding");
    wire.send("HEAD /v1/kv/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(wire.closes_within(SOON).await);
}

#[tokio::test]
async fn raw_paths_reach_the_key_untouched() {
    let server = Server::plain().await;
    for (path, key) in
        [("../..//x/", &b"../..//x/"[..]), ("%2e%2e/%2F", b"..//"), ("\u{e9}", "\u{e9}".as_bytes())]
    {
        let raw = server.ask(put(path, 1) + "v").await.unwrap();
        assert_eq!(raw.status, 201, "{path}");
        assert_eq!(server.fake.values(key), [b"v".to_vec()], "{path}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on_or_refused_at_once() {
    let server = Server::plain().await;
    let expect = |length| put("a", length).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let mut wire = server.connect().await;
    wire.send(expect(5)).await;
    assert_eq!(wire.answer().await.unwrap().status, 100);
    wire.send("hello").await;
    assert_eq!(wire.answer().await.unwrap().status, 201);
    let mut wire = server.connect().await;
    wire.send(expect(VALUE_BYTES_MAX + 1)).await;
    wire.answer().await.unwrap().is_problem(413, "value-too-large");
    assert!(wire.closes_within(SOON).await, "the body was never asked for");
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_before_the_body() {
    let server = Server::plain().await;
    let mut wire = server.connect().await;
    wire.send(put("a", 1 << 40)).await;
    wire.answer().await.unwrap().is_problem(413, "value-too-large");
    assert_eq!(server.fake.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_sends_a_refused_body_all_the_same_gets_its_answer() {
    let server = Server::plain().await;
    let length = 8 * 1024 * 1024;
    let mut wire = server.connect().await;
    assert!(wire.send(put("a", length)).await);
    assert!(wire.send(vec![0; length]).await, "the rest is read and thrown away");
    wire.answer().await.unwrap().is_problem(413, "value-too-large");
    wire.send(put("a", 5) + "hello").await;
    assert_eq!(wire.answer().await.unwrap().status, 201, "and the connection lives on");
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_limit() {
    let server = Server::plain().await;
    let head = "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("4000\r\n{}\r\n", "z".repeat(0x4000));
    let mut wire = server.connect().await;
    wire.send(head.to_owned() + &chunk.repeat(5)).await;
    wire.answer().await.unwrap().is_problem(413, "value-too-large");
    let raw = server.ask(head.to_owned() + &chunk.repeat(4) + "0\r\n\r\n").await.unwrap();
    assert_eq!(raw.status, 201);
    assert_eq!(server.fake.values(b"a"), [vec![b'z'; VALUE_BYTES_MAX]]);
    let raw = server.ask(head.to_owned() + "nonsense\r\n").await.unwrap();
    raw.is_problem(400, "bad-body");
}

#[tokio::test]
async fn long_targets_and_heads_are_refused() {
    let server = Server::plain().await;
    let get = |target: String, rest: String| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{rest}\r\n");
    let long = "/v1/kv/".to_owned() + &"k".repeat(20_000);
    server.ask(get(long, String::new())).await.unwrap().is_problem(414, "uri-too-long");
    let headers = (0..40).map(|n| format!("x-{n}: {}\r\n", "y".repeat(1024))).collect();
    server.ask(get("/v1/kv/a".into(), headers)).await.unwrap().is_problem(431, "headers-too-large");
    // Past what the parser takes there is the status alone.
    let endless = "/v1/kv/".to_owned() + &"k".repeat(70_000);
    assert_eq!(server.ask(get(endless, String::new())).await.unwrap().status, 414);
    let many = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(server.ask(get("/v1/kv/a".into(), many)).await.unwrap().status, 431);
    let huge = format!("x: {}\r\n", "y".repeat(400 * 1024));
    assert_eq!(server.ask(get("/v1/kv/a".into(), huge)).await.map_or(431, |raw| raw.status), 431);
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_server_goes_on() {
    let server = Server::plain().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\xff\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/kv/a b HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PUT /v1/kv/a HTTP/1.1\r\nContent-Length: x\r\n\r\nhello",
        b"PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        b"PUT /v1/kv/a HTTP/1.1\r\nBad Name: x\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let status = server.ask(bytes).await.map_or(400, |raw| raw.status);
        assert!((400..500).contains(&status), "{status} for {:?}", String::from_utf8_lossy(bytes));
    }
    for target in ["*", "http://x/v1/kvs"] {
        let raw = server.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await.unwrap();
        raw.is_problem(404, "no-such-route");
    }
    assert!(server.fake.is_empty());
    assert_eq!(server.ask(put("a", 1) + "v").await.unwrap().status, 201);
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let server = Server::start(
        RouterOptions { body_idle_max: Duration::from_millis(200), ..RouterOptions::default() },
        ServeOptions { header_time_max: Duration::from_millis(200), ..ServeOptions::default() },
    )
    .await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.send("PUT /v1/kv/a HTTP/1.1\r\nHost:").await;
    assert!(silent.closes_within(SOON).await && half.closes_within(SOON).await);
    let mut stalled = server.connect().await;
    stalled.send(put("a", 5) + "hel").await;
    stalled.answer().await.unwrap().is_problem(408, "request-timeout");
    assert!(stalled.closes_within(SOON).await);
    let mut gone = server.connect().await;
    gone.send(put("a", 5) + "hel").await;
    drop(gone);
    assert!(server.fake.is_empty());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let options = ServeOptions { write_idle_max: Duration::from_millis(300), ..ServeOptions::default() };
    let server = Server::start(RouterOptions::default(), options).await;
    server.ask(put("a", VALUE_BYTES_MAX) + &"v".repeat(VALUE_BYTES_MAX)).await.unwrap();
    let mut wire = server.connect().await;
    // Far more answers than any socket buffers.
    let sending = wire.send("GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000));
    tokio::time::timeout(SOON, sending).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let served = server.fake.calls.load(Ordering::SeqCst);
    assert!(wire.closes_within(SOON).await);
    assert_eq!(server.fake.calls.load(Ordering::SeqCst), served, "nothing more was read for it");
    assert!(served < 2_000);
}

#[tokio::test]
async fn shutdown_lets_requests_end_and_takes_no_more() {
    let server = Server::plain().await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.send(put("a", 5) + "hel").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    assert!(idle.closes_within(SOON).await);
    assert!(TcpStream::connect(server.address).await.is_err());
    busy.send("lo").await;
    assert_eq!(busy.answer().await.unwrap().status, 201);
    assert_eq!(server.ended.await.unwrap(), 0);
    assert!(busy.closes_within(SOON).await);
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_end() {
    let options = ServeOptions { drain_time_max: Duration::from_millis(200), ..ServeOptions::default() };
    let server = Server::start(RouterOptions::default(), options).await;
    server.fake.fail(Failure::Hang);
    let mut stuck = server.connect().await;
    stuck.send(put("a", 1) + "v").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), 1);
    assert!(begun.elapsed() < SOON);
    assert!(stuck.closes_within(SOON).await);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let options = ServeOptions { connections_max: 1, ..ServeOptions::default() };
    let server = Server::start(RouterOptions::default(), options).await;
    let mut first = server.connect().await;
    first.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    let mut second = server.connect().await;
    second.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(200), second.answer()).await.is_err());
    drop(first);
    assert_eq!(tokio::time::timeout(SOON, second.answer()).await.unwrap().unwrap().status, 200);
}
