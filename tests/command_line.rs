//! The commands of the program against a cluster that runs: what they print, and their exit codes.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use jiff::Timestamp;
use serde_json::Value;
use support::{Cluster, Killed, QUICK, SOON, ask, fails, json, mangrove, noise, run, signal};

#[test]
fn values_are_written_read_and_deleted() {
    let mut cluster = Cluster::start(3, QUICK);
    let (one, other) = (cluster.api(0), cluster.api(2));
    assert_eq!(ask(one, &["put", "greeting", "hello"]).expect(0).text(), "");
    cluster.wait_everywhere("greeting", Some("hello"));
    assert_eq!(ask(other, &["get", "greeting"]).expect(0).text(), "hello");

    // Any bytes, by file and by stdin, and out again to a file.
    let (value, file) = (noise(3, 200_000), cluster.home().join("value"));
    fs::write(&file, &value).unwrap();
    ask(one, &["put", "by/file%00", "--content-type", "image/x-noise", "--file", file.to_str().unwrap()])
        .expect(0);
    let mut child = mangrove();
    child.args(["put", "by stdin", "--endpoint", &format!("http://{}", one.address)]).stdin(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&value).unwrap();
    assert!(child.wait().unwrap().success());
    cluster.wait_equal_roots();
    assert!(ask(other, &["get", "by/file%00"]).expect(0).stdout == value);
    let out = cluster.home().join("out");
    ask(other, &["get", "by stdin", "--output", out.to_str().unwrap()]).expect(0);
    assert!(fs::read(&out).unwrap() == value);
    assert_eq!(other.get("by/file%00").header("content-type"), Some("image/x-noise"));
    assert_eq!(ask(other, &["list"]).expect(0).text(), "by%20stdin\nby/file%00\ngreeting\n");
    assert_eq!(ask(other, &["list", "by/"]).expect(0).text(), "by/file%00\n");
    assert_eq!(ask(other, &["list", "--limit", "1"]).expect(0).text(), "by%20stdin\n");

    ask(other, &["delete", "greeting"]).expect(0);
    cluster.wait_everywhere("greeting", None);
    fails(ask(one, &["get", "greeting"]), 1, "greeting is not there");
    fails(ask(one, &["get", "100%"]), 2, "%25");
    fails(ask(one, &["put", "huge", "--file", "/dev/zero"]), 2, "16 MiB");
    // A node that is gone is passed over where there is another one.
    cluster.nodes[0].kill9();
    let endpoints = format!("http://{},http://{}", one.address, other.address);
    let ran = run(mangrove().args(["get", "by/file%00", "--endpoint", &endpoints]), SOON).expect(0);
    assert!(ran.stdout == value);
    fails(ask(one, &["get", "greeting"]), 1, &one.address.to_string());
    fails(ask(one, &["put", "greeting", "x"]), 1, &one.address.to_string());
}

#[test]
fn concurrent_values_are_shown_and_replaced_with_the_token_that_was_printed() {
    let mut cluster = Cluster::start(2, QUICK);
    cluster.nodes[1].stop();
    ask(cluster.api(0), &["put", "key", "one"]).expect(0);
    cluster.nodes[0].stop();
    cluster.nodes[1].start_ready();
    ask(cluster.api(1), &["put", "key", "two"]).expect(0);
    cluster.nodes[0].start_ready();
    cluster.wait_proven(Timestamp::now());
    let api = cluster.api(0);
    let latest = ask(api, &["get", "key"]).expect(0);
    assert_eq!(latest.text(), "two");
    assert!(latest.stderr.contains("2 siblings"), "{}", latest.stderr);
    let shown = ask(api, &["get", "key", "--siblings"]).expect(0).text();
    assert!(shown.contains("one") && shown.contains("two"), "{shown}");
    let all = json(&ask(api, &["get", "key", "--json"]).expect(0));
    assert_eq!(all["siblings"].as_array().unwrap().len(), 2, "{all:#}");
    let context = all["context"].as_str().unwrap();
    ask(api, &["put", "key", "both", "--context", context]).expect(0);
    assert_eq!(cluster.api(0).siblings("key").values.len(), 1);
    cluster.wait_everywhere("key", Some("both"));
    fails(ask(api, &["put", "other", "x", "--context", context]), 1, "token");
}

#[test]
fn the_state_of_the_cluster_is_shown_to_people_and_to_programs() {
    let mut cluster = Cluster::start(3, QUICK);
    let began = Timestamp::now();
    cluster.api(0).put("a", "1");
    let root = cluster.wait_proven(began);
    let api = cluster.api(1);
    let status = json(&ask(api, &["status", "--json"]).expect(0));
    assert_eq!(status["identical"], true, "{status:#}");
    assert_eq!(status["cluster"], cluster.nodes[0].view().cluster.unwrap());
    for (number, member) in status["members"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&member["root"], &member["keys"]), (&root.clone().into(), &1.into()), "{status:#}");
        assert_eq!(member["liveness"], "alive");
        let name = member["name"].as_str().unwrap();
        assert!(name == "n2" || member["last_identical"].is_string(), "{status:#}");
        assert!(number < 3);
    }
    let text = ask(api, &["status"]).expect(0).text();
    for word in ["n1", "n2", "n3", "alive", &root[..12], "all 3 roots are equal"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let members = ask(api, &["members"]).expect(0).text();
    for node in &cluster.nodes {
        assert!(members.contains(&node.gossip.to_string()) && members.contains(&node.name), "{members}");
    }
    let told = json(&ask(api, &["members", "--json"]).expect(0));
    let each = told["members"].as_array().unwrap();
    assert!(
        each.len() == 3 && each.iter().all(|member| member["version"] == env!("CARGO_PKG_VERSION")),
        "{told}"
    );
    assert!(each.iter().all(|member| member["forgetting"]["resurrections_blocked"] == 0), "{told}");
    assert!(told["forgetting"]["waiting"]["tombstones"].is_u64() && told["removed"] == serde_json::json!([]));

    assert_eq!(ask(api, &["health"]).expect(0).text(), "ready\n");
    cluster.nodes[2].kill9();
    cluster.nodes[1].wait_view("n3 down", |view| view.member("n3").is_some_and(|n3| n3.liveness == "down"));
    fails(ask(cluster.api(2), &["health"]), 1, "");
    let text = ask(api, &["status"]).expect(0).text();
    assert!(text.contains("down") && text.contains("n3 does not answer"), "{text}");
    assert_eq!(json(&ask(api, &["status", "--json"]).expect(0))["identical"], false);
}

#[test]
fn a_node_that_has_not_joined_is_not_healthy() {
    let mut cluster = Cluster::planned(2, QUICK);
    cluster.nodes[1].start();
    let api = cluster.api(1);
    support::until("the node answers", SOON, || api.fetch("/healthz"));
    fails(ask(api, &["health"]), 1, "join");
    fails(ask(api, &["put", "a", "1"]), 1, "join");
}

#[test]
fn every_readable_file_under_a_folder_is_imported_and_what_was_skipped_is_said() {
    let cluster = Cluster::start(3, QUICK);
    let folder = cluster.home().join("folder");
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    for number in 0..300 {
        fs::write(folder.join(format!("deep/{number}.txt")), format!("file {number}")).unwrap();
    }
    fs::write(folder.join("deep/er/ü &?#%"), "any name").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("large"), noise(5, (1 << 20) + 1)).unwrap();
    symlink("empty", folder.join("link")).unwrap();
    let arguments = ["import", "--dir", folder.to_str().unwrap(), "--prefix", "in/"];
    let said = ask(cluster.api(0), &arguments).expect(0).text();
    assert!(said.contains("imported 302 files") && said.contains("skipped 2"), "{said}");
    assert!(said.contains("large") && said.contains("link"), "{said}");
    cluster.wait_equal_roots();
    let api = cluster.api(2);
    assert_eq!(api.keys("in/").len(), 302);
    for number in [0, 150, 299] {
        assert_eq!(api.text(&format!("in/deep/{number}.txt")), Some(format!("file {number}")));
    }
    assert_eq!(api.text("in/deep/er/%C3%BC%20%26%3F%23%25").as_deref(), Some("any name"));
    assert_eq!(api.text("in/empty").as_deref(), Some(""));
    assert_eq!(
        api.get("in/deep/0.txt").header("content-type").map(|kind| kind.starts_with("text/plain")),
        Some(true)
    );

    let summary = json(&ask(api, &[&arguments[..], &["--json"]].concat()).expect(0));
    assert_eq!((&summary["files"], summary["skipped"].as_array().unwrap().len()), (&302.into(), 2));
    fails(ask(api, &["import", "--dir", "/nowhere at all"]), 2, "/nowhere at all");
}

#[test]
fn a_node_takes_its_settings_from_the_environment_and_from_a_file_and_logs_for_programs() {
    let cluster = Cluster::planned(1, &[]);
    let node = &cluster.nodes[0];
    let (file, log) = (cluster.home().join("mangrove.toml"), cluster.home().join("log"));
    let toml = format!("name = \"of-the-file\"\nlog_format = \"json\"\nhttp = \"{}\"\n", node.http);
    fs::write(&file, toml).unwrap();
    let mut serve = mangrove();
    serve.args(["serve", "--data-dir", node.data_dir.to_str().unwrap(), "--config"]).arg(&file);
    serve.env("MANGROVE_GOSSIP", node.gossip.to_string()).env("MANGROVE_NAME", "of-the-environment");
    let mut running = Killed(serve.stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
    let view = support::until("the node is ready", SOON, || {
        let ready = node.api().fetch("/readyz")?;
        if ready.status == 200 { node.api().view() } else { Err(ready.text()) }
    });
    assert_eq!((view.node.name.as_str(), view.node.gossip), ("of-the-environment", node.gossip.to_string()));
    // Ctrl-C.
    assert!(signal(running.0.id(), "INT"));
    let ended = support::until("its end", SOON, || running.0.try_wait().unwrap().ok_or_else(String::new));
    assert_eq!(ended.code(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn what_the_program_cannot_read_is_refused_with_code_two() {
    for arguments in
        [&["frobnicate"][..], &["put"], &["serve", "--no-such-flag"], &["dev", "--nodes", "0"], &[]]
    {
        let ran = run(mangrove().args(arguments), SOON).expect(2);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{arguments:?}: {}", ran.text());
    }
    let help = run(mangrove().arg("--help"), SOON).expect(0).text();
    for command in [
        "serve", "dev", "put", "get", "delete", "list", "status", "members", "repairs", "repair", "drill",
        "import", "health",
    ] {
        assert!(help.contains(command), "{command} is not in {help}");
    }
    run(mangrove().args(["get", "a", "--endpoint", "not a url at all"]), SOON).expect(2);
}
