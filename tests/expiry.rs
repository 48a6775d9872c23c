//! Values that expire: when they do, they are gone everywhere, and a write in time renews them.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use jiff::Timestamp;
use reqwest::Method;
use support::{Cluster, QUICK, SOON, ask, fails, json, until};

fn expires(answer: &support::Answer) -> Option<Timestamp> {
    answer.header("mangrove-expires").map(|text| text.parse().unwrap())
}

#[test]
fn a_value_with_a_ttl_is_hidden_by_every_node_once_it_has_expired() {
    let cluster = Cluster::start(3, QUICK);
    let (one, other) = (cluster.api(0), cluster.api(2));
    let before = Timestamp::now();
    let written = one.send(Method::PUT, "/v1/kv/session/1?ttl=4s", &[], "v").unwrap();
    let time = expires(&written).unwrap();
    let lived = time.duration_since(before).as_millis();
    // Expiries are in whole milliseconds.
    assert!((3_999..60_000).contains(&lived), "{lived} ms");
    one.send(Method::PUT, "/v1/kv/session/2?ttl=1h", &[], "v").unwrap();
    one.put("session/3", "stays");
    cluster.wait_everywhere("session/3", Some("stays"));
    let seen = until("the value is told on", SOON, || {
        let answer = other.fetch("/v1/kv/session/1")?;
        let gone = answer.status != 200 && Timestamp::now() >= time;
        (answer.status == 200 || gone).then_some(answer).ok_or("not there yet".into())
    });
    if seen.status == 200 {
        assert_eq!((seen.text(), expires(&seen)), ("v".into(), Some(time)));
    }
    for api in cluster.apis() {
        let gone = until("it expires", SOON, || {
            let answer = api.fetch("/v1/kv/session/1")?;
            (answer.status == 404).then_some(answer).ok_or("it is still shown".into())
        });
        assert!(Timestamp::now() >= time);
        assert_eq!(gone.problem().as_deref(), Some("key-not-found"));
        assert_eq!(api.send(Method::HEAD, "/v1/kv/session/1", &[], "").unwrap().status, 404);
        let listed = api.fetch("/v1/kv?prefix=session/").unwrap().json();
        let keys: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|item| item["key"].clone()).collect();
        assert_eq!(keys, ["session/2", "session/3"]);
        assert!(listed["items"][0]["expires"].is_string() && listed["items"][1]["expires"].is_null());
    }
    // What has expired is no value that was there.
    assert_eq!(one.send(Method::PUT, "/v1/kv/session/1?ttl=1h", &[], "again").unwrap().status, 201);
    cluster.wait_everywhere("session/1", Some("again"));
}

#[test]
fn a_write_renews_a_value_or_makes_it_lasting() {
    let cluster = Cluster::start(1, QUICK);
    let api = cluster.api(0);
    let put = |target: &str| expires(&api.send(Method::PUT, target, &[], "v").unwrap());
    let first = put("/v1/kv/k?ttl=2s").unwrap();
    let second = put("/v1/kv/k?ttl=1h").unwrap();
    assert!(second > first);
    put("/v1/kv/lasting?ttl=2s").unwrap();
    assert_eq!(put("/v1/kv/lasting"), None);
    put("/v1/kv/control?ttl=2s").unwrap();
    until("the first times have passed", SOON, || {
        (api.fetch("/v1/kv/control")?.status == 404).then_some(()).ok_or("not yet".into())
    });
    assert_eq!((expires(&api.get("k")), expires(&api.get("lasting"))), (Some(second), None));
    assert_eq!(api.try_delete("control").unwrap().status, 204);
    assert_eq!(api.fetch("/v1/kv/control").unwrap().status, 404);
}

#[test]
fn a_ttl_that_no_value_can_have_is_refused() {
    let cluster = Cluster::start(1, QUICK);
    let api = cluster.api(0);
    for ttl in
        ["0s", "0ms", "1us", "-1s", "30", "", "soon", "1M", "2y", "101years", "36526d", "999999999999999999w"]
    {
        let answer = api.send(Method::PUT, &format!("/v1/kv/k?ttl={ttl}"), &[], "v").unwrap();
        assert_eq!((answer.status, answer.problem().as_deref()), (400, Some("bad-ttl")), "{ttl}");
    }
    assert_eq!(api.fetch("/v1/kv/k").unwrap().status, 404);
    assert_eq!(api.send(Method::PUT, "/v1/kv/k?ttl=36525d", &[], "v").unwrap().status, 201);
    fails(ask(api, &["put", "k", "v", "--ttl", "0s"]), 1, "100 years");
    for ttl in ["30", "-1s", "1M", "1y"] {
        let refused = ask(api, &["put", "k", "v", "--ttl", ttl]).expect(2);
        assert!(refused.stderr.contains("a number with its unit"), "{ttl}: {}", refused.stderr);
    }
}

#[test]
fn the_commands_say_when_a_value_expires() {
    let cluster = Cluster::start(1, QUICK);
    let api = cluster.api(0);
    let put = json(&ask(api, &["put", "k", "v", "--ttl", "7d", "--json"]).expect(0));
    let time = put["expires"].as_str().unwrap();
    ask(api, &["put", "lasting", "v"]).expect(0);
    assert_eq!(ask(api, &["get", "k"]).expect(0).text(), "v");
    assert_eq!(json(&ask(api, &["get", "k", "--json"]).expect(0))["siblings"][0]["expires"], time);
    assert!(ask(api, &["get", "k", "--siblings"]).expect(0).text().contains(time));
    let long = ask(api, &["list", "--long"]).expect(0).text();
    let ends: Vec<_> = long.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!(ends, [time, "never"]);
}
