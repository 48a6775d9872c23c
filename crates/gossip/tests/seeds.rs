//! The seeds of the fuzz target `decoders`, `fuzz/seeds/decoders/`: what real members send and keep, and run here like any
//! other test.
//!
//! After a change of what is sent or kept, `SEEDS=write cargo test -p mangrove-gossip --test seeds` writes them anew. Other
//! files may lie beside them: what a fuzzer has found goes there and is run from then on.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/fuzzed.rs"]
mod fuzzed;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fuzzed::{KINDS, decoders, token};
use gossip::core::CoreConfig;
use gossip::founding::{JoinAnswer, JoinRefusal, JoinRequest, WireVersions};
use gossip::wire::{self, Frame};
use model::{Seen, stored};
use support::{Cluster, id, key};

/// A fuzzer works best with small ones.
const SEED_BYTES_MAX: usize = 2_000;
/// Of each kind of frame.
const FRAMES_MAX: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/decoders")
}

fn seed(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let kind = KINDS.iter().position(|name| *name == kind).unwrap() as u8;
    [&[kind], bytes].concat()
}

/// What two members have told a third, and what one of them keeps.
fn seeds() -> BTreeMap<String, Vec<u8>> {
    let mut cluster = Cluster::new(3, 5, CoreConfig::default());
    cluster.run(Duration::from_secs(3));
    cluster.hijacked = Some(id(3));
    cluster.put(id(1), &key("k"), "value", None);
    cluster.put(id(2), &key("l"), "another", None);
    cluster.run(Duration::from_secs(20));
    let mut seeds = BTreeMap::new();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, frame) in &cluster.intercepted {
        let name = match frame {
            Frame::Rumor(_) => "rumor",
            Frame::RumorAnswer { .. } => "rumor-answer",
            Frame::Session { .. } => "session",
            _ => "other",
        };
        let bytes = wire::encode(frame).unwrap();
        let number = count.entry(name).or_default();
        if *number < FRAMES_MAX && bytes.len() <= SEED_BYTES_MAX {
            *number += 1;
            seeds.insert(format!("frame-{name}-{number}"), seed("frame", &bytes));
        }
    }
    let node = &cluster.nodes[&id(1)];
    let roster = Frame::Roster(Box::new(node.meta.roster.clone()));
    seeds.insert("frame-roster-1".into(), seed("frame", &wire::encode(&roster).unwrap()));
    seeds.insert("record".into(), seed("record", &node.meta.encode()));
    let entry = node.store.get(&key("k")).unwrap().unwrap();
    seeds.insert("entry".into(), seed("entry", &stored::encode(&entry)));
    seeds.insert("token".into(), seed("token", token(&Seen::of(&entry, 5)).as_bytes()));
    let request = JoinRequest {
        node: id(9),
        name: "n9".to_owned(),
        gossip: "n9:7711".to_owned(),
        http: "n9:7710".to_owned(),
        wire: WireVersions { oldest: 1, newest: 3 },
        may_found: true,
        cluster: None,
    };
    seeds.insert("join-request".into(), seed("join-request", &request.encode()));
    let meta = &node.meta;
    let joined = JoinAnswer::Joined {
        cluster: meta.cluster,
        digest_key: meta.digest_key.clone(),
        roster: Box::new(meta.roster.clone()),
    };
    for (name, answer) in [("joined", joined), ("refused", JoinAnswer::Refused(JoinRefusal::NotReady))] {
        seeds.insert(format!("join-answer-{name}"), seed("join-answer", &answer.encode()));
    }
    seeds
}

#[test]
fn the_seeds_are_what_members_send_and_keep_today() {
    let seeds = seeds();
    for kind in KINDS {
        assert!(seeds.keys().any(|name| name.starts_with(kind)), "no seed of a {kind}");
    }
    for name in ["frame-roster-1", "frame-rumor-1", "frame-session-1"] {
        assert!(seeds.contains_key(name), "no {name}");
    }
    if std::env::var("SEEDS").is_ok_and(|what| what == "write") {
        fs::create_dir_all(folder()).unwrap();
        seeds.iter().for_each(|(name, bytes)| fs::write(folder().join(name), bytes).unwrap());
    }
    for (name, bytes) in &seeds {
        let written = fs::read(folder().join(name)).unwrap_or_default();
        assert!(
            written == *bytes,
            "{name} is another: SEEDS=write cargo test -p mangrove-gossip --test seeds"
        );
    }
}

#[test]
fn every_seed_and_what_is_near_it_is_decoded_or_refused() {
    for file in fs::read_dir(folder()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        decoders(&bytes);
        for at in 1..bytes.len() {
            let (mut cut, mut other) = (bytes.clone(), bytes.clone());
            cut.truncate(at);
            other[at] ^= 1 << (at % 8);
            decoders(&cut);
            decoders(&other);
        }
    }
}
