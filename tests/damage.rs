//! A node whose files were damaged or lost while it was stopped: it is healed from its peers, and never believed.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use support::{Cluster, Node, QUICK, SOON, ask, json, noise, until};

const KEYS: usize = 400;

fn key(number: usize) -> String {
    format!("k/{number}")
}

fn value(number: usize) -> Vec<u8> {
    noise(number as u64, 500 + number * 7)
}

/// Damages n3 while it is stopped. From its return on it must answer every read with what was written, or with
/// 503; in the end it has everything, proven.
fn heals(damage: impl Fn(&Path)) {
    heals_after(damage, |node| node.start());
}

fn heals_after(damage: impl Fn(&Path), start: impl Fn(&mut Node)) {
    let mut cluster = Cluster::start(3, QUICK);
    for number in 0..KEYS {
        cluster.api(number % 3).put(&key(number), value(number));
    }
    cluster.api(0).put("deleted", "x");
    cluster.wait_equal_roots();
    cluster.api(1).delete("deleted");
    cluster.wait_equal_roots();
    cluster.nodes[2].stop();
    damage(&cluster.nodes[2].data_dir.join("engine"));
    start(&mut cluster.nodes[2]);
    let api = cluster.api(2);
    let mut answered = 0;
    until("the node answers with all that was written", SOON, || {
        while answered < KEYS {
            let (key, answer) = (key(answered), api.fetch(&format!("/v1/kv/{}", key(answered)))?);
            match answer.status {
                200 => assert!(answer.body == value(answered), "{key} has another value"),
                503 => return Err(answer.text()),
                status => panic!("{key}: {status} {}", answer.text()),
            }
            answered += 1;
        }
        Ok(())
    });
    assert_eq!(api.value("deleted"), None);
    // Not the same root as before: the tombstone may have been forgotten meanwhile.
    cluster.wait_proven(Timestamp::now());
    let view = cluster.nodes[2].view();
    assert_eq!((view.keys, view.members.len()), (KEYS as u64, 3));
}

/// Starts the node after it was killed at many points of a start.
fn killed_while_it_starts(node: &mut Node) {
    for milliseconds in [0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130] {
        node.start();
        thread::sleep(Duration::from_millis(milliseconds));
        node.kill9();
    }
    node.start();
}

fn database(engine: &Path) -> PathBuf {
    engine.join("db")
}

#[test]
fn a_store_that_was_removed_is_filled_again() {
    heals(|engine| fs::remove_dir_all(engine).unwrap());
}

#[test]
fn a_store_that_was_removed_is_filled_again_although_the_node_is_killed_while_it_starts() {
    // Whatever it had got to, the next start must know that something is missing.
    heals_after(|engine| fs::remove_dir_all(engine).unwrap(), killed_while_it_starts);
}

#[test]
fn a_wiped_node_gets_in_once_although_it_is_killed_while_it_joins() {
    heals_after(|engine| fs::remove_dir_all(engine.parent().unwrap()).unwrap(), killed_while_it_starts);
}

#[test]
fn a_store_that_was_overwritten_in_part_is_healed() {
    heals(|engine| {
        let path = database(engine);
        let bytes = fs::metadata(&path).unwrap().len();
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(bytes / 4)).unwrap();
        file.write_all(&noise(99, usize::try_from(bytes / 2).unwrap())).unwrap();
    });
}

#[test]
fn a_store_that_was_cut_short_is_healed() {
    heals(|engine| {
        let file = OpenOptions::new().write(true).open(database(engine)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
}

/// After a clean stop a start reads digests only; the scrub does the rest, and says when it has.
#[test]
fn a_node_reads_everything_again_after_a_clean_stop() {
    let fast = [QUICK, &["--scrub-bytes-per-second", "1GB"]].concat();
    let mut cluster = Cluster::start(1, &fast);
    let api = cluster.api(0);
    let scrub = || {
        let status = json(&ask(api, &["status", "--json"]).expect(0));
        status["members"][0]["scrub"].clone()
    };
    // The store was empty as it was opened, and that proved all of it.
    let first = scrub();
    assert!(first["oldest_unverified_age_ms"].as_u64().is_some_and(|age| age < 600_000), "{first:#}");
    assert_eq!((&first["passes"], &first["bytes_per_second"]), (&0.into(), &1_000_000_000.into()));
    for number in 0..KEYS {
        api.put(&key(number), value(number));
    }
    api.delete(&key(0));
    cluster.nodes[0].stop();
    cluster.nodes[0].start_ready();
    let after = until("a pass", SOON, || {
        let seen = scrub();
        (seen["passes"] == 1).then_some(seen.clone()).ok_or(seen.to_string())
    });
    assert_eq!((&after["entries"], &after["running"]), (&KEYS.into(), &false.into()));
    assert!(
        after["bytes"].as_u64().unwrap() > (0..KEYS).map(|number| value(number).len() as u64).sum(),
        "{after}"
    );
    assert!(after["oldest_unverified_age_ms"].is_u64());
    // That was noted: the next start does not begin again.
    cluster.nodes[0].stop();
    cluster.nodes[0].start_ready();
    let again = scrub();
    assert_eq!((&again["passes"], &again["running"]), (&0.into(), &false.into()));
    assert!(again["oldest_unverified_age_ms"].as_u64() >= after["oldest_unverified_age_ms"].as_u64());
}

#[test]
fn a_node_whose_disk_is_full_stops_writing_says_why_and_keeps_what_it_acknowledged() {
    let mut cluster = Cluster::planned(1, QUICK);
    let node = &mut cluster.nodes[0];
    // A limit on the size of files, in units of 512 bytes, stands in for a full disk; without the trap the
    // system would end the process at the limit.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\""]);
    let serve = node.command();
    limited.arg(serve.get_program()).args(serve.get_args());
    node.start_by(limited);
    node.wait_ready();
    let api = cluster.api(0);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = api.try_put(&key(acknowledged), noise(acknowledged as u64, 100_000)).unwrap();
        if !answer.is_success() {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the limit does not act");
    };
    assert_eq!((refused.status, refused.problem().as_deref()), (503, Some("writes-stopped")));
    assert!(refused.text().contains("File too large"), "{}", refused.text());
    let ready = api.fetch("/readyz").unwrap();
    assert!(ready.status == 503 && ready.text().contains("File too large"), "{}", ready.text());
    for attempt in [api.try_put("small", "x"), api.try_delete(&key(0))] {
        assert_eq!(attempt.unwrap().problem().as_deref(), Some("writes-stopped"));
    }
    cluster.nodes[0].terminate();
    cluster.nodes[0].wait_end();
    cluster.nodes[0].start_ready();
    for number in 0..acknowledged {
        assert!(api.value(&key(number)) == Some(noise(number as u64, 100_000)), "{}", key(number));
    }
    assert_eq!(api.value("small"), None);
    api.put("small", "x");
}
