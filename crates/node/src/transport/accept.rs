//! Accepting connections, within limits on how many.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BufMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accepted;
use super::counters::{Bad, add};
use super::hello::Answer;
use super::refusal::{Refusal, RefusalCode};
use super::shared::{Shared, lock};

/// Pause after a failure to accept, so that a lack of file handles does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the transport is stopping.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let places = Places::new(&shared);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closing.cancelled() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                add(&shared.counters.accept_errors);
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if shared.isolation.holds() {
            continue;
        }
        match places.take(remote.ip()) {
            Some(place) => {
                shared.spawn(accepted::serve(Arc::clone(&shared), stream, remote, place));
            }
            None => refuse(&shared, stream, remote),
        }
    }
}

/// Says at once, without waiting for anything, that there is no room.
fn refuse(shared: &Shared, stream: TcpStream, remote: SocketAddr) {
    shared.bad(remote, Bad::TooMany, "too many connections");
    let refusal = Refusal::new(RefusalCode::TooMany, "too many connections, try again later");
    let limits = &shared.limits;
    let Ok(answer) = Answer::Refused(refusal).encode(limits.wire_min, limits.wire_max) else { return };
    let mut framed = Vec::with_capacity(answer.len() + 4);
    framed.put_u32(u32::try_from(answer.len()).unwrap_or(0));
    framed.put_slice(&answer);
    if let Ok(mut stream) = stream.into_std() {
        // A caller that does not get this sees its connection closed, which says the same.
        let _ = stream.write(&framed);
    }
}

/// How many connections there are: in all, and of each address before it said who it is.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    unproven: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    unproven_max: usize,
}

/// A place among the accepted connections, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one_of_all: OwnedSemaphorePermit,
    unproven: Option<Unproven>,
}

#[derive(Debug)]
struct Unproven {
    address: IpAddr,
    counts: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Places {
    fn new(shared: &Shared) -> Places {
        Places {
            all: Arc::new(Semaphore::new(shared.limits.accepted_max)),
            unproven: Arc::default(),
            unproven_max: shared.limits.unproven_per_address_max,
        }
    }

    fn take(&self, address: IpAddr) -> Option<Place> {
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut counts = lock(&self.unproven);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.unproven_max {
            return None;
        }
        *count += 1;
        let unproven = Unproven { address, counts: Arc::clone(&self.unproven) };
        Some(Place { _one_of_all: one_of_all, unproven: Some(unproven) })
    }
}

impl Place {
    /// The other side has said who it is, and is no longer limited by its address.
    pub(super) fn proven(&mut self) {
        self.unproven = None;
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
