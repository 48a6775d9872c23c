//! Who belongs, who answers, and where: nodes that were wiped, that moved, that lost their seed.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use support::{Api, Cluster, QUICK, SOON, until};

/// Keys `k/0` and on, through a node.
fn fill(api: Api, count: usize) {
    (0..count).for_each(|number| drop(api.put(&format!("k/{number}"), format!("value {number}"))));
}

fn assert_filled(api: Api, count: usize) {
    for number in 0..count {
        assert_eq!(api.text(&format!("k/{number}")), Some(format!("value {number}")), "at {}", api.address);
    }
}

#[test]
fn a_wiped_node_comes_back_under_its_name_and_gets_everything_back() {
    let mut cluster = Cluster::start(3, QUICK);
    fill(cluster.api(0), 1_000);
    cluster.api(1).put("deleted", "x");
    cluster.wait_equal_roots();
    cluster.api(0).delete("deleted");
    cluster.wait_equal_roots();
    let before = cluster.nodes[2].view().node.id;
    cluster.nodes[2].kill9();
    cluster.nodes[2].wipe();
    cluster.nodes[2].start();
    // Until it has everything it says that it has nothing to say, and never that there is no such key.
    let api = cluster.api(2);
    let mut unready = 0;
    until("the wiped node answers again", SOON, || {
        let answer = api.fetch("/v1/kv/k/999")?;
        match answer.status {
            200 => return Ok(()),
            503 => unready += 1,
            status => panic!("a node without its data answered {status} {}", answer.text()),
        }
        let listing = api.fetch("/v1/kv?limit=1000")?;
        let listed = (listing.status == 200).then(|| listing.json()["items"].as_array().unwrap().len());
        assert!(listing.status == 503 || listed == Some(1_000), "listed {listed:?} of 1000 keys");
        Err(answer.text())
    });
    println!("503 was answered {unready} times");
    let returned = Timestamp::now();
    cluster.nodes[2].wait_ready();
    assert_filled(api, 1_000);
    assert_eq!(api.text("deleted"), None);
    // Not the same root as before: the tombstone may have been forgotten meanwhile.
    cluster.wait_proven(returned);
    assert_eq!(cluster.nodes[2].view().keys, 1_000);
    for node in &cluster.nodes {
        let view = node.wait_view("three members, all alive", |view| {
            view.members.len() == 3 && view.others_are("alive")
        });
        assert_ne!(view.member("n3").unwrap().id, before, "a node without its data is another one");
    }
}

#[test]
fn five_nodes_joined_through_one_seed_go_on_when_it_dies() {
    let mut cluster = Cluster::planned(5, QUICK);
    let seed = cluster.nodes[0].gossip;
    cluster.nodes[0].seeds.clear();
    cluster.nodes[1..].iter_mut().for_each(|node| node.seeds = vec![seed]);
    cluster.start_all();
    fill(cluster.api(3), 100);
    cluster.wait_equal_roots();

    cluster.nodes[0].kill9();
    for number in 0..100 {
        cluster.api(1 + number % 4).put(&format!("after/{number}"), number.to_string());
    }
    for number in 0..100 {
        cluster.wait_everywhere(&format!("after/{number}"), Some(&number.to_string()));
    }
    cluster.wait_equal_roots();
    // With nothing but a dead seed in its settings a member still finds the others: it knows them.
    cluster.nodes[3].stop();
    cluster.api(1).put("while%20n4%20was%20away", "1");
    cluster.nodes[3].start_ready();
    cluster.nodes[4].kill9();
    cluster.api(2).put("while%20n5%20was%20away", "2");
    cluster.nodes[4].start_ready();
    cluster.wait_proven(Timestamp::now());

    cluster.nodes[0].start_ready();
    let returned = Timestamp::now();
    cluster.wait_proven(returned);
    cluster.assert_everywhere("while%20n4%20was%20away", Some("1"));
    cluster.assert_everywhere("while%20n5%20was%20away", Some("2"));
    for api in cluster.apis() {
        assert_filled(api, 100);
        let view = api.view().unwrap();
        assert_eq!((view.members.len(), view.keys), (5, 202));
    }
}

#[test]
fn a_node_with_another_address_and_the_same_data_is_the_same_member() {
    let mut cluster = Cluster::start(3, QUICK);
    fill(cluster.api(0), 50);
    cluster.wait_equal_roots();
    let id = cluster.nodes[2].view().node.id;
    let mut gone = BTreeSet::new();
    // Once with seeds and once without: what it knows of the others must do.
    for (round, with_seeds) in [(0, true), (1, false)] {
        cluster.nodes[2].stop();
        gone.insert(cluster.nodes[2].gossip.to_string());
        let (http, gossip) = (cluster.ports.address(), cluster.ports.address());
        (cluster.nodes[2].http, cluster.nodes[2].gossip) = (http, gossip);
        if !with_seeds {
            cluster.nodes[2].seeds.clear();
        }
        cluster.api(0).put(&format!("missed/{round}"), "x");
        cluster.nodes[2].start_ready();
        cluster.wait_proven(Timestamp::now());
        cluster.assert_everywhere(&format!("missed/{round}"), Some("x"));
        assert_eq!(cluster.nodes[2].view().node.id, id);
        for node in &cluster.nodes {
            let view = node.wait_view("the new address", |view| {
                view.member("n3")
                    .is_some_and(|n3| n3.gossip == Some(gossip.to_string()) && n3.liveness == "alive")
            });
            let ids: BTreeSet<&str> = view.members.iter().map(|member| member.id.as_str()).collect();
            assert!(view.members.len() == 3 && ids.len() == 3 && ids.contains(id.as_str()));
            let addresses = view.members.iter().filter_map(|member| member.gossip.clone());
            assert!(addresses.into_iter().all(|address| !gone.contains(&address)));
        }
    }
    assert_filled(cluster.api(2), 50);
}

#[test]
fn a_cluster_that_moved_as_a_whole_finds_itself_through_its_seeds() {
    let mut cluster = Cluster::start(3, QUICK);
    fill(cluster.api(0), 20);
    let root = cluster.wait_equal_roots();
    let ids: Vec<String> = cluster.nodes.iter().map(|node| node.view().node.id).collect();
    for number in 0..3 {
        cluster.nodes[number].stop();
        let (http, gossip) = (cluster.ports.address(), cluster.ports.address());
        (cluster.nodes[number].http, cluster.nodes[number].gossip) = (http, gossip);
    }
    // Only the one that all others have as a seed is known at its new address.
    let seed = cluster.nodes[1].gossip;
    cluster.nodes.iter_mut().for_each(|node| node.seeds = vec![seed]);
    cluster.start_all();
    assert_eq!(cluster.wait_proven(Timestamp::now()), root);
    let again: Vec<String> = cluster.nodes.iter().map(|node| node.view().node.id).collect();
    assert_eq!(again, ids);
    assert_filled(cluster.api(2), 20);
}

#[test]
fn a_killed_node_is_detected_as_down() {
    // By default settings: five seconds are promised, and noise is allowed for.
    let mut cluster = Cluster::start(3, &[]);
    cluster.nodes[1].kill9();
    let killed = Instant::now();
    for node in [&cluster.nodes[0], &cluster.nodes[2]] {
        node.wait_view("n2 down", |view| view.member("n2").is_some_and(|n2| n2.liveness == "down"));
    }
    let took = killed.elapsed();
    println!("both others saw the killed node as down after {took:.2?}");
    assert!(took < Duration::from_secs(12), "down was detected only after {took:?}");
    cluster.nodes[1].start_ready();
    for node in &cluster.nodes {
        node.wait_view("all alive", |view| view.others_are("alive"));
    }
}

#[test]
fn nodes_that_start_together_found_one_cluster() {
    let mut cluster = Cluster::planned(4, QUICK);
    // Several that may found and see each other, as where everybody is given the same settings.
    cluster.nodes[2].found = true;
    cluster.nodes[3].found = true;
    cluster.start_all();
    let founded: BTreeSet<_> = cluster.nodes.iter().map(|node| node.view().cluster.unwrap()).collect();
    assert_eq!(founded.len(), 1);
    for number in 0..4 {
        cluster.api(number).put(&format!("by/{number}"), "x");
    }
    cluster.wait_proven(Timestamp::now());
    assert_eq!(cluster.api(0).keys("by/").len(), 4);
}

#[test]
fn a_node_that_has_not_joined_waits_and_says_so() {
    let mut cluster = Cluster::planned(2, QUICK);
    // Seeds may be names.
    let seed = format!("localhost:{}", cluster.nodes[0].gossip.port());
    cluster.nodes[1].seeds.clear();
    cluster.nodes[1].flags.extend(["--join".to_owned(), seed]);
    cluster.nodes[1].start();
    let api = cluster.api(1);
    until("an answer while not joined", SOON, || {
        let answer = api.fetch("/readyz")?;
        assert_eq!(answer.status, 503, "{}", answer.text());
        Ok(())
    });
    for answer in [api.fetch("/v1/kv/a"), api.try_put("a", "1"), api.try_delete("a"), api.fetch("/v1/kv")] {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.problem().as_deref()),
            (503, Some("not-ready")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(api.fetch("/healthz").unwrap().status, 200);
    assert_eq!(api.view().unwrap().cluster, None);
    // It can be stopped while it waits.
    cluster.nodes[1].stop();
    cluster.nodes[1].start();
    // Its seed comes up later than itself.
    cluster.nodes[0].start_ready();
    cluster.nodes[1].wait_ready();
    api.put("a", "1");
    cluster.wait_everywhere("a", Some("1"));
}

#[test]
fn a_joiner_gets_what_was_there_and_a_cluster_of_one_without_keys_dissolves_into_another() {
    let mut cluster = Cluster::planned(1, QUICK);
    cluster.nodes[0].start_ready();
    fill(cluster.api(0), 50);
    cluster.add("late", QUICK).start_ready();
    assert_filled(cluster.api(1), 50);

    // Founded alone, without a key: nothing is lost by leaving that cluster for another.
    let alone = cluster.add("alone", QUICK);
    let seeds = std::mem::take(&mut alone.seeds);
    alone.start_ready();
    let founded = alone.view().cluster;
    alone.stop();
    alone.seeds = seeds;
    alone.start_ready();
    let view =
        alone.wait_view("the other cluster", |view| view.cluster != founded && view.members.len() == 3);
    assert_eq!(view.cluster, cluster.nodes[0].view().cluster);
    cluster.wait_proven(Timestamp::now());
    assert_filled(cluster.api(2), 50);
}

#[test]
fn what_is_acknowledged_while_a_cluster_of_one_gives_way_is_not_lost() {
    let mut cluster = Cluster::planned(1, QUICK);
    cluster.nodes[0].start_ready();
    fill(cluster.api(0), 1);
    let seeds = vec![cluster.nodes[0].gossip];
    for attempt in 0..4 {
        let alone = cluster.add(&format!("alone{attempt}"), QUICK);
        alone.seeds.clear();
        alone.start_ready();
        alone.stop();
        alone.seeds.clone_from(&seeds);
        alone.start();
        // Each node by a client that begins a little later, so that one of them hits the moment.
        let (api, mut acknowledged) = (alone.api(), Vec::new());
        std::thread::sleep(Duration::from_millis(attempt * 30));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            let key = format!("attempt/{attempt}/{}", began.elapsed().as_micros());
            if api.try_put(&key, "x").is_ok_and(|answer| answer.is_success()) {
                acknowledged.push(key);
            }
        }
        if !alone.is_alive() {
            // It had keys before it heard that its seeds are of another cluster: then that is a mistake.
            assert_eq!(alone.wait_end().code(), Some(2));
            alone.seeds.clear();
            alone.start();
        }
        alone.wait_ready();
        println!("{} acknowledged, then {}", acknowledged.len(), alone.view().summary());
        assert!(!acknowledged.is_empty());
        for key in acknowledged {
            assert_eq!(api.text(&key).as_deref(), Some("x"), "{key}");
        }
    }
}

#[test]
fn a_name_that_a_live_member_has_is_refused() {
    let mut cluster = Cluster::start(2, QUICK);
    cluster.api(0).put("a", "1");
    let twin = cluster.add("twin", QUICK);
    twin.name = "n2".to_owned();
    twin.start();
    let api = twin.api();
    // It goes on asking, and must not get in while n2 answers: watched over several attempts.
    let began = Instant::now();
    until("a while without being let in", SOON, || {
        let ready = api.fetch("/readyz")?;
        assert_eq!(ready.status, 503, "{}", ready.text());
        if began.elapsed() > Duration::from_secs(4) { Ok(()) } else { Err("not over".to_owned()) }
    });
    for node in &cluster.nodes[..2] {
        let view = node.view();
        assert!(view.members.len() == 2 && view.others_are("alive"), "{}", view.summary());
    }
    assert!(cluster.nodes[2].is_alive());
}
