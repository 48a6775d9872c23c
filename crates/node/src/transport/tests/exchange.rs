//! Frames between nodes that behave.

use super::*;

#[tokio::test]
async fn three_nodes_exchange_frames_on_one_connection_each_way() {
    let mut nodes = [node(1).await, node(2).await, node(3).await];
    for (at, one) in nodes.iter().enumerate() {
        for (to, other) in nodes.iter().enumerate().filter(|(to, _)| *to != at) {
            one.knows(to as u64 + 1, other);
            one.send(to as u64 + 1, format!("{at} to {to}"));
            one.send(to as u64 + 1, format!("{at} to {to} again"));
        }
    }
    for (at, one) in nodes.iter_mut().enumerate() {
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (peer, life, bytes) = one.next_frame().await;
            assert_eq!(life, peer * 100);
            seen.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
        seen.sort();
        let others = (0..3).filter(|from| *from != at);
        let wanted: Vec<String> =
            others.flat_map(|from| [format!("{from} to {at}"), format!("{from} to {at} again")]).collect();
        assert_eq!(seen, wanted);
        assert_eq!(one.counted().dialed, 2);
        assert_eq!(one.counted().accepted, 2);
    }
}

#[tokio::test]
async fn a_peer_is_introduced_before_its_frames() {
    let (a, mut b) = (node(1).await, node(2).await);
    a.knows(2, &b);
    a.send(2, "first");
    let Incoming::Accepted { peer, life, name, contact, wire, remote } = b.next().await else { panic!() };
    assert_eq!((peer, life, name.as_str(), wire), (NodeId(1), WriterId(100), "node-1", 1));
    assert_eq!((contact, remote.ip().to_string().as_str()), (identity(1, 1).contact, "127.0.0.1"));
    assert!(matches!(b.next().await, Incoming::Frame { bytes, .. } if bytes == "first"));
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_and_in_order() {
    let (a, mut b) = (node(1).await, node(2).await);
    a.knows(2, &b);
    let max = Limits::default().frame_bytes_max;
    let sizes = [1, 100, 16 << 10, (16 << 10) + 1, 200_000, max, 3, max - 1, 1];
    for (at, size) in sizes.iter().enumerate() {
        a.send(2, vec![at as u8; *size]);
    }
    for (at, size) in sizes.iter().enumerate() {
        let (_, _, bytes) = b.next_frame().await;
        assert_eq!(bytes.len(), *size);
        assert!(bytes.iter().all(|byte| *byte == at as u8));
    }
    for length in [0, max + 1] {
        let refused = a.transport.try_send(NodeId(2), frame(vec![0; length]));
        assert_eq!(refused, Err(SendError::Length));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_frames_keep_their_order() {
    let (a, mut b) = (node(1).await, node(2).await);
    a.knows(2, &b);
    const FRAMES: u32 = 20_000;
    let sending = async {
        for n in 0..FRAMES {
            while a.transport.try_send(NodeId(2), frame(n.to_be_bytes().to_vec())).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let receiving = async {
        for n in 0..FRAMES {
            assert_eq!(b.next_frame().await.2.as_ref(), n.to_be_bytes());
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn nothing_is_sent_to_a_peer_whose_contact_is_not_known() {
    let a = node(1).await;
    assert_eq!(a.transport.try_send(NodeId(2), frame("x")), Err(SendError::NoAddress));
}

#[tokio::test]
async fn a_name_is_resolved_and_a_wanted_peer_is_dialed_without_frames() {
    let (mut a, b) = (node(1).await, node(2).await);
    let port = b.transport.local_address().port();
    a.transport.set_contact(NodeId(2), &format!("localhost:{port}"));
    tokio::time::sleep(WHILE).await;
    assert_eq!(a.counted().dialed, 0, "nothing to send and not wanted");
    a.transport.want(NodeId(2), true);
    assert_eq!(a.next_dialed().await, (2, 200));
}

#[tokio::test]
async fn a_quiet_connection_stays() {
    let limits = Limits {
        beat_every: Duration::from_millis(50),
        silence_max: Duration::from_millis(400),
        ..Limits::default()
    };
    let (mut a, mut b) = (node_with(1, limits.clone()).await, node_with(2, limits).await);
    still_works(&mut a, 1, &mut b, 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    still_works(&mut a, 1, &mut b, 2).await;
    assert_eq!((a.counted().dialed, b.counted().dialed), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_peers_at_once() {
    let mut hub = node(1).await;
    let mut others = Vec::new();
    for id in 2..42 {
        // One address may have eight connections that have not said hello: some are refused first.
        let other = node(id).await;
        other.knows(1, &hub);
        other.send(1, vec![id as u8]);
        others.push(other);
    }
    let mut seen = Vec::new();
    while seen.len() < others.len() {
        seen.push(hub.next_frame().await.0);
    }
    seen.sort_unstable();
    assert_eq!(seen, (2..42).collect::<Vec<u64>>());
}
