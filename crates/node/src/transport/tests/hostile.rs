//! What arrives on the port from those who are no peers, or bad ones.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::hello::First;
use super::*;

#[tokio::test]
async fn random_bytes_close_the_connection_and_the_node_goes_on() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..50 {
        let mut raw = Raw::connect(&a).await;
        let length = rng.random_range(4..2_000);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        bytes[0] |= 1;
        raw.bytes(&bytes).await;
        raw.closed().await;
    }
    assert_eq!(a.counted().bad_too_long, 50);
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test]
async fn a_first_frame_that_is_not_mangroves_closes_the_connection() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    let short: &[u8] = b"MGRV\x01";
    let bad_body: &[u8] = b"MGRV\x01\0\x01\0\x01\xff\xff\xff\xff\xff\xff\xff\xff";
    let kind: &[u8] = b"MGRV\x63\0\x01\0\x01";
    let magic: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    for (at, first) in [b"".as_slice(), short, bad_body, kind, magic].into_iter().enumerate() {
        let mut raw = Raw::connect(&a).await;
        raw.frame(first).await;
        raw.closed().await;
        assert_eq!(a.counted().bad_first_frame, at as u64 + 1);
    }
    let mut raw = Raw::connect(&a).await;
    let mut long = hello(2, 200).encode(1, 1).unwrap().to_vec();
    long.resize(2_049, 0);
    raw.frame(&long).await;
    raw.closed().await;
    assert_eq!(a.counted().bad_first_frame, 6);
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test]
async fn a_huge_length_is_refused_before_anything_is_read() {
    let mut a = node(1).await;
    let mut raw = Raw::connect(&a).await;
    raw.bytes(&u32::MAX.to_be_bytes()).await;
    raw.closed().await;
    assert_eq!(a.counted().bad_too_long, 1);
    let mut raw = Raw::greet(&a, 2, 200).await;
    raw.bytes(&((4_u32 << 20) + 1).to_be_bytes()).await;
    assert_eq!(a.next_loss().await, (2, Some(200), Way::In, Loss::BadInput));
    raw.closed().await;
    assert_eq!(a.counted().bad_too_long, 2);
}

#[tokio::test]
async fn a_frame_that_is_cut_is_not_handed_over() {
    let mut a = node(1).await;
    let mut raw = Raw::greet(&a, 2, 200).await;
    raw.frame(b"whole").await;
    raw.bytes(&[0, 0, 0, 10, 1, 2, 3]).await;
    drop(raw);
    assert_eq!(a.next_frame().await.2, "whole");
    assert_eq!(a.next_loss().await, (2, Some(200), Way::In, Loss::BadInput));
    assert_eq!(a.counted().bad_cut, 1);
    let mut raw = Raw::connect(&a).await;
    raw.bytes(&[0, 0, 0, 100, b'M', b'G']).await;
    drop(raw);
    a.counts(|counted| counted.bad_cut == 2).await;
}

#[tokio::test]
async fn others_are_refused_with_the_reason() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    let mut other_cluster = hello(2, 200);
    other_cluster.cluster = ClusterId([8; 16]);
    let mut other_node = hello(2, 200);
    other_node.to = Some(NodeId(9));
    let cases = [
        (other_cluster.encode(1, 1), RefusalCode::WrongCluster),
        (other_node.encode(1, 1), RefusalCode::NotWhoYouMeant),
        (hello(1, 100).encode(1, 1), RefusalCode::Yourself),
        (hello(2, 200).encode(2, 9), RefusalCode::NoCommonVersion),
        (hello(2, 200).encode(0, 0), RefusalCode::NoCommonVersion),
        (hello(2, 200).encode(9, 2), RefusalCode::NoCommonVersion),
    ];
    for (first, code) in cases {
        let mut raw = Raw::connect(&a).await;
        raw.frame(&first.unwrap()).await;
        assert_eq!(raw.refusal().await, code);
        raw.closed().await;
    }
    let counted = a.counted();
    assert_eq!((counted.bad_cluster, counted.bad_target, counted.bad_version), (1, 1, 3));
    assert_eq!(counted.accepted, 0);
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test]
async fn the_dialing_side_learns_why_it_was_refused() {
    let (mut a, b) = (node(1).await, node(2).await);
    let mut elsewhere = identity(1, 100);
    elsewhere.cluster = ClusterId([8; 16]);
    a.transport.set_identity(elsewhere).unwrap();
    a.knows(2, &b);
    a.send(2, "x");
    let Incoming::Refused { peer, refusal } = a.next().await else { panic!() };
    assert_eq!((peer, refusal.code), (NodeId(2), RefusalCode::WrongCluster));
    assert!(refusal.reason.contains("node-1"), "{refusal}");
    let newcomer = start_at(any_port(), Limits::default(), DurableGate::open()).await;
    let mut raw = Raw::connect(&newcomer).await;
    raw.hello(hello(1, 100)).await;
    assert_eq!(raw.refusal().await, RefusalCode::NotReady);
}

#[tokio::test]
async fn a_slow_hello_is_not_waited_for() {
    let limits = Limits { hello_time_max: Duration::from_millis(300), ..Limits::default() };
    let a = node_with(1, limits).await;
    let mut silent = Raw::connect(&a).await;
    let mut slow = Raw::connect(&a).await;
    let first = hello(2, 200).encode(1, 1).unwrap();
    let mut framed = (first.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(&first);
    let dripping = async {
        for byte in &framed {
            slow.bytes(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(dripping, silent.closed());
    slow.closed().await;
    assert_eq!(a.counted().bad_hello_timeout, 2);
    assert_eq!(a.counted().accepted, 0);
}

#[tokio::test]
async fn strangers_of_one_address_take_eight_places_at_most() {
    let a = node(1).await;
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(Raw::connect(&a).await);
    }
    let mut ninth = Raw::connect(&a).await;
    assert_eq!(ninth.refusal().await, RefusalCode::TooMany);
    ninth.closed().await;
    assert_eq!(a.counted().bad_too_many, 1);
    let mut known = strangers.pop().unwrap();
    known.hello(hello(2, 200)).await;
    assert!(matches!(known.answer().await, Some(Answer::Welcome { .. })));
    strangers.push(Raw::connect(&a).await);
    let mut tenth = Raw::connect(&a).await;
    assert_eq!(tenth.refusal().await, RefusalCode::TooMany);
    strangers.clear();
    // The places come free as their connections are seen to have ended.
    tokio::time::sleep(WHILE).await;
    Raw::greet(&a, 3, 300).await;
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let a = node_with(1, Limits { accepted_max: 20, ..Limits::default() }).await;
    let mut peers = Vec::new();
    for id in 2..22 {
        peers.push(Raw::greet(&a, id, 1).await);
    }
    let mut one_more = Raw::connect(&a).await;
    assert_eq!(one_more.refusal().await, RefusalCode::TooMany);
    peers.pop();
    tokio::time::sleep(WHILE).await;
    Raw::greet(&a, 99, 1).await;
}

#[tokio::test]
async fn a_peer_that_answers_what_it_must_not_is_dropped() {
    let mut a = node(1).await;
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    a.transport.set_contact(NodeId(2), &listener.local_addr().unwrap().to_string());
    a.send(2, "x");
    for bytes in [&[0xff; 100][..], &[0, 0, 0, 2, 1, 2], &[0, 0, 1], &[]] {
        let (stream, _) = listener.accept().await.unwrap();
        Raw(stream).bytes(bytes).await;
    }
    a.counts(|counted| counted.dial_failures >= 4).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut raw = Raw(stream);
    let welcome = super::super::hello::Welcome { from: NodeId(2), life: WriterId(200) };
    raw.frame(&Answer::Welcome { wire: 1, welcome }.encode(1, 1).unwrap()).await;
    raw.frame(b"a frame where none belongs").await;
    let (peer, life, way, why) = a.next_loss().await;
    assert_eq!((peer, life, way), (2, Some(200), Way::Out));
    assert_eq!(why, Loss::BadInput);
}

#[tokio::test]
async fn a_frame_that_the_driver_cannot_read_ends_the_connection() {
    let mut a = node(1).await;
    let mut raw = Raw::greet(&a, 2, 200).await;
    raw.frame(b"???").await;
    a.next_frame().await;
    a.transport.bad_frame(NodeId(2), "unknown version");
    assert_eq!(a.next_loss().await, (2, Some(200), Way::In, Loss::Asked));
    raw.closed().await;
    assert_eq!(a.counted().bad_frame, 1);
}

#[test]
fn no_bytes_make_the_decoders_panic_or_give_what_is_out_of_bounds() {
    let mut rng = StdRng::seed_from_u64(2);
    let good = hello(2, 200).encode(1, 1).unwrap();
    for _ in 0..50_000 {
        let mut bytes = good.to_vec();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        if let Ok(First { asks: super::super::hello::Asks::Hello(body), .. }) =
            First::decode(bytes.clone().into(), 2_048)
            && let Ok(hello) = Hello::decode(&body)
        {
            assert!(hello.name.len() <= TEXT_BYTES_MAX && !hello.name.chars().any(char::is_control));
        }
        let _ = Answer::decode(bytes.into());
    }
}
