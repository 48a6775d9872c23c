//! Bugs that the simulator found, each in the smallest form that shows it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use gossip::core::{CoreConfig, Event, Serving};
use gossip::roster::Contact;
use model::{Hlc, WriterId};
use storage::MemoryEngine;
use support::{Cluster, id, key};

/// Seeds 1976 and 2188: a node that was paused, or a network that was slow, brought the connection of a process that had
/// been killed behind that of its successor. The successor's life was then taken for the earlier one, and everything that
/// it sent refused for ever.
#[test]
fn a_connection_of_a_dead_process_that_comes_late_does_not_shut_the_living_one_out() {
    let mut cluster = Cluster::new(2, 1, CoreConfig::default());
    cluster.run(Duration::from_secs(3));
    let life = cluster.nodes[&id(2)].life;
    let late = Event::Connected { peer: id(2), life: WriterId(999), address: Some("n2:7711".into()) };
    cluster.event(id(1), late);
    // The transport closes what it had with another life, and dials: who answers lives.
    cluster.event(id(1), Event::Connected { peer: id(2), life, address: None });
    cluster.event(id(1), Event::Disconnected { peer: id(2) });
    cluster.put(id(2), &key("k"), "v", None);
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.values(id(1), &key("k")), ["v"]);
    cluster.assert_equal();
}

/// Seed 45: a joiner's disk failed before it had anything. It said "stopped", which answers reads, and so "there is
/// nothing" for keys that every member held (H22).
#[test]
fn a_joiner_whose_store_stops_answers_no_reads_either() {
    let mut cluster = Cluster::new(2, 1, CoreConfig::default());
    cluster.run(Duration::from_secs(3));
    cluster.put(id(1), &key("k"), "v", None);
    let mut meta = cluster.nodes[&id(2)].meta.clone();
    meta.caught_up = false;
    cluster.start(meta, Arc::new(MemoryEngine::new()));
    cluster.event(id(2), Event::StoreStopped { reason: "the disk failed".into() });
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.nodes[&id(2)].status.as_ref().unwrap().serving, Serving::Behind);
}

/// Seed 12302: a node moved and was restarted within the few seconds that its sponsor's clock was fast. The sponsor had
/// stamped the former address with its own time, so that was taken for the later one, by everyone and for ever.
#[test]
fn a_member_that_moved_is_found_whatever_a_fast_clock_has_said_of_where_it_was() {
    let mut cluster = Cluster::new(2, 1, CoreConfig::default());
    cluster.run(Duration::from_secs(3));
    let mut roster = cluster.nodes[&id(1)].meta.roster.clone();
    let stamp = Hlc::new(1_700_000_060_000, 0);
    let former = Contact { stamp, gossip: "before:7711".into(), http: "before:7710".into() };
    roster.set_contact(id(2), former).unwrap();
    cluster.event(id(1), Event::RosterHeard { roster: Box::new(roster) });
    cluster.run(Duration::from_secs(12));
    for node in [id(1), id(2)] {
        assert_eq!(cluster.nodes[&node].meta.roster.contact(id(2)).unwrap().gossip, "n2:7711");
    }
}

/// A backup from when a node was alone, put back after others had joined: it names nobody else, and the node must not take
/// its own word for everybody's. Its next write would claim, by its watermark, to have seen what the others hold.
/// Seed 275 with deletes forgotten and backups put back.
#[test]
fn a_node_that_begins_alone_is_not_sure_of_it_for_some_minutes() {
    let mut cluster = Cluster::new(1, 5, CoreConfig::default());
    let watermark = |cluster: &Cluster| cluster.nodes[&id(1)].meta.stability.watermark;
    cluster.run(Duration::from_secs(25));
    let founded = watermark(&cluster);
    assert!(founded > model::Hlc::ZERO, "a founder is surely alone");
    cluster.kill(id(1));
    cluster.restart(id(1));
    cluster.run(Duration::from_secs(500));
    assert_eq!(watermark(&cluster), founded);
    assert_eq!(cluster.nodes[&id(1)].status.as_ref().unwrap().serving, Serving::Yes);
    cluster.run(Duration::from_secs(120));
    assert!(watermark(&cluster) > founded);
}

/// A lasting value was replaced by one that expires, and the watermark stood still once it had passed both, since another
/// member was down or its clock weeks behind. What the second left when it expired was a tombstone under the watermark: it
/// was in no tree, and no step of the watermark came that would have taken it off the disk. Seeds 607 and 4791 with deletes
/// forgotten.
#[test]
fn what_expires_under_a_watermark_that_stands_still_leaves_the_disk() {
    let config = CoreConfig { grace: Duration::from_secs(30), ..CoreConfig::default() };
    let mut cluster = Cluster::new(3, 6, config);
    cluster.run(Duration::from_secs(5));
    cluster.put(id(1), &key("k"), "lasting", None);
    cluster.put_to_expire(id(1), &key("k"), "for a minute", None, Some(Duration::from_secs(60)));
    let newest = cluster.get(id(1), &key("k")).unwrap().context().newest();
    cluster.run(Duration::from_secs(40));
    assert!(cluster.nodes[&id(1)].meta.stability.watermark >= newest);
    cluster.kill(id(3));
    let waiting = |cluster: &Cluster| cluster.nodes[&id(1)].store.waiting();
    while waiting(&cluster).purged == 0 {
        cluster.run(Duration::from_millis(200));
        assert!(cluster.now < Duration::from_secs(120), "the value does not expire");
    }
    cluster.run(Duration::from_secs(60));
    assert_eq!(waiting(&cluster).purged, 0);
    assert_eq!(cluster.get(id(1), &key("k")), None);
}
