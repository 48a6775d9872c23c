//! What is written at one node is read at the others, byte for byte, by either way that data travels.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use support::{Api, Cluster, Input, QUICK, encoded, noise, real_files, until};

/// Clients that write or read at the same time.
const CLIENTS: usize = 4;

#[test]
fn a_thousand_real_files_through_one_node_are_byte_equal_at_the_others() {
    let cluster = Cluster::start(3, QUICK);
    let files = real_files(1_000);
    let began = Timestamp::now();
    at_once(&files, |file| drop(cluster.api(0).put(&file.key, file.value.clone())));
    let root = cluster.wait_equal_roots();
    for api in [cluster.api(1), cluster.api(2)] {
        at_once(&files, |file| {
            let found = api.value(&file.key);
            assert!(found.as_ref() == Some(&file.value), "{} at {}: {found:?}", file.key, api.address);
        });
        assert_listed(api, &files);
    }
    // The same is proven by the nodes themselves, and nothing has changed by it.
    assert_eq!(cluster.wait_proven(began), root);
    let view = cluster.nodes[1].view();
    assert_eq!((view.keys, view.tombstones), (1_000, 0));
}

fn assert_listed(api: Api, files: &[Input]) {
    let mut expected: Vec<&str> = files.iter().map(|file| file.key.as_str()).collect();
    let mut listed = api.keys("");
    assert_eq!(listed.len(), expected.len());
    // In the order of the keys' bytes, which that of their spelling need not be.
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

/// Calls for each of the inputs, from several threads.
fn at_once<T: Sync>(inputs: &[T], call: impl Fn(&T) + Sync) {
    let call = &call;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || inputs.iter().skip(client).step_by(CLIENTS).for_each(call));
        }
    });
}

#[test]
fn rumors_off_and_anti_entropy_alone_converges() {
    let cluster =
        converges_with(&["--rumors", "off", "--repair-interval", "100ms", "--forget-deletes", "on"]);
    // Once every member is known to hold them they leave every tree.
    until("tombstones are forgotten", Duration::from_secs(90), || {
        let views = cluster.apis().iter().map(|api| api.view()).collect::<Result<Vec<_>, _>>()?;
        match views.iter().all(|view| view.tombstones == 0) {
            true => Ok(()),
            false => Err(views.iter().map(|view| view.summary() + "\n").collect::<String>()),
        }
    });
    cluster.wait_equal_roots();
    cluster.assert_everywhere("k/1", None);
}

#[test]
fn anti_entropy_off_and_rumors_alone_reach_all_live_nodes() {
    converges_with(&["--anti-entropy", "off"]);
}

/// Writes, overwrites and deletes at all nodes in turn, until all of it is everywhere.
fn converges_with(flags: &[&str]) -> Cluster {
    let cluster = Cluster::start(3, flags);
    let numbers: Vec<usize> = (0..300).collect();
    at_once(&numbers, |number| drop(cluster.api(number % 3).put(&format!("k/{number}"), "first")));
    cluster.wait_equal_roots();
    at_once(&numbers, |number| match number % 3 {
        0 => drop(cluster.api((number + 1) % 3).put(&format!("k/{number}"), format!("second {number}"))),
        1 => drop(cluster.api((number + 2) % 3).delete(&format!("k/{number}"))),
        _ => {}
    });
    cluster.wait_equal_roots();
    for number in &numbers {
        let expected = match number % 3 {
            0 => Some(format!("second {number}")),
            1 => None,
            _ => Some("first".to_owned()),
        };
        cluster.wait_everywhere(&format!("k/{number}"), expected.as_deref());
    }
    let view = cluster.nodes[2].view();
    assert!(view.keys == 200 && view.tombstones <= 100, "{}", view.summary());
    cluster
}

#[test]
fn a_value_of_the_greatest_size_is_replicated_and_one_byte_more_is_refused() {
    largest_value(QUICK, 1 << 20);
}

#[test]
fn values_of_sixteen_mebibytes_are_replicated_where_the_settings_allow_them() {
    largest_value(&["--repair-interval", "200ms", "--value-bytes-max", "16MiB"], 16 << 20);
}

fn largest_value(flags: &[&str], bytes: usize) {
    let mut cluster = Cluster::start(3, flags);
    let value = noise(1, bytes);
    // Once while all are there, and once while one is down, so that it travels in a session, too.
    cluster.api(0).put("pushed", value.clone());
    cluster.nodes[2].stop();
    cluster.api(1).put("repaired", [&value[1..], &[7]].concat());
    let refused = cluster.api(1).try_put("refused", [&value[..], &[7]].concat()).unwrap();
    assert_eq!((refused.status, refused.problem().as_deref()), (413, Some("value-too-large")));
    cluster.nodes[2].start_ready();
    cluster.wait_equal_roots();
    for api in cluster.apis() {
        assert!(api.value("pushed").as_ref() == Some(&value), "pushed, at {}", api.address);
        let repaired = api.value("repaired").unwrap();
        assert!(
            repaired[..bytes - 1] == value[1..] && repaired[bytes - 1] == 7,
            "repaired, at {}",
            api.address
        );
        assert_eq!(api.value("refused"), None);
    }
}

#[test]
fn keys_of_any_bytes_and_content_types_are_the_same_everywhere() {
    let cluster = Cluster::start(3, QUICK);
    let every: Vec<u8> = (0..=255).collect();
    let longest = "k".repeat(1_024);
    let keys = [encoded(&every), encoded("ä ö/ü?#&=+%25".as_bytes()), "a//b/".to_owned(), longest];
    for (number, key) in keys.iter().enumerate() {
        let kind = [("content-type", "text/x-number; charset=utf-8")];
        let target = format!("/v1/kv/{key}");
        let answer = cluster.api(number % 3).send(reqwest::Method::PUT, &target, &kind, number.to_string());
        assert_eq!(answer.unwrap().status, 201, "{key}");
    }
    cluster.api(0).put("empty", "");
    cluster.wait_equal_roots();
    let etags = |api: Api| -> Vec<String> {
        keys.iter().map(|key| api.get(key).header("etag").unwrap().to_owned()).collect()
    };
    for api in cluster.apis() {
        for (number, key) in keys.iter().enumerate() {
            let answer = api.get(key);
            assert_eq!((answer.status, answer.text()), (200, number.to_string()), "{key}");
            assert_eq!(answer.header("content-type"), Some("text/x-number; charset=utf-8"));
            assert_eq!(answer.header("mangrove-siblings"), Some("1"));
        }
        assert_eq!(api.value("empty"), Some(Vec::new()));
        assert_eq!(etags(api), etags(cluster.api(0)));
        assert_eq!(api.keys("").len(), 5);
    }
}

#[test]
fn the_view_of_the_cluster_holds_what_programs_read() {
    let cluster = Cluster::start(3, QUICK);
    let began = Timestamp::now();
    cluster.api(0).put("a", "1");
    cluster.wait_proven(began);
    let view = cluster.api(0).fetch("/v1/cluster").unwrap().json();
    let is_hex = |value: &serde_json::Value| {
        value.as_str().is_some_and(|text| text.len() >= 16 && text.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    assert!(is_hex(&view["cluster"]) && is_hex(&view["root"]) && is_hex(&view["node"]["id"]), "{view:#}");
    assert_eq!(view["node"]["name"], "n1");
    assert_eq!(view["node"]["http"], cluster.nodes[0].http.to_string());
    assert_eq!(view["node"]["gossip"], cluster.nodes[0].gossip.to_string());
    assert!(view["node"]["version"].is_string() && view["keys"] == 1 && view["tombstones"] == 0);
    let members = view["members"].as_array().unwrap();
    let mut names: Vec<&str> = members.iter().map(|member| member["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for member in members {
        assert!(is_hex(&member["id"]) && member["liveness"] == "alive", "{view:#}");
        let fields = member.as_object().unwrap();
        for name in ["root", "last_identical", "repair"] {
            assert!(fields.contains_key(name), "no {name} in {view:#}");
        }
        if member["name"] != "n1" {
            let last: Timestamp = member["last_identical"].as_str().unwrap().parse().unwrap();
            assert!(last > began && last <= Timestamp::now(), "{view:#}");
        }
    }
}
