//! What the HTTP API asks of this node: clients' reads and writes, and what people see.
//!
//! A write is coordinated in the store's critical section, acknowledged when it is durable, and then
//! handed to the protocol as news.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::clock::NeedReservation;
use gossip::coordinator::{self, NewValue, Refusal, WriteLimits};
use gossip::core::{Event, MemberStatus, Serving, Status};
use gossip::liveness::LivenessState;
use gossip::roster::RosterVersion;
use gossip::stability::Cause;
use http_api::{
    ClusterView, DeleteRequest, Deleted, DrillsView, EvictView, LeaveView, Limits, ListItem, ListPage,
    ListRequest, PutRequest, Read, Readiness, RepairBegun, RepairsView, Service, ServiceError, Version,
    Written,
};
use model::{Context, Dot, Entry, Hlc, Key, Seen, Sibling, context_token};
use storage::{Marks, StoreError, UpdateError};

use super::clock::wall_ms;
use super::leave_evict::waiting;
use super::member::{Member, Present};

/// The node as the HTTP API sees it.
#[derive(Clone)]
pub struct NodeService {
    present: Arc<Present>,
}

/// What a write is made from, beside what is held and what the client has seen.
struct Stamp<'a> {
    dot: Dot,
    marks: Marks,
    limits: &'a WriteLimits,
}

/// Why an update wrote nothing.
enum Decision {
    Clock(NeedReservation),
    Refused(Refusal),
}

impl NodeService {
    /// Over whatever the node is at the time of each request.
    pub fn new(present: Arc<Present>) -> Self {
        Self { present }
    }

    /// The member that answers clients, or why there is none.
    fn serving(&self) -> Result<Arc<Member>, ServiceError> {
        Ok(self.serving_at()?.0)
    }

    /// ... and roster and watermark of that moment: as long as a node is not behind it holds all that lies at or under it,
    /// and a write that it takes at that moment may claim so. A later watermark may be one that it is behind of (H30).
    fn serving_at(&self) -> Result<(Arc<Member>, RosterVersion, Hlc), ServiceError> {
        let member = self.present.member().ok_or_else(|| self.not_ready())?;
        let status = member.status.borrow();
        let (roster, watermark) = (status.roster, status.forgetting.watermark);
        let serves = matches!(status.serving, Serving::Yes | Serving::Stopped(_) | Serving::Leaving);
        drop(status);
        if serves { Ok((member, roster, watermark)) } else { Err(self.not_ready()) }
    }

    fn not_ready(&self) -> ServiceError {
        ServiceError::NotReady { reason: self.present.why_not().unwrap_or_else(|| "starting".into()) }
    }

    /// Folds a client's write into the entry held and makes it durable. `fold` gives none when nothing is to be
    /// written.
    async fn write(
        &self,
        key: &Key,
        token: Option<&str>,
        fold: impl Fn(Entry, Option<&Context>, Stamp<'_>) -> Result<Option<Entry>, Refusal>,
    ) -> Result<(Arc<Member>, bool, Entry), ServiceError> {
        let (member, roster, watermark) = self.serving_at()?;
        if member.status.borrow().serving == Serving::Leaving {
            return Err(self.not_ready());
        }
        let _timed = self.present.requests.begin();
        let under_way = member.writes.enter().ok_or_else(|| self.not_ready())?;
        let seen = token.map(|text| member.open_token(key, text)).transpose()?;
        let newest_seen = seen.as_ref().map_or(Hlc::ZERO, |seen| seen.context().newest());
        let replaced = seen.map(|seen| coordinator::replaced(&seen, roster, watermark, member.limits.rules));
        let mut created = false;
        let updated = loop {
            let outcome = member.store.update(key, |held| {
                created = coordinator::shown(&held, wall_ms()).is_empty();
                let newest = held.context().newest().max(newest_seen);
                let hlc = member.clock.stamp(newest).map_err(Decision::Clock)?;
                let dot = Dot { hlc, writer: member.life };
                // The watermark is the one that this node was found fit to serve at; a later one may have put it behind.
                let marks = Marks { watermark, horizon: member.store.marks().horizon };
                let stamp = Stamp { dot, marks, limits: &member.limits };
                fold(held, replaced.as_ref(), stamp).map_err(Decision::Refused)
            });
            match outcome {
                Ok(updated) => break updated,
                Err(UpdateError::Decision(Decision::Refused(refusal))) => return Err(refused(refusal)),
                Err(UpdateError::Store(error)) => return Err(member.write_failed(&error)),
                Err(UpdateError::Decision(Decision::Clock(need))) => reserve(&member, need).await?,
            }
        };
        member.durable(updated.seq).await.map_err(|error| member.write_failed(&error))?;
        if updated.changed {
            member.news.tell(key.clone());
        }
        drop(under_way);
        Ok((member, created, updated.entry))
    }
}

/// Puts a reservation for the clock on disk, off the runtime's threads.
async fn reserve(member: &Arc<Member>, need: NeedReservation) -> Result<(), ServiceError> {
    let clock = Arc::clone(&member.clock);
    let reserved = tokio::task::spawn_blocking(move || clock.reserve(need.at_least)).await;
    match reserved {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ServiceError::NotReady {
            reason: format!("the clock's reservation cannot be written: {error}"),
        }),
        Err(error) => Err(ServiceError::Internal { reason: error.to_string() }),
    }
}

fn refused(refusal: Refusal) -> ServiceError {
    match refusal {
        Refusal::ValueTooLarge { max, .. } => ServiceError::ValueTooLarge { limit_bytes: max },
        Refusal::Ttl { .. } => ServiceError::BadTtl { reason: refusal.to_string() },
        Refusal::TooManySiblings { max, .. } => ServiceError::TooManySiblings { limit: max },
        Refusal::ContextTooLarge { max, .. } => ServiceError::ContextTooLarge { limit: max },
        // The API lets none through that is longer.
        Refusal::ContentTypeTooLong => ServiceError::Internal { reason: refusal.to_string() },
    }
}

fn failed(error: &StoreError) -> ServiceError {
    match error {
        StoreError::Stopped(reason) => ServiceError::Stopped { reason: reason.to_string() },
        StoreError::Corrupt { .. } | StoreError::Engine(_) => {
            ServiceError::Stopped { reason: error.to_string() }
        }
        _ => ServiceError::Internal { reason: error.to_string() },
    }
}

/// A strong validator: the head of the hash that covers dot, value, type and expiry.
fn etag(sibling: &Sibling) -> String {
    sibling.hash().head()
}

fn version(sibling: &Sibling) -> Version {
    Version {
        value: sibling.value().clone(),
        content_type: sibling.content_type().map(str::to_owned),
        etag: etag(sibling),
        dot: sibling.dot(),
        expires_ms: expires_ms(sibling),
    }
}

fn expires_ms(sibling: &Sibling) -> Option<u64> {
    sibling.expiry().time().map(Hlc::millis)
}

impl Member {
    /// A failed write stops the store; the protocol must know.
    fn write_failed(&self, error: &StoreError) -> ServiceError {
        if let Some(reason) = self.store.failure() {
            let _ = self.events.try_send(Event::StoreStopped { reason });
        }
        failed(error)
    }

    fn open_token(&self, key: &Key, text: &str) -> Result<Seen, ServiceError> {
        context_token::open(&self.token_key, &self.cluster, key, text)
            .map_err(|error| ServiceError::BadContext { reason: error.to_string() })
    }

    fn mint(&self, key: &Key, entry: &Entry) -> String {
        let roster = self.status.borrow().roster.short();
        context_token::mint(&self.token_key, &self.cluster, key, &Seen::of(entry, roster))
    }

    /// A token for a client that has just written, if it knows every sibling there is: its own alone, or none.
    fn mint_for_writer(&self, key: &Key, entry: &Entry, own: usize) -> Option<String> {
        (entry.siblings().len() == own && !entry.is_blank()).then(|| self.mint(key, entry))
    }
}

impl Service for NodeService {
    async fn put(&self, request: PutRequest) -> Result<Written, ServiceError> {
        let PutRequest { key, value, content_type, context, add, ttl } = request;
        // Whoever adds has seen nothing, and so replaces nothing.
        let nothing = add.then(Context::default);
        let fold = |held: Entry, seen: Option<&Context>, Stamp { dot, marks, limits }: Stamp<'_>| {
            let seen = nothing.as_ref().or(seen);
            let expiry = coordinator::expiry(ttl, wall_ms(), marks.horizon, limits.rules)?;
            let new = NewValue { value: Bytes::clone(&value), content_type: content_type.clone(), expiry };
            coordinator::put(held, seen, dot, new, marks.watermark, limits).map(Some)
        };
        let (member, created, entry) = self.write(&key, context.as_deref(), fold).await?;
        let own = entry.siblings().iter().filter(|s| s.dot().writer == member.life).max_by_key(|s| s.dot());
        Ok(Written {
            created,
            siblings: coordinator::shown(&entry, wall_ms()).len(),
            etag: own.map(etag).unwrap_or_default(),
            expires_ms: own.and_then(expires_ms),
            context: member.mint_for_writer(&key, &entry, 1),
        })
    }

    async fn get(&self, key: Key) -> Result<Option<Read>, ServiceError> {
        let member = self.serving()?;
        let _timed = self.present.requests.begin();
        let Some(entry) = member.store.get(&key).map_err(|error| failed(&error))? else { return Ok(None) };
        let shown = coordinator::shown(&entry, wall_ms());
        // No token covers what is not shown. Another node's clock may be right, and show it.
        let context = (shown.len() == entry.siblings().len()).then(|| member.mint(&key, &entry));
        Ok(Some(Read { siblings: shown.into_iter().rev().map(version).collect(), context }))
    }

    async fn delete(&self, request: DeleteRequest) -> Result<Deleted, ServiceError> {
        let DeleteRequest { key, context } = request;
        let fold = |held: Entry, seen: Option<&Context>, Stamp { dot, marks, limits }: Stamp<'_>| {
            coordinator::delete(held, seen, dot, marks.watermark, limits)
        };
        let (member, _, entry) = self.write(&key, context.as_deref(), fold).await?;
        let siblings = coordinator::shown(&entry, wall_ms()).len();
        Ok(Deleted { siblings, context: member.mint_for_writer(&key, &entry, 0) })
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage, ServiceError> {
        let member = self.serving()?;
        let page = tokio::task::spawn_blocking(move || {
            member.store.list(&request.prefix, request.start.as_deref(), request.limit)
        });
        let page = page.await.map_err(|error| ServiceError::Internal { reason: error.to_string() })?;
        let page = page.map_err(|error| failed(&error))?;
        let now = wall_ms();
        let items = page.keys.into_iter().filter_map(|(key, entry)| {
            let shown = coordinator::shown(&entry, now);
            let winner = *shown.last()?;
            Some(ListItem {
                key,
                size: winner.value().len() as u64,
                etag: etag(winner),
                content_type: winner.content_type().map(str::to_owned),
                dot: winner.dot(),
                siblings: shown.len(),
                expires_ms: expires_ms(winner),
            })
        });
        Ok(ListPage { items: items.collect(), next: page.next })
    }

    fn cluster(&self) -> impl Future<Output = ClusterView> + Send {
        std::future::ready(self.present.cluster_view())
    }

    fn repairs(&self) -> impl Future<Output = RepairsView> + Send {
        std::future::ready(self.present.repairs_view())
    }

    async fn repair(&self, peer: String) -> Result<RepairBegun, ServiceError> {
        let member = self.present.member().ok_or_else(|| self.not_ready())?;
        if matches!(member.status.borrow().serving, Serving::Removed | Serving::Stopping) {
            return Err(self.not_ready());
        }
        member.repair_with(&peer).await
    }

    async fn leaving(&self) -> Result<LeaveView, ServiceError> {
        self.present.member().ok_or_else(|| self.not_ready())?.leaving().await
    }

    async fn leave(&self, force: bool) -> Result<LeaveView, ServiceError> {
        self.present.member().ok_or_else(|| self.not_ready())?.leave(force).await
    }

    async fn evict(&self, member: String, force: bool) -> Result<EvictView, ServiceError> {
        self.present.member().ok_or_else(|| self.not_ready())?.evict(&member, force).await
    }

    fn drills(&self) -> DrillsView {
        self.present.drills_view()
    }

    fn isolate(&self, time: Duration) -> Result<DrillsView, ServiceError> {
        self.present.isolate(time)
    }

    fn ready(&self) -> Readiness {
        self.present.why_not().map_or_else(Readiness::yes, Readiness::no)
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes_max: self.present.limits.value_bytes_max }
    }
}

impl Present {
    /// Why clients are not served, as a sentence, or none when they are.
    pub fn why_not(&self) -> Option<String> {
        self.reason().map(|reason| if reason.ends_with('.') { reason } else { reason + "." })
    }

    fn reason(&self) -> Option<String> {
        let Some(member) = self.member() else { return Some(self.report()) };
        // Before its store: whoever is removed must hear what is to become of what it holds.
        let status = member.status.borrow().clone();
        if status.serving == Serving::Removed {
            let left = status.leaving.is_some();
            return Some(if left { waiting(&status).1 } else { member.removed(&status) });
        }
        if let Some(reason) = member.store.failure() {
            return Some(format!("the store has stopped: {reason}"));
        }
        if let Some(reason) = member.clock.failure() {
            return Some(format!(
                "no write can be taken: the clock's reservation cannot be written: {reason}"
            ));
        }
        match &status.serving {
            Serving::Yes => None,
            Serving::Behind => Some(why_behind(&status, self.damage.unhealed())),
            Serving::Leaving => Some(waiting(&status).1),
            Serving::Removed => Some(member.removed(&status)),
            Serving::Stopped(reason) => Some(format!("the store has stopped: {reason}")),
            Serving::Stopping => Some("stopping".into()),
        }
    }
}

fn why_behind(status: &Status, damage: Option<String>) -> String {
    let why = match (status.forgetting.behind, damage) {
        (None | Some(Cause::Joined), _) => "joined, and behind".to_owned(),
        (Some(Cause::Lost), Some(damage)) => format!("behind ({}: {damage})", Cause::Lost),
        (Some(cause), _) => format!("behind ({cause})"),
    };
    let unmet = || status.members.iter().filter(|member| status.forgetting.unmet.contains(&member.id));
    if unmet().next().is_none() {
        return format!("{why}: waiting for a first completed session with a member that is not behind");
    }
    let is_down = |member: &&MemberStatus| member.state == LivenessState::Down;
    let shown =
        |member| if is_down(&member) { format!("{} (down)", member.name) } else { member.name.clone() };
    let names: Vec<String> = unmet().map(shown).collect();
    let mut said = format!("{why}, as is every member that answers: waiting to meet {}", names.join(", "));
    if unmet().any(|member| is_down(&member)) {
        said += ". `mangrove evict NAME --force` gives up one that never returns, and what only it holds";
    }
    said
}
