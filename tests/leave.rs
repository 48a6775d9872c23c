//! Nodes that leave, members that are evicted, and what becomes of what only they had.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use reqwest::Method;
use support::{Api, Cluster, Ran, SOON, ask, fails, json, mangrove, run, until};

const FLAGS: &[&str] = &["--repair-interval", "200ms", "--allow-drills"];

/// Waits until a node sees the member as down for as long as it must to promise its removal.
fn evict_once_down(api: Api, name: &str) -> Ran {
    until(format!("{name} is removed"), SOON, || {
        let ran = ask(api, &["evict", name, "--json"]);
        if ran.code() == Some(0) { Ok(ran) } else { Err(ran.stderr) }
    })
}

fn quarantine(arguments: &[&str], file: &Path) -> Ran {
    run(mangrove().arg("quarantine").args(arguments).arg(file), SOON)
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
    fails(ask(one, &["evict", "n2"]), 1, "n2 answers");
    fails(ask(one, &["evict", "n1"]), 1, "mangrove leave");
    fails(ask(one, &["evict", "n9"]), 1, "No member is called 'n9'. The members are: n1, n2.");
    // What asks nobody must be said twice where no person can be asked.
    fails(ask(one, &["evict", "n2", "--force"]), 2, "say --yes");
    fails(ask(one, &["leave", "--force"]), 2, "say --yes");
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
    assert_eq!(one.fetch("/v1/cluster/leave").unwrap().status, 405);
    assert_eq!(cluster.nodes[0].view().members.len(), 2);
    one.put("k", "v");
    cluster.wait_equal_roots();
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

/// What an evicted member alone had comes back by a person's hand, beside what was written meanwhile (H18).
#[test]
fn an_evicted_member_that_returns_keeps_what_only_it_had_and_it_can_be_brought_back() {
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
    let home = cluster.nodes[2].data_dir.clone();
    let listed = json(&quarantine(&["list", "--json"], &home).expect(0));
    let keys: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"only/there") && keys.contains(&"both"), "{keys:?}");
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
    assert_eq!(one.text("only/there"), None);
    let done = json(&import(&["--yes", "--json"]).expect(0));
    assert!(done["brought"].as_u64().unwrap() >= 2, "{done}");
    assert_eq!(one.text("only/there").as_deref(), Some("precious"));
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
    fails(quarantine(&["list"], &bad), 2, "is damaged at byte");
    let mut altered = good;
    altered[100] ^= 1;
    std::fs::write(&bad, altered).unwrap();
    let refused = run(mangrove().args(["quarantine", "import", "--yes"]).arg(&bad), SOON);
    fails(refused, 2, "is damaged at byte 56");
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
    let forgetting = || one.fetch("/v1/cluster").unwrap().json()["forgetting"]["waiting"].clone();
    let waiting = forgetting();
    assert_eq!(waiting["tombstones"], 1, "{waiting}");
    assert!(waiting["tombstone_bytes"].as_u64().unwrap() > 0, "{waiting}");
    evict_once_down(one, "n3");
    until("the tombstone has left", SOON, || {
        let forgetting = forgetting();
        if forgetting["tombstones"] == 0 { Ok(()) } else { Err(forgetting.to_string()) }
    });
}
