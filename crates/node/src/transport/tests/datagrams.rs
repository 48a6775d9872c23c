//! Heartbeats over UDP.

use super::*;

impl Node {
    async fn next_datagram(&mut self) -> (Bytes, SocketAddr) {
        loop {
            if let Incoming::Datagram { bytes, from } = self.next().await {
                return (bytes, from);
            }
        }
    }
}

#[tokio::test]
async fn datagrams_travel_by_address_and_by_name_from_the_port_that_is_listened_on() {
    let (a, mut b) = (node(1).await, node(2).await);
    a.transport.send_to(&b.address(), "by address".into());
    let (bytes, from) = b.next_datagram().await;
    assert_eq!((bytes, from), ("by address".into(), a.transport.local_address()));
    let name = format!("localhost:{}", b.transport.local_address().port());
    for n in 0..3_u8 {
        a.transport.send_to(&name, vec![n].into());
    }
    for n in 0..3_u8 {
        assert_eq!(b.next_datagram().await.0.as_ref(), [n]);
    }
    assert_eq!(a.counted().datagrams_out, 4);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_holds_nobody_up() {
    let (a, mut b) = (node(1).await, node(2).await);
    for _ in 0..100 {
        a.transport.send_to("no-such-host.invalid:7711", "lost".into());
    }
    a.transport.send_to(&b.address(), "through".into());
    assert_eq!(b.next_datagram().await.0, "through");
    a.counts(|counted| counted.datagrams_dropped == 100).await;
}

#[tokio::test]
async fn datagrams_of_a_wrong_length_are_dropped_and_counted() {
    let (a, mut b) = (node(1).await, node(2).await);
    let max = Limits::default().datagram_bytes_max;
    a.transport.send_to(&b.address(), vec![0; max + 1].into());
    a.transport.send_to(&b.address(), Bytes::new());
    assert_eq!(a.counted().datagrams_dropped, 2);
    let raw = tokio::net::UdpSocket::bind(any_port()).await.unwrap();
    for length in [max + 1, 0, 9_000] {
        raw.send_to(&vec![0; length], b.transport.local_address()).await.unwrap();
    }
    a.transport.send_to(&b.address(), vec![1; max].into());
    assert_eq!(b.next_datagram().await.0.len(), max);
    b.counts(|counted| counted.bad_datagram == 3 && counted.datagrams_in == 4).await;
    b.transport.bad_datagram(any_port(), "no heartbeat");
    assert_eq!(b.counted().bad_datagram, 4);
}

#[tokio::test]
async fn a_driver_that_does_not_listen_costs_datagrams_not_memory() {
    let a = node(1).await;
    let b = node_with(2, Limits { inbox_datagrams_max: 4, ..Limits::default() }).await;
    for _ in 0..500 {
        a.transport.send_to(&b.address(), vec![0; 1_000].into());
        tokio::task::yield_now().await;
    }
    a.counts(|counted| counted.datagrams_out + counted.datagrams_dropped == 500).await;
    tokio::time::sleep(WHILE).await;
    assert!(b.counted().datagrams_in <= 5, "{:?}", b.counted());
}
