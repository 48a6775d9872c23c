//! What a node is at the moment: looking for its cluster, or a member with a store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use gossip::coordinator::WriteLimits;
use gossip::core::{Event, ForgettingStatus, Known, Serving, Status};
use gossip::meta::Meta;
use gossip::pace::GovernorStatus;
use model::{ClusterId, DigestKey, NodeId, TokenKey, WriterId};
use storage::{Flusher, Seq, Store, StoreError};
use tokio::sync::{mpsc, watch};

use super::clock::SharedClock;
use super::damage::Damage;
use super::drill::{DrillRefused, Drills};
use super::files::NodeFiles;
use super::news::News;
use super::operator::Operators;
use super::refusals::Refusals;
use super::requests::Requests;
use super::scrub::Scrubbing;

/// A member at work: what clients' requests need of it.
pub struct Member {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The cluster's digest key.
    pub digest_key: DigestKey,
    /// The cluster's key for context tokens.
    pub token_key: TokenKey,
    /// This life.
    pub life: WriterId,
    /// What a coordinator accepts.
    pub limits: WriteLimits,
    /// Entries and tree.
    pub store: Arc<Store>,
    /// Group commit.
    pub flusher: Flusher,
    /// Whether a write is acknowledged before it is on disk (durability "interval").
    pub acknowledge_early: bool,
    /// The clock.
    pub clock: Arc<SharedClock>,
    /// The protocol's mailbox.
    pub events: mpsc::Sender<Event>,
    /// What clients have written and the protocol is to tell on.
    pub news: News,
    /// What people see.
    pub status: watch::Receiver<Status>,
    /// The clients' writes under way.
    pub writes: Writes,
    /// Operators that wait for an answer.
    pub operators: Operators,
    /// The scrub.
    pub scrubbing: Scrubbing,
    /// Peers that take no connection.
    pub refusals: Refusals,
    /// What it keeps apart from the data.
    pub files: Arc<NodeFiles>,
}

/// A door that clients' writes pass, so that it can be known that none is under way.
#[derive(Debug, Default)]
pub struct Writes {
    under_way: AtomicUsize,
    closed: AtomicBool,
}

/// A write under way.
#[derive(Debug)]
pub struct WriteUnderWay<'a>(&'a Writes);

impl Writes {
    /// Passes the door; none when it is closed.
    pub fn enter(&self) -> Option<WriteUnderWay<'_>> {
        // Counted before looking: whoever closes either sees this write or is seen by it.
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let write = WriteUnderWay(self);
        (!self.closed.load(Ordering::SeqCst)).then_some(write)
    }

    /// Lets no more in and waits until all are out.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        while self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets writes in again.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for WriteUnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Member {
    /// Waits until a write may be acknowledged.
    pub async fn durable(&self, seq: Seq) -> Result<(), StoreError> {
        if self.acknowledge_early {
            return Ok(());
        }
        self.flusher.durable(seq).await
    }
}

/// The node at this moment.
pub struct Present {
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where its HTTP API is reached.
    pub http: String,
    /// Where it is reached for frames.
    pub gossip: String,
    /// What a coordinator accepts.
    pub limits: WriteLimits,
    /// When the process began, about.
    pub began: Instant,
    /// How long clients' requests take.
    pub requests: Requests,
    /// What was found damaged since the process began.
    pub damage: Damage,
    drills: Drills,
    phase: RwLock<Phase>,
}

enum Phase {
    Looking(String),
    Member(Arc<Member>),
}

impl Present {
    /// A node that looks for its cluster.
    pub fn looking(
        node: NodeId,
        name: String,
        (http, gossip): (String, String),
        limits: WriteLimits,
        drills: Drills,
    ) -> Self {
        let phase = RwLock::new(Phase::Looking("starting".into()));
        let (requests, damage) = (Requests::default(), Damage::default());
        let began = Instant::now();
        Self { node, name, http, gossip, limits, began, requests, damage, drills, phase }
    }

    /// Whether this node may be told to hold itself apart ([`Present::drill_isolate`]).
    pub fn may_drill(&self) -> bool {
        self.drills.may()
    }

    /// Holds this node apart from all others for this long; HTTP goes on. Says until when, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`DrillRefused`]: not allowed, or not 1 s to 10 min.
    pub fn drill_isolate(&self, how_long: Duration) -> Result<u64, DrillRefused> {
        self.drills.isolate(how_long)
    }

    /// Until when the drill lasts that runs now, in milliseconds since 1970.
    pub fn drill(&self) -> Option<u64> {
        self.drills.until_ms()
    }

    /// The member, if it is one.
    pub fn member(&self) -> Option<Arc<Member>> {
        match &*self.phase.read().unwrap_or_else(PoisonError::into_inner) {
            Phase::Looking(_) => None,
            Phase::Member(member) => Some(Arc::clone(member)),
        }
    }

    /// Why it is not a member yet.
    pub fn report(&self) -> String {
        match &*self.phase.read().unwrap_or_else(PoisonError::into_inner) {
            Phase::Looking(report) => report.clone(),
            Phase::Member(_) => String::new(),
        }
    }

    /// It still looks for its cluster, or opens its store; the text says what it waits for.
    pub fn set_looking(&self, report: String) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = Phase::Looking(report);
    }

    /// It is a member now.
    pub fn set_member(&self, member: Arc<Member>) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = Phase::Member(member);
    }
}

/// What people see of a member before its protocol has spoken.
pub fn not_yet(meta: &Meta) -> Status {
    Status {
        cluster: meta.cluster,
        node: meta.node,
        name: meta.name.clone(),
        serving: Serving::Behind,
        roster: meta.roster.version(),
        members: Vec::new(),
        removed: Vec::new(),
        governor: GovernorStatus::default(),
        repairs: Vec::new(),
        checks: 0,
        session_failures: BTreeMap::new(),
        totals: gossip::core::RepairTotals::default(),
        forgetting: ForgettingStatus::default(),
        leaving: None,
        known: Known::default(),
        unsearched: meta.unsearched,
        stopped: None,
    }
}

/// The status of a member to which nothing has happened: for tests of what is shown.
#[cfg(test)]
pub(super) fn status_of_nobody() -> Status {
    not_yet(&Meta {
        node: NodeId(1),
        name: "a".into(),
        cluster: ClusterId([9; 16]),
        digest_key: DigestKey([7; 32]),
        roster: gossip::roster::Roster::default(),
        promises: Default::default(),
        caught_up: true,
        stability: Default::default(),
        identical: Default::default(),
        unsearched: false,
    })
}
