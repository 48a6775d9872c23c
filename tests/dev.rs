//! `mangrove dev`: a whole cluster by one command, as somebody who tries Mangrove out meets it.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use support::{Api, Killed, Ports, SOON, is_running, mangrove, run, signal, until};
use tempfile::TempDir;

/// A running `dev`, what it has printed, and the processes it has told of.
struct Dev {
    child: Child,
    base: u16,
    output: PathBuf,
    dir: PathBuf,
    _ports: Ports,
    home: TempDir,
}

/// What `dev` prints of one node.
#[derive(Debug, Clone)]
struct Printed {
    http: String,
    gossip: String,
    pid: u32,
    command: String,
}

impl Dev {
    /// Starts three nodes in a new folder and waits until all are ready.
    fn start() -> Self {
        let mut ports = Ports::reserve();
        let (base, home) = (ports.dev_base(), tempfile::tempdir().unwrap());
        let (output, dir) = (home.path().join("printed"), home.path().join("a folder/dev"));
        let child = spawn(base, &dir, &output, &[]);
        let mut dev = Self { child, base, output, dir, _ports: ports, home };
        dev.wait_ready();
        dev
    }

    fn restart(&mut self, flags: &[&str]) {
        fs::remove_file(&self.output).unwrap();
        self.child = spawn(self.base, &self.dir, &self.output, flags);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let (output, child) = (self.output.clone(), &mut self.child);
        until("all nodes are ready", SOON, || {
            let printed = fs::read_to_string(&output).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "dev has ended: {printed}");
            if printed.contains("All 3 nodes are ready") { Ok(()) } else { Err(printed) }
        });
    }

    fn api(&self, index: u16) -> Api {
        Api { address: ([127, 0, 0, 1], self.base + 10 * index).into() }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    /// What was printed of node `n<number>`.
    fn node(&self, number: u16) -> Printed {
        let printed = self.printed();
        let mut lines = printed.lines().skip_while(|line| !line.starts_with(&format!("n{number}  http://")));
        let words: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        let command = lines.map(str::trim).find(|line| line.contains(" serve ")).unwrap();
        Printed {
            http: words[1].to_owned(),
            gossip: words[3].to_owned(),
            pid: words[5].parse().unwrap(),
            command: command.to_owned(),
        }
    }

    /// SIGTERM, and what is left of it.
    fn stop(&mut self) {
        let nodes: Vec<u32> = (1..=3).map(|number| self.node(number).pid).collect();
        assert!(signal(self.child.id(), "TERM"));
        let status = wait_end(&mut self.child);
        assert_eq!(status, Some(0), "{}", self.printed());
        for pid in nodes {
            assert!(!is_running(pid), "process {pid} is left: {}", self.printed());
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what dev printed:\n{}", self.printed());
        }
        // Its nodes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(base: u16, dir: &Path, output: &Path, flags: &[&str]) -> Child {
    let output = File::create(output).unwrap();
    let mut command = mangrove();
    command.args(["dev", "--nodes", "3", "--http-base", &base.to_string(), "--dir"]).arg(dir).args(flags);
    command.args(["--", "--repair-interval", "200ms"]);
    command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap()
}

fn wait_end(child: &mut Child) -> Option<i32> {
    until("the end of a process", SOON, || {
        child.try_wait().unwrap().ok_or_else(|| "it is running".to_owned())
    })
    .code()
}

fn wait_value(api: Api, key: &str, value: &str) {
    until(format!("{key} at {}", api.address), SOON, || match api.text(key) {
        Some(found) if found == value => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_killed_node_rejoins_by_the_command_that_was_printed() {
    let mut dev = Dev::start();
    for number in 1..=3 {
        let (printed, port) = (dev.node(number), dev.base + 10 * (number - 1));
        assert_eq!(printed.http, format!("http://127.0.0.1:{port}"));
        assert_eq!(printed.gossip, format!("127.0.0.1:{}", port + 1));
        assert!(is_running(printed.pid));
    }
    assert!(dev.printed().contains(dev.dir.to_str().unwrap()), "the folder is named: {}", dev.printed());
    dev.api(0).put("a", "1");
    wait_value(dev.api(2), "a", "1");

    let killed = dev.node(2);
    assert!(signal(killed.pid, "KILL"));
    until("dev tells of the end", SOON, || {
        let printed = dev.printed();
        if printed.contains("n2 has been killed") { Ok(()) } else { Err(printed) }
    });
    dev.api(2).put("b", "2");
    assert!(!is_running(killed.pid), "dev restarts none by itself");
    // As somebody would, in another terminal and another folder.
    let log = File::create(dev.home.path().join("again.log")).unwrap();
    let mut again = Command::new("sh");
    again.args(["-c", &format!("exec {}", killed.command)]).current_dir("/").stdin(Stdio::null());
    let mut again = Killed(again.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let returned = Timestamp::now();
    until("the node rejoined and is proven identical", SOON, || {
        let view = dev.api(1).view()?;
        let proven =
            |name| view.member(name).is_some_and(|n| n.last_identical.is_some_and(|at| at > returned));
        if proven("n1") && proven("n3") { Ok(()) } else { Err(view.summary()) }
    });
    wait_value(dev.api(1), "b", "2");
    assert!(signal(again.0.id(), "TERM"));
    assert_eq!(wait_end(&mut again.0), Some(0));
    dev.stop();
}

#[test]
fn data_stays_until_it_is_asked_for_a_fresh_start() {
    let mut dev = Dev::start();
    dev.api(0).put("a", "1");
    wait_value(dev.api(1), "a", "1");
    dev.stop();
    dev.restart(&[]);
    wait_value(dev.api(2), "a", "1");
    dev.stop();
    dev.restart(&["--fresh"]);
    for index in 0..3 {
        assert_eq!(dev.api(index).text("a"), None);
    }
    dev.stop();
}

#[test]
fn no_node_outlives_a_dev_that_is_killed() {
    let mut dev = Dev::start();
    let nodes: Vec<u32> = (1..=3).map(|number| dev.node(number).pid).collect();
    dev.child.kill().unwrap();
    dev.child.wait().unwrap();
    until("no node is left", SOON, || {
        let left: Vec<&u32> = nodes.iter().filter(|pid| is_running(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn what_cannot_be_done_is_refused_in_one_line() {
    let dev = Dev::start();
    let refused = |dir: &Path, base: u16, says: &str| {
        let mut command = mangrove();
        command.args(["dev", "--fresh", "--http-base", &base.to_string(), "--dir"]).arg(dir);
        let ran = run(&mut command, SOON).expect(2);
        assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains(says), "{says}: {}", ran.stderr);
    };
    let elsewhere = dev.home.path().join("elsewhere");
    refused(&elsewhere, dev.base, "in use");
    refused(&elsewhere, dev.base + 1, "in use");
    assert!(!elsewhere.exists(), "refused before anything is made");
    // A folder that somebody else keeps things in is not emptied.
    let mut ports = Ports::reserve();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("thesis"), "years").unwrap();
    let free = ports.dev_base();
    refused(&elsewhere, free, "not made by mangrove dev");
    refused(&dev.dir, free, "in use");
    assert_eq!(fs::read_to_string(elsewhere.join("thesis")).unwrap(), "years");
    // And the cluster that runs has not noticed.
    dev.api(0).put("a", "1");
    wait_value(dev.api(2), "a", "1");
}
