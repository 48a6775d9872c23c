//! Repair as people see it and begin it, and a partition that they practise.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::thread;

use serde_json::Value;
use support::{Api, Cluster, QUICK, SOON, ask, fails, json, mangrove, noise, until};

/// Neither pushes nor compares by itself: what is repaired is what a test asked for.
const STILL: &[&str] = &["--rumors", "off", "--anti-entropy", "off"];

/// Longer than it takes to find a member down on a machine that does much else.
const DRILL_SECONDS: u64 = 25;

/// Writes so many keys of a prefix, from several threads.
fn write(api: Api, prefix: &str, count: usize, value: &[u8]) {
    thread::scope(|scope| {
        for client in 0..4 {
            let numbers = (0..count).skip(client).step_by(4);
            scope.spawn(move || {
                numbers.for_each(|number| drop(api.put(&format!("{prefix}/{number}"), value.to_vec())))
            });
        }
    });
}

fn repairs(api: Api) -> Result<Vec<Value>, String> {
    Ok(api.fetch("/v1/repairs")?.json()["repairs"].as_array().unwrap().clone())
}

fn number(session: &Value, field: &str) -> u64 {
    session[field].as_u64().unwrap_or_else(|| panic!("no {field} in {session:#}"))
}

/// A session that brought something and proved the two identical.
fn brought(session: &Value) -> bool {
    session["outcome"] == "identical" && number(session, "received") > 0
}

#[test]
fn what_a_node_missed_is_shown_with_what_it_cost() {
    let mut cluster = Cluster::start(3, QUICK);
    cluster.nodes[2].kill9();
    // Before that, rumors would wait for it and bring it all.
    for node in &cluster.nodes[..2] {
        node.wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
    }
    write(cluster.api(0), "missed", 2_000, &noise(9, 100));
    cluster.nodes[2].start_ready();
    cluster.wait_equal_roots();
    let api = cluster.api(2);
    // The data is there before the session that brought it has ended.
    let sessions = until("a session that proved the two identical", SOON, || {
        let shown = json(&ask(api, &["repairs", "--json"]).expect(0));
        assert_eq!(shown["node"], "n3");
        let sessions = shown["repairs"].as_array().unwrap().clone();
        if sessions.iter().any(brought) { Ok(sessions) } else { Err(format!("{shown:#}")) }
    });
    let received: u64 = sessions.iter().map(|session| number(session, "received")).sum();
    assert!(received >= 2_000, "{received} received: {sessions:#?}");
    let session = sessions.iter().find(|session| brought(session)).unwrap();
    let word = |field: &str| session[field].as_str().unwrap_or_default().to_owned();
    assert!(["n1", "n2"].contains(&word("peer").as_str()), "{session:#}");
    assert!(["tree", "sketch", "bulk"].contains(&word("method").as_str()), "{session:#}");
    assert!(word("phase") == "ended" && word("reason").len() > 5, "{session:#}");
    assert!(number(session, "found") >= number(session, "received"), "{session:#}");
    let bytes = number(session, "bytes_sent") + number(session, "bytes_received");
    let ideal = number(session, "bytes_ideal");
    assert!(ideal >= 100 * number(session, "received") && bytes >= ideal, "{session:#}");
    assert!(bytes >= number(session, "bytes_find") + number(session, "bytes_names"), "{session:#}");
    assert!(number(session, "round_trips") >= 1 && number(session, "frames") >= 4, "{session:#}");
    assert!(session["failure"].is_null() && session["remaining_ms"].is_null(), "{session:#}");

    let text = ask(api, &["repairs"]).expect(0).text();
    for word in [&word("peer"), "recent", "identical", &word("method"), "found equal roots", "repair may go"]
    {
        assert!(text.contains(word), "no {word} in {text}");
    }
    // Sessions that find nothing are only counted.
    until("checks", SOON, || {
        let shown = api.fetch("/v1/repairs")?.json();
        if number(&shown, "checks") > 2 { Ok(()) } else { Err(shown["checks"].to_string()) }
    });
}

#[test]
fn a_repair_is_begun_by_hand_and_followed_to_its_end() {
    let mut cluster = Cluster::start(3, STILL);
    let (one, two, three) = (cluster.api(0), cluster.api(1), cluster.api(2));
    write(one, "of-one", 300, b"one");
    write(two, "of-two", 200, b"two");
    assert_ne!(one.view().unwrap().root, two.view().unwrap().root);
    assert_eq!(json(&ask(one, &["status", "--json"]).expect(0))["identical"], false);

    let said = ask(one, &["repair", "--peer", "n2"]).expect(0).text();
    assert_eq!(said.lines().count(), 1, "{said}");
    for words in ["repaired with n2", "500 keys differed", "300 sent", "200 received", "proven identical"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert_eq!(one.view().unwrap().root, two.view().unwrap().root);
    assert_eq!(two.view().unwrap().keys, 500);
    assert_eq!(three.view().unwrap().keys, 0, "nobody repaired n3");

    // Once more: nothing differs, and that is said, too.
    let said = ask(two, &["repair", "--peer", "n1"]).expect(0).text();
    assert!(said.contains("nothing differs from n1"), "{said}");
    let id = cluster.nodes[2].view().node.id;
    let ran = json(&ask(two, &["repair", "--json", "--peer", &id]).expect(0));
    assert_eq!(
        (&ran["peer"], &ran["peer_id"], &ran["outcome"]),
        (&"n3".into(), &id.into(), &"identical".into())
    );
    assert_eq!((number(&ran, "found"), number(&ran, "sent"), number(&ran, "received")), (500, 500, 0));
    assert!(ran["failure"].is_null() && ran["sessions"].as_array().unwrap().len() == 1, "{ran:#}");
    assert_eq!(cluster.wait_equal_roots(), one.view().unwrap().root);
    assert_eq!(json(&ask(one, &["status", "--json"]).expect(0))["identical"], true);
    // Both sides show the session under one id.
    let ids = |api| -> Vec<String> {
        repairs(api).unwrap().iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids(two).contains(&ids(three)[0]), "{:?} {:?}", ids(two), ids(three));

    fails(
        ask(one, &["repair", "--peer", "nobody"]),
        1,
        "No member is called 'nobody'. The members are: n1, n2, n3.",
    );
    fails(ask(one, &["repair", "--peer", "n1"]), 1, "n1 is this node itself");
    cluster.nodes[2].kill9();
    cluster.nodes[0].wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
    fails(ask(one, &["repair", "--peer", "n3"]), 1, "n3 does not answer");
    fails(ask(three, &["repair", "--peer", "n1"]), 1, &three.address.to_string());
}

#[test]
fn a_partition_is_practised_and_ends_by_itself() {
    let mut cluster = Cluster::planned(3, QUICK);
    // n3 alone takes drills.
    cluster.nodes[2].flags.push("--allow-drills".to_owned());
    cluster.start_all();
    let (one, three) = (cluster.api(0), cluster.api(2));
    one.put("before", "1");
    cluster.wait_everywhere("before", Some("1"));
    let isolate = |node: &str, time: &str| ask(one, &["drill", "isolate", "--node", node, "--for", time]);
    fails(isolate("n2", "30s"), 1, "--allow-drills");
    fails(isolate("n4", "30s"), 1, "no member is called n4; the members are: n1, n2, n3");
    fails(isolate("n3", "11m"), 2, "1s to 10m");
    isolate("n3", "30").expect(2);
    assert!(three.fetch("/v1/drills").unwrap().json()["isolated_until_ms"].is_null());

    let said = isolate("n3", &format!("{DRILL_SECONDS}s")).expect(0).text();
    assert!(said.contains(&format!("n3 is cut off from the other members for {DRILL_SECONDS}s")), "{said}");
    assert!(three.fetch("/v1/drills").unwrap().json()["remaining_ms"].as_u64().unwrap() > 0);
    cluster.nodes[0].wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
    fails(ask(one, &["repair", "--peer", "n3"]), 1, "n3 does not answer");
    // Both sides go on serving, each without the other.
    assert_eq!(three.text("before").as_deref(), Some("1"));
    one.put("of-most", "m");
    three.put("of-n3", "t");
    one.put("both", "m");
    three.put("both", "t");
    assert_eq!(three.text("of-most"), None);
    assert_eq!(one.text("of-n3"), None);
    let still = three.fetch("/v1/drills").unwrap().json();
    assert!(still["remaining_ms"].is_u64(), "the drill was over before the test had looked: {still}");

    cluster.nodes[0].wait_view("n3 back", |view| view.others_are("alive"));
    cluster.wait_everywhere("of-n3", Some("t"));
    cluster.wait_everywhere("of-most", Some("m"));
    cluster.wait_equal_roots();
    assert_eq!(one.siblings("both").values.len(), 2, "concurrent writes are both kept");
    let over = three.fetch("/v1/drills").unwrap().json();
    assert!(over["isolated_until_ms"].is_null() && over["allowed"] == true, "{over}");
}

#[test]
fn an_interrupted_repair_goes_on_where_it_was() {
    let mut cluster = Cluster::start(2, QUICK);
    cluster.nodes[1].kill9();
    cluster.nodes[0].wait_view("n2 down", |view| view.others_are("down"));
    write(cluster.api(0), "big", 4_000, &noise(4, 4_096));
    // Slow enough to be seen in the middle.
    cluster.nodes[1].flags.extend(["--repair-max-bytes-per-second", "2MiB"].map(str::to_owned));
    cluster.nodes[1].start();
    let api = cluster.api(1);
    let first = until("a repair in the middle", SOON, || {
        let sessions = repairs(api)?;
        let running = sessions.iter().find(|session| session["outcome"].is_null());
        let Some(session) = running.filter(|session| number(session, "received") >= 1_000) else {
            let ended = sessions.iter().any(|session| session["outcome"] == "identical");
            assert!(!ended, "the repair was over before it was seen: {sessions:#?}");
            return Err(format!("{sessions:?}"));
        };
        Ok(session.clone())
    });
    cluster.nodes[1].kill9();
    cluster.nodes[1].flags.truncate(QUICK.len());
    cluster.nodes[1].start_ready();
    cluster.wait_equal_roots();
    let second = until("a second repair", SOON, || {
        let sessions = repairs(api)?;
        let ended = sessions.iter().find(|session| session["outcome"] == "identical");
        ended.cloned().ok_or_else(|| format!("{sessions:?}"))
    });
    let (found, received) = (number(&second, "found"), number(&first, "received"));
    println!("{received} received; then {found} found");
    assert!(found > 0 && found < 3_500, "{received} were received before, of 4,000: {second:#}");
    assert_eq!(cluster.nodes[1].view().keys, 4_000);
}

#[test]
fn changes_are_told_a_line_each_where_output_is_piped() {
    let cluster = Cluster::start(2, STILL);
    let (one, two) = (cluster.api(0), cluster.api(1));
    write(one, "k", 50, b"value");
    let mut watch = mangrove();
    watch.args(["repairs", "--watch", "--endpoint", &format!("http://{}", two.address)]);
    let out = cluster.home().join("watched");
    let mut running = support::Killed(watch.stdout(std::fs::File::create(&out).unwrap()).spawn().unwrap());
    // The watcher tells changes since its first look.
    thread::sleep(std::time::Duration::from_secs(1));
    ask(one, &["repair", "--peer", "n2"]).expect(0);
    until("a line for the session that ended", SOON, || {
        let text = std::fs::read_to_string(&out).unwrap();
        let told = text.lines().any(|line| line.contains(" n1 identical ") && line.contains(" found=50 "));
        if told { Ok(()) } else { Err(text) }
    });
    assert!(running.0.try_wait().unwrap().is_none(), "it goes on until it is told to stop");
}
