//! A longer round trip.

use tokio::time::Instant;

use super::*;

const DELAY: Duration = Duration::from_millis(150);

async fn slow(id: u64) -> Node {
    node_with(id, Limits { send_delay: DELAY, ..Limits::default() }).await
}

#[tokio::test]
async fn frames_come_late_in_order_and_many_at_once() {
    let (mut a, mut b) = (slow(1).await, slow(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    let began = Instant::now();
    // 64 one after the other would take ten seconds; 20 MB of them are on their way at once.
    for n in 0..64_u8 {
        let long = vec![n; if n % 2 == 0 { 600_000 } else { 10 }];
        a.send(2, long);
    }
    for n in 0..64_u8 {
        assert_eq!(b.next_frame().await.2.first(), Some(&n));
    }
    assert!(began.elapsed() >= DELAY);
    assert!(began.elapsed() < 40 * DELAY, "{:?}", began.elapsed());
    a.counts(|counted| counted.frames_out == 65).await;
}

#[tokio::test]
async fn datagrams_come_late_and_in_order() {
    let (a, mut b) = (slow(1).await, node(2).await);
    let began = Instant::now();
    for n in 0..20_u8 {
        a.transport.send_to(&b.address(), vec![n].into());
    }
    for n in 0..20_u8 {
        let Incoming::Datagram { bytes, .. } = b.next().await else { panic!() };
        assert_eq!(bytes.as_ref(), [n]);
        assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    }
    assert!(began.elapsed() < 10 * DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_round_trip_takes_twice_the_delay() {
    let (mut a, mut b) = (slow(1).await, slow(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    let began = Instant::now();
    a.send(2, "ping");
    b.next_frame().await;
    b.send(1, "pong");
    a.next_frame().await;
    assert!(began.elapsed() >= 2 * DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn frames_on_their_way_count_against_the_queue() {
    let limits = Limits { send_delay: 10 * DELAY, queue_frames_max: 8, ..Limits::default() };
    let (mut a, mut b) = (node_with(1, limits).await, node(2).await);
    a.knows(2, &b);
    for n in 0..8_u8 {
        a.send(2, vec![n]);
    }
    a.next_dialed().await;
    tokio::time::sleep(DELAY).await;
    assert_eq!(a.transport.try_send(NodeId(2), frame("ninth")), Err(SendError::Full));
    for n in 0..8_u8 {
        assert_eq!(b.next_frame().await.2.as_ref(), [n]);
    }
    a.counts(|counted| counted.frames_out == 8).await;
    a.send(2, "ninth");
    assert_eq!(b.next_frame().await.2, "ninth");
}

#[tokio::test]
async fn what_is_on_its_way_still_arrives_when_the_node_stops() {
    let (a, mut b) = (slow(1).await, slow(2).await);
    a.knows(2, &b);
    a.send(2, "the last");
    a.transport.shutdown(SOON).await;
    assert_eq!(b.next_frame().await.2, "the last");
}

#[tokio::test]
async fn frames_on_their_way_to_a_closed_peer_never_arrive() {
    let (mut a, mut b) = (slow(1).await, slow(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    a.send(2, "dropped");
    a.transport.close(NodeId(2));
    a.next_loss().await;
    a.send(2, "new");
    assert_eq!(b.next_frame().await.2, "new");
}
