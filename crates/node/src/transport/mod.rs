//! Moves bytes between members. It knows peers, connections and limits; what a frame says is the
//! driver's business, and so is who belongs.
//!
//! Each node dials one connection to each peer that it has frames for, and receives on the
//! connections that peers dial: a frame leaves on the own connection and its answer arrives on the
//! other's. A frame is sent at most once. When a connection ends, what was queued for it is dropped
//! and the driver is told ([`Incoming::Disconnected`]); frames queued later go to the next one.
//!
//! Every queue is bounded. Towards a peer [`Transport::try_send`] says so when one is full; from a
//! peer nothing more is read until the driver has taken what there is, so that the peer's own queue
//! fills in turn. Both sides of a connection say every few seconds that they are alive.

mod accept;
mod accepted;
mod bind;
mod cord;
mod counters;
mod datagrams;
mod delay;
mod dial;
mod gate;
mod hello;
mod identity;
mod incoming;
mod isolation;
mod join;
mod limits;
mod links;
mod names;
mod notices;
mod peer;
mod queue;
mod refusal;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use bind::BindError;
pub use counters::{Bad, Counters, Snapshot};
pub use gate::DurableGate;
pub use identity::{Contact, Identity, IdentityError, TEXT_BYTES_MAX};
pub use incoming::{Inbox, Incoming, JoinReply, Loss, Way};
pub use join::JoinError;
pub use limits::Limits;
pub use queue::{OutFrame, SendError};
pub use refusal::{Refusal, RefusalCode};

use counters::add;
use datagrams::Addressed;
use incoming::Handoff;
use peer::Peer;
use shared::{Present, Shared, lock};

/// How long tasks may take to end once everything has been told to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// The transport of one node: a handle that may be cloned and used from any thread. Nothing it does
/// blocks, and what it does in the background ends with [`Transport::shutdown`].
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    datagrams: mpsc::Sender<Addressed>,
    address: SocketAddr,
    ended: Arc<tokio::sync::Mutex<mpsc::Receiver<()>>>,
}

impl Transport {
    /// Binds TCP and UDP to one port (port 0: any that is free for both) and begins to listen. Must
    /// be called inside a tokio runtime. Peers are refused until [`Transport::set_identity`];
    /// requests to join and datagrams arrive at once.
    ///
    /// # Errors
    /// [`BindError`] names the address; nothing is bound then.
    pub async fn start(
        address: SocketAddr,
        limits: Limits,
        gate: DurableGate,
    ) -> Result<(Transport, Inbox), BindError> {
        let sockets = bind::bind(address).await?;
        let (handoff, inbox) = Handoff::new(&limits);
        let (datagrams, queue) = mpsc::channel(limits.datagrams_out_max.max(1));
        let (shared, ended) = Shared::new(limits, gate, handoff);
        let udp = Arc::new(sockets.udp);
        shared.spawn(accept::run(sockets.tcp, Arc::clone(&shared)));
        shared.spawn(datagrams::receive(Arc::clone(&udp), Arc::clone(&shared)));
        shared.spawn(datagrams::send(udp, Arc::clone(&shared), sockets.address.is_ipv6(), queue));
        let ended = Arc::new(tokio::sync::Mutex::new(ended));
        Ok((Transport { shared, datagrams, address: sockets.address, ended }, inbox))
    }

    /// The address listened on, with the port that was chosen if any would do.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Says who this node is; dialing begins and peers are welcomed. With another cluster, node id
    /// or life than before, all connections end and all queued frames are dropped; with another
    /// name or contact only, connections stay and later ones tell the new ones.
    ///
    /// # Errors
    /// [`IdentityError`] when peers would not accept the texts; nothing has changed then.
    pub fn set_identity(&self, identity: Identity) -> Result<(), IdentityError> {
        identity.check()?;
        let before = self.shared.present();
        let ends = match &before {
            Some(present) if present.identity.is_same_life(&identity) => present.ends.clone(),
            _ => self.shared.stop.child_token(),
        };
        let same = before.as_ref().is_some_and(|present| present.identity.is_same_life(&identity));
        self.shared.present.send_replace(Some(Arc::new(Present { identity, ends })));
        if let Some(present) = before
            && !same
        {
            for peer in lock(&self.shared.peers).values() {
                peer.close(&self.shared, Loss::OwnLife);
            }
            present.ends.cancel();
        }
        Ok(())
    }

    /// Says where a peer is reached, as `host:port`; the name is resolved anew for each connection.
    /// A connection that stands is kept; one being tried is tried at the new address at once.
    pub fn set_contact(&self, peer: NodeId, address: &str) {
        if self.shared.closing.is_cancelled() {
            return;
        }
        let mut peers = lock(&self.shared.peers);
        if let Some(known) = peers.get(&peer) {
            known.set_address(address.to_owned());
            return;
        }
        let known = Arc::new(Peer::new(peer, address.to_owned()));
        peers.insert(peer, Arc::clone(&known));
        drop(peers);
        self.shared.spawn(peer::run(known, Arc::clone(&self.shared)));
    }

    /// Says whether a connection to the peer is made, and made again, even while there is nothing to
    /// send. One that stands is kept either way. Without effect on a peer whose contact is not set.
    pub fn want(&self, peer: NodeId, wanted: bool) {
        if let Some(peer) = self.shared.peer(peer) {
            peer.want(wanted);
        }
    }

    /// Queues a frame for a peer, in order behind those queued before. Never waits.
    ///
    /// # Errors
    /// [`SendError`]; the frame is not queued then and nothing else has changed.
    pub fn try_send(&self, peer: NodeId, frame: OutFrame) -> Result<(), SendError> {
        if self.shared.closing.is_cancelled() {
            return Err(SendError::Stopping);
        }
        let peer = self.shared.peer(peer).ok_or(SendError::NoAddress)?;
        let pushed = peer.push(frame, &self.shared);
        if pushed == Err(SendError::Full) {
            add(&self.shared.counters.queue_full);
        }
        pushed
    }

    /// Ends both connections with a peer and drops what is queued for it. The driver is told of
    /// each connection that ends. The contact stays: what is sent from now on makes a new connection.
    pub fn close(&self, peer: NodeId) {
        self.shared.links.close(peer, Loss::Asked);
        if let Some(peer) = self.shared.peer(peer) {
            peer.close(&self.shared, Loss::Asked);
        }
    }

    /// The same, and forgets where the peer is reached: it is dialed no more.
    pub fn forget(&self, peer: NodeId) {
        self.shared.links.close(peer, Loss::Asked);
        let known = lock(&self.shared.peers).remove(&peer);
        if let Some(known) = known {
            known.forget(&self.shared);
        }
    }

    /// Counts a frame that the driver cannot read, says so once a minute, and ends the peer's
    /// connections as [`Transport::close`] does.
    pub fn bad_frame(&self, peer: NodeId, what: &str) {
        match self.shared.links.remote(peer) {
            Some(remote) => self.shared.bad(remote, Bad::Frame, format_args!("from node {peer}: {what}")),
            None => self.shared.counters.bad(Bad::Frame),
        }
        self.close(peer);
    }

    /// Counts a datagram that the driver cannot read, and says so once a minute.
    pub fn bad_datagram(&self, from: SocketAddr, what: &str) {
        self.shared.bad(from, Bad::Datagram, what);
    }

    /// Holds this node apart from all others for this long, to practise a partition: connections end and none is made
    /// or taken, datagrams are dropped in both directions, and nobody is asked or let to join. Ends by itself, or at once
    /// with none; a later call takes the place of an earlier one. What is queued for peers waits, or is dropped as for
    /// peers that cannot be reached.
    pub fn isolate(&self, how_long: Option<Duration>) {
        self.shared.isolation.set(how_long);
        if how_long.is_none() {
            return;
        }
        self.shared.links.close_all(Loss::Isolated);
        for peer in lock(&self.shared.peers).values() {
            peer.close(&self.shared, Loss::Isolated);
        }
    }

    /// Whether [`Transport::isolate`] holds this node apart now.
    pub fn is_isolated(&self) -> bool {
        self.shared.isolation.holds()
    }

    /// Queues a datagram for `host:port`. Never waits; a datagram may be lost, here too: when the
    /// queue is full, the name does not resolve or the bytes are too many, it is dropped and counted.
    pub fn send_to(&self, address: &str, bytes: Bytes) {
        let fits = !bytes.is_empty() && bytes.len() <= self.shared.limits.datagram_bytes_max;
        if !fits || self.is_isolated() || self.datagrams.try_send((address.to_owned(), bytes)).is_err() {
            add(&self.shared.counters.datagrams_dropped);
        }
    }

    /// Asks a node at `host:port` to let this one join: resolves the name now, tries each of its
    /// addresses, and gives back the first answer. Takes at most some 12 s for each address.
    ///
    /// # Errors
    /// [`JoinError`] says what happened at the address that got furthest. Nothing has changed.
    pub async fn join(&self, address: &str, request: Bytes) -> Result<Bytes, JoinError> {
        let asked = self.shared.isolation.unless(join::join(&self.shared.limits, address, &request)).await;
        asked.unwrap_or_else(|| Err(JoinError::isolated(address)))
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Stops: accepts nothing more, ends the peers' connections, sends what is queued for at most
    /// `deadline`, then ends everything. Safe to call twice; nothing can be sent afterwards. The
    /// inbox need not be emptied meanwhile.
    pub async fn shutdown(&self, deadline: Duration) {
        self.shared.closing.cancel();
        let flushed = async {
            let peers: Vec<_> = lock(&self.shared.peers).values().cloned().collect();
            for peer in peers {
                peer.flushed().await;
            }
        };
        if timeout(deadline, flushed).await.is_err() {
            tracing::warn!("some frames could not be sent before stopping");
        }
        self.shared.start_no_more();
        self.shared.stop.cancel();
        let mut ended = self.ended.lock().await;
        // Nothing is ever sent on this channel: it ends when the last task does.
        let _ = timeout(STOP_TIME_MAX, ended.recv()).await;
    }
}
