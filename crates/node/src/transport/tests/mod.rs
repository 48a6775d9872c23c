//! The transport over real loopback sockets.

mod datagrams;
mod delay;
mod exchange;
mod flow;
mod hostile;
mod isolation;
mod joining;
mod lives;
mod stopping;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use model::{ClusterId, NodeId, WriterId};
use storage::Seq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hello::{Answer, Hello};
use super::*;

/// Long enough for anything that is to happen, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that something does not happen.
const WHILE: Duration = Duration::from_millis(200);

struct Node {
    transport: Transport,
    inbox: Inbox,
}

fn cluster() -> ClusterId {
    ClusterId([7; 16])
}

fn identity(node: u64, life: u64) -> Identity {
    Identity {
        cluster: cluster(),
        node: NodeId(node),
        life: WriterId(life),
        name: format!("node-{node}"),
        contact: Contact { gossip: "127.0.0.1:1".into(), http: "127.0.0.1:2".into(), stamp: 3 },
    }
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn start_at(address: SocketAddr, limits: Limits, gate: DurableGate) -> Node {
    let (transport, inbox) = Transport::start(address, limits, gate).await.unwrap();
    Node { transport, inbox }
}

/// A node with the id, in the life `id * 100`.
async fn node_with(id: u64, limits: Limits) -> Node {
    let node = start_at(any_port(), limits, DurableGate::open()).await;
    node.transport.set_identity(identity(id, id * 100)).unwrap();
    node
}

async fn node(id: u64) -> Node {
    node_with(id, Limits::default()).await
}

fn frame(bytes: impl Into<Bytes>) -> OutFrame {
    frame_after(bytes, 0)
}

fn frame_after(bytes: impl Into<Bytes>, seq: u64) -> OutFrame {
    OutFrame { bytes: bytes.into(), after: seq_of(seq) }
}

fn seq_of(seq: u64) -> Seq {
    Seq(seq)
}

impl Node {
    fn address(&self) -> String {
        self.transport.local_address().to_string()
    }

    fn knows(&self, id: u64, other: &Node) {
        self.transport.set_contact(NodeId(id), &other.address());
    }

    fn send(&self, to: u64, bytes: impl Into<Bytes>) {
        self.transport.try_send(NodeId(to), frame(bytes)).unwrap();
    }

    async fn next(&mut self) -> Incoming {
        timeout(SOON, self.inbox.recv()).await.expect("nothing happened").unwrap()
    }

    /// The next frame; what else happens is passed over.
    async fn next_frame(&mut self) -> (u64, u64, Bytes) {
        loop {
            if let Incoming::Frame { peer, life, bytes } = self.next().await {
                return (peer.0, life.0, bytes);
            }
        }
    }

    /// The next end of a connection; what else happens is passed over.
    async fn next_loss(&mut self) -> (u64, Option<u64>, Way, Loss) {
        loop {
            if let Incoming::Disconnected { peer, life, way, why } = self.next().await {
                return (peer.0, life.map(|life| life.0), way, why);
            }
        }
    }

    async fn next_dialed(&mut self) -> (u64, u64) {
        loop {
            if let Incoming::Dialed { peer, life, .. } = self.next().await {
                return (peer.0, life.0);
            }
        }
    }

    async fn no_frame_for_a_while(&mut self) {
        let seen = timeout(WHILE, self.next_frame()).await;
        assert!(seen.is_err(), "{seen:?}");
    }

    fn counted(&self) -> Snapshot {
        self.transport.counters().snapshot()
    }

    async fn counts(&self, what: impl Fn(Snapshot) -> bool) {
        let counted = async {
            while !what(self.counted()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, counted).await.unwrap_or_else(|_| panic!("{:?}", self.counted()));
    }
}

/// A peer made by hand.
struct Raw(TcpStream);

impl Raw {
    async fn connect(to: &Node) -> Raw {
        Raw(TcpStream::connect(to.transport.local_address()).await.unwrap())
    }

    /// Connects and says hello as node `id`.
    async fn greet(to: &Node, id: u64, life: u64) -> Raw {
        let mut raw = Raw::connect(to).await;
        raw.hello(hello(id, life)).await;
        match raw.answer().await {
            Some(Answer::Welcome { .. }) => raw,
            other => panic!("{other:?}"),
        }
    }

    async fn hello(&mut self, hello: Hello) {
        self.frame(&hello.encode(1, 1).unwrap()).await;
    }

    async fn frame(&mut self, bytes: &[u8]) {
        let mut framed = BytesMut::new();
        framed.put_u32(bytes.len() as u32);
        framed.put_slice(bytes);
        self.bytes(&framed).await;
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        // The other side may have closed already, which is then what the test looks for.
        let _ = self.0.write_all(bytes).await;
    }

    async fn answer(&mut self) -> Option<Answer> {
        let length = timeout(SOON, self.0.read_u32()).await.unwrap().ok()?;
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await.ok()?;
        Some(Answer::decode(bytes.into()).unwrap())
    }

    async fn refusal(&mut self) -> RefusalCode {
        match self.answer().await {
            Some(Answer::Refused(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the other side has closed the connection.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        let ended = timeout(SOON, self.0.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection is still open");
    }
}

fn hello(id: u64, life: u64) -> Hello {
    let me = identity(id, life);
    Hello { cluster: me.cluster, from: me.node, to: None, life: me.life, name: me.name, contact: me.contact }
}

/// Both send a frame and receive the other's: whatever happened before, they still work.
async fn still_works(a: &mut Node, a_id: u64, b: &mut Node, b_id: u64) {
    a.knows(b_id, b);
    b.knows(a_id, a);
    a.send(b_id, "ping");
    assert_eq!(b.next_frame().await.2, "ping");
    b.send(a_id, "pong");
    assert_eq!(a.next_frame().await.2, "pong");
}
