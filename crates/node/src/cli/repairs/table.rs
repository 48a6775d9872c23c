//! What `repairs` shows: sessions that run, sessions that ended, and how fast repair may go.

use client::{Brake, RepairMethod, RepairOutcome, RepairPhase, RepairSession, Repairs};

use super::super::output::{Colour, Coloured, Screen, bytes_shown, harmless};

/// How many cells a progress bar has.
const BAR_CELLS: usize = 16;

/// How many sessions that ended are shown; `--json` has all that the node remembers.
const RECENT_SHOWN: usize = 12;

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Both tables, and a sentence or two under them.
pub(super) fn text(screen: Screen, view: &Repairs) -> String {
    let (run, ended): (Vec<_>, Vec<_>) = view.repairs.iter().partition(|session| session.outcome.is_none());
    let mut text = String::new();
    if !run.is_empty() {
        let header = [
            "running", "begun by", "phase", "by", "found", "sent", "received", "bytes", "rate", "done",
            "left", "why",
        ];
        let rows = run.iter().map(|session| running_cells(session, &view.node)).collect();
        text.push_str(&screen.table(&header, rows));
        text.push('\n');
    }
    if !ended.is_empty() {
        let header = [
            "recent", "begun by", "ended", "outcome", "by", "found", "sent", "received", "bytes", "overhead",
            "took", "why",
        ];
        let rows = ended.iter().take(RECENT_SHOWN).map(|session| ended_cells(session, view)).collect();
        text.push_str(&screen.table(&header, rows));
        if let Some(more) = ended.len().checked_sub(RECENT_SHOWN).filter(|more| *more > 0) {
            text.push_str(&screen.paint(Colour::Dim, &format!("and {more} more: see --json")));
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&sentence(view));
    text.push('\n');
    text.push_str(&screen.paint(governor_colour(view), &governed(view)));
    text.push('\n');
    text
}

fn sentence(view: &Repairs) -> String {
    let node = harmless(&view.node);
    let checks = match (view.repairs.is_empty(), view.checks) {
        (true, 0) => format!("{node} has had no session yet"),
        (true, checks) => format!("{node} had nothing to repair: {checks} sessions found equal roots"),
        (false, checks) => format!("besides, {checks} sessions of {node} found equal roots"),
    };
    let failures: Vec<String> =
        view.failures.iter().map(|(reason, count)| format!("{} ({count})", harmless(reason))).collect();
    if failures.is_empty() { checks } else { format!("{checks}; failed so far: {}", failures.join(", ")) }
}

/// How fast repair may go, as a sentence.
pub(super) fn governed(view: &Repairs) -> String {
    let Some(governor) = &view.governor else { return "not a member of a cluster yet".to_owned() };
    let reason = harmless(&governor.reason);
    let latency = match (governor.p99_us, governor.baseline_p99_us) {
        (Some(p99), Some(baseline)) => {
            format!("; p99 {} ms, without repair {} ms", millis(p99), millis(baseline))
        }
        (Some(p99), None) => format!("; p99 {} ms", millis(p99)),
        _ => String::new(),
    };
    match governor.limit_bytes_per_second {
        None => format!("repair may go as fast as it can{latency}"),
        Some(limit) => format!("repair is held to {}/s: {reason}{latency}", bytes_shown(limit)),
    }
}

fn governor_colour(view: &Repairs) -> Colour {
    match view.governor.as_ref().map(|governor| governor.brake) {
        Some(Brake::Foreground | Brake::Floor) => Colour::Yellow,
        _ => Colour::Dim,
    }
}

fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1_000.0)
}

fn running_cells(session: &RepairSession, node: &str) -> Vec<Coloured> {
    let mut cells = vec![peer(session), Coloured::plain(begun_by(session, node))];
    cells.push(Coloured::of(Colour::Green, phase(session.phase)));
    cells.extend(counted(session));
    let rate = format!("{}/s", bytes_shown(session.rate_bytes_per_second));
    cells.extend([rate, bar(share(session)), left(session), why(session)].map(Coloured::plain));
    cells
}

fn ended_cells(session: &RepairSession, view: &Repairs) -> Vec<Coloured> {
    let ended = session.started_ms.saturating_add(session.elapsed_ms);
    let ago = view.now_ms.saturating_sub(ended) / 1_000;
    let mut cells = vec![peer(session), Coloured::plain(begun_by(session, &view.node))];
    cells.push(Coloured::plain(ago_shown(ago)));
    let colour = match session.outcome {
        Some(RepairOutcome::Identical) => Colour::Green,
        Some(RepairOutcome::More | RepairOutcome::Busy) => Colour::Yellow,
        _ => Colour::Red,
    };
    cells.push(Coloured::of(colour, outcome(session)));
    cells.extend(counted(session));
    cells.extend([overhead(session), seconds(session.elapsed_ms), why(session)].map(Coloured::plain));
    cells
}

fn peer(session: &RepairSession) -> Coloured {
    Coloured::plain(harmless(&session.peer))
}

fn begun_by(session: &RepairSession, node: &str) -> String {
    harmless(if session.initiated { node } else { &session.peer })
}

/// Method, found, sent, received, bytes.
fn counted(session: &RepairSession) -> [Coloured; 5] {
    let bytes = session.bytes_total();
    [
        method(session).to_owned(),
        session.found.to_string(),
        session.sent.to_string(),
        session.received.to_string(),
        bytes_shown(bytes),
    ]
    .map(Coloured::plain)
}

/// How what differs is found.
pub(crate) fn method(session: &RepairSession) -> &'static str {
    match session.method {
        None => UNKNOWN,
        Some(RepairMethod::Tree) => "tree",
        Some(RepairMethod::Sketch) => "sketch",
        Some(RepairMethod::Bulk) => "bulk",
        Some(RepairMethod::Unknown) => "?",
    }
}

/// Why it was given up, or why it is done in this way.
fn why(session: &RepairSession) -> String {
    let text = session.failure.as_deref().unwrap_or(&session.reason);
    if text.is_empty() { UNKNOWN.to_owned() } else { harmless(text) }
}

pub(super) fn phase(phase: RepairPhase) -> &'static str {
    match phase {
        RepairPhase::Opening => "opening",
        RepairPhase::Finding => "finding",
        RepairPhase::Exchanging => "exchanging",
        RepairPhase::Closing => "closing",
        RepairPhase::Ended => "ended",
        RepairPhase::Unknown => "?",
    }
}

pub(super) fn outcome(session: &RepairSession) -> &'static str {
    match session.outcome {
        None => UNKNOWN,
        Some(RepairOutcome::Identical) => "identical",
        Some(RepairOutcome::More) => "more to do",
        Some(RepairOutcome::Busy) => "peer busy",
        Some(RepairOutcome::Aborted) => "peer gave up",
        Some(RepairOutcome::Failed) => "failed",
        Some(RepairOutcome::Unknown) => "?",
    }
}

/// What went over the wire beside what had to: `1.2x`.
pub(super) fn overhead(session: &RepairSession) -> String {
    let bytes = session.bytes_total();
    match session.bytes_ideal {
        0 => UNKNOWN.to_owned(),
        ideal => format!("{:.2}x", bytes as f64 / ideal as f64),
    }
}

/// How much is done, 0 to 1; `None` while it is not known how much there is. Entries that went over the wire
/// beside the keys that differ: a key that both sides changed counts twice, so the last hundredth is only given
/// for the end.
pub(crate) fn share(session: &RepairSession) -> Option<f64> {
    let moved = session.sent.saturating_add(session.received);
    let all = session.found.max(session.estimate);
    match session.phase {
        RepairPhase::Ended => Some(1.0),
        RepairPhase::Closing => Some(0.99),
        RepairPhase::Exchanging if all > 0 => Some((moved as f64 / all as f64).min(0.99)),
        _ => None,
    }
}

fn bar(share: Option<f64>) -> String {
    let Some(share) = share else { return UNKNOWN.to_owned() };
    let full = (share * BAR_CELLS as f64) as usize;
    let empty = BAR_CELLS.saturating_sub(full);
    format!("{}{} {:3.0} %", "█".repeat(full), "░".repeat(empty), share * 100.0)
}

/// The remaining time.
pub(crate) fn left(session: &RepairSession) -> String {
    session.remaining_ms.map_or_else(|| UNKNOWN.to_owned(), seconds)
}

/// A span for people: `30 ms`, `1.5 s`, `12 s`, `3 min 20 s`.
pub(crate) fn seconds(millis: u64) -> String {
    let whole = millis / 1_000;
    match whole {
        0 => format!("{millis} ms"),
        1..10 => format!("{:.1} s", millis as f64 / 1_000.0),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

fn ago_shown(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3_600),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use client::Governor;
    use model::NodeId;

    use super::*;

    pub(crate) fn running() -> RepairSession {
        RepairSession {
            id: "0000000000000001-9".into(),
            peer: "n2".into(),
            peer_id: NodeId(2),
            initiated: true,
            started_ms: 1_700_000_000_500,
            elapsed_ms: 500,
            elapsed_us: 500_250,
            phase: RepairPhase::Exchanging,
            outcome: None,
            failure: None,
            method: Some(RepairMethod::Sketch),
            reason: "about 900 keys differ: cheapest by sketch".into(),
            estimate: 900,
            found: 880,
            sent: 205,
            received: 20,
            bytes_sent: 40_000,
            bytes_received: 14_000,
            bytes_find: 12_000,
            bytes_names: 9_000,
            bytes_ideal: 30_000,
            round_trips: 2,
            frames: 40,
            rate_bytes_per_second: 108_000,
            remaining_ms: Some(1_500),
        }
    }

    pub(crate) fn ended() -> RepairSession {
        RepairSession {
            id: "0000000000000002-4".into(),
            initiated: false,
            started_ms: 1_700_000_000_000,
            elapsed_ms: 12_300,
            phase: RepairPhase::Ended,
            outcome: Some(RepairOutcome::Identical),
            remaining_ms: None,
            ..running()
        }
    }

    pub(crate) fn view(repairs: Vec<RepairSession>) -> Repairs {
        let governor = Governor {
            limit_bytes_per_second: None,
            brake: Brake::None,
            reason: "nothing holds it back".into(),
            rate_bytes_per_second: 108_000,
            p99_us: Some(1_250),
            baseline_p99_us: Some(900),
        };
        Repairs {
            node: "n1".into(),
            node_id: NodeId(1),
            now_ms: 1_700_000_042_000,
            repairs,
            checks: 1_204,
            failures: [("timed out".to_owned(), 2)].into(),
            totals: client::RepairTotals::default(),
            governor: Some(governor),
        }
    }

    #[test]
    fn running_and_recent_sessions_are_told_apart() {
        let finding = RepairSession {
            peer: "n3".into(),
            phase: RepairPhase::Finding,
            method: None,
            reason: String::new(),
            found: 0,
            sent: 0,
            received: 0,
            rate_bytes_per_second: 0,
            remaining_ms: None,
            ..running()
        };
        let broken = RepairSession {
            outcome: Some(RepairOutcome::Failed),
            failure: Some("the peer went away".into()),
            bytes_ideal: 0,
            ..ended()
        };
        let text = text(Screen::PLAIN, &view(vec![running(), finding, ended(), broken]));
        insta::assert_snapshot!(text, @r"
        running  begun by  phase       by      found  sent  received  bytes     rate         done                    left   why
        n2       n1        exchanging  sketch  880    205   20        52.7 KiB  105.5 KiB/s  ████░░░░░░░░░░░░  25 %  1.5 s  about 900 keys differ: cheapest by sketch
        n3       n1        finding     -       0      0     0         52.7 KiB  0 B/s        -                       -      -

        recent  begun by  ended     outcome    by      found  sent  received  bytes     overhead  took  why
        n2      n2        29 s ago  identical  sketch  880    205   20        52.7 KiB  1.80x     12 s  about 900 keys differ: cheapest by sketch
        n2      n2        29 s ago  failed     sketch  880    205   20        52.7 KiB  -         12 s  the peer went away

        besides, 1204 sessions of n1 found equal roots; failed so far: timed out (2)
        repair may go as fast as it can; p99 1.2 ms, without repair 0.9 ms
        ");
    }

    #[test]
    fn only_the_latest_are_shown() {
        let text = text(Screen::PLAIN, &view(vec![ended(); 15]));
        assert_eq!(text.matches("identical").count(), 12);
        assert!(text.contains("\nand 3 more: see --json\n"), "{text}");
    }

    #[test]
    fn a_node_without_sessions_says_so() {
        insta::assert_snapshot!(text(Screen::PLAIN, &view(Vec::new())), @r"
        n1 had nothing to repair: 1204 sessions found equal roots; failed so far: timed out (2)
        repair may go as fast as it can; p99 1.2 ms, without repair 0.9 ms
        ");
        let mut held = view(Vec::new());
        held.checks = 0;
        held.failures.clear();
        held.governor = held.governor.map(|governor| Governor {
            limit_bytes_per_second: Some(5 << 20),
            reason: "clients wait longer than they did lately".into(),
            baseline_p99_us: None,
            ..governor
        });
        insta::assert_snapshot!(text(Screen::PLAIN, &held), @r"
        n1 has had no session yet
        repair is held to 5.0 MiB/s: clients wait longer than they did lately; p99 1.2 ms
        ");
        held.governor = None;
        assert!(text(Screen::PLAIN, &held).ends_with("not a member of a cluster yet\n"));
    }

    #[test]
    fn a_share_is_given_only_where_it_is_known_and_is_whole_only_at_the_end() {
        let at = |phase, found, moved| {
            share(&RepairSession { phase, estimate: 0, found, sent: moved, received: 0, ..running() })
        };
        assert_eq!(at(RepairPhase::Finding, 10, 0), None);
        assert_eq!(at(RepairPhase::Exchanging, 0, 0), None);
        assert_eq!(at(RepairPhase::Exchanging, 10, 5), Some(0.5));
        assert_eq!(at(RepairPhase::Exchanging, 10, 20), Some(0.99));
        assert_eq!(at(RepairPhase::Ended, 10, 10), Some(1.0));
        assert_eq!(bar(Some(0.5)), "████████░░░░░░░░  50 %");
        assert_eq!(bar(None), "-");
        assert_eq!(
            [seconds(0), seconds(9_940), seconds(61_000), seconds(200_000)],
            ["0 ms", "9.9 s", "61 s", "3 min 20 s"]
        );
    }
}
