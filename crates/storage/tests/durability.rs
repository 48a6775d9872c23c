//! What is acknowledged is on disk: seen from outside, by the system calls before each acknowledgement and by
//! killing the process. Both run this very program again as a child that writes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::*;
use storage::{DataDir, Flusher, SledEngine, SledOptions};

/// Names the data directory for the child, and says with which number it starts.
const DIR: &str = "STORAGE_TEST_DIR";
const FROM: &str = "STORAGE_TEST_FROM";

/// What the n-th write writes: often large, over few keys.
fn nth(n: u64) -> (model::Key, Vec<u8>) {
    let size = [10, 100, 1_000, 70_000][n as usize % 4];
    (key(format!("key {}", n % 37)), [&n.to_be_bytes()[..], &vec![n as u8; size]].concat())
}

/// Not a test: the child. Writes, waits until that is durable, and says so, until it is killed or has done as many
/// writes as asked for.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let (from, count) = std::env::var(FROM)
        .unwrap()
        .split_once('+')
        .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))
        .unwrap();
    let (from, count): (u64, u64) = (from, count);
    let dir = DataDir::lock(&dir).unwrap();
    let opened = SledEngine::open(&dir.engine(), &SledOptions::default()).unwrap();
    assert_eq!(opened.losses, None);
    let store = Arc::new(open(Arc::new(opened.engine)));
    let flusher = Flusher::spawn(store.clone()).unwrap();
    let mut out = std::io::stdout();
    for n in from..from + count {
        let (key, value) = nth(n);
        let seq = put(&store, &key, dot(n, 1), &value).seq;
        let (tell, told) = mpsc::channel();
        flusher.when_durable(seq, Box::new(move |result| tell.send(result).unwrap()));
        told.recv().unwrap().unwrap();
        out.write_all(format!("durable {n}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn as_child(mut command: Command, dir: &Path, from: u64, count: u64) -> Command {
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir).env(FROM, format!("{from}+{count}")).stdout(Stdio::piped());
    command
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// The number in each line that the child has got out.
fn durable_lines(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness may put words of its own before the first.
    lines.map_while(Result::ok).filter_map(|line| line.rsplit_once("durable ")?.1.parse().ok())
}

#[test]
fn a_commit_is_synced_before_it_is_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (dir, trace) = (home.path().join("data"), home.path().join("trace"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "64", "-e", "trace=fdatasync,fsync,write,rename,mkdir", "-o"]).arg(&trace);
    strace.arg(std::env::current_exe().unwrap()).stderr(Stdio::piped());
    let writes = 12;
    let run = match as_child(strace, &dir, 1, writes).output() {
        Ok(run) => run,
        Err(error) => return println!("skipped: strace cannot be run here: {error}"),
    };
    let said = String::from_utf8_lossy(&run.stderr);
    if said.contains("ptrace") || said.contains("Operation not permitted") {
        return println!("skipped: strace may not trace here: {said}");
    }
    assert!(run.status.success(), "{said}");

    let calls = std::fs::read_to_string(&trace).unwrap();
    let db = dir.join("engine/db");
    let synced = |line: &str, call: &str, path: &Path| {
        line.contains(&format!("{call}(")) && line.contains(&format!("<{}>)", path.display()))
    };
    let mut synced_since_last = false;
    let mut acknowledged = 0;
    for line in calls.lines() {
        // Only a call that has returned counts; strace writes "resumed" when others came between.
        synced_since_last |= synced(line, "fdatasync", &db) && !line.contains("unfinished");
        synced_since_last |= line.contains("fdatasync resumed");
        if line.contains("write(1") && line.contains("durable ") {
            assert!(synced_since_last, "acknowledged without a sync: {line}\n{calls}");
            (synced_since_last, acknowledged) = (false, acknowledged + 1);
        }
    }
    assert_eq!(acknowledged, writes);
    // And before the first of all: every name on the way to the log.
    let before_first: Vec<&str> = calls.lines().take_while(|line| !line.contains("\"durable 1")).collect();
    for path in [dir.as_path(), &dir.join("engine"), &dir.join("engine/conf"), &db] {
        assert!(
            before_first.iter().any(|line| synced(line, "fsync", path)),
            "{} is not synced",
            path.display()
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut next = 1;
    // The last acknowledged write of each key.
    let mut acknowledged: BTreeMap<model::Key, u64> = BTreeMap::new();
    for round in 0..8_u64 {
        let mut child = as_child(this_program(), &dir, next, 1_000_000).spawn().unwrap();
        let pid = child.id();
        let mut lines = durable_lines(&mut child);
        let mut last = None;
        for n in lines.by_ref() {
            acknowledged.insert(nth(n).0, n);
            last = Some(n);
            if n >= next + 10 + round * 13 {
                break;
            }
        }
        assert!(last.is_some(), "the child {pid} got nothing done");
        // Somewhere in its next writes.
        std::thread::sleep(Duration::from_micros(round * 377));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map(|n| (nth(n).0, n)));

        let locked = DataDir::lock(&dir).unwrap();
        let opened = SledEngine::open(&locked.engine(), &SledOptions::default()).unwrap();
        assert_eq!(opened.losses, None);
        let store = open(Arc::new(opened.engine));
        assert_eq!((store.opened().corrupt_count, store.opened().names_added), (0, 0));
        for (key, n) in &acknowledged {
            let entry =
                store.get(key).unwrap().unwrap_or_else(|| panic!("{key}, acknowledged as {n}, is lost"));
            let winner = entry.winner().unwrap();
            let found = winner.dot().hlc.millis();
            assert!(found >= *n, "{key}: {found} where {n} was acknowledged");
            assert_eq!(winner.value(), &nth(found).1, "{key}");
            next = next.max(found + 1);
        }
    }
    assert!(acknowledged.len() == 37);
}

#[test]
fn a_data_directory_is_for_one_process() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut child = as_child(this_program(), &dir, 1, 1_000_000).spawn().unwrap();
    let first = durable_lines(&mut child).next();
    assert!(first.is_some());
    let refused = DataDir::lock(&dir).unwrap_err().to_string();
    assert!(
        refused.contains("in use by another process") && refused.contains(&child.id().to_string()),
        "{refused}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    DataDir::lock(&dir).unwrap();
}
