//! What `status` shows: every member's own word where it answered, else what the asked node has heard.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::super::output::{Colour, Coloured, Screen, harmless};
use super::row::{REMOVED, Row};
use super::waiting::waiting;

/// How many characters of a root people are shown; `--json` has it whole.
const ROOT_CHARS: usize = 12;

/// The whole of `status --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cluster: Option<String>,
    /// Whether all members answered and all roots are equal, in the word of a member.
    pub(crate) identical: bool,
    pub(crate) members: Vec<Row>,
}

impl Report {
    pub(crate) fn new(cluster: Option<String>, members: Vec<Row>) -> Self {
        let roots: BTreeSet<Option<&str>> =
            members.iter().filter(|row| row.belongs()).map(Row::own_root).collect();
        let all_ready = members.iter().filter(|row| row.belongs()).all(|row| row.ready != Some(false));
        // What a node that was removed has heard of the others is old.
        let asked_belongs = members.iter().all(|row| !row.asked || row.belongs());
        let identical =
            cluster.is_some() && asked_belongs && all_ready && roots.len() == 1 && !roots.contains(&None);
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
        for (row, other, why) in
            self.members.iter().flat_map(|row| row.apart.iter().map(move |(o, w)| (row, o, w)))
        {
            let line = format!(
                "{} cannot connect to {}, and deletes wait for that: {}; run programs of one version",
                harmless(&row.name),
                harmless(other),
                harmless(why)
            );
            text.push_str(&screen.paint(Colour::Red, &line));
            text.push('\n');
        }
        // One that is no member any more knows nothing of what the others wait for.
        let removed = self.members.iter().any(|row| row.liveness == REMOVED);
        if let Some(line) = waiting(&self.members, now).filter(|_| !removed) {
            text.push_str(&screen.paint(Colour::Yellow, &line));
            text.push('\n');
        }
        text
    }

    fn sentence(&self) -> (Colour, String) {
        let all = self.belonging().count();
        let silent: Vec<String> =
            self.belonging().filter(|row| !row.answered).map(|row| harmless(&row.name)).collect();
        if self.cluster.is_none() {
            return (Colour::Yellow, "not a member of a cluster yet".to_owned());
        }
        if let Some(removed) = self.members.iter().find(|row| row.liveness == REMOVED) {
            let name = harmless(&removed.name);
            let said = format!(
                "{name} is no member any more, and knows the others only as they were then: ask one of them, with \
                 --endpoint"
            );
            return (Colour::Red, said);
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
    pub(super) fn belongs(&self) -> bool {
        self.liveness != "left" && self.liveness != REMOVED
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
pub(crate) fn since(moment: &str, now: Timestamp) -> String {
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
pub(super) mod tests;
