//! Asking to join.

use super::*;

impl Node {
    async fn next_join(&mut self) -> (Bytes, JoinReply) {
        loop {
            if let Incoming::JoinAsked { request, reply, .. } = self.next().await {
                return (request, reply);
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_answered_on_its_own_connection_before_anyone_has_an_identity() {
    let seed = start_at(any_port(), Limits::default(), DurableGate::open()).await;
    let asker = start_at(any_port(), Limits::default(), DurableGate::open()).await;
    let address = format!("localhost:{}", seed.transport.local_address().port());
    let mut seed_side = seed;
    let answering = async {
        let (request, reply) = seed_side.next_join().await;
        assert_eq!(request, "may I?");
        reply.send(vec![5; 1 << 20].into());
    };
    let (answer, ()) = tokio::join!(asker.transport.join(&address, "may I?".into()), answering);
    assert_eq!(answer.unwrap().len(), 1 << 20);
    assert_eq!(seed_side.counted().joins, 1);
}

#[tokio::test]
async fn a_request_that_the_driver_lets_go_or_never_answers_is_refused() {
    let limits = Limits { join_time_max: Duration::from_millis(400), ..Limits::default() };
    let mut seed = node_with(1, limits).await;
    let asker = node(2).await;
    let address = seed.address();
    let dropping = async { drop(seed.next_join().await) };
    let (answer, ()) = tokio::join!(asker.transport.join(&address, "x".into()), dropping);
    assert!(
        matches!(&answer, Err(JoinError::Refused { refusal, .. }) if refusal.code == RefusalCode::NotReady)
    );
    let keeping = async { seed.next_join().await };
    let (answer, (_, reply)) = tokio::join!(asker.transport.join(&address, "x".into()), keeping);
    assert!(reply.is_abandoned());
    assert!(matches!(&answer, Err(JoinError::Refused { .. })), "{answer:?}");
}

#[tokio::test]
async fn failures_say_what_happened() {
    let a = node(1).await;
    let gone = node(2).await;
    let address = gone.address();
    gone.transport.shutdown(SOON).await;
    drop(gone);
    let answer = a.transport.join(&address, "x".into()).await;
    assert!(matches!(answer, Err(JoinError::NoAnswer { .. })), "{answer:?}");
    let answer = a.transport.join("no-such-host.invalid:7711", "x".into()).await;
    assert!(matches!(answer, Err(JoinError::Resolve { .. })), "{answer:?}");
    let answer = a.transport.join("no port", "x".into()).await;
    assert!(matches!(answer, Err(JoinError::Resolve { .. })), "{answer:?}");
    let long = vec![0; Limits::default().join_request_bytes_max + 1];
    let answer = a.transport.join(&address, long.into()).await;
    assert!(matches!(answer, Err(JoinError::TooLong { .. })), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_node_is_told_from_one() {
    let a = node(1).await;
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut raw = Raw(stream);
        raw.frame(b"hello there").await;
        raw
    };
    let (answer, _raw) = tokio::join!(a.transport.join(&address, "x".into()), serving);
    assert!(matches!(answer, Err(JoinError::BadAnswer { .. })), "{answer:?}");
}

#[tokio::test]
async fn the_longest_request_and_the_longest_answer_fit() {
    let mut seed = node(1).await;
    let asker = node(2).await;
    let limits = Limits::default();
    let address = seed.address();
    let request = vec![1; limits.join_request_bytes_max];
    let answering = async {
        let (request, reply) = seed.next_join().await;
        assert_eq!(request.len(), limits.join_request_bytes_max);
        reply.send(vec![2; limits.frame_bytes_max].into());
    };
    let (answer, ()) = tokio::join!(asker.transport.join(&address, request.into()), answering);
    assert_eq!(answer.unwrap().len(), limits.frame_bytes_max);
}
