//! One accepted connection, from its first frame to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::accept::Place;
use super::cord::Cord;
use super::counters::{Bad, add, add_many};
use super::hello::{Answer, Asks, First, Hello, PRELUDE_BYTES, Welcome};
use super::incoming::{DriverGone, Incoming, JoinReply, Loss, Way};
use super::links::Link;
use super::refusal::{Refusal, RefusalCode};
use super::shared::{Present, Shared};
use super::stream::{Patient, classify, codec, write_beat, write_frames};

struct Accepted {
    shared: Arc<Shared>,
    remote: SocketAddr,
    reader: FramedRead<Patient<OwnedReadHalf>, LengthDelimitedCodec>,
    writer: OwnedWriteHalf,
}

/// Serves the connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, remote: SocketAddr, place: Place) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let limits = &shared.limits;
    let reader = FramedRead::new(Patient::new(reader, limits.silence_max), codec(limits.first_bytes_max()));
    let mut accepted = Accepted { shared: Arc::clone(&shared), remote, reader, writer };
    tokio::select! {
        biased;
        () = accepted.begin(place) => {}
        () = shared.stop.cancelled() => {}
    }
}

impl Accepted {
    async fn begin(&mut self, place: Place) {
        let shared = Arc::clone(&self.shared);
        let first = tokio::select! {
            first = self.read_first() => first,
            () = shared.isolation.begun() => return,
            () = shared.closing.cancelled() => return,
        };
        let Some(First { wire_min, wire_max, asks }) = first else { return };
        let Some(wire) = shared.limits.common_wire(wire_min, wire_max) else {
            let limits = &shared.limits;
            let (ours_min, ours_max) = (limits.wire_min, limits.wire_max);
            let what = format!(
                "wire versions {wire_min} to {wire_max} were offered, this node speaks {ours_min} to {ours_max}"
            );
            return self.refuse(RefusalCode::NoCommonVersion, Some(Bad::Version), what).await;
        };
        match asks {
            Asks::Join(request) => self.join(request).await,
            Asks::Hello(body) => match Hello::decode(&body) {
                Ok(hello) => self.hello(hello, wire, place).await,
                Err(error) => self.bad(Bad::FirstFrame, format!("the first frame {error}")),
            },
        }
    }

    async fn read_first(&mut self) -> Option<First> {
        let limits = &self.shared.limits;
        let frame = match timeout(limits.hello_time_max, self.reader.next()).await {
            Ok(Some(Ok(frame))) => frame,
            // Somebody looked whether the port is open.
            Ok(None) => return None,
            Ok(Some(Err(error))) => {
                if let (_, Some(bad)) = classify(&error) {
                    self.bad(bad, format!("the first frame cannot be read: {error}"));
                }
                return None;
            }
            Err(_) => {
                self.bad(Bad::HelloTimeout, "no first frame in time");
                return None;
            }
        };
        match First::decode(frame.freeze(), limits.hello_bytes_max) {
            Ok(first) => Some(first),
            Err(error) => {
                self.bad(Bad::FirstFrame, format!("the first frame {error}"));
                None
            }
        }
    }

    /// One question, one answer, and the end.
    async fn join(&mut self, request: Bytes) {
        add(&self.shared.counters.joins);
        let (reply, answered) = JoinReply::new();
        let asked = Incoming::JoinAsked { request, remote: self.remote, reply };
        let shared = Arc::clone(&self.shared);
        let answer = async {
            shared.tell(asked).await.ok()?;
            answered.await.ok()
        };
        let answer = timeout(shared.limits.join_time_max, answer);
        let Some(answer) = shared.isolation.unless(answer).await else { return };
        match answer {
            Ok(Some(answer)) if answer.len() <= shared.limits.frame_bytes_max => {
                self.answer(Answer::Joined(answer)).await;
            }
            _ => {
                self.refuse(RefusalCode::NotReady, None, "this node cannot answer now, try again later").await
            }
        }
    }

    async fn hello(&mut self, hello: Hello, wire: u16, mut place: Place) {
        let shared = Arc::clone(&self.shared);
        let Some(present) = shared.present() else {
            return self
                .refuse(RefusalCode::NotReady, None, "this node is not ready yet: it starts, stops or joins")
                .await;
        };
        if let Some((code, bad, reason)) = objection(&present, &hello) {
            return self.refuse(code, bad, reason).await;
        }
        place.proven();
        let cord = Cord::new(&present.ends);
        let (link, before) = shared.links.take_place(hello.from, hello.life, self.remote, cord);
        let _leaving = shared.links.leave_later(&link);
        if let Some(peer) = shared.peer(hello.from) {
            peer.close_other_life(&shared, hello.life);
        }
        if let Some(before) = before {
            before.done().await;
        }
        if link.cord.is_cut() {
            // Yet another connection of this peer has taken its place meanwhile.
            return;
        }
        // Without a driver nobody needs to be told, and all is about to stop.
        let _ = self.linked(&link, &present, hello, wire).await;
    }

    /// Welcomes the peer, receives, and tells the driver of the end.
    async fn linked(
        &mut self,
        link: &Link,
        present: &Present,
        hello: Hello,
        wire: u16,
    ) -> Result<(), DriverGone> {
        let welcome = Welcome { from: present.identity.node, life: present.identity.life };
        if !self.answer(Answer::Welcome { wire, welcome }).await {
            return Ok(());
        }
        add(&self.shared.counters.accepted);
        let (peer, life, remote) = (hello.from, hello.life, self.remote);
        let (name, contact) = (hello.name, hello.contact);
        let begun = Incoming::Accepted { peer, life, name, contact, wire, remote };
        let why = self.receive(link, begun).await;
        tracing::debug!(%peer, %remote, "a peer's connection ended: {why}");
        self.shared.tell(Incoming::Disconnected { peer, life: Some(life), way: Way::In, why }).await
    }

    /// Tells the driver of the connection, then of its frames, until it ends.
    async fn receive(&mut self, link: &Link, begun: Incoming) -> Loss {
        let Accepted { shared, remote, reader, writer } = self;
        reader.decoder_mut().set_max_frame_length(shared.limits.frame_bytes_max);
        let receiving = async {
            match shared.tell(begun).await {
                Ok(()) => read_frames(reader, shared, *remote, link).await,
                Err(DriverGone) => Loss::Stopping,
            }
        };
        tokio::select! {
            why = receiving => why,
            why = beat(writer, shared) => why,
            why = link.cord.ended() => why,
            () = shared.isolation.begun() => Loss::Isolated,
            () = shared.closing.cancelled() => Loss::Stopping,
        }
    }

    fn bad(&self, bad: Bad, what: impl std::fmt::Display) {
        self.shared.bad(self.remote, bad, what);
    }

    async fn refuse(&mut self, code: RefusalCode, bad: Option<Bad>, reason: impl Into<String>) {
        let refusal = Refusal::new(code, reason);
        if let Some(bad) = bad {
            self.bad(bad, &refusal.reason);
        }
        self.answer(Answer::Refused(refusal)).await;
    }

    /// Whether the answer could be written.
    async fn answer(&mut self, answer: Answer) -> bool {
        let limits = &self.shared.limits;
        let last = !matches!(answer, Answer::Welcome { .. });
        let Ok(bytes) = answer.encode(limits.wire_min, limits.wire_max) else { return false };
        debug_assert!(bytes.len() <= limits.frame_bytes_max + PRELUDE_BYTES);
        let stall_max = limits.write_time_max.min(limits.join_time_max);
        let written = write_frames(&mut self.writer, &[bytes], &mut BytesMut::new(), stall_max).await;
        if last {
            // Failing here means that the other side has gone, which is what is wanted.
            let _ = self.writer.shutdown().await;
        }
        written.is_ok()
    }
}

/// Why the caller is not taken, if it is not.
fn objection(present: &Present, hello: &Hello) -> Option<(RefusalCode, Option<Bad>, String)> {
    let me = &present.identity;
    if hello.cluster != me.cluster {
        let reason =
            format!("node {:?} is of cluster {}, this one of {}", hello.name, hello.cluster, me.cluster);
        return Some((RefusalCode::WrongCluster, Some(Bad::Cluster), reason));
    }
    if hello.from == me.node {
        return Some((RefusalCode::Yourself, None, "this is the node itself".to_owned()));
    }
    if hello.to.is_some_and(|to| to != me.node) {
        let reason = format!("this is node {} ({:?})", me.node, me.name);
        return Some((RefusalCode::NotWhoYouMeant, Some(Bad::Target), reason));
    }
    None
}

async fn read_frames(
    reader: &mut FramedRead<Patient<OwnedReadHalf>, LengthDelimitedCodec>,
    shared: &Shared,
    remote: SocketAddr,
    link: &Link,
) -> Loss {
    loop {
        let frame = match reader.next().await {
            None => return Loss::Ended,
            Some(Ok(frame)) if frame.is_empty() => continue,
            Some(Ok(frame)) => frame.freeze(),
            Some(Err(error)) => {
                let (why, bad) = classify(&error);
                if let Some(bad) = bad {
                    shared.bad(remote, bad, format!("from node {}: {error}", link.peer));
                }
                return why;
            }
        };
        add(&shared.counters.frames_in);
        add_many(&shared.counters.bytes_in, frame.len());
        if let Err(DriverGone) = shared.handoff.frame(link.peer, link.life, frame).await {
            return Loss::Stopping;
        }
    }
}

/// Says now and then that this side is alive.
async fn beat(writer: &mut OwnedWriteHalf, shared: &Shared) -> Loss {
    loop {
        sleep(shared.limits.beat_every).await;
        if write_beat(writer, shared.limits.write_time_max).await.is_err() {
            return Loss::Broken;
        }
    }
}
