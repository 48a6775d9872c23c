//! Queues, backpressure, durability.

use std::sync::Arc;

use tokio::sync::watch;

use super::*;

/// A gate that lets through what is at or under the number, and fails for the number `u64::MAX`.
fn gate() -> (watch::Sender<u64>, DurableGate) {
    let (durable, seen) = watch::channel(0);
    let gate = DurableGate::new(move |seq| {
        let mut seen = seen.clone();
        async move {
            if seq == seq_of(u64::MAX) {
                return Err("the disk is full".to_owned());
            }
            let passed = seen.wait_for(|durable| seq <= seq_of(*durable)).await;
            passed.map(|_| ()).map_err(|e| e.to_string())
        }
    });
    (durable, gate)
}

async fn gated(id: u64, limits: Limits) -> (watch::Sender<u64>, Node) {
    let (durable, gate) = gate();
    let node = start_at(any_port(), limits, gate).await;
    node.transport.set_identity(identity(id, id * 100)).unwrap();
    (durable, node)
}

#[tokio::test]
async fn a_frame_waits_until_what_it_tells_of_is_durable() {
    let limits = Limits {
        beat_every: Duration::from_millis(50),
        silence_max: Duration::from_millis(500),
        ..Limits::default()
    };
    let (durable, a) = gated(1, limits.clone()).await;
    let mut b = node_with(2, limits).await;
    a.knows(2, &b);
    for (bytes, after) in [("free", 0), ("five", 5), ("behind", 0), ("nine", 9)] {
        a.transport.try_send(NodeId(2), frame_after(bytes, after)).unwrap();
    }
    assert_eq!(b.next_frame().await.2, "free");
    durable.send_replace(4);
    b.no_frame_for_a_while().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(a.counted().dialed, 1, "the connection is kept alive meanwhile");
    durable.send_replace(5);
    assert_eq!(b.next_frame().await.2, "five");
    assert_eq!(b.next_frame().await.2, "behind");
    b.no_frame_for_a_while().await;
    durable.send_replace(100);
    assert_eq!(b.next_frame().await.2, "nine");
    assert_eq!(a.counted().dialed, 1);
}

#[tokio::test]
async fn a_frame_whose_write_fails_is_never_sent() {
    let (_durable, mut a) = gated(1, Limits::default()).await;
    let mut b = node(2).await;
    a.knows(2, &b);
    a.transport.try_send(NodeId(2), frame_after("lost", u64::MAX)).unwrap();
    a.transport.try_send(NodeId(2), frame_after("behind it", 0)).unwrap();
    assert_eq!(a.next_loss().await, (2, Some(200), Way::Out, Loss::NotDurable));
    a.transport.try_send(NodeId(2), frame_after("later", 0)).unwrap();
    assert_eq!(b.next_frame().await.2, "later");
    assert_eq!(a.counted().frames_dropped, 2);
}

#[tokio::test]
async fn a_queue_is_bounded_in_frames_and_in_bytes() {
    let limits = Limits { queue_frames_max: 10, queue_bytes_max: 1_000, ..Limits::default() };
    let (durable, a) = gated(1, limits).await;
    let mut b = node(2).await;
    a.knows(2, &b);
    let push = |bytes: usize| a.transport.try_send(NodeId(2), frame_after(vec![1; bytes], 1));
    for _ in 0..10 {
        push(1).unwrap();
    }
    assert_eq!(push(1), Err(SendError::Full));
    assert_eq!(a.counted().queue_full, 1);
    durable.send_replace(1);
    for _ in 0..10 {
        b.next_frame().await;
    }
    a.counts(|counted| counted.frames_out == 10).await;
    let (durable, a) = gated(3, Limits { queue_bytes_max: 1_000, ..Limits::default() }).await;
    a.knows(2, &b);
    let push = |bytes: usize| a.transport.try_send(NodeId(2), frame_after(vec![1; bytes], 1));
    push(5_000).expect("a single frame always fits into an empty queue");
    assert_eq!(push(1), Err(SendError::Full));
    durable.send_replace(1);
    assert_eq!(b.next_frame().await.2.len(), 5_000);
    a.counts(|counted| counted.frames_out == 1).await;
    push(600).unwrap();
}

#[tokio::test]
async fn a_slow_driver_makes_its_peers_wait_and_memory_does_not_grow() {
    const FRAME: usize = 100_000;
    let receiving = Limits { inbox_bytes_max: 4 * FRAME, ..Limits::default() };
    let sending = Limits { queue_bytes_max: 8 * FRAME, ..Limits::default() };
    let (a, mut b) = (node_with(1, sending).await, node_with(2, receiving).await);
    a.knows(2, &b);
    let mut sent: u32 = 0;
    let mut full_for = 0;
    while full_for < 50 {
        let mut bytes = sent.to_be_bytes().to_vec();
        bytes.resize(FRAME, 0);
        match a.transport.try_send(NodeId(2), frame(bytes)) {
            Ok(()) => (sent, full_for) = (sent + 1, 0),
            Err(_) => {
                full_for += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert!(sent < 1_000, "100 MB have gone somewhere");
    }
    assert!(b.counted().frames_in <= 6, "{:?}", b.counted());
    let mut held = Vec::new();
    for n in 0..sent {
        let (_, _, bytes) = b.next_frame().await;
        assert_eq!(bytes.slice(..4).as_ref(), n.to_be_bytes());
        held.push(bytes);
        if held.len() == 4 {
            b.no_frame_for_a_while().await;
            held.clear();
        }
    }
    assert_eq!(a.counted().dialed, 1);
}

#[tokio::test]
async fn a_driver_that_pauses_loses_no_connection() {
    let limits = Limits {
        inbox_events_max: 1,
        beat_every: Duration::from_millis(50),
        silence_max: Duration::from_millis(300),
        ..Limits::default()
    };
    let (mut a, mut b) = (node_with(1, limits.clone()).await, node_with(2, limits).await);
    let (_full_a, _full_b) = (Raw::greet(&a, 8, 800).await, Raw::greet(&b, 8, 800).await);
    a.counts(|counted| counted.accepted == 1).await;
    b.counts(|counted| counted.accepted == 1).await;
    a.knows(2, &b);
    for n in 0..5_u8 {
        a.send(2, vec![n]);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let draining = tokio::spawn(async move { while a.inbox.recv().await.is_some() {} });
    for n in 0..5_u8 {
        assert_eq!(b.next_frame().await.2.as_ref(), [n]);
    }
    assert_eq!(b.counted().accepted, 2);
    draining.abort();
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_for_too_long_is_given_up() {
    let limits = Limits { write_time_max: Duration::from_millis(300), ..Limits::default() };
    let receiving = Limits { inbox_bytes_max: 1, ..Limits::default() };
    let (mut a, b) = (node_with(1, limits).await, node_with(2, receiving).await);
    a.knows(2, &b);
    for _ in 0..10 {
        a.send(2, vec![0; 4 << 20]);
    }
    assert_eq!(a.next_loss().await, (2, Some(200), Way::Out, Loss::Stalled));
    assert!(a.counted().frames_dropped > 0);
}

#[tokio::test]
async fn frames_of_a_lost_connection_are_never_sent_again() {
    let (durable, mut a) = gated(1, Limits::default()).await;
    let mut b = node(2).await;
    a.knows(2, &b);
    a.transport.try_send(NodeId(2), frame_after("arrives", 0)).unwrap();
    assert_eq!(b.next_frame().await.2, "arrives");
    for _ in 0..20 {
        a.transport.try_send(NodeId(2), frame_after("too late", 1)).unwrap();
    }
    b.transport.close(NodeId(1));
    assert_eq!(a.next_loss().await, (2, Some(200), Way::Out, Loss::Ended));
    durable.send_replace(1);
    a.transport.try_send(NodeId(2), frame_after("new", 1)).unwrap();
    assert_eq!(b.next_frame().await.2, "new");
    b.no_frame_for_a_while().await;
    assert_eq!(a.counted().frames_dropped, 20);
}

#[tokio::test]
async fn frames_for_a_peer_that_cannot_be_reached_are_dropped_in_time() {
    let limits = Limits { queue_wait_max: Duration::from_millis(300), ..Limits::default() };
    let mut a = node_with(1, limits).await;
    let b = node(2).await;
    b.transport.shutdown(SOON).await;
    a.knows(2, &b);
    a.send(2, "into the void");
    assert_eq!(a.next_loss().await, (2, None, Way::Out, Loss::Unreachable));
    let tried = a.counted().dial_failures;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(a.counted().dial_failures <= tried + 1, "nothing waits, so nothing is dialed");
}

#[tokio::test]
async fn datagrams_overtake_events_without_starving_them() {
    let (handoff, mut inbox) = Handoff::new(&Limits::default());
    let handoff = Arc::new(handoff);
    for _ in 0..100 {
        handoff.datagram(Bytes::from_static(b"d"), any_port()).await.unwrap();
    }
    for _ in 0..3 {
        handoff.frame(NodeId(1), WriterId(1), Bytes::from_static(b"f")).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..103 {
        order.push(matches!(inbox.recv().await.unwrap(), Incoming::Frame { .. }));
    }
    let frames: Vec<usize> = order.iter().enumerate().filter(|(_, f)| **f).map(|(at, _)| at).collect();
    assert_eq!(frames, [32, 65, 98]);
    drop(handoff);
    assert!(inbox.recv().await.is_none());
}
