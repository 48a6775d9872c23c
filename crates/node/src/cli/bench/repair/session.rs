//! One repair between two nodes, from being asked for to equal roots.

use std::time::Duration;

use client::{RepairOutcome, RepairSession};
use tokio::time::{Instant, sleep};

use crate::cli::endpoint::Remote;
use crate::cli::error::CliError;
use crate::cli::repairs::method;

/// Longest time for one repair. A session takes 5 minutes at most, and several may be needed.
const REPAIR_WITHIN: Duration = Duration::from_secs(1800);

/// Between two looks at a session: at first short, since it may take a millisecond, then longer, since looking costs
/// the node time that would count as repair's.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// What a repair cost, all of its sessions and both directions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) sessions: u64,
    pub(crate) round_trips: u64,
    pub(crate) found: u64,
    pub(crate) bytes_find: u64,
    pub(crate) bytes_names: u64,
    pub(crate) bytes_total: u64,
    pub(crate) bytes_ideal: u64,
    pub(crate) wall: Duration,
}

impl Costs {
    pub(crate) fn add(&mut self, session: &RepairSession) {
        self.sessions += 1;
        self.round_trips += u64::from(session.round_trips);
        self.found += session.found;
        self.bytes_find += session.bytes_find;
        self.bytes_names += session.bytes_names;
        self.bytes_total += session.bytes_total();
        self.bytes_ideal += session.bytes_ideal;
        self.wall += Duration::from_micros(session.elapsed_us);
    }
}

/// The costs, and how what differed was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    pub(crate) costs: Costs,
    pub(crate) methods: Vec<&'static str>,
}

impl Repaired {
    pub(crate) fn add(&mut self, session: &RepairSession) {
        self.costs.add(session);
        if session.method.is_some() && !self.methods.contains(&method(session)) {
            self.methods.push(method(session));
        }
    }
}

/// Has a node repair itself with a member, and waits until a session has proven both identical.
pub(crate) async fn repair(node: &Remote, peer: &str, into: &mut Repaired) -> Result<(), CliError> {
    let begun = node.repair(peer).await?;
    let deadline = Instant::now() + REPAIR_WITHIN;
    let mut pause = LOOK_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
        let mut sessions = node.repairs().await?.repairs;
        sessions.retain(|session| session.peer == peer && session.started_ms >= begun.since_ms);
        if let Some(failed) = sessions.iter().find(|session| is_failure(session)) {
            let why = failed.failure.as_deref().unwrap_or("it does not say why");
            return Err(CliError::Failed(format!("a session with {peer} was given up: {why}")));
        }
        if sessions.iter().any(|session| session.outcome == Some(RepairOutcome::Identical)) {
            sessions.iter().filter(|session| session.outcome.is_some()).for_each(|session| into.add(session));
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(CliError::Failed(format!("a repair with {peer} took longer than {REPAIR_WITHIN:?}")));
        }
    }
}

fn is_failure(session: &RepairSession) -> bool {
    matches!(session.outcome, Some(RepairOutcome::Aborted | RepairOutcome::Failed))
}
