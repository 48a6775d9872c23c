//! Heartbeats: datagrams out and in. Any of them may be lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::counters::{Bad, add};
use super::delay::DelayLine;
use super::dial::resolve;
use super::names::Names;
use super::shared::Shared;

/// A datagram and the `host:port` it is for.
pub(super) type Addressed = (String, Bytes);

/// What a name resolved to; nothing when it failed.
type Found = (String, Vec<SocketAddr>);

/// Names being resolved and not yet taken note of; each is one message.
const FOUND_MAX: usize = 32;

/// Pause after a failure to receive, so that a lasting one does not become a busy loop.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

/// Hands received datagrams to the driver, until all stops.
pub(super) async fn receive(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let longest = shared.limits.datagram_bytes_max;
    // One byte more than allowed tells a datagram that is too long from one that just fits.
    let mut buffer = vec![0; longest.saturating_add(1)];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shared.stop.cancelled() => return,
        };
        let (length, from) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("cannot receive a datagram: {error}");
                sleep(RECEIVE_PAUSE).await;
                continue;
            }
        };
        if shared.isolation.holds() {
            continue;
        }
        add(&shared.counters.datagrams_in);
        match buffer.get(..length) {
            Some(bytes) if length > 0 && length <= longest => {
                let bytes = Bytes::copy_from_slice(bytes);
                let handed = tokio::select! {
                    handed = shared.handoff.datagram(bytes, from) => handed,
                    () = shared.stop.cancelled() => return,
                };
                if handed.is_err() {
                    return;
                }
            }
            _ => shared.bad(from, Bad::Datagram, "a datagram is empty or longer than allowed"),
        }
    }
}

/// Sends what is queued, until all stops; what is queued by then still leaves.
pub(super) async fn send(
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    v6: bool,
    mut queue: mpsc::Receiver<Addressed>,
) {
    let (found, mut found_out) = mpsc::channel(FOUND_MAX);
    let names = Names::new(shared.limits.names_max, shared.limits.name_fresh, v6);
    // Those on their way are at most as many as may wait to be sent.
    let (mut line, held_max) = (DelayLine::new(shared.limits.send_delay), shared.limits.datagrams_out_max);
    let mut sender = Sender { socket, shared: Arc::clone(&shared), names, found };
    loop {
        tokio::select! {
            biased;
            Some((address, addresses)) = found_out.recv() => sender.found(&address, &addresses).await,
            () = line.due() => {
                while let Some((address, bytes)) = line.pop(Instant::now()) {
                    sender.take(address, bytes).await;
                }
            }
            Some(addressed) = queue.recv(), if line.len() < held_max.max(1) => {
                line.push(Instant::now(), addressed);
                // Without a delay it leaves at once.
                if let Some((address, bytes)) = line.pop(Instant::now()) {
                    sender.take(address, bytes).await;
                }
            }
            () = shared.stop.cancelled() => return,
        }
    }
}

struct Sender {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    names: Names,
    found: mpsc::Sender<Found>,
}

impl Sender {
    async fn take(&mut self, address: String, bytes: Bytes) {
        let plan = self.names.plan(&address, &bytes, Instant::now());
        if plan.dropped {
            add(&self.shared.counters.datagrams_dropped);
        }
        if let Some(to) = plan.to {
            self.send_one(&address, to, &bytes).await;
        }
        if plan.resolve {
            self.resolve(address);
        }
    }

    /// Resolves in a task of its own, so that nothing waits for it.
    fn resolve(&self, address: String) {
        let (shared, found) = (Arc::clone(&self.shared), self.found.clone());
        self.shared.spawn(async move {
            let addresses = resolve(&address, shared.limits.resolve_time_max).await.unwrap_or_default();
            // The sender is gone only when all has stopped.
            let _ = found.send((address, addresses)).await;
        });
    }

    async fn found(&mut self, address: &str, addresses: &[SocketAddr]) {
        let (to, held) = self.names.found(address, addresses, Instant::now());
        for bytes in held {
            match to {
                Some(to) => self.send_one(address, to, &bytes).await,
                None => add(&self.shared.counters.datagrams_dropped),
            }
        }
    }

    async fn send_one(&mut self, address: &str, to: SocketAddr, bytes: &[u8]) {
        match self.socket.send_to(bytes, to).await {
            Ok(_) => add(&self.shared.counters.datagrams_out),
            Err(error) => {
                tracing::debug!(address, %to, "cannot send a datagram: {error}");
                add(&self.shared.counters.datagrams_dropped);
                self.names.failed(address);
            }
        }
    }
}
