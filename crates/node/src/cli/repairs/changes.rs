//! What has changed between two looks at a node's sessions, a line each: for logs and pipes.

use std::collections::BTreeMap;

use client::{RepairSession, Repairs};
use jiff::Timestamp;

use super::super::error::CliError;
use super::super::output::harmless;
use super::table::{governed, method, outcome, overhead, phase};

/// What was shown last.
pub(super) struct Changes {
    sessions: BTreeMap<String, RepairSession>,
    governed: String,
}

impl Changes {
    /// Nothing has changed since this.
    pub(super) fn since(view: &Repairs) -> Self {
        let sessions = view.repairs.iter().map(|session| (session.id.clone(), session.clone())).collect();
        Self { sessions, governed: brake(view) }
    }

    /// A line for each session that came, went on or ended since the last look, and one where something else
    /// holds repair back. Empty when nothing has changed.
    pub(super) fn next(&mut self, view: &Repairs) -> String {
        let changed = |session: &&RepairSession| {
            self.sessions.get(&session.id).is_none_or(|before| moved(before) != moved(session))
        };
        // They come the newest first; lines are read downwards.
        let mut lines: Vec<String> =
            view.repairs.iter().filter(changed).map(|session| line(view.now_ms, session)).collect();
        lines.reverse();
        if brake(view) != self.governed {
            lines.push(format!("{} {}\n", time(view.now_ms), governed(view)));
        }
        *self = Self::since(view);
        lines.concat()
    }
}

/// A line for each session that runs.
pub(super) fn running(view: &Repairs) -> String {
    view.repairs.iter().filter(|s| s.outcome.is_none()).map(|s| line(view.now_ms, s)).collect()
}

/// The view as one line of JSON.
pub(super) fn document(view: &Repairs) -> Result<String, CliError> {
    let text = serde_json::to_string(view);
    let text = text.map_err(|error| CliError::Failed(format!("the JSON output cannot be made: {error}")))?;
    Ok(text + "\n")
}

/// What makes a line worth reading; time alone does not.
fn moved(session: &RepairSession) -> impl PartialEq + use<> {
    let (sent, received) = (session.sent, session.received);
    (session.phase, session.outcome, session.method, session.found, sent, received)
}

fn brake(view: &Repairs) -> String {
    view.governor.as_ref().map(|governor| governor.reason.clone()).unwrap_or_default()
}

fn time(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or_else(|| millis.to_string(), |at| format!("{at:.3}"))
}

fn line(now_ms: u64, session: &RepairSession) -> String {
    let end = match session.outcome {
        Some(_) => format!("{} overhead={}", outcome(session), overhead(session)),
        None => {
            let left = session.remaining_ms.map_or_else(|| "-".to_owned(), |millis| millis.to_string());
            format!("{} left_ms={left}", phase(session.phase))
        }
    };
    let failure = session.failure.as_deref().map(|why| format!(" failure={}", harmless(why)));
    format!(
        "{} {} {end} by={} found={} sent={} received={} bytes={} ms={}{}\n",
        time(now_ms),
        harmless(&session.peer),
        method(session),
        session.found,
        session.sent,
        session.received,
        session.bytes_total(),
        session.elapsed_ms,
        failure.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use client::{RepairOutcome, RepairPhase};

    use super::super::table::tests::{ended, running as session, view};
    use super::*;

    #[test]
    fn only_what_moved_is_told() {
        let first = view(vec![session(), ended()]);
        let mut changes = Changes::since(&first);
        assert_eq!(changes.next(&first), "");
        let later = RepairSession { elapsed_ms: 1_000, remaining_ms: Some(900), ..session() };
        assert_eq!(changes.next(&view(vec![later, ended()])), "", "time alone is no change");
        let done = RepairSession {
            phase: RepairPhase::Ended,
            outcome: Some(RepairOutcome::Identical),
            sent: 450,
            received: 430,
            elapsed_ms: 1_500,
            ..session()
        };
        let came = RepairSession { id: "another".into(), peer: "n3".into(), ..session() };
        let told = changes.next(&view(vec![came.clone(), done.clone(), ended()]));
        insta::assert_snapshot!(told, @r"
        2023-11-14T22:14:02.000Z n2 identical overhead=1.80x by=sketch found=880 sent=450 received=430 bytes=54000 ms=1500
        2023-11-14T22:14:02.000Z n3 exchanging left_ms=1500 by=sketch found=880 sent=205 received=20 bytes=54000 ms=500
        ");
        let mut held = view(vec![came, done, ended()]);
        held.governor.as_mut().unwrap().reason = "clients wait longer".into();
        let told = changes.next(&held);
        insta::assert_snapshot!(told, @"2023-11-14T22:14:02.000Z repair may go as fast as it can; p99 1.2 ms, without repair 0.9 ms");
        assert_eq!(running(&first).lines().count(), 1);
    }
}
