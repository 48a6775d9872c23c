//! One peer as this node sends to it: its address, its queue, and the task that keeps a connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{NodeId, WriterId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cord::Cord;
use super::counters::{add, add_many};
use super::dial::{DialError, Dialed, dial};
use super::incoming::{DriverGone, Incoming, Loss, Way};
use super::queue::{OutFrame, Queue, SendError};
use super::refusal::RefusalCode;
use super::shared::{Present, Shared, lock};
use super::writer;

/// A connection that lived for so long makes the next attempts quick again.
const SETTLED: Duration = Duration::from_secs(1);

/// How often people are told that one peer cannot be reached.
const SAY_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Peer {
    pub id: NodeId,
    pub state: Mutex<State>,
    /// Told when frames, an address or the wish for a connection arrive.
    pub wake: Notify,
    /// Cancelled when the peer is forgotten.
    gone: CancellationToken,
    /// Cancelled when the peer's task has ended.
    ended: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub queue: Queue,
    address: String,
    wanted: bool,
    connection: Option<(Arc<Cord>, WriterId)>,
}

impl Peer {
    pub(super) fn new(id: NodeId, address: String) -> Peer {
        let state = State { address, ..State::default() };
        let (gone, ended) = (CancellationToken::new(), CancellationToken::new());
        Peer { id, state: Mutex::new(state), wake: Notify::new(), gone, ended }
    }

    /// Where to connect from now on. A connection that stands is kept.
    pub(super) fn set_address(&self, address: String) {
        let mut state = lock(&self.state);
        if state.address != address {
            state.address = address;
            self.wake.notify_one();
        }
    }

    pub(super) fn want(&self, wanted: bool) {
        lock(&self.state).wanted = wanted;
        self.wake.notify_one();
    }

    pub(super) fn push(&self, frame: OutFrame, shared: &Shared) -> Result<(), SendError> {
        lock(&self.state).queue.push(frame, Instant::now(), &shared.limits)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the connection and drops what is queued; frames queued after this go to the next one.
    pub(super) fn close(&self, shared: &Shared, why: Loss) {
        let mut state = lock(&self.state);
        let generation = state.queue.generation();
        add_many(&shared.counters.frames_dropped, state.queue.lose(generation));
        if let Some((cord, _)) = &state.connection {
            cord.cut(why);
        }
    }

    /// The same, if the connection is with another life of the peer than this one.
    pub(super) fn close_other_life(&self, shared: &Shared, life: WriterId) {
        let other = |(_, known): &(Arc<Cord>, WriterId)| *known != life;
        if lock(&self.state).connection.as_ref().is_some_and(other) {
            self.close(shared, Loss::OtherLife);
        }
    }

    pub(super) fn forget(&self, shared: &Shared) {
        self.gone.cancel();
        self.close(shared, Loss::Asked);
    }

    /// Ends when no connection is needed any more: the peer is forgotten, or the transport is
    /// stopping and nothing waits to be sent.
    async fn given_up(&self, shared: &Shared) {
        let stopping = async {
            shared.closing.cancelled().await;
            if self.has_frames() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = stopping => {}
        }
    }

    /// Waits, once the transport is stopping, until all that was queued is sent.
    pub(super) async fn flushed(&self) {
        self.ended.cancelled().await;
    }

    fn wants_connection(&self) -> bool {
        let state = lock(&self.state);
        state.wanted || !state.queue.is_empty()
    }

    fn has_frames(&self) -> bool {
        !lock(&self.state).queue.is_empty()
    }
}

/// Keeps a connection to the peer while one is wanted, until the peer is forgotten or all stops.
pub(super) async fn run(peer: Arc<Peer>, shared: Arc<Shared>) {
    let _ended = peer.ended.clone().drop_guard();
    tokio::select! {
        _ = keep_connected(&peer, &shared) => {}
        () = shared.stop.cancelled() => {}
    }
}

async fn keep_connected(peer: &Peer, shared: &Shared) -> Result<(), DriverGone> {
    let mut attempts = Attempts::new(shared);
    while let Some(Some(present)) = peer.gone.run_until_cancelled(next_attempt(peer, shared)).await {
        let address = lock(&peer.state).address.clone();
        let dialing = dial(&shared.limits, &present.identity, peer.id, &address);
        let attempt = tokio::select! {
            attempt = shared.isolation.unless(dialing) => attempt.unwrap_or(Err(DialError::Isolated)),
            () = peer.given_up(shared) => break,
        };
        match attempt {
            Ok(dialed) => {
                add(&shared.counters.dialed);
                let since = Instant::now();
                serve(peer, shared, &present, dialed).await?;
                if since.elapsed() >= SETTLED {
                    attempts.restart();
                }
            }
            Err(error) => failed(peer, shared, &mut attempts, &address, error).await?,
        }
        tokio::select! {
            () = sleep(attempts.pause()) => {}
            () = moved(peer, &address) => attempts.restart(),
            () = peer.given_up(shared) => break,
        }
    }
    Ok(())
}

/// Waits until there is something to connect for; `None` when there never will be again.
async fn next_attempt(peer: &Peer, shared: &Shared) -> Option<Arc<Present>> {
    let mut present = shared.present.subscribe();
    loop {
        let me = present.borrow_and_update().clone();
        let wanted = peer.wants_connection();
        if shared.closing.is_cancelled() {
            return me.filter(|_| peer.has_frames());
        }
        if let (Some(me), true) = (me, wanted) {
            return Some(me);
        }
        tokio::select! {
            () = peer.wake.notified() => {}
            changed = present.changed() => changed.ok()?,
            () = shared.closing.cancelled() => {}
        }
    }
}

/// Ends when the peer's address is no longer this one.
async fn moved(peer: &Peer, address: &str) {
    while lock(&peer.state).address == address {
        peer.wake.notified().await;
    }
}

async fn failed(
    peer: &Peer,
    shared: &Shared,
    attempts: &mut Attempts,
    address: &str,
    error: DialError,
) -> Result<(), DriverGone> {
    add(&shared.counters.dial_failures);
    let not_ready =
        matches!(&error, DialError::Refused { refusal, .. } if refusal.code == RefusalCode::NotReady);
    if attempts.may_say() && not_ready {
        // It starts, most often.
        tracing::info!(peer = %peer.id, address, "a peer cannot take a connection yet: {error}");
    } else if attempts.may_say() {
        tracing::warn!(peer = %peer.id, address, "cannot connect to a peer: {error}");
    } else {
        tracing::debug!(peer = %peer.id, address, "cannot connect to a peer: {error}");
    }
    if let DialError::Refused { refusal, .. } = error {
        attempts.slow_down();
        shared.tell(Incoming::Refused { peer: peer.id, refusal }).await?;
    }
    let dropped = {
        let mut state = lock(&peer.state);
        let overdue = state.queue.is_overdue(Instant::now(), shared.limits.queue_wait_max);
        let generation = state.queue.generation();
        if overdue { state.queue.lose(generation) } else { 0 }
    };
    if dropped > 0 {
        add_many(&shared.counters.frames_dropped, dropped);
        let (way, why) = (Way::Out, Loss::Unreachable);
        shared.tell(Incoming::Disconnected { peer: peer.id, life: None, way, why }).await?;
    }
    Ok(())
}

/// Sends on a connection until it ends, and tells the driver of both.
async fn serve(peer: &Peer, shared: &Shared, present: &Present, dialed: Dialed) -> Result<(), DriverGone> {
    let life = dialed.welcome.life;
    let cord = Arc::new(Cord::new(&present.ends));
    let generation = {
        let mut state = lock(&peer.state);
        state.connection = Some((Arc::clone(&cord), life));
        if peer.gone.is_cancelled() {
            cord.cut(Loss::Asked);
        }
        state.queue.generation()
    };
    shared.links.close_other_life(peer.id, life);
    let why = writer::serve(peer, shared, dialed, &cord, generation).await;
    let dropped = {
        let mut state = lock(&peer.state);
        state.connection = None;
        state.queue.lose(generation)
    };
    add_many(&shared.counters.frames_dropped, dropped);
    tracing::debug!(peer = %peer.id, "connection to a peer ended: {why}");
    shared.tell(Incoming::Disconnected { peer: peer.id, life: Some(life), way: Way::Out, why }).await
}

/// The pause before the next attempt: doubles up to a limit, with jitter so that peers of a node
/// that returns do not all knock at once. And when people were last told of a failure.
#[derive(Debug)]
struct Attempts {
    next: Duration,
    min: Duration,
    max: Duration,
    said: Option<Instant>,
}

impl Attempts {
    fn new(shared: &Shared) -> Attempts {
        let (min, max) = (shared.limits.backoff_min, shared.limits.backoff_max);
        Attempts { next: min, min, max, said: None }
    }

    fn restart(&mut self) {
        self.next = self.min;
    }

    fn slow_down(&mut self) {
        self.next = self.max;
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = self.next.saturating_mul(2).min(self.max);
        pause
    }

    fn may_say(&mut self) -> bool {
        let may = self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
        if may {
            self.said = Some(Instant::now());
        }
        may
    }
}
