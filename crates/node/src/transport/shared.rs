//! What the tasks of one transport share.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use model::NodeId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::counters::{Bad, Counters};
use super::gate::DurableGate;
use super::identity::Identity;
use super::incoming::{DriverGone, Handoff, Incoming};
use super::isolation::Isolation;
use super::limits::Limits;
use super::links::Links;
use super::notices::Notices;
use super::peer::Peer;

/// This node's identity for as long as connections made under it may live.
#[derive(Debug)]
pub(super) struct Present {
    pub identity: Identity,
    /// Cancelled when the node begins another life or changes its cluster.
    pub ends: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    pub counters: Counters,
    pub notices: Notices,
    pub gate: DurableGate,
    pub handoff: Handoff,
    pub links: Links,
    pub isolation: Isolation,
    pub peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    pub present: watch::Sender<Option<Arc<Present>>>,
    /// Stop taking new things, finish what is queued.
    pub closing: CancellationToken,
    /// Stop everything.
    pub stop: CancellationToken,
    runtime: Handle,
    /// Each task holds a copy; all have ended when the last is dropped.
    running: Mutex<Option<mpsc::Sender<()>>>,
}

impl Shared {
    pub(super) fn new(
        limits: Limits,
        gate: DurableGate,
        handoff: Handoff,
    ) -> (Arc<Shared>, mpsc::Receiver<()>) {
        let (running, ended) = mpsc::channel(1);
        let shared = Shared {
            limits,
            counters: Counters::default(),
            notices: Notices::default(),
            gate,
            handoff,
            links: Links::default(),
            isolation: Isolation::default(),
            peers: Mutex::default(),
            present: watch::Sender::new(None),
            closing: CancellationToken::new(),
            stop: CancellationToken::new(),
            runtime: Handle::current(),
            running: Mutex::new(Some(running)),
        };
        (Arc::new(shared), ended)
    }

    /// Starts a task, unless the transport is stopping.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(running) = lock(&self.running).clone() else { return };
        self.runtime.spawn(async move {
            task.await;
            drop(running);
        });
    }

    /// No task starts from now on.
    pub(super) fn start_no_more(&self) {
        lock(&self.running).take();
    }

    /// Tells the driver. Once the transport is stopping, nothing waits for a driver that no longer
    /// listens: what it does not take at once is lost.
    pub(super) async fn tell(&self, event: Incoming) -> Result<(), DriverGone> {
        tokio::select! {
            biased;
            told = self.handoff.tell(event) => told,
            () = self.stop.cancelled() => Err(DriverGone),
            () = self.closing.cancelled() => Ok(()),
        }
    }

    pub(super) fn present(&self) -> Option<Arc<Present>> {
        self.present.borrow().clone()
    }

    pub(super) fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        lock(&self.peers).get(&id).cloned()
    }

    /// Counts bad input, and says so unless the address was spoken of within the minute.
    pub(super) fn bad(&self, remote: SocketAddr, bad: Bad, what: impl Display) {
        self.counters.bad(bad);
        if self.notices.may_say(remote.ip(), Instant::now()) {
            tracing::warn!(%remote, reason = ?bad, "bad input on the gossip port: {what}");
        }
    }
}

/// A lock whose holder panicked is still good: all that is guarded here is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
