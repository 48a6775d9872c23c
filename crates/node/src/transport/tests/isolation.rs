//! A node held apart.

use super::*;

const APART: Duration = Duration::from_secs(2);

#[tokio::test]
async fn nothing_comes_or_goes_and_all_goes_on_by_itself_afterwards() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    let began = tokio::time::Instant::now();
    a.transport.isolate(Some(APART));
    let mut ends = [a.next_loss().await, a.next_loss().await];
    ends.sort_by_key(|end| end.2 == Way::Out);
    assert_eq!(
        ends.map(|end| (end.0, end.2, end.3)),
        [(2, Way::In, Loss::Isolated), (2, Way::Out, Loss::Isolated)]
    );
    assert!(a.transport.is_isolated());
    assert_eq!((b.next_loss().await.3, b.next_loss().await.3), (Loss::Ended, Loss::Ended));
    a.send(2, "waits");
    b.send(1, "waits too");
    a.transport.send_to(&b.address(), "lost".into());
    b.transport.send_to(&a.address(), "lost".into());
    let knocked = a.transport.join(&b.address(), "let me in".into()).await.unwrap_err();
    assert!(knocked.to_string().ends_with("a drill holds this node apart"), "{knocked}");
    assert!(b.transport.join(&a.address(), "let me in".into()).await.is_err());
    a.no_frame_for_a_while().await;
    assert_eq!((a.counted().joins, a.counted().datagrams_in, b.counted().datagrams_in), (0, 0, 0));
    assert!(b.counted().dial_failures > 0, "it is refused");
    assert_eq!(b.next_frame().await.2, "waits");
    assert_eq!(a.next_frame().await.2, "waits too");
    assert!(began.elapsed() >= APART, "{:?}", began.elapsed());
    assert!(!a.transport.is_isolated());
    a.transport.send_to(&b.address(), "through".into());
    b.counts(|counted| counted.datagrams_in == 1).await;
}

#[tokio::test]
async fn it_can_be_ended_early_and_what_waits_too_long_is_dropped() {
    let limits = Limits { queue_wait_max: Duration::from_millis(200), ..Limits::default() };
    let (mut a, mut b) = (node_with(1, limits).await, node(2).await);
    still_works(&mut a, 1, &mut b, 2).await;
    a.transport.isolate(Some(Duration::from_secs(3_600)));
    for _ in 0..2 {
        a.next_loss().await;
        b.next_loss().await;
    }
    a.send(2, "too late");
    assert_eq!(a.next_loss().await, (2, None, Way::Out, Loss::Unreachable));
    a.transport.isolate(None);
    a.send(2, "new");
    assert_eq!(b.next_frame().await.2, "new");
}

#[tokio::test]
async fn a_connection_that_has_not_said_who_it_is_is_closed_too() {
    let a = node(1).await;
    let mut silent = Raw::connect(&a).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.transport.isolate(Some(APART));
    silent.closed().await;
    let mut late = Raw::connect(&a).await;
    late.closed().await;
    assert_eq!(a.counted().accepted, 0);
}
