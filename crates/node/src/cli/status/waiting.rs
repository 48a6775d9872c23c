//! For whom deletes wait, why, and how that ends.

use client::{Forgetting, WaitsFor, WaitsWhy};
use jiff::Timestamp;

use super::super::output::{bytes_shown, harmless};
use super::row::Row;
use super::table::since;

/// That is spoken of once the watermark lies so far in the past, milliseconds: in a healthy cluster it never does.
const LAG_SHOWN_MS: u64 = 120_000;

/// Clocks that differ by less are in order.
const AHEAD_S: i64 = 5;

/// A line in the word of the node that was asked; none where all is well.
pub(super) fn waiting(members: &[Row], now: Timestamp) -> Option<String> {
    let forgetting = members.iter().find(|row| row.asked)?.forgetting.as_ref()?;
    let waits = forgetting.waits_for.as_ref()?;
    if lag_ms(forgetting, waits, now).is_some_and(|lag| lag < LAG_SHOWN_MS) {
        return None;
    }
    let upto = match &forgetting.watermark {
        Some(at) => format!("deletes are forgotten up to {}", when(at, now)),
        None => "no delete is forgotten yet".to_owned(),
    };
    let heard = waits.since.as_deref().map_or_else(|| "never".to_owned(), |at| when(at, now));
    let kept = match forgetting.waiting.tombstones {
        1 => "1 tombstone".to_owned(),
        kept => format!("{kept} tombstones"),
    };
    let wait = if forgetting.waiting.tombstones == 1 { "waits" } else { "wait" };
    let (bytes, name) = (bytes_shown(forgetting.waiting.tombstone_bytes), harmless(&waits.name));
    Some(format!("{upto}; {kept} ({bytes}) {wait} for {name}, last heard of {heard}{}", why(members, waits)))
}

/// A moment of another clock, which may be one that has not come yet by this machine's.
fn when(at: &str, now: Timestamp) -> String {
    let ahead = at.parse::<Timestamp>().ok().filter(|then| then.as_second() > now.as_second() + AHEAD_S);
    match ahead {
        Some(then) => format!("{then:.0}, which has not come yet by this machine's clock"),
        None => since(at, now),
    }
}

/// By the watermark; where there is none yet, since when the member is waited for. None: nobody knows.
fn lag_ms(forgetting: &Forgetting, waits: &WaitsFor, now: Timestamp) -> Option<u64> {
    forgetting.watermark_lag_ms.or_else(|| {
        let heard: Timestamp = waits.since.as_ref()?.parse().ok()?;
        u64::try_from(now.as_millisecond().saturating_sub(heard.as_millisecond())).ok()
    })
}

/// Why the member has to be waited for, and what ends that.
fn why(members: &[Row], waits: &WaitsFor) -> String {
    let name = harmless(&waits.name);
    match waits.why {
        Some(WaitsWhy::Down) => {
            let force = if is_majority_alive(members) { "" } else { " --force" };
            let asked = if force.is_empty() {
                ""
            } else {
                ", which asks nobody, since too few members are left to promise it"
            };
            format!(
                "; it is down: start it, or, if it will not come back, end the waiting with: mangrove evict {name}{force}{asked}"
            )
        }
        Some(WaitsWhy::Wire) => {
            "; it and the node asked speak no common wire version: run programs of one version".to_owned()
        }
        Some(WaitsWhy::Behind) => {
            "; it is behind: it needs a session with a member that is not, see its log".to_owned()
        }
        Some(WaitsWhy::Silent) => format!(
            "; it answers, and says nothing of what it holds: start it without --forget-deletes off, or see whether {name} \
             knows all members"
        ),
        Some(WaitsWhy::Started) => {
            "; it has started, and is to meet a member that was there all along; where there is none it waits a minute, or ten where it began alone"
                .to_owned()
        }
        // By two clocks, of which either may be the wrong one.
        Some(WaitsWhy::Slow) => {
            let asked =
                members.iter().find(|row| row.asked).map_or("the node asked", |row| row.name.as_str());
            format!(
                "; what it said last is old beside what {} says: their clocks differ, or it has had no session for long: \
                 check both clocks, and `mangrove repairs` there",
                harmless(asked)
            )
        }
        Some(WaitsWhy::Apart) => {
            "; it has not been proven identical to some member since: see `mangrove repairs` there".to_owned()
        }
        Some(WaitsWhy::Unknown) | None => String::new(),
    }
}

/// Whether enough members answer to promise that one is removed; those that are down are counted in.
fn is_majority_alive(members: &[Row]) -> bool {
    let all = members.iter().filter(|row| row.belongs()).count();
    let alive = members.iter().filter(|row| row.belongs() && row.liveness != "down").count();
    alive * 2 > all
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::{ROOT, now, row};
    use super::*;

    fn forgetting(why: WaitsWhy) -> Forgetting {
        let waits_for = WaitsFor {
            id: "0000000000000003".parse().unwrap(),
            name: "n3".into(),
            since: Some("2026-01-02T02:44:05Z".into()),
            why: Some(why),
        };
        let waiting = client::WaitingTombstones {
            tombstones: 7,
            tombstone_bytes: 1_536,
            ..client::WaitingTombstones::default()
        };
        Forgetting {
            on: true,
            watermark: Some("2026-01-02T02:44:00Z".into()),
            watermark_lag_ms: Some(1_208_000),
            waits_for: Some(waits_for),
            waiting,
            ..Forgetting::default()
        }
    }

    fn said(forgetting: Forgetting, others: &[&str]) -> Option<String> {
        let mut rows = vec![Row { forgetting: Some(forgetting), ..row("n1", ROOT) }];
        for (n, liveness) in others.iter().enumerate() {
            let id = format!("{:016x}", n + 2);
            rows.push(Row { id, liveness: (*liveness).into(), ..row(&format!("n{}", n + 2), ROOT) });
        }
        waiting(&rows, now())
    }

    #[test]
    fn for_whom_deletes_wait_is_said_once_it_is_long_and_how_it_ends() {
        let down = || forgetting(WaitsWhy::Down);
        insta::assert_snapshot!(said(down(), &["alive", "down"]).unwrap(), @"deletes are forgotten up to 20 min ago (2026-01-02T02:44:00Z); 7 tombstones (1.5 KiB) wait for n3, last heard of 20 min ago (2026-01-02T02:44:05Z); it is down: start it, or, if it will not come back, end the waiting with: mangrove evict n3");
        let soon = Forgetting { watermark_lag_ms: Some(40_000), ..down() };
        assert_eq!(said(soon, &["alive", "down"]), None);
        // What it says to do must be possible: two of three down, or one of two, are no majority.
        for others in [&["down", "down"][..], &["down"]] {
            let text = said(down(), others).unwrap();
            assert!(text.contains("mangrove evict n3 --force, which asks nobody"), "{text}");
        }
    }

    #[test]
    fn one_that_is_not_down_is_waited_for_with_a_reason() {
        for (why, word) in [
            (WaitsWhy::Wire, "no common wire version"),
            (WaitsWhy::Behind, "it is behind"),
            (WaitsWhy::Silent, "--forget-deletes off"),
            (WaitsWhy::Started, "it has started"),
            (WaitsWhy::Slow, "their clocks differ"),
            (WaitsWhy::Apart, "mangrove repairs"),
        ] {
            let text = said(forgetting(why), &["alive", "alive"]).unwrap();
            assert!(text.contains(word) && !text.contains("evict"), "{text}");
        }
    }

    /// Which of the two clocks is the wrong one nobody can tell from here.
    #[test]
    fn of_two_clocks_neither_is_blamed() {
        let mut jumped = forgetting(WaitsWhy::Slow);
        jumped.waits_for.as_mut().unwrap().since = Some("2026-01-02T04:04:05Z".into());
        let text = said(jumped, &["alive", "alive"]).unwrap();
        assert!(text.contains("last heard of 2026-01-02T04:04:05Z, which has not come yet"), "{text}");
        assert!(text.contains("beside what n1 says") && text.contains("check both clocks"), "{text}");
    }

    #[test]
    fn one_tombstone_waits_and_a_watermark_that_never_was_is_said() {
        let mut one = forgetting(WaitsWhy::Silent);
        one.waiting.tombstones = 1;
        (one.watermark, one.watermark_lag_ms) = (None, None);
        let text = said(one.clone(), &["alive", "alive"]).unwrap();
        assert!(
            text.starts_with("no delete is forgotten yet; 1 tombstone (1.5 KiB) waits for n3, last"),
            "{text}"
        );
        one.waits_for.as_mut().unwrap().since = Some("2026-01-02T03:04:05Z".into());
        assert_eq!(said(one, &["alive", "alive"]), None);
    }
}
