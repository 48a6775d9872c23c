use super::*;

pub(in super::super) fn row(name: &str, root: &str) -> Row {
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
        apart: Vec::new(),
        version: None,
    }
}

pub(in super::super) fn now() -> Timestamp {
    "2026-01-02T03:04:08Z".parse().unwrap()
}

pub(in super::super) const ROOT: &str = "5f3a9c21d4e0aabbccddeeff00112233";

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
fn one_that_was_removed_vouches_for_nobody() {
    let removed = Row {
        liveness: REMOVED.into(),
        ready: Some(false),
        reason: Some("it was removed.".into()),
        ..row("n1", ROOT)
    };
    let report = Report::new(Some("c".into()), vec![row("n2", ROOT), row("n3", ROOT), removed]);
    assert!(!report.identical);
    let text = report.text(Screen::PLAIN, now());
    let said = "n1 is no member any more, and knows the others only as they were then: ask one of them, with \
                --endpoint\nn1 is not ready: it was removed.\n";
    assert!(text.ends_with(said), "{text}");
}

#[test]
fn one_that_is_leaving_shows_as_such() {
    let leaving =
        Row { leaving: true, ready: Some(false), reason: Some("n2 is leaving.".into()), ..row("n2", ROOT) };
    let text = Report::new(Some("c".into()), vec![row("n1", ROOT), leaving]).text(Screen::PLAIN, now());
    assert!(text.contains("alive, leaving") && text.ends_with("n2 is not ready: n2 is leaving.\n"), "{text}");
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
        Report::new(Some("c".into()), vec![row]).text(Screen::PLAIN, now()).lines().last().unwrap().to_owned()
    };
    insta::assert_snapshot!(said(damage.clone()), @"n1 lost records, 60 s ago (2026-01-02T03:03:08Z): 2 records were damaged, among them k: it does not match its digest; healed: all of it is held again, from the others; the damaged bytes are kept in /var/lib/mangrove/damaged there");
    let some = client::DamageView { held_again: 1, held_by_none: 1, kept_in: None, ..damage.clone() };
    assert!(said(some).ends_with("; 1 held again, from the others, 1 held by nobody else"));
    assert!(said(client::DamageView { healed: false, kept_in: None, ..damage }).ends_with("not healed yet"));
}

#[test]
fn a_clock_that_is_ahead_is_said_by_name() {
    let fast = Row { clock_ahead_ms: 3_599_001, ..row("n2", ROOT) };
    let text = Report::new(Some("c".into()), vec![row("n1", ROOT), fast]).text(Screen::PLAIN, now());
    assert!(
        text.ends_with("timestamps from n2 were 3600 s ahead of the asked node's clock; check both clocks\n")
    );
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

#[test]
fn a_pair_that_cannot_talk_is_named() {
    let apart =
        vec![("n2".to_owned(), "wire versions 2 to 2 were offered, this node speaks 3 to 4".to_owned())];
    let rows = vec![Row { apart, ..row("n1", ROOT) }, row("n2", ROOT)];
    let text = Report::new(Some("c".into()), rows).text(Screen::PLAIN, now());
    let said = "n1 cannot connect to n2, and deletes wait for that: wire versions 2 to 2 were offered, this node speaks 3 \
                to 4; run programs of one version\n";
    assert!(text.ends_with(said), "{text}");
}
