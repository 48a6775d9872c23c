//! What people see of repair and drills, and how they begin them.

use std::time::Duration;

use gossip::core::{Event, RepairTotals, Serving, Status};
use gossip::liveness::LivenessState;
use gossip::pace::{self, GovernorStatus};
use gossip::session::{Outcome, Report, SessionMethod, SessionPhase};
use http_api::{
    Brake, DrillsView, GovernorView, RepairBegun, RepairMethod, RepairOutcome, RepairPhase, RepairsView,
    ServiceError, SessionView, TotalsView,
};

use super::clock::wall_ms;
use super::drill::DrillRefused;
use super::leave_evict::no_such_member;
use super::member::{Member, Present};
use crate::named::named;

impl Present {
    /// The sessions of this node; none before it is a member.
    pub fn repairs_view(&self) -> RepairsView {
        let mut view = RepairsView {
            node: self.name.clone(),
            node_id: self.node,
            now_ms: wall_ms(),
            repairs: Vec::new(),
            checks: 0,
            failures: Default::default(),
            totals: Default::default(),
            governor: None,
        };
        if let Some(member) = self.member() {
            let status = member.status.borrow();
            view.node = status.name.clone();
            view.repairs = status.repairs.iter().map(|report| session(report, &status)).collect();
            view.checks = status.checks;
            view.failures = status.session_failures.clone();
            view.totals = totals(&status.totals);
            view.governor = Some(governor(&status.governor));
        }
        view
    }

    /// What a drill has done to this node.
    pub fn drills_view(&self) -> DrillsView {
        let until_ms = self.drill();
        DrillsView {
            node: self.name.clone(),
            allowed: self.may_drill(),
            isolated_until_ms: until_ms,
            remaining_ms: until_ms.map(|until_ms| until_ms.saturating_sub(wall_ms())),
        }
    }

    /// Cuts this node off from the others for so long.
    pub fn isolate(&self, time: Duration) -> Result<DrillsView, ServiceError> {
        match self.drill_isolate(time) {
            Ok(_) => Ok(self.drills_view()),
            Err(DrillRefused::NotAllowed) => Err(ServiceError::DrillsNotAllowed),
            // The API lets no other time through.
            Err(refused @ DrillRefused::TimeOutOfRange) => {
                Err(ServiceError::Internal { reason: refused.to_string() })
            }
        }
    }
}

impl Member {
    /// Asks for a session with the member of this name or id.
    pub async fn repair_with(&self, wanted: &str) -> Result<RepairBegun, ServiceError> {
        let begun = self.peer_of(wanted)?;
        // The protocol takes what waits in its mailbox all the time: this is full under load, and for moments.
        let asked = self.events.send(Event::RepairWanted { peer: begun.peer_id });
        match tokio::time::timeout(Duration::from_secs(5), asked).await {
            Ok(Ok(())) => Ok(begun),
            Ok(Err(_)) => Err(ServiceError::NotReady { reason: "stopping".into() }),
            Err(_) => Err(ServiceError::NotReady { reason: "the node is busy".into() }),
        }
    }

    fn peer_of(&self, wanted: &str) -> Result<RepairBegun, ServiceError> {
        let status = self.status.borrow();
        if let Serving::Stopped(reason) = &status.serving {
            return Err(ServiceError::Stopped { reason: format!("the store has stopped: {reason}") });
        }
        let Some(member) = named(&status.members, wanted, |member| (member.id, &member.name)) else {
            return Err(no_such_member(&status, wanted));
        };
        let name = member.name.clone();
        if member.id == status.node {
            return Err(ServiceError::NotAPeer { name });
        }
        if member.state == LivenessState::Down {
            return Err(ServiceError::MemberDown { name });
        }
        Ok(RepairBegun { peer: name, peer_id: member.id, since_ms: wall_ms() })
    }
}

fn totals(totals: &RepairTotals) -> TotalsView {
    TotalsView {
        sessions: totals.sessions,
        found: totals.named,
        sent: totals.sent,
        received: totals.received,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
    }
}

fn session(report: &Report, status: &Status) -> SessionView {
    let name =
        status.members.iter().find(|member| member.id == report.peer).map(|member| member.name.clone());
    let (outcome, failure) = report.outcome.as_ref().map(outcome).unzip();
    SessionView {
        id: format!("{}-{:016x}", report.id.initiator, report.id.number),
        // One that is no member any more has no name.
        peer: name.unwrap_or_else(|| report.peer.to_string()),
        peer_id: report.peer,
        initiated: report.initiated,
        started_ms: report.started_ms,
        elapsed_ms: report.elapsed_ms,
        elapsed_us: report.elapsed_us,
        phase: match report.phase {
            SessionPhase::Opening => RepairPhase::Opening,
            SessionPhase::Finding => RepairPhase::Finding,
            SessionPhase::Exchanging => RepairPhase::Exchanging,
            SessionPhase::Closing => RepairPhase::Closing,
            SessionPhase::Ended => RepairPhase::Ended,
        },
        outcome,
        failure: failure.flatten(),
        method: report.method.map(|method| match method {
            SessionMethod::Tree => RepairMethod::Tree,
            SessionMethod::Sketch => RepairMethod::Sketch,
            SessionMethod::Bulk => RepairMethod::Bulk,
        }),
        reason: report.reason.clone(),
        estimate: report.estimate,
        found: report.found,
        sent: report.sent,
        received: report.received,
        bytes_sent: report.bytes_sent,
        bytes_received: report.bytes_received,
        bytes_find: report.bytes_find,
        bytes_names: report.bytes_names,
        bytes_ideal: report.bytes_ideal,
        round_trips: report.round_trips,
        frames: report.frames,
        rate_bytes_per_second: report.rate_bytes_per_second,
        remaining_ms: report.remaining_ms,
    }
}

fn outcome(outcome: &Outcome) -> (RepairOutcome, Option<String>) {
    match outcome {
        Outcome::Identical => (RepairOutcome::Identical, None),
        Outcome::More => (RepairOutcome::More, None),
        Outcome::Withheld => {
            let why = "both sides are behind: of some keys neither can say whether they were deleted";
            (RepairOutcome::More, Some(why.to_owned()))
        }
        Outcome::Busy => (RepairOutcome::Busy, None),
        Outcome::Aborted(reason) => (RepairOutcome::Aborted, Some(reason.to_string())),
        Outcome::Failed(reason) => (RepairOutcome::Failed, Some(reason.clone())),
    }
}

fn governor(status: &GovernorStatus) -> GovernorView {
    GovernorView {
        limit_bytes_per_second: status.limit_bytes_per_second,
        brake: match status.brake {
            pace::Brake::None => Brake::None,
            pace::Brake::Cap => Brake::Cap,
            pace::Brake::Foreground => Brake::Foreground,
            pace::Brake::Recovering => Brake::Recovering,
            pace::Brake::Floor => Brake::Floor,
        },
        reason: status.brake.to_string(),
        rate_bytes_per_second: status.rate_bytes_per_second,
        p99_us: status.p99_us,
        baseline_p99_us: status.baseline_p99_us,
    }
}
