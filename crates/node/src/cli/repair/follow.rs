//! Which of a node's sessions do what was asked for, and what they came to.

use std::collections::{BTreeMap, BTreeSet};

use client::{RepairBegun, RepairOutcome, RepairSession, Repairs};
use model::NodeId;
use serde::Serialize;

use super::super::output::{bytes_shown, harmless};
use super::super::repairs::{method, seconds};

/// Follows one repair. A repair of many keys may take several sessions, one after the other.
pub(super) struct Follow {
    peer: String,
    peer_id: NodeId,
    /// The node that was asked.
    node_id: NodeId,
    /// Sessions that begin at or after this are the asked for one, by the node's clock.
    since_ms: u64,
    /// A session that ran already when it was asked for does it, too.
    running: BTreeSet<String>,
    /// The sessions seen that do it, as seen last.
    seen: BTreeMap<String, RepairSession>,
}

/// How far it is.
pub(super) enum State {
    /// No session runs that does it; one must come.
    Waiting {
        /// The node repairs with this one first.
        first: Option<String>,
    },
    /// A session runs.
    Running(Box<RepairSession>),
    /// It is over.
    Ended(Box<Summary>),
    /// Who answers is not the node that was asked.
    OtherNode,
}

/// What a repair came to: all its sessions together. In JSON the sessions as the node tells them.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    peer: String,
    peer_id: String,
    outcome: Option<RepairOutcome>,
    /// Why it failed.
    pub(super) failure: Option<String>,
    found: u64,
    sent: u64,
    received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    bytes_ideal: u64,
    elapsed_ms: u64,
    sessions: Vec<RepairSession>,
}

impl Follow {
    pub(super) fn new(begun: &RepairBegun, node_id: NodeId, running: BTreeSet<String>) -> Self {
        Self {
            peer: begun.peer.clone(),
            peer_id: begun.peer_id,
            node_id,
            since_ms: begun.since_ms,
            running,
            seen: BTreeMap::new(),
        }
    }

    /// Takes in what the node shows.
    pub(super) fn look(&mut self, view: &Repairs) -> State {
        if view.node_id != self.node_id {
            return State::OtherNode;
        }
        for session in view.repairs.iter().filter(|session| session.peer_id == self.peer_id) {
            if session.started_ms >= self.since_ms || self.running.contains(&session.id) {
                self.seen.insert(session.id.clone(), session.clone());
            }
        }
        let newest = self.seen.values().max_by_key(|session| (session.outcome.is_none(), session.started_ms));
        // A node repairs with one other at a time.
        let first = view.repairs.iter().find(|session| session.outcome.is_none());
        let waiting = || State::Waiting { first: first.map(|session| session.peer.clone()) };
        match newest {
            None => waiting(),
            Some(session) => match session.outcome {
                None => State::Running(Box::new(session.clone())),
                // The next one begins by itself.
                Some(RepairOutcome::More | RepairOutcome::Busy) => waiting(),
                Some(RepairOutcome::Identical) => State::Ended(Box::new(self.summary(session, None))),
                Some(RepairOutcome::Aborted | RepairOutcome::Failed | RepairOutcome::Unknown) => {
                    let why = session.failure.clone().unwrap_or_else(|| "it does not say why".to_owned());
                    State::Ended(Box::new(self.summary(session, Some(why))))
                }
            },
        }
    }

    fn summary(&self, last: &RepairSession, failure: Option<String>) -> Summary {
        let mut sessions: Vec<RepairSession> = self.seen.values().cloned().collect();
        sessions.sort_by_key(|session| session.started_ms);
        let sum = |of: fn(&RepairSession) -> u64| sessions.iter().map(of).fold(0, u64::saturating_add);
        Summary {
            peer: self.peer.clone(),
            peer_id: self.peer_id.to_string(),
            outcome: last.outcome,
            failure,
            found: sum(|session| session.found),
            sent: sum(|session| session.sent),
            received: sum(|session| session.received),
            bytes_sent: sum(|session| session.bytes_sent),
            bytes_received: sum(|session| session.bytes_received),
            bytes_ideal: sum(|session| session.bytes_ideal),
            elapsed_ms: sum(|session| session.elapsed_ms),
            sessions,
        }
    }
}

impl Summary {
    /// All of it in one line.
    pub(super) fn sentence(&self) -> String {
        let peer = harmless(&self.peer);
        let bytes = self.bytes_sent.saturating_add(self.bytes_received);
        let overhead = match self.bytes_ideal {
            0 => String::new(),
            ideal => format!(", {:.2} times what was missing", bytes as f64 / ideal as f64),
        };
        let moved = format!(
            "{} keys differed, {} sent, {} received, {} over the wire{overhead}",
            self.found,
            self.sent,
            self.received,
            bytes_shown(bytes),
        );
        let took = seconds(self.elapsed_ms);
        match &self.failure {
            Some(why) => {
                let why = harmless(why);
                format!(
                    "the repair with {peer} failed after {took}: {why}; so far {moved}; run it again to go on"
                )
            }
            None if self.found == 0 => {
                format!(
                    "nothing differs from {peer}: proven identical in {took}, {} over the wire",
                    bytes_shown(bytes)
                )
            }
            None => {
                let by =
                    self.sessions.iter().rev().find(|session| session.method.is_some()).map_or("-", method);
                format!("repaired with {peer} in {took} by {by}: {moved}; proven identical")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use client::RepairPhase;

    use super::super::super::repairs::tests::{ended, running, view};
    use super::*;

    const SINCE: u64 = 1_700_000_000_000;

    fn follow(running: &[&str]) -> Follow {
        let begun = RepairBegun { peer: "n2".into(), peer_id: NodeId(2), since_ms: SINCE };
        Follow::new(&begun, NodeId(1), running.iter().map(|id| (*id).to_owned()).collect())
    }

    fn session(id: &str, started_ms: u64, outcome: Option<RepairOutcome>) -> RepairSession {
        let phase = if outcome.is_some() { RepairPhase::Ended } else { RepairPhase::Exchanging };
        RepairSession { id: id.into(), started_ms, outcome, phase, ..running() }
    }

    fn ended_as(state: State) -> String {
        match state {
            State::Ended(summary) => summary.sentence(),
            State::Waiting { first: None } => "waiting".into(),
            State::Waiting { first: Some(first) } => format!("waiting for {first}"),
            State::Running(session) => format!("running {}", session.id),
            State::OtherNode => "another node".into(),
        }
    }

    #[test]
    fn sessions_with_others_and_of_before_are_not_the_one_asked_for() {
        let mut follow = follow(&["old"]);
        let before = session("before", SINCE - 1, Some(RepairOutcome::Identical));
        assert_eq!(ended_as(follow.look(&view(vec![before.clone()]))), "waiting");
        let other =
            RepairSession { peer_id: NodeId(3), peer: "n3".into(), ..session("other", SINCE + 1, None) };
        assert_eq!(ended_as(follow.look(&view(vec![other, before.clone()]))), "waiting for n3");
        // One that ran already is.
        let old = session("old", SINCE - 1, None);
        assert_eq!(ended_as(follow.look(&view(vec![old, before]))), "running old");
        let elsewhere = client::Repairs { node_id: NodeId(9), ..view(Vec::new()) };
        assert_eq!(ended_as(follow.look(&elsewhere)), "another node");
    }

    #[test]
    fn a_repair_in_several_sessions_is_one() {
        let mut follow = follow(&[]);
        let first = session("1", SINCE + 1, Some(RepairOutcome::More));
        assert_eq!(ended_as(follow.look(&view(vec![first.clone()]))), "waiting");
        let second = session("2", SINCE + 2, None);
        assert_eq!(ended_as(follow.look(&view(vec![second, first]))), "running 2");
        // The first has been forgotten by the node meanwhile.
        let second = session("2", SINCE + 2, Some(RepairOutcome::Identical));
        insta::assert_snapshot!(ended_as(follow.look(&view(vec![second]))), @"repaired with n2 in 1.0 s by sketch: 1760 keys differed, 410 sent, 40 received, 105.5 KiB over the wire, 1.80 times what was missing; proven identical");
    }

    #[test]
    fn what_failed_and_what_found_nothing_is_said() {
        let failed = RepairSession {
            failure: Some("the peer went away".into()),
            ..session("1", SINCE, Some(RepairOutcome::Failed))
        };
        insta::assert_snapshot!(ended_as(follow(&[]).look(&view(vec![failed]))), @"the repair with n2 failed after 500 ms: the peer went away; so far 880 keys differed, 205 sent, 20 received, 52.7 KiB over the wire, 1.80 times what was missing; run it again to go on");
        let equal = RepairSession {
            started_ms: SINCE,
            found: 0,
            sent: 0,
            received: 0,
            bytes_sent: 90,
            bytes_received: 60,
            bytes_ideal: 0,
            elapsed_ms: 2,
            method: None,
            ..ended()
        };
        insta::assert_snapshot!(ended_as(follow(&[]).look(&view(vec![equal]))), @"nothing differs from n2: proven identical in 2 ms, 150 B over the wire");
    }
}
