//! Restarts, other addresses, other lives.

use super::*;

/// Beats and silences short enough to wait for.
fn brisk() -> Limits {
    Limits {
        beat_every: Duration::from_millis(50),
        silence_max: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_connected_to_again() {
    let mut a = node(1).await;
    let b = node(2).await;
    a.knows(2, &b);
    a.transport.want(NodeId(2), true);
    assert_eq!(a.next_dialed().await, (2, 200));
    let address = b.transport.local_address();
    b.transport.shutdown(SOON).await;
    drop(b);
    assert_eq!(a.next_loss().await, (2, Some(200), Way::Out, Loss::Ended));
    a.counts(|counted| counted.dial_failures >= 2).await;
    let mut b = start_at(address, Limits::default(), DurableGate::open()).await;
    b.transport.set_identity(identity(2, 201)).unwrap();
    assert_eq!(a.next_dialed().await, (2, 201));
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_elsewhere_is_found_there_at_once() {
    let mut a = node(1).await;
    let b = node(2).await;
    a.knows(2, &b);
    a.transport.want(NodeId(2), true);
    assert_eq!(a.next_dialed().await, (2, 200));
    b.transport.shutdown(SOON).await;
    a.next_loss().await;
    a.counts(|counted| counted.dial_failures >= 2).await;
    let mut b = start_at(any_port(), Limits::default(), DurableGate::open()).await;
    b.transport.set_identity(identity(2, 201)).unwrap();
    a.knows(2, &b);
    assert_eq!(a.next_dialed().await, (2, 201));
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test]
async fn a_new_life_closes_the_connections_of_the_old_one() {
    let mut a = node(1).await;
    let old = node(2).await;
    a.knows(2, &old);
    a.transport.want(NodeId(2), true);
    assert_eq!(a.next_dialed().await, (2, 200));
    let mut first = Raw::greet(&a, 2, 200).await;
    first.frame(b"old").await;
    assert_eq!(a.next_frame().await, (2, 200, Bytes::from_static(b"old")));
    let mut second = Raw::greet(&a, 2, 201).await;
    second.frame(b"new").await;
    let mut losses = [a.next_loss().await, a.next_loss().await];
    losses.sort_by_key(|(_, _, way, _)| *way == Way::Out);
    assert_eq!(losses[0], (2, Some(200), Way::In, Loss::OtherLife));
    assert_eq!(losses[1], (2, Some(200), Way::Out, Loss::OtherLife));
    assert_eq!(a.next_frame().await, (2, 201, Bytes::from_static(b"new")));
    first.closed().await;
}

#[tokio::test]
async fn a_second_connection_of_one_life_takes_the_place_of_the_first() {
    let mut a = node(1).await;
    let mut first = Raw::greet(&a, 2, 200).await;
    first.frame(b"1").await;
    a.next_frame().await;
    let mut second = Raw::greet(&a, 2, 200).await;
    second.frame(b"2").await;
    assert_eq!(a.next().await.loss(), (2, Some(200), Way::In, Loss::Replaced));
    assert!(matches!(a.next().await, Incoming::Accepted { .. }));
    assert_eq!(a.next_frame().await.2, "2");
    first.closed().await;
}

#[tokio::test]
async fn a_node_that_begins_another_life_introduces_itself_anew() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    let mut renamed = identity(1, 100);
    renamed.name = "another name".into();
    a.transport.set_identity(renamed).unwrap();
    still_works(&mut a, 1, &mut b, 2).await;
    assert_eq!(a.counted().dialed, 1, "a name is no reason to begin again");
    a.transport.set_identity(identity(1, 101)).unwrap();
    assert_eq!(a.next_loss().await.3, Loss::OwnLife);
    assert_eq!(a.next_loss().await.3, Loss::OwnLife);
    a.send(2, "reborn");
    assert_eq!(b.next_frame().await, (1, 101, Bytes::from_static(b"reborn")));
}

#[tokio::test]
async fn frames_queued_before_there_is_an_identity_leave_once_there_is() {
    let mut b = node(2).await;
    let a = start_at(any_port(), Limits::default(), DurableGate::open()).await;
    a.knows(2, &b);
    a.send(2, "patient");
    b.no_frame_for_a_while().await;
    let mut nameless = identity(1, 100);
    nameless.name = String::new();
    assert!(a.transport.set_identity(nameless).is_err());
    a.transport.set_identity(identity(1, 100)).unwrap();
    assert_eq!(b.next_frame().await.2, "patient");
}

#[tokio::test]
async fn closing_a_peer_ends_both_ways_and_forgetting_it_is_for_good() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    a.transport.close(NodeId(2));
    let ways = [a.next_loss().await, a.next_loss().await].map(|(_, _, way, why)| (way, why));
    assert!(ways.contains(&(Way::In, Loss::Asked)) && ways.contains(&(Way::Out, Loss::Asked)));
    still_works(&mut a, 1, &mut b, 2).await;
    a.transport.want(NodeId(2), true);
    a.transport.forget(NodeId(2));
    a.next_loss().await;
    assert_eq!(a.transport.try_send(NodeId(2), frame("x")), Err(SendError::NoAddress));
    let dialed = a.counted().dialed;
    tokio::time::sleep(WHILE).await;
    assert_eq!(a.counted().dialed, dialed);
    still_works(&mut a, 1, &mut b, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_sent_right_after_closing_goes_to_the_next_connection() {
    let quick = Limits {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        ..Limits::default()
    };
    let (mut a, mut b) = (node_with(1, quick).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    for round in 0..100_u32 {
        a.transport.close(NodeId(2));
        a.send(2, round.to_be_bytes().to_vec());
        assert_eq!(b.next_frame().await.2.as_ref(), round.to_be_bytes());
    }
}

#[tokio::test]
async fn a_caller_that_falls_silent_is_dropped() {
    let mut a = node_with(1, brisk()).await;
    let mut silent = Raw::greet(&a, 2, 200).await;
    assert_eq!(a.next_loss().await, (2, Some(200), Way::In, Loss::Silent));
    silent.closed().await;
    assert_eq!(a.counted().bad_silent, 1);
}

#[tokio::test]
async fn a_peer_that_falls_silent_after_its_welcome_is_dropped() {
    let mut a = node_with(1, brisk()).await;
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    a.transport.set_contact(NodeId(2), &listener.local_addr().unwrap().to_string());
    a.send(2, "x");
    let (stream, _) = listener.accept().await.unwrap();
    let mut raw = Raw(stream);
    let welcome = super::super::hello::Welcome { from: NodeId(2), life: WriterId(200) };
    raw.frame(&Answer::Welcome { wire: 1, welcome }.encode(1, 1).unwrap()).await;
    assert_eq!(a.next_dialed().await, (2, 200));
    assert_eq!(a.next_loss().await, (2, Some(200), Way::Out, Loss::Silent));
}

impl Incoming {
    fn loss(self) -> (u64, Option<u64>, Way, Loss) {
        match self {
            Incoming::Disconnected { peer, life, way, why } => (peer.0, life.map(|life| life.0), way, why),
            other => panic!("{other:?}"),
        }
    }
}
