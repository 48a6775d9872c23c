//! A node without a cluster looks for one: the driver of [`gossip::founding`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip::clock::NeedReservation;
use gossip::founding::{
    Founding, FoundingSettings, FoundingStep, JoinAnswer, JoinRefusal, JoinRequest, SeedResult,
};
use gossip::meta::Meta;
use gossip::roster::{Contact, Roster};
use gossip::stability::{Cause, Kept};
use model::{ClusterId, DigestKey, Hlc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::clock::SharedClock;
use super::member::Present;
use super::{Timeline, random_bytes};
use crate::exit::Fatal;
use crate::transport::{Inbox, Incoming, Transport};

/// A seed that has not answered in this time is tried again in the next round.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// What looking needs.
pub struct Looking<'a> {
    /// Who asks.
    pub request: JoinRequest,
    /// Whom to ask.
    pub seeds: Vec<String>,
    /// Says why the node is not ready.
    pub present: &'a Arc<Present>,
    /// Carries requests and answers.
    pub transport: &'a Transport,
    /// The node's clock, for a founder's first timestamp.
    pub clock: &'a Arc<SharedClock>,
}

/// Looks until the node has founded a cluster or was let into one; then the record of the new member.
///
/// # Errors
/// The clock cannot be used.
pub async fn look(looking: Looking<'_>, inbox: &mut Inbox) -> Result<Meta, Fatal> {
    let line = Timeline::start();
    let settings = FoundingSettings {
        request: looking.request.clone(),
        seeds: looking.seeds.clone(),
        cluster: ClusterId(random_bytes()),
        digest_key: DigestKey(random_bytes()),
    };
    let mut founding = Founding::new(line.now(), settings, rand::random());
    let mut asked: JoinSet<(u64, SeedResult)> = JoinSet::new();
    let mut told = BTreeMap::new();
    loop {
        let due = founding.next_wake().map_or_else(|| Instant::now() + ASKED_FOR, |at| line.instant(at));
        let steps = tokio::select! {
            () = sleep_until(due) => founding.wake(line.now()),
            Some(Ok((attempt, result))) = asked.join_next() => founding.result(line.now(), attempt, result),
            incoming = inbox.recv() => { answer(incoming, &mut founding, &line); Vec::new() }
        };
        for step in steps {
            match step {
                FoundingStep::Dial { attempt, seed } => {
                    let (transport, request) =
                        (looking.transport.clone(), Bytes::from(looking.request.encode()));
                    asked.spawn(async move { (attempt, ask(&transport, &seed, request).await) });
                }
                FoundingStep::Founded { cluster, digest_key } => return found(&looking, cluster, digest_key),
                FoundingStep::Joined { cluster, digest_key, roster } => {
                    return Ok(record(&looking.request, cluster, digest_key, *roster, false));
                }
            }
        }
        report(&founding, &line, &looking, &mut told);
    }
}

/// Says what is waited for, to clients always and to the log when it changes.
fn report(founding: &Founding, line: &Timeline, looking: &Looking<'_>, told: &mut BTreeMap<String, String>) {
    let report = founding.report(line.now());
    looking.present.set_looking(report.to_string());
    for (seed, said) in report.seeds {
        if told.get(&seed) != Some(&said) && report.rounds > 0 {
            tracing::info!(%seed, "{said}");
            told.insert(seed, said);
        }
    }
}

pub(super) async fn ask(transport: &Transport, seed: &str, request: Bytes) -> SeedResult {
    match timeout(ASKED_FOR, transport.join(seed, request)).await {
        Err(_) => SeedResult::Unreachable("no answer in time".into()),
        Ok(Err(error)) => SeedResult::Unreachable(error.to_string()),
        Ok(Ok(bytes)) => match JoinAnswer::decode(&bytes) {
            Ok(answer) => SeedResult::Answered(answer),
            Err(error) => SeedResult::Unreachable(error.to_string()),
        },
    }
}

/// Another node asks this one, which has no cluster either.
fn answer(incoming: Option<Incoming>, founding: &mut Founding, line: &Timeline) {
    let Some(Incoming::JoinAsked { request, reply, .. }) = incoming else { return };
    let answer = match JoinRequest::decode(&request) {
        Ok(request) => founding.asked(line.now(), &request),
        Err(error) => JoinAnswer::Refused(JoinRefusal::BadRequest(error.to_string())),
    };
    reply.send(answer.encode().into());
}

fn found(looking: &Looking<'_>, cluster: ClusterId, digest_key: DigestKey) -> Result<Meta, Fatal> {
    let failed =
        |error: &dyn std::fmt::Display| Fatal::Failed(format!("the cluster could not be founded: {error}"));
    let at = loop {
        match looking.clock.stamp(Hlc::ZERO) {
            Ok(at) => break at,
            Err(NeedReservation { at_least }) => looking.clock.reserve(at_least).map_err(|e| failed(&e))?,
        }
    };
    let request = &looking.request;
    let contact = Contact { stamp: at, gossip: request.gossip.clone(), http: request.http.clone() };
    let roster = Roster::found(request.node, &request.name, contact).map_err(|error| failed(&error))?;
    tracing::info!(%cluster, "founded a cluster");
    Ok(record(request, cluster, digest_key, roster, true))
}

fn record(
    request: &JoinRequest,
    cluster: ClusterId,
    digest_key: DigestKey,
    roster: Roster,
    caught_up: bool,
) -> Meta {
    Meta {
        node: request.node,
        name: request.name.clone(),
        cluster,
        digest_key,
        roster,
        promises: Default::default(),
        caught_up,
        stability: Kept {
            founded_now: caught_up,
            behind: (!caught_up).then_some(Cause::Joined),
            ..Kept::default()
        },
        identical: BTreeMap::new(),
        unsearched: false,
    }
}
