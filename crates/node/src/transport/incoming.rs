//! What the transport tells the driver, and the bounded way there.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{NodeId, WriterId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::identity::Contact;
use super::limits::Limits;
use super::refusal::Refusal;

/// After so many datagrams in a row, an event waiting in the other queue comes first.
const DATAGRAMS_IN_A_ROW: u32 = 32;

/// One thing that happened.
#[derive(Debug)]
pub enum Incoming {
    /// A peer connected to this node; its frames follow. A later connection of the same peer takes
    /// the place of an earlier one, whose [`Incoming::Disconnected`] comes first.
    Accepted {
        /// Who connected, by its own word.
        peer: NodeId,
        /// The life it is in.
        life: WriterId,
        /// Its name.
        name: String,
        /// Where it says it is reached.
        contact: Contact,
        /// The wire version agreed on.
        wire: u16,
        /// Where the connection comes from.
        remote: SocketAddr,
    },
    /// This node connected to a peer; frames queued for it are now being written.
    Dialed {
        /// Who was reached.
        peer: NodeId,
        /// The life it is in.
        life: WriterId,
        /// The wire version agreed on.
        wire: u16,
    },
    /// A frame. While its bytes (or parts of them) are held, they count against the bytes that may
    /// wait for the driver: copy what is to be kept for long.
    Frame {
        /// Who sent it.
        peer: NodeId,
        /// The life it was sent in.
        life: WriterId,
        /// The frame, never empty.
        bytes: Bytes,
    },
    /// A connection ended, or frames for a peer that could not be reached were dropped. None of
    /// the frames queued before this will be sent again. A connection that ends before the driver
    /// took note of its beginning is told of by this alone.
    Disconnected {
        /// The other side.
        peer: NodeId,
        /// The life it was in; `None` when it was never reached.
        life: Option<WriterId>,
        /// Which of the two connections with this peer.
        way: Way,
        /// Why.
        why: Loss,
    },
    /// A peer refused this node's connection. It is dialed again, slowly.
    Refused {
        /// Who was dialed.
        peer: NodeId,
        /// What it said.
        refusal: Refusal,
    },
    /// A node asks to join. Dropping the reply refuses it.
    JoinAsked {
        /// The request as sent.
        request: Bytes,
        /// Where it comes from.
        remote: SocketAddr,
        /// Takes the answer, within 10 s.
        reply: JoinReply,
    },
    /// A datagram, never empty.
    Datagram {
        /// Its bytes, at most 1,472.
        bytes: Bytes,
        /// Where it comes from, by its own word.
        from: SocketAddr,
    },
}

/// Which of the two connections between this node and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The peer's connection, on which its frames arrive.
    In,
    /// This node's connection, on which its own frames leave.
    Out,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The other side closed it.
    Ended,
    /// The network or the other side broke it.
    Broken,
    /// Nothing was heard for too long.
    Silent,
    /// Nothing could be written for too long.
    Stalled,
    /// The other side sent what it must not.
    BadInput,
    /// A later connection of the same peer took its place.
    Replaced,
    /// The peer has begun another life.
    OtherLife,
    /// This node has begun another life or changed its cluster.
    OwnLife,
    /// The driver asked for it.
    Asked,
    /// No connection could be made, and what waited for it has waited too long.
    Unreachable,
    /// A write that a frame tells of will never be durable.
    NotDurable,
    /// A drill holds this node apart.
    Isolated,
    /// This node is stopping.
    Stopping,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Ended => "closed by the other side",
            Loss::Broken => "connection broken",
            Loss::Silent => "nothing heard for too long",
            Loss::Stalled => "nothing could be written for too long",
            Loss::BadInput => "bad input",
            Loss::Replaced => "replaced by a later connection",
            Loss::OtherLife => "the peer began another life",
            Loss::OwnLife => "this node began another life",
            Loss::Asked => "closed by this node",
            Loss::Unreachable => "cannot be reached",
            Loss::NotDurable => "a write cannot be made durable",
            Loss::Isolated => "a drill holds this node apart",
            Loss::Stopping => "this node is stopping",
        })
    }
}

/// Takes the answer to a node that asks to join.
#[derive(Debug)]
pub struct JoinReply {
    answer: oneshot::Sender<Bytes>,
}

impl JoinReply {
    pub(super) fn new() -> (JoinReply, oneshot::Receiver<Bytes>) {
        let (answer, answered) = oneshot::channel();
        (JoinReply { answer }, answered)
    }

    /// Whether nobody waits for the answer any more: its time (10 s) is over.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Sends the answer, at most as long as a frame. An asker that has gone meanwhile gets none.
    pub fn send(self, answer: Bytes) {
        // The asker may be gone; it will ask again.
        let _ = self.answer.send(answer);
    }
}

/// The driver's end: bounded queues of what happened. While it is not emptied, peers wait.
#[derive(Debug)]
pub struct Inbox {
    events: mpsc::Receiver<Incoming>,
    datagrams: mpsc::Receiver<Incoming>,
    datagrams_in_a_row: u32,
}

impl Inbox {
    /// An inbox that nothing arrives in: what is left where another one was taken from.
    pub fn closed() -> Inbox {
        let ((_, events), (_, datagrams)) = (mpsc::channel(1), mpsc::channel(1));
        Inbox { events, datagrams, datagrams_in_a_row: 0 }
    }

    /// The next thing that happened; `None` once the transport is gone. Datagrams overtake the
    /// rest, so that heartbeats do not wait behind data. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Incoming> {
        if self.datagrams_in_a_row >= DATAGRAMS_IN_A_ROW {
            self.datagrams_in_a_row = 0;
            if let Ok(event) = self.events.try_recv() {
                return Some(event);
            }
        }
        tokio::select! {
            biased;
            Some(datagram) = self.datagrams.recv() => {
                self.datagrams_in_a_row += 1;
                Some(datagram)
            }
            Some(event) = self.events.recv() => {
                self.datagrams_in_a_row = 0;
                Some(event)
            }
            else => None,
        }
    }
}

/// The driver has gone away; there is nobody to tell anything.
#[derive(Debug)]
pub(super) struct DriverGone;

/// The transport's end.
#[derive(Debug)]
pub(super) struct Handoff {
    events: mpsc::Sender<Incoming>,
    datagrams: mpsc::Sender<Incoming>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
}

impl Handoff {
    pub(super) fn new(limits: &Limits) -> (Handoff, Inbox) {
        let (events, events_out) = mpsc::channel(limits.inbox_events_max.max(1));
        let (datagrams, datagrams_out) = mpsc::channel(limits.inbox_datagrams_max.max(1));
        let bytes_max = u32::try_from(limits.inbox_bytes_max).unwrap_or(u32::MAX).max(1);
        let bytes = Arc::new(Semaphore::new(bytes_max as usize));
        let inbox = Inbox { events: events_out, datagrams: datagrams_out, datagrams_in_a_row: 0 };
        (Handoff { events, datagrams, bytes, bytes_max }, inbox)
    }

    /// Waits for room, then tells the driver.
    pub(super) async fn tell(&self, event: Incoming) -> Result<(), DriverGone> {
        self.events.send(event).await.map_err(|_| DriverGone)
    }

    /// Waits for room in events and in bytes, then hands the frame over.
    pub(super) async fn frame(&self, peer: NodeId, life: WriterId, bytes: Bytes) -> Result<(), DriverGone> {
        let cost = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(self.bytes_max);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(cost).await.map_err(|_| DriverGone)?;
        let bytes = Bytes::from_owner(Charged { bytes, _permit: permit });
        self.tell(Incoming::Frame { peer, life, bytes }).await
    }

    pub(super) async fn datagram(&self, bytes: Bytes, from: SocketAddr) -> Result<(), DriverGone> {
        self.datagrams.send(Incoming::Datagram { bytes, from }).await.map_err(|_| DriverGone)
    }
}

/// Bytes that count as waiting for the driver until the last reference to them is dropped.
struct Charged {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
