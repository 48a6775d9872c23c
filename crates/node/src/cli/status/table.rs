//! What `status` shows: every member's own word where it answered, else what the asked node has heard.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::super::output::{Colour, Coloured, Screen, bytes_shown, harmless};
use super::row::Row;

/// How many characters of a root people are shown; `--json` has it whole.
const ROOT_CHARS: usize = 12;

/// The watermark is spoken of once it lies so far in the past, milliseconds: in a healthy cluster it never does.
const LAG_SHOWN_MS: u64 = 120_000;

/// The whole of `status --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cluster: Option<String>,
    /// Whether all members answered and all roots are equal; members that left do not count.
    pub(crate) identical: bool,
    pub(crate) members: Vec<Row>,
}

impl Report {
    pub(crate) fn new(cluster: Option<String>, members: Vec<Row>) -> Self {
        let roots: BTreeSet<Option<&str>> =
            members.iter().filter(|row| row.belongs()).map(Row::own_root).collect();
        let all_ready = members.iter().filter(|row| row.belongs()).all(|row| row.ready != Some(false));
        let identical = cluster.is_some() && all_ready && roots.len() == 1 && !roots.contains(&None);
        Self { cluster, identical, members }
    }

    fn belonging(&self) -> impl Iterator<Item = &Row> {
        self.members.iter().filter(|row| row.belongs())
    }

    /// The root that most members have, where at least two have it.
    fn common_root(&self) -> Option<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for root in self.belonging().filter_map(|row| row.root.as_deref()) {
            *counts.entry(root).or_default() += 1;
        }
        let alone = self.belonging().count() == 1;
        counts.into_iter().filter(|(_, count)| alone || *count > 1).max_by_key(|(_, count)| *count)
    }

    /// The table and one sentence under it, as of `now`.
    pub(crate) fn text(&self, screen: Screen, now: Timestamp) -> String {
        let common = self.common_root().map(|(root, _)| root);
        let rows = self.members.iter().map(|row| row.cells(common, now)).collect();
        let header = ["name", "liveness", "keys", "root", "last proven identical", "repair", "http"];
        let table = screen.table(&header, rows);
        let (colour, sentence) = self.sentence();
        let mut text = format!("{table}\n{}\n", screen.paint(colour, &sentence));
        for row in self.members.iter().filter(|row| row.ready == Some(false)) {
            let reason = row.reason.as_deref().unwrap_or("it does not say why");
            let line = format!("{} is not ready: {}", harmless(&row.name), harmless(reason));
            text.push_str(&screen.paint(Colour::Red, &line));
            text.push('\n');
        }
        for row in &self.members {
            for line in [row.damage_shown(now), row.clock_shown()].into_iter().flatten() {
                text.push_str(&screen.paint(Colour::Yellow, &line));
                text.push('\n');
            }
        }
        if let Some(line) = self.waiting(now) {
            text.push_str(&screen.paint(Colour::Yellow, &line));
            text.push('\n');
        }
        text
    }

    /// For whom deletes wait, in the word of the node that was asked, once they have waited for long.
    fn waiting(&self, now: Timestamp) -> Option<String> {
        let asked = self.members.iter().find(|row| row.asked)?;
        let forgetting = asked.forgetting.as_ref()?;
        let waits = forgetting.waits_for.as_ref()?;
        if forgetting.watermark_lag_ms.is_none_or(|lag| lag < LAG_SHOWN_MS) {
            return None;
        }
        let seen = waits.since.as_deref().map_or_else(|| "never".to_owned(), |since_| since(since_, now));
        let kept = forgetting.waiting.tombstones;
        let bytes = bytes_shown(forgetting.waiting.tombstone_bytes);
        let name = harmless(&waits.name);
        let is_down = |row: &Row| row.id == waits.id.to_string() && row.liveness == "down";
        let end = if self.members.iter().any(is_down) {
            format!("; if it will not come back, this ends the waiting: mangrove evict {name}")
        } else {
            String::new()
        };
        Some(format!(
            "deletes are forgotten up to {}; {kept} tombstones ({bytes}) wait for {name}, last heard of {seen}{end}",
            forgetting.watermark.as_deref().map_or_else(|| "?".to_owned(), |at| since(at, now)),
        ))
    }

    fn sentence(&self) -> (Colour, String) {
        let all = self.belonging().count();
        let silent: Vec<String> =
            self.belonging().filter(|row| !row.answered).map(|row| harmless(&row.name)).collect();
        if self.cluster.is_none() {
            return (Colour::Yellow, "not a member of a cluster yet".to_owned());
        }
        if self.identical && all == 1 {
            return (Colour::Green, "one member: nothing to compare with".to_owned());
        }
        if self.identical {
            return (Colour::Green, format!("all {all} roots are equal: the members hold the same data"));
        }
        let roots = match self.common_root() {
            Some((_, equal)) => format!("{equal} of {all} roots are equal"),
            None => format!("the {all} roots differ"),
        };
        if silent.is_empty() && self.belonging().any(|row| row.ready == Some(false)) {
            return (Colour::Red, roots);
        }
        if silent.is_empty() {
            return (Colour::Yellow, format!("{roots}; repair brings them together"));
        }
        let heard = if silent.len() == 1 {
            "does not answer: its keys are not known, its root is as last heard"
        } else {
            "do not answer: their keys are not known, their roots are as last heard"
        };
        (Colour::Red, format!("{} {heard}; {roots}", silent.join(", ")))
    }
}

impl Row {
    fn belongs(&self) -> bool {
        self.liveness != "left"
    }

    /// Its root in its own word.
    fn own_root(&self) -> Option<&str> {
        self.root.as_deref().filter(|_| self.answered)
    }

    fn cells(&self, common: Option<&str>, now: Timestamp) -> Vec<Coloured> {
        let name = harmless(&self.name);
        let liveness = match self.liveness.as_str() {
            "alive" => Colour::Green,
            "suspect" => Colour::Yellow,
            _ => Colour::Red,
        };
        let identical = match &self.last_identical {
            _ if self.asked => "(the node asked)".to_owned(),
            Some(moment) => since(moment, now),
            None => "never".to_owned(),
        };
        vec![
            Coloured::plain(name),
            match self.ready {
                _ if self.leaving => {
                    Coloured::of(Colour::Yellow, format!("{}, leaving", harmless(&self.liveness)))
                }
                Some(false) => Coloured::of(Colour::Red, format!("{}, not ready", harmless(&self.liveness))),
                _ => Coloured::of(liveness, harmless(&self.liveness)),
            },
            Coloured::plain(self.keys.map_or_else(|| "?".to_owned(), |keys| keys.to_string())),
            self.root_cell(common),
            Coloured::plain(identical),
            Coloured::plain(self.repair_shown()),
            Coloured::plain(self.http.as_deref().map_or_else(|| "?".to_owned(), harmless)),
        ]
    }

    /// What it has lost of its records since its process began, and what became of that.
    fn damage_shown(&self, now: Timestamp) -> Option<String> {
        let damage = self.damage.as_ref()?;
        let found = damage.found_at.as_deref().map_or_else(|| "?".to_owned(), |at| since(at, now));
        let became = match (damage.healed, damage.held_by_none) {
            (false, _) => "not healed yet".to_owned(),
            (true, _) if damage.records == 0 => "healed from the others".to_owned(),
            (true, 0) => "healed: all of it is held again, from the others".to_owned(),
            (true, none) => {
                format!("{} held again, from the others, {none} held by nobody else", damage.held_again)
            }
        };
        let kept = damage.kept_in.as_deref().map_or_else(String::new, |file| {
            format!("; the damaged bytes are kept in {} there", harmless(file))
        });
        Some(format!(
            "{} lost records, {found}: {}; {became}{kept}",
            harmless(&self.name),
            harmless(&damage.what)
        ))
    }

    /// That its clock, or the asked node's, is wrong.
    fn clock_shown(&self) -> Option<String> {
        let ahead = self.clock_ahead_ms.div_ceil(1_000);
        let name = harmless(&self.name);
        (ahead > 0).then(|| {
            format!(
                "timestamps from {name} were {ahead} s ahead of the asked node's clock; check both clocks"
            )
        })
    }

    fn repair_shown(&self) -> String {
        let state = self.repair.as_deref().map_or_else(|| "-".to_owned(), harmless);
        match &self.progress {
            Some(progress) => format!("{state}, {progress}"),
            None => state,
        }
    }

    fn root_cell(&self, common: Option<&str>) -> Coloured {
        let Some(root) = self.root.as_deref().filter(|root| !root.is_empty()) else {
            return Coloured::of(Colour::Yellow, "?");
        };
        let agrees = common == Some(root);
        let short: String = harmless(root).chars().take(ROOT_CHARS).collect();
        let mark = if agrees { "=" } else { "≠" };
        let heard = if self.answered { "" } else { " (heard)" };
        let colour = if agrees && self.answered { Colour::Green } else { Colour::Yellow };
        Coloured::of(colour, format!("{short} {mark}{heard}"))
    }
}

/// A moment relative to `now` and exact.
fn since(moment: &str, now: Timestamp) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return harmless(moment) };
    let seconds = now.as_second().saturating_sub(then.as_second());
    let ago = match seconds {
        ..0 => "just now".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    };
    format!("{ago} ({then:.0})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, root: &str) -> Row {
        Row {
            id: format!("id-{name}"),
            name: name.to_owned(),
            liveness: "alive".to_owned(),
            leaving: false,
            answered: true,
            ready: Some(true),
            reason: None,
            asked: name == "n1",
            keys: Some(1204),
            tombstones: Some(0),
            scrub: None,
            damage: None,
            root: Some(root.to_owned()),
            last_identical: (name != "n1").then(|| "2026-01-02T03:04:05.678Z".to_owned()),
            clock_ahead_ms: 0,
            repair: None,
            progress: None,
            http: Some("127.0.0.1:7710".to_owned()),
            gossip: None,
            forgetting: None,
        }
    }

    fn now() -> Timestamp {
        "2026-01-02T03:04:08Z".parse().unwrap()
    }

    const ROOT: &str = "5f3a9c21d4e0aabbccddeeff00112233";

    #[test]
    fn equal_roots_are_marked_and_said() {
        let report = Report::new(Some("c".into()), vec![row("n1", ROOT), row("n2", ROOT)]);
        assert!(report.identical);
        insta::assert_snapshot!(report.text(Screen::PLAIN, now()), @r"
        name  liveness  keys  root            last proven identical           repair  http
        n1    alive     1204  5f3a9c21d4e0 =  (the node asked)                -       127.0.0.1:7710
        n2    alive     1204  5f3a9c21d4e0 =  3 s ago (2026-01-02T03:04:05Z)  -       127.0.0.1:7710

        all 2 roots are equal: the members hold the same data
        ");
    }

    #[test]
    fn a_member_that_differs_and_one_that_is_silent_are_said() {
        let silent = Row {
            answered: false,
            ready: None,
            liveness: "down".into(),
            keys: None,
            last_identical: None,
            ..row("n4", "00ff00ff00ff00ff00ff00ff00ff00ff")
        };
        let running =
            Row { repair: Some("running".into()), progress: Some("bulk 25 %".into()), ..row("n3", "77") };
        let report = Report::new(Some("c".into()), vec![row("n1", ROOT), row("n2", ROOT), running, silent]);
        assert!(!report.identical);
        insta::assert_snapshot!(report.text(Screen::PLAIN, now()), @r"
        name  liveness  keys  root                    last proven identical           repair              http
        n1    alive     1204  5f3a9c21d4e0 =          (the node asked)                -                   127.0.0.1:7710
        n2    alive     1204  5f3a9c21d4e0 =          3 s ago (2026-01-02T03:04:05Z)  -                   127.0.0.1:7710
        n3    alive     1204  77 ≠                    3 s ago (2026-01-02T03:04:05Z)  running, bulk 25 %  127.0.0.1:7710
        n4    down      ?     00ff00ff00ff ≠ (heard)  never                           -                   127.0.0.1:7710

        n4 does not answer: its keys are not known, its root is as last heard; 2 of 4 roots are equal
        ");
    }

    #[test]
    fn one_that_is_leaving_shows_as_such() {
        let leaving = Row {
            leaving: true,
            ready: Some(false),
            reason: Some("n2 is leaving.".into()),
            ..row("n2", ROOT)
        };
        let text = Report::new(Some("c".into()), vec![row("n1", ROOT), leaving]).text(Screen::PLAIN, now());
        assert!(
            text.contains("alive, leaving") && text.ends_with("n2 is not ready: n2 is leaving.\n"),
            "{text}"
        );
    }

    #[test]
    fn for_whom_deletes_wait_is_said_once_it_is_long() {
        let waits_for = client::WaitsFor {
            id: "0000000000000003".parse().unwrap(),
            name: "n3".into(),
            since: Some("2026-01-02T02:44:05Z".into()),
        };
        let forgetting = client::Forgetting {
            watermark: Some("2026-01-02T02:44:00Z".into()),
            watermark_lag_ms: Some(1_208_000),
            waits_for: Some(waits_for),
            waiting: client::WaitingTombstones {
                tombstones: 7,
                tombstone_bytes: 1_536,
                ..client::WaitingTombstones::default()
            },
            ..client::Forgetting::default()
        };
        let asked = || Row { forgetting: Some(forgetting.clone()), ..row("n1", ROOT) };
        let text = Report::new(Some("c".into()), vec![asked(), row("n2", ROOT)]).text(Screen::PLAIN, now());
        let said = "deletes are forgotten up to 20 min ago (2026-01-02T02:44:00Z); 7 tombstones (1.5 KiB) wait for n3, \
                    last heard of 20 min ago (2026-01-02T02:44:05Z)";
        assert!(text.ends_with(&format!("{said}\n")), "{text}");
        // And how that ends, where it is down.
        let down = Row { id: "0000000000000003".into(), liveness: "down".into(), ..row("n3", ROOT) };
        let text = Report::new(Some("c".into()), vec![asked(), down]).text(Screen::PLAIN, now());
        let end = "; if it will not come back, this ends the waiting: mangrove evict n3\n";
        assert!(text.ends_with(&format!("{said}{end}")), "{text}");
        let soon = client::Forgetting { watermark_lag_ms: Some(40_000), ..forgetting };
        let asked = Row { forgetting: Some(soon), ..row("n1", ROOT) };
        let text = Report::new(Some("c".into()), vec![asked]).text(Screen::PLAIN, now());
        assert!(!text.contains("wait"), "{text}");
    }

    #[test]
    fn what_was_lost_and_what_became_of_it_is_said() {
        let damage = client::DamageView {
            found_at: Some("2026-01-02T03:03:08Z".into()),
            what: "2 records were damaged, among them k: it does not match its digest".into(),
            records: 2,
            held_again: 2,
            held_by_none: 0,
            healed: true,
            kept_in: Some("/var/lib/mangrove/damaged".into()),
        };
        let said = |damage: client::DamageView| {
            let row = Row { damage: Some(damage), ..row("n1", ROOT) };
            Report::new(Some("c".into()), vec![row])
                .text(Screen::PLAIN, now())
                .lines()
                .last()
                .unwrap()
                .to_owned()
        };
        insta::assert_snapshot!(said(damage.clone()), @"n1 lost records, 60 s ago (2026-01-02T03:03:08Z): 2 records were damaged, among them k: it does not match its digest; healed: all of it is held again, from the others; the damaged bytes are kept in /var/lib/mangrove/damaged there");
        let some = client::DamageView { held_again: 1, held_by_none: 1, kept_in: None, ..damage.clone() };
        assert!(said(some).ends_with("; 1 held again, from the others, 1 held by nobody else"));
        assert!(
            said(client::DamageView { healed: false, kept_in: None, ..damage }).ends_with("not healed yet")
        );
    }

    #[test]
    fn a_clock_that_is_ahead_is_said_by_name() {
        let fast = Row { clock_ahead_ms: 3_599_001, ..row("n2", ROOT) };
        let text = Report::new(Some("c".into()), vec![row("n1", ROOT), fast]).text(Screen::PLAIN, now());
        assert!(text.ends_with(
            "timestamps from n2 were 3600 s ahead of the asked node's clock; check both clocks\n"
        ));
        assert_eq!(text.matches("clock").count(), 2);
    }

    #[test]
    fn moments_are_relative_and_exact() {
        let at = |seconds: i64| {
            since("2026-01-02T03:04:05Z", Timestamp::from_second(1_767_323_045 + seconds).unwrap())
        };
        assert_eq!(at(-5), "just now (2026-01-02T03:04:05Z)");
        assert_eq!(at(300), "5 min ago (2026-01-02T03:04:05Z)");
        assert_eq!(at(10_000), "2 h ago (2026-01-02T03:04:05Z)");
        assert_eq!(at(400_000), "4 days ago (2026-01-02T03:04:05Z)");
        assert_eq!(since("\u{1b}x", now()), "\u{fffd}x");
    }
}
