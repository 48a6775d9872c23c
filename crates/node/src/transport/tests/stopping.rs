//! Binding and stopping.

use super::*;

#[tokio::test]
async fn a_port_in_use_is_said_by_its_address() {
    let a = node(1).await;
    let address = a.transport.local_address();
    let taken = Transport::start(address, Limits::default(), DurableGate::open()).await;
    let error = taken.unwrap_err();
    assert!(matches!(error, BindError::InUse { protocol: "TCP", .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("{address} (TCP) is in use")), "{error}");
    // A port that is free for TCP, too, which another test may take at any moment.
    let mut protocols = Vec::new();
    while !protocols.contains(&"UDP") && protocols.len() < 50 {
        let udp = tokio::net::UdpSocket::bind(any_port()).await.unwrap();
        let address = udp.local_addr().unwrap();
        let error = Transport::start(address, Limits::default(), DurableGate::open()).await.unwrap_err();
        let BindError::InUse { protocol, .. } = error else { panic!("{error:?}") };
        protocols.push(protocol);
    }
    assert!(protocols.contains(&"UDP"), "{protocols:?}");
    let elsewhere = "192.0.2.1:7711".parse().unwrap();
    let error = Transport::start(elsewhere, Limits::default(), DurableGate::open()).await.unwrap_err();
    assert!(matches!(error, BindError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("192.0.2.1:7711 (TCP)"), "{error}");
}

#[tokio::test]
async fn what_is_queued_leaves_before_the_end() {
    let (a, mut b) = (node(1).await, node(2).await);
    a.knows(2, &b);
    for n in 0..500_u32 {
        a.send(2, n.to_be_bytes().repeat(2_000));
    }
    a.transport.send_to(&b.address(), "goodbye".into());
    let stopping = a.transport.shutdown(SOON);
    let receiving = async {
        for n in 0..500_u32 {
            assert_eq!(b.next_frame().await.2, n.to_be_bytes().repeat(2_000));
        }
    };
    tokio::join!(stopping, receiving);
    assert_eq!(a.counted().frames_out, 500);
    assert_eq!(a.transport.try_send(NodeId(2), frame("x")), Err(SendError::Stopping));
}

#[tokio::test]
async fn stopping_waits_for_nobody_beyond_its_deadline() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    let gone = node(3).await;
    gone.transport.shutdown(SOON).await;
    a.knows(3, &gone);
    a.send(3, "never arrives");
    let before = std::time::Instant::now();
    a.transport.shutdown(Duration::from_millis(300)).await;
    assert!(before.elapsed() < Duration::from_secs(2));
    a.transport.shutdown(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn an_idle_node_stops_at_once_and_frees_its_port() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    a.transport.want(NodeId(2), true);
    a.transport.set_contact(NodeId(3), "192.0.2.1:7711");
    a.transport.want(NodeId(3), true);
    let address = a.transport.local_address();
    let before = std::time::Instant::now();
    a.transport.shutdown(SOON).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    start_at(address, Limits::default(), DurableGate::open()).await;
}
