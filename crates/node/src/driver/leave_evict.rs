//! What an operator does about who belongs: this node leaves, another member is removed. Made of what the protocol
//! answers, in words that say what would be lost and what to do.

use std::time::Duration;

use gossip::core::{
    Answered, Event, EvictRefusal, Evicted, Known, LeaveRefusal, LeavingStatus, RemovedStatus, Serving,
    Status,
};
use gossip::liveness::LivenessState;
use http_api::{ActRefused, EvictView, LeaveState, LeaveView, ServiceError};
use model::NodeId;
use storage::{Store, StoreError};

use super::member::Member;
use super::operator::Unanswered;
use super::removed::unsearched;
use crate::named::named;

/// How long a request to leave waits for the end; then it answers how far it is.
const LEFT_WITHIN: Duration = Duration::from_secs(10);
/// What is read of the store in one step, to count what nobody else is known to hold.
const BYTES_A_STEP: usize = 1 << 20;
const ROWS_A_STEP: usize = 1_024;

impl Member {
    /// How far this node is that leaves, or what it would leave behind. Changes nothing.
    pub async fn leaving(&self) -> Result<LeaveView, ServiceError> {
        let status = self.status.borrow().clone();
        if status.leaving.is_none() && status.serving == Serving::Removed {
            return Err(self.leave_refused(LeaveRefusal::NotAMember));
        }
        let alone = self.keys_alone(status.known).await?;
        Ok(leave_view(&status, alone))
    }

    /// This node leaves its cluster, or goes on leaving. Answers once it has left, or after some seconds.
    pub async fn leave(&self, force: bool) -> Result<LeaveView, ServiceError> {
        // Before, since nothing is known of the others afterwards.
        let known = self.status.borrow().known;
        let alone = if force { self.keys_alone(known).await? } else { None };
        let request = |reply| Event::LeaveWanted { reply, force };
        match self.operators.ask(&self.events, request).await {
            Ok(Answered::Leave(Ok(()))) => {}
            Ok(Answered::Leave(Err(refusal))) => return Err(self.leave_refused(refusal)),
            Ok(_) => return Err(unanswered(Unanswered::Late)),
            Err(why) => return Err(unanswered(why)),
        }
        let mut status = self.status.clone();
        let is_over = |status: &Status| {
            let left = status.leaving == Some(LeavingStatus::Left);
            (left && !status.unsearched) || (status.unsearched && status.stopped.is_some())
        };
        let left = status.wait_for(is_over);
        let _ = tokio::time::timeout(LEFT_WITHIN, left).await;
        let status = self.status.borrow().clone();
        if let (true, Some(_)) = (status.unsearched, &status.stopped) {
            return Err(ServiceError::Stopped { reason: waiting(&status).1 });
        }
        let left = status.leaving == Some(LeavingStatus::Left);
        let alone = if left || force { alone } else { self.keys_alone(status.known).await? };
        Ok(leave_view(&status, alone))
    }

    fn leave_refused(&self, refusal: LeaveRefusal) -> ServiceError {
        let why = match refusal {
            LeaveRefusal::LastMember => ActRefused::LastMember,
            LeaveRefusal::NobodyStays => ActRefused::NobodyStays,
            LeaveRefusal::NotAMember => {
                let detail = sentence_of(&self.removed(&self.status.borrow()));
                return ServiceError::ActRefused { why: ActRefused::NotAMember, detail };
            }
            LeaveRefusal::NotReady => return ServiceError::NotReady { reason: refusal.to_string() },
        };
        let keys = self.store.counts().keys;
        let detail = format!(
            "{refusal}. Its {keys} keys would be kept in its data directory and be served by nobody. Let another node \
             join first; or force it (mangrove leave --force), which puts them into a quarantine file there."
        );
        ServiceError::ActRefused { why, detail }
    }

    /// How many keys have values that no other member is known to hold.
    async fn keys_alone(&self, known: Known) -> Result<Option<u64>, ServiceError> {
        let store = self.store.clone();
        let counted = tokio::task::spawn_blocking(move || keys_alone(&store, known)).await;
        let counted = counted.map_err(|error| ServiceError::Internal { reason: error.to_string() })?;
        // A store that has stopped cannot be counted; to leave it is all the more reason.
        Ok(counted.ok())
    }

    /// Removes the member of this name or id for ever.
    pub async fn evict(&self, wanted: &str, force: bool) -> Result<EvictView, ServiceError> {
        if self.status.borrow().serving == Serving::Removed {
            return Err(self.leave_refused(LeaveRefusal::NotAMember));
        }
        let (target, name) = self.find(wanted)?;
        let request = |reply| Event::EvictWanted { reply, target, force };
        match self.operators.ask(&self.events, request).await {
            Ok(Answered::Evict(Ok(evicted))) => Ok(evict_view(target, name, force, &evicted)),
            Ok(Answered::Evict(Err(EvictRefusal::Oneself))) => Err(self.oneself_refused(&name).await?),
            // Somebody else has removed it meanwhile: of this very one, whoever has its name by now.
            Ok(Answered::Evict(Err(EvictRefusal::NotAMember))) => {
                Err(no_such_member(&self.status.borrow(), &target.to_string()))
            }
            Ok(Answered::Evict(Err(refusal))) => Err(self.evict_refused(&name, &refusal)),
            Ok(_) => Err(unanswered(Unanswered::Late)),
            Err(why) => Err(unanswered(why)),
        }
    }

    fn find(&self, wanted: &str) -> Result<(NodeId, String), ServiceError> {
        let status = self.status.borrow();
        let found = named(&status.members, wanted, |member| (member.id, &member.name));
        found.map(|member| (member.id, member.name.clone())).ok_or_else(|| no_such_member(&status, wanted))
    }

    /// A node is asked to evict itself.
    async fn oneself_refused(&self, name: &str) -> Result<ServiceError, ServiceError> {
        let (is_last, known) = {
            let status = self.status.borrow();
            (status.members.len() == 1, status.known)
        };
        if is_last {
            return Ok(self.leave_refused(LeaveRefusal::LastMember));
        }
        let lost = match self.keys_alone(known).await? {
            Some(keys) => {
                format!("up to {keys} of its keys have values that nobody else is known to hold, which")
            }
            None => "what nobody else is known to hold".to_owned(),
        };
        let detail = format!(
            "{name} is this node itself. Have it leave (mangrove leave), which hands over what it holds. Forced (--force), \
             it leaves at once and hands nothing over: {lost} would go into a quarantine file in its data directory, and \
             be lost to the others."
        );
        Ok(ServiceError::ActRefused { why: ActRefused::Oneself, detail })
    }

    fn evict_refused(&self, name: &str, refusal: &EvictRefusal) -> ServiceError {
        let refused = |why, detail| ServiceError::ActRefused { why, detail };
        let proven = {
            let status = self.status.borrow();
            let member = status.members.iter().find(|member| member.name == name);
            let at = member.and_then(|member| member.last_identical_ms).and_then(http_api::rfc3339);
            at.map_or_else(
                || "and told nobody".to_owned(),
                |at| format!("since it was last proven identical ({at})"),
            )
        };
        let forced = format!(
            "Forced (--force), it is removed without asking anybody: what {name} took {proven} may then be lost to the \
             others; it stays in its data directory; if it comes back it puts that into a quarantine file and serves \
             nothing"
        );
        match refusal {
            EvictRefusal::NotReady
            | EvictRefusal::Behind
            | EvictRefusal::Oneself
            | EvictRefusal::NotAMember => ServiceError::NotReady { reason: refusal.to_string() },
            EvictRefusal::Answers => refused(
                ActRefused::MemberAnswers,
                format!(
                    "{name} answers, or was not looked for long enough. Have it leave (mangrove leave), or stop it first \
                     and ask again. {forced}."
                ),
            ),
            EvictRefusal::NoMajority(..) | EvictRefusal::TooFew { .. } | EvictRefusal::Promised(_) => {
                refused(
                    ActRefused::NoMajority,
                    format!(
                        "{}. More than half of all members must promise it, those that are down counted in, so that two \
                     halves of a cluster never remove each other. Bring members back, or ask again. {forced}.",
                        self.why(refusal)
                    ),
                )
            }
        }
    }

    /// The refusal, with the names of those who refused.
    fn why(&self, refusal: &EvictRefusal) -> String {
        let EvictRefusal::TooFew { refusals, .. } = refusal else { return refusal.to_string() };
        let status = self.status.borrow();
        let name = |id: &NodeId| name_of(&status, *id);
        let whys: Vec<String> = refusals.iter().map(|(id, why)| format!("{}: {why}", name(id))).collect();
        if whys.is_empty() { refusal.to_string() } else { format!("{refusal} ({})", whys.join("; ")) }
    }
}

fn unanswered(why: Unanswered) -> ServiceError {
    match why {
        Unanswered::NotAsked => {
            ServiceError::NotReady { reason: "this node is stopping, or busy with other operators".into() }
        }
        Unanswered::Late => ServiceError::Timeout {
            reason: "this node did not come to an answer in time. See `mangrove members`, here and at another node"
                .into(),
        },
    }
}

/// With a capital first.
fn sentence_of(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// No member has this name or id. One that was removed is said to be, when and by whom.
pub(super) fn no_such_member(status: &Status, wanted: &str) -> ServiceError {
    let removed = named(&status.removed, wanted, |removed| (removed.id, &removed.name));
    ServiceError::NoSuchMember {
        name: wanted.to_owned(),
        members: status.members.iter().map(|member| member.name.clone()).collect(),
        removed: removed.map(|removed| {
            let at = http_api::rfc3339(removed.at.millis()).unwrap_or_default();
            let RemovedStatus { id, name, by, .. } = removed;
            // Whoever leaves removes itself.
            if name == by {
                format!("{name} ({id}) is no member any more: it left at {at}")
            } else {
                format!("{name} ({id}) is no member any more: {by} removed it at {at}")
            }
        }),
    }
}

fn name_of(status: &Status, id: NodeId) -> String {
    let member = status.members.iter().find(|member| member.id == id);
    member.map_or_else(|| id.to_string(), |member| member.name.clone())
}

fn keys_alone(store: &Store, known: Known) -> Result<u64, StoreError> {
    let (mut keys, mut after) = (0, None);
    loop {
        let read = store.read_range(after.as_ref(), 0, u64::MAX, BYTES_A_STEP, ROWS_A_STEP)?;
        let alone = |entry: &model::Entry| entry.siblings().iter().any(|sibling| !known.knows(sibling.dot()));
        keys += read.rows.iter().filter(|(_, stored)| alone(&stored.entry)).count() as u64;
        after = read.rows.into_iter().next_back().map(|(key, _)| key);
        if !read.more {
            return Ok(keys);
        }
    }
}

fn leave_view(status: &Status, keys_alone: Option<u64>) -> LeaveView {
    let (waits_for, detail) = waiting(status);
    LeaveView {
        node: status.name.clone(),
        node_id: status.node,
        state: match status.leaving {
            None => LeaveState::Member,
            Some(LeavingStatus::Left) if !status.unsearched => LeaveState::Left,
            Some(_) => LeaveState::Leaving,
        },
        detail,
        waits_for,
        keys_alone,
    }
}

/// Whom a node waits for that is leaving, and a sentence of it.
pub(super) fn waiting(status: &Status) -> (Vec<String>, String) {
    let others = || status.members.iter().filter(|member| member.id != status.node);
    let partners: Vec<_> = others().filter(|member| !member.leaving).collect();
    let names = || partners.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
    let answers = partners.iter().any(|member| member.state != LivenessState::Down);
    // A name that begins a sentence would be given a capital.
    let node = format!("Node {}", status.name);
    let still = format!("{node} is leaving the cluster, and takes no writes any more");
    match status.leaving {
        None => (Vec::new(), format!("{node} is not leaving.")),
        Some(LeavingStatus::Left) => {
            (Vec::new(), format!("{node} has left the cluster.{}", unsearched(status)))
        }
        Some(LeavingStatus::Telling) => (
            names(),
            format!(
                "{node} has left the cluster, and tells the others until one has heard it.{}",
                unsearched(status)
            ),
        ),
        Some(LeavingStatus::ClosingWrites) => (Vec::new(), format!("{still}; some are still under way.")),
        Some(LeavingStatus::HandingOver) if matches!(status.serving, Serving::Stopped(_)) => (
            Vec::new(),
            format!(
                "{still}; its store has stopped, so it can hand nothing over. Restart it, or use --force."
            ),
        ),
        Some(LeavingStatus::HandingOver) if partners.is_empty() => {
            (Vec::new(), format!("{still}; nobody is left to hand over to. Let a node join, or use --force."))
        }
        Some(LeavingStatus::HandingOver) if !answers => (
            names(),
            format!(
                "{still}; it waits for one of {} to answer, and goes on by itself then. --force ends the waiting.",
                names().join(", ")
            ),
        ),
        Some(LeavingStatus::HandingOver) => {
            (names(), format!("{still}; it hands over what it holds to one of {}.", names().join(", ")))
        }
    }
}

fn evict_view(target: NodeId, name: String, forced: bool, evicted: &Evicted) -> EvictView {
    let told = evicted.promised;
    EvictView {
        detail: format!(
            "{name} is no member any more, for ever. What it took since it was last proven identical and told nobody is in \
             its data directory; if it comes back it puts that into a quarantine file and serves nothing."
        ),
        member: name,
        member_id: target,
        forced,
        promised: told.map(|tally| tally.promised as u64),
        needed: told.map(|tally| tally.needed as u64),
        last_identical: evicted.identical_ms,
    }
}
