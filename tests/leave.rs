//! Nodes that leave, members that are evicted, and what becomes of what only they had.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "leave/importing.rs"]
mod importing;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use support::{Api, Cluster, Ran, SOON, ask, fails, json, mangrove, quarantine, quarantined, run, until};

const FLAGS: &[&str] = &["--repair-interval", "200ms", "--allow-drills"];

/// Waits until a node sees the member as down for as long as it must to promise its removal.
fn evict_once_down(api: Api, name: &str) -> Ran {
    until(format!("{name} is removed"), SOON, || {
        let ran = ask(api, &["evict", name, "--json"]);
        if ran.code() == Some(0) { Ok(ran) } else { Err(ran.stderr) }
    })
}

#[test]
fn a_node_leaves_under_writes_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3, FLAGS);
    let all = cluster.apis();
    let workload = cluster.workload(2, "leave");
    workload.wait_more(&all, 30);
    let left = json(&ask(cluster.api(2), &["leave", "--yes", "--json"]).expect(0));
    assert_eq!((&left["state"], &left["node"]), (&"left".into(), &"n3".into()));
    assert_eq!(cluster.nodes[2].wait_end().code(), Some(0), "its process ends by itself");
    let others = cluster.apis();
    workload.wait_more(&others, 30);
    let ledger = workload.finish();
    cluster.wait_equal_roots();
    ledger.assert_kept_by(&others);
    for node in &cluster.nodes[..2] {
        node.wait_view("two members", |view| view.members.len() == 2 && view.member("n3").is_none());
    }
    // On the same data it has left still: it says so, and ends again.
    cluster.nodes[2].start();
    assert_eq!(cluster.nodes[2].wait_end().code(), Some(0));
}

#[test]
fn what_would_lose_data_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::start(2, FLAGS);
    let (one, two) = (cluster.api(0), cluster.api(1));
    let live = ask(one, &["evict", "n2"]);
    assert!(live.stderr.contains("may then be lost to the others"), "{}", live.stderr);
    fails(live, 1, "n2 answers");
    let oneself = ask(one, &["evict", "n1"]);
    assert!(
        oneself.stderr.contains("--force") && oneself.stderr.contains("quarantine file"),
        "{}",
        oneself.stderr
    );
    fails(oneself, 1, "mangrove leave");
    fails(ask(one, &["evict", "n9"]), 1, "no member is called n9; the members are: n1, n2");
    // What asks nobody must be said twice where no person can be asked.
    one.put("k", "v");
    cluster.wait_equal_roots();
    let asked = ask(one, &["evict", "n2", "--force"]);
    assert!(asked.stderr.contains("n2 (alive) is removed"), "{}", asked.stderr);
    assert!(asked.stderr.contains("since it was last proven identical to n1"), "{}", asked.stderr);
    fails(asked, 2, "say --yes");
    let asked = ask(one, &["leave", "--force"]);
    assert!(asked.stderr.contains("handing nothing over"), "{}", asked.stderr);
    fails(asked, 2, "say --yes");
    let send = |target: &str, body: &str| {
        one.send(Method::POST, target, &[("content-type", "application/json")], body.to_owned()).unwrap()
    };
    for (target, body, problem) in [
        ("/v1/cluster/evict", r#"{"member": "n2"}"#, "member-answers"),
        ("/v1/cluster/evict", r#"{"member": "n1"}"#, "oneself"),
        ("/v1/cluster/evict", r#"{"member": "n9"}"#, "no-such-member"),
        ("/v1/cluster/evict", "{}", "bad-field"),
        ("/v1/cluster/leave", r#"{"force": "yes"}"#, "bad-field"),
        ("/v1/cluster/leave", r#"{"farce": true}"#, "unknown-field"),
    ] {
        assert_eq!(send(target, body).problem().as_deref(), Some(problem), "{target} {body}");
    }
    let looked = one.fetch("/v1/cluster/leave").unwrap();
    assert_eq!((looked.status, &looked.json()["state"]), (200, &"member".into()), "to look changes nothing");
    assert_eq!(cluster.nodes[0].view().members.len(), 2);
    // One of two is no majority, and the last one has nobody to hand over to.
    cluster.nodes[1].kill9();
    until("too few can promise it", SOON, || {
        let ran = ask(one, &["evict", "n2"]);
        let said =
            ran.stderr.contains("1 of 2 could promise it, 2 are needed") && ran.stderr.contains("--force");
        if said && ran.code() == Some(1) { Ok(()) } else { Err(ran.stderr) }
    });
    let forced = json(&ask(one, &["evict", "n2", "--force", "--yes", "--json"]).expect(0));
    assert_eq!((&forced["forced"], &forced["promised"]), (&true.into(), &serde_json::Value::Null));
    fails(ask(one, &["leave"]), 1, "the last member of its cluster");
    fails(ask(one, &["evict", "n1"]), 1, "the last member of its cluster");
    assert_eq!(one.text("k").as_deref(), Some("v"));
    // The removed one is told when it comes.
    cluster.nodes[1].start();
    until("it knows", SOON, || {
        let answer = two.fetch("/readyz")?;
        if answer.text().contains("was removed from the cluster") { Ok(()) } else { Err(answer.text()) }
    });
}

/// A leaving node that nobody answers says for whom it waits, takes no writes, and a restart does not make it forget.
#[test]
fn a_leaving_node_waits_for_somebody_to_hand_over_to() {
    let mut cluster = Cluster::start(2, FLAGS);
    let (one, two) = (cluster.api(0), cluster.api(1));
    cluster.nodes[1].kill9();
    cluster.nodes[0].wait_view("n2 is down", |view| view.others_are("down"));
    one.put("k", "handed over");
    let leaving = |force: &str| {
        let body = format!(r#"{{"force": {force}}}"#);
        one.send(Method::POST, "/v1/cluster/leave", &[("content-type", "application/json")], body).unwrap()
    };
    let answer = leaving("false");
    let told = answer.json();
    assert_eq!((answer.status, &told["state"]), (202, &"leaving".into()), "{told}");
    assert_eq!(told["waits_for"], serde_json::json!(["n2"]));
    assert_eq!(told["keys_alone"], 1, "{told}");
    // Asked again, and only looked at, it says the same.
    let again = leaving("false");
    assert_eq!((again.status, again.json()), (202, told.clone()));
    assert_eq!(one.fetch("/v1/cluster/leave").unwrap().json(), told);
    let asked = ask(one, &["leave", "--force"]);
    fails(asked, 2, "up to 1 of its keys have values that nobody else is known to hold");
    assert_eq!(one.try_put("k", "no").unwrap().problem().as_deref(), Some("not-ready"));
    assert_eq!(one.text("k").as_deref(), Some("handed over"), "it still reads");
    cluster.nodes[0].kill9();
    cluster.nodes[0].start();
    until("it is leaving still", SOON, || {
        let answer = one.fetch("/readyz")?;
        if answer.text().contains("is leaving the cluster") { Ok(()) } else { Err(answer.text()) }
    });
    cluster.nodes[1].start();
    assert_eq!(cluster.nodes[0].wait_end().code(), Some(0));
    cluster.nodes[1].wait_ready();
    assert_eq!(two.text("k").as_deref(), Some("handed over"));
    cluster.nodes[1].wait_view("alone", |view| view.members.len() == 1);
}

/// A cluster whose n3 took writes while it was apart, was evicted, and has come back.
fn evicted_and_back() -> Cluster {
    let mut cluster = Cluster::start(3, FLAGS);
    let (one, three) = (cluster.api(0), cluster.api(2));
    for number in 0..50 {
        one.put(&format!("known/{number}"), "known to all");
    }
    cluster.wait_equal_roots();
    ask(three, &["drill", "isolate", "--node", "n3", "--for", "5m"]).expect(0);
    three.put("only/there", "precious");
    three.put("both", "theirs");
    one.put("both", "ours");
    // Deleted by everybody else while n3 was away: it is back by a person's hand alone.
    three.put("known/0", "changed there");
    one.delete("known/0");
    cluster.nodes[2].kill9();
    let evicted = json(&evict_once_down(one, "n3"));
    assert_eq!((&evicted["promised"], &evicted["needed"]), (&2.into(), &2.into()));
    cluster.nodes[2].start();
    until("it serves nothing, and says so", SOON, || {
        let answer = three.fetch("/v1/kv/only/there")?;
        let said =
            answer.text().contains("was removed") && answer.text().contains("mangrove quarantine list");
        if answer.status == 503 && said { Ok(()) } else { Err(answer.text()) }
    });
    cluster
}

#[test]
fn a_removed_node_says_so_wherever_it_is_asked() {
    let mut cluster = evicted_and_back();
    let (one, three) = (cluster.api(0), cluster.api(2));
    // It is asked for the cluster: what it knows of the others is not how they are.
    let shown = json(&ask(three, &["status", "--json"]).expect(0));
    assert_eq!(shown["identical"], false, "{shown}");
    let own = shown["members"].as_array().unwrap().iter().find(|row| row["name"] == "n3").cloned().unwrap();
    assert_eq!(
        (&own["liveness"], &own["asked"], &own["ready"]),
        (&"removed".into(), &true.into(), &false.into())
    );
    let text = ask(three, &["status"]).expect(0).text();
    assert!(text.contains("n3 is no member any more") && text.contains("was removed"), "{text}");
    assert!(!text.contains("mangrove evict"), "it knows nothing of the others any more: {text}");
    assert!(ask(three, &["members"]).expect(0).text().contains("removed"));
    let send = |body: &str| {
        three.send(
            Method::POST,
            "/v1/cluster/leave",
            &[("content-type", "application/json")],
            body.to_owned(),
        )
    };
    let refused = send("{}").unwrap();
    assert_eq!(
        (refused.status, refused.problem().as_deref()),
        (409, Some("not-a-member")),
        "no other node is to leave"
    );
    fails(ask(three, &["leave", "--yes"]), 1, "This node was removed from the cluster");
    let evict = |api: Api, member: &str| {
        let body = format!(r#"{{"member": "{member}", "force": true}}"#);
        let json = [("content-type", "application/json")];
        api.send(Method::POST, "/v1/cluster/evict", &json, body).unwrap()
    };
    assert_eq!(evict(three, "n1").problem().as_deref(), Some("not-a-member"), "nor does it remove others");
    let members = json(&ask(one, &["members", "--json"]).expect(0));
    assert_eq!(members["removed"][0]["name"], "n3", "{members}");
    // Whoever would remove it once more is told that it was done, and by whom.
    fails(ask(one, &["evict", "n3"]), 1, "is no member any more: n1 removed it at 20");
    let again = evict(one, "n3").json();
    assert!(
        again["detail"].as_str().unwrap().contains("is no member any more: n1 removed it at 20"),
        "{again}"
    );
    // A restart does not make it forget what it has put aside.
    cluster.nodes[2].kill9();
    cluster.nodes[2].start();
    until("it says so again", SOON, || {
        let answer = three.fetch("/readyz")?;
        if answer.text().contains("mangrove quarantine list") { Ok(()) } else { Err(answer.text()) }
    });
    let log = cluster.nodes[2].log();
    let restarted = log.rsplit(" starting ").next().unwrap_or_default();
    assert!(restarted.contains("was removed from the cluster") && restarted.contains("by=n1"), "{restarted}");
    assert!(!restarted.contains("addresses could not be made known"), "{restarted}");
    let metrics = three.fetch("/metrics").unwrap().text();
    assert!(
        metrics.contains("mangrove_quarantine_bytes ") && !metrics.contains("mangrove_quarantine_bytes 0.0"),
        "{metrics}"
    );
}

/// What an evicted member alone had comes back by a person's hand, beside what was written meanwhile (H18).
#[test]
fn what_only_an_evicted_member_had_can_be_brought_back() {
    let cluster = evicted_and_back();
    let one = cluster.api(0);
    let home = cluster.nodes[2].data_dir.clone();
    let listed = json(&quarantine(&["list", "--json"], &home).expect(0));
    let keys: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert!(["only/there", "both", "known/0"].iter().all(|key| keys.contains(key)), "{keys:?}");
    let shown = run(mangrove().args(["quarantine", "show"]).arg(&home).arg("only/there"), SOON).expect(0);
    assert_eq!(shown.text(), "precious");

    // It shows what it would bring, and without a word brings nothing.
    let import = |more: &[&str]| {
        let mut command = mangrove();
        command.args(["quarantine", "import"]).arg(&home).args(more);
        run(command.args(["--endpoint", &format!("http://{}", one.address)]), SOON)
    };
    assert!(import(&["--dry-run"]).expect(0).text().contains("added: the key has no value now"));
    import(&[]).expect(2);
    assert_eq!((one.text("only/there"), one.text("known/0")), (None, None));
    let done = json(&import(&["--yes", "--json"]).expect(0));
    assert!(done["brought"].as_u64().unwrap() >= 2, "{done}");
    assert_eq!(one.text("only/there").as_deref(), Some("precious"));
    assert_eq!(one.text("known/0").as_deref(), Some("changed there"));
    let mut both: Vec<String> = one.siblings("both").values.into_iter().collect();
    both.sort();
    assert_eq!(both, ["ours", "theirs"], "nothing was replaced");
    let again = json(&import(&["--yes", "--json"]).expect(0));
    assert_eq!(
        (&again["brought"], &again["there"]),
        (&0.into(), &done["values"].as_array().unwrap().len().into())
    );

    // A file that is cut or altered is refused, with the place, and nothing of it is used.
    let file = home.join("quarantine");
    let good = std::fs::read(&file).unwrap();
    let bad = cluster.home().join("bad");
    std::fs::write(&bad, &good[..good.len() - 1]).unwrap();
    fails(quarantine(&["list"], &bad), 2, "say --up-to-damage");
    let whole = json(&quarantine(&["list", "--json", "--up-to-damage"], &bad).expect(0));
    assert_eq!(whole, listed, "only the end of the last append is missing");
    let mut altered = good;
    altered[100] ^= 1;
    std::fs::write(&bad, altered).unwrap();
    let refused = run(mangrove().args(["quarantine", "import", "--yes"]).arg(&bad), SOON);
    fails(refused, 2, "is damaged at byte 56");
    let none = quarantine(&["list"], &cluster.nodes[0].data_dir).expect(0);
    assert_eq!(none.text(), "nothing is in quarantine there\n");
    let nowhere = cluster.home().join("empty");
    std::fs::create_dir(&nowhere).unwrap();
    fails(quarantine(&["list"], &nowhere), 2, "is no data directory of a node");
}

/// A disk that takes no more as values are put aside: nobody may be told that they all are in the file, since the data
/// directory would be deleted by that.
#[test]
fn values_that_could_not_be_put_aside_are_not_said_to_be() {
    let mut cluster = Cluster::start(3, FLAGS);
    let (one, three) = (cluster.api(0), cluster.api(2));
    let home = cluster.nodes[2].data_dir.clone();
    ask(three, &["drill", "isolate", "--node", "n3", "--for", "5m"]).expect(0);
    three.put("only/there", "precious");
    let file = home.join("quarantine");
    std::fs::create_dir(&file).unwrap();
    ask(one, &["evict", "n3", "--force", "--yes"]).expect(0);
    cluster.nodes[2].kill9();
    cluster.nodes[2].start();
    let is_said = |text: &str| {
        ["not all in its file quarantine", "restart the node", "Do not delete"]
            .iter()
            .all(|t| text.contains(t))
    };
    until("it says that not all is in the file", SOON, || {
        let text = three.fetch("/readyz")?.text();
        if is_said(&text) { Ok(()) } else { Err(text) }
    });
    let status = ask(three, &["status"]).expect(0).text();
    assert!(is_said(&status.replace('\n', " ")), "{status}");
    let refused = ask(three, &["leave", "--yes"]);
    assert!(refused.code() == Some(1) && is_said(&refused.stderr), "{}", refused.stderr);
    let metrics = three.fetch("/metrics").unwrap().text();
    assert!(metrics.contains("mangrove_quarantine_bytes 0.0"), "a folder's own size counts for nothing");
    // What it asks for is enough.
    std::fs::remove_dir(&file).unwrap();
    cluster.nodes[2].kill9();
    cluster.nodes[2].start();
    wait_searched(three);
    assert_eq!(quarantined(&home), BTreeSet::from(["only/there".to_owned()]));
}

/// Waits until a node that was removed has looked through all that it holds.
fn wait_searched(api: Api) {
    until("it has looked through all that it holds", SOON, || {
        let text = api.fetch("/readyz")?.text();
        if text.contains("Its data directory is kept") { Ok(()) } else { Err(text) }
    });
}

/// Writes keys of their own to a node all the time, while `act` is done; gives those that were acknowledged.
fn acknowledged_during(api: Api, act: impl FnOnce()) -> BTreeSet<String> {
    let stop = AtomicBool::new(false);
    let write = |writer: u32| {
        let keys = (0..).map(|number| format!("w/{writer}/{number}"));
        let going = keys.take_while(|_| !stop.load(Ordering::Relaxed));
        going
            .filter(|key| match api.try_put(key, "v") {
                Ok(answer) if answer.is_success() => true,
                // It serves no more: asked again, gently, until the end.
                _ => {
                    std::thread::sleep(Duration::from_millis(5));
                    false
                }
            })
            .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(writer))).collect();
        std::thread::sleep(Duration::from_millis(300));
        act();
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

/// A write that was let in lands before the search for what only the removed node holds, or is not acknowledged.
#[test]
fn what_is_acknowledged_as_its_node_is_removed_is_at_another_or_in_quarantine() {
    for way in ["evict", "leave"] {
        let mut cluster = Cluster::start(3, FLAGS);
        let (one, two, three) = (cluster.api(0), cluster.api(1), cluster.api(2));
        let acknowledged = acknowledged_during(three, || match way {
            "evict" => drop(ask(one, &["evict", "n3", "--force", "--yes"]).expect(0)),
            _ => drop(ask(three, &["leave", "--force", "--yes"]).expect(0)),
        });
        match way {
            "evict" => wait_searched(three),
            _ => assert_eq!(cluster.nodes[2].wait_end().code(), Some(0)),
        }
        let mut held: BTreeSet<String> = one.keys("w/").into_iter().chain(two.keys("w/")).collect();
        held.extend(quarantined(&cluster.nodes[2].data_dir));
        assert!(acknowledged.len() > 50, "{way}: {} writes were acknowledged", acknowledged.len());
        let lost: Vec<_> = acknowledged.difference(&held).collect();
        assert!(lost.is_empty(), "{way}: of {} acknowledged writes lost: {lost:?}", acknowledged.len());
    }
}

/// While a member is down deletes wait for it; to evict it ends that.
#[test]
fn deletes_wait_for_a_member_that_is_down_until_it_is_evicted() {
    let mut flags = FLAGS.to_vec();
    flags.extend(["--forget-deletes", "on"]);
    let mut cluster = Cluster::start(3, &flags);
    let one = cluster.api(0);
    cluster.nodes[2].kill9();
    cluster.nodes[0].wait_view("n3 is down", |view| view.member("n3").is_some_and(|m| m.liveness == "down"));
    one.put("k", "v");
    one.delete("k");
    // The watermark of a cluster in which nothing waited would never lie so far behind.
    let told = until("it waits for n3", 2 * SOON, || {
        let status = json(&ask(one, &["status", "--json"]));
        let told = status["members"].as_array().unwrap().iter().find(|row| row["asked"] == true).unwrap();
        let waits = &told["forgetting"]["waits_for"];
        let is_n3 = waits["name"] == "n3" && waits["why"] == "down";
        let is_stuck = told["forgetting"]["watermark_lag_ms"].as_u64().is_some_and(|lag| lag > 50_000);
        if is_n3 && is_stuck { Ok(told["forgetting"].clone()) } else { Err(told.to_string()) }
    });
    assert_eq!(told["waiting"]["tombstones"], 1, "{told}");
    assert!(told["waiting"]["tombstone_bytes"].as_u64().unwrap() > 0, "{told}");
    let metrics = one.fetch("/metrics").unwrap().text();
    assert!(metrics.contains("mangrove_members{state=\"down\"} 1.0"), "{metrics}");
    let forgetting = || one.fetch("/v1/cluster").unwrap().json()["forgetting"]["waiting"].clone();
    evict_once_down(one, "n3");
    until("the tombstone has left", SOON, || {
        let forgetting = forgetting();
        if forgetting["tombstones"] == 0 { Ok(()) } else { Err(forgetting.to_string()) }
    });
}
