//! Bad input over the real ports, and starts that must not succeed.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;
use support::{Cluster, Node, QUICK, Ran, SOON, mangrove, noise, run};

/// What is wrong, method, target, headers, and the status to get.
type BadRequest<'a> = (&'a str, Method, &'a str, &'a [(&'a str, &'a str)], u16);

#[test]
fn bad_requests_get_a_problem_document_and_store_nothing() {
    let cluster = Cluster::start(1, QUICK);
    let api = cluster.api(0);
    let long = format!("/v1/kv/{}", "k".repeat(1_025));
    let forged = [("mangrove-context", "Zm9yZ2VkIGFuZCBub3QgZXZlbiBjbG9zZQ")];
    let cases: &[BadRequest] = &[
        ("an empty key", Method::PUT, "/v1/kv/", &[], 400),
        ("a key of 1025 bytes", Method::PUT, &long, &[], 400),
        ("a broken percent-encoding", Method::PUT, "/v1/kv/a%4", &[], 400),
        ("no percent-encoding", Method::GET, "/v1/kv/%zz", &[], 400),
        ("an unknown parameter", Method::PUT, "/v1/kv/a?tll=3s", &[], 400),
        ("a forged context token", Method::PUT, "/v1/kv/a", &forged, 400),
        ("a method that is not there", Method::POST, "/v1/kv/a", &[], 405),
        ("a path that is not there", Method::GET, "/v2/kv/a", &[], 404),
        ("a key that is not there", Method::GET, "/v1/kv/a", &[], 404),
    ];
    for (what, method, target, headers, status) in cases {
        let answer = api.send(method.clone(), target, headers, "x").unwrap();
        assert_eq!(answer.status, *status, "{what}: {}", answer.text());
        assert!(answer.problem().is_some(), "{what}: {}", answer.text());
    }
    // A value over the limit is refused on what it announces: it is never sent.
    let mut stream = TcpStream::connect(api.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"PUT /v1/kv/a HTTP/1.1\r\nHost: n1\r\nContent-Length: 1048577\r\n\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert!(api.keys("").is_empty());
    let view = api.view().unwrap();
    assert_eq!((view.keys, view.tombstones), (0, 0));
}

/// The first frame of a connection, as a peer of the first wire version sends it.
#[derive(Serialize)]
struct Hello {
    cluster: model::ClusterId,
    from: model::NodeId,
    to: Option<model::NodeId>,
    life: model::WriterId,
    name: String,
    contact: (String, String, u64),
}

fn hello(cluster: model::ClusterId, wire: u16) -> Vec<u8> {
    let body = Hello {
        cluster,
        from: model::NodeId(77),
        to: None,
        life: model::WriterId(78),
        name: "stranger".to_owned(),
        contact: ("127.0.0.1:9".to_owned(), "127.0.0.1:9".to_owned(), 1),
    };
    let mut frame = b"MGRV\x01".to_vec();
    frame.extend([wire.to_be_bytes(), wire.to_be_bytes()].concat());
    frame.extend(bincode::serde::encode_to_vec(&body, bincode::config::standard()).unwrap());
    framed(&frame)
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    [&length.to_be_bytes(), frame].concat()
}

/// Sends bytes to a gossip port and gives back all that is answered until the node closes the connection.
fn answer_to(gossip: SocketAddr, bytes: &[u8], half_close: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(gossip).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // The node may close before it has read all.
    let _ = stream.write_all(bytes);
    if half_close {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("the connection stays open: {error}"),
    }
}

/// The number by which a refusal says why, or nothing where the connection was just closed.
fn refusal(answer: &[u8]) -> Option<u8> {
    const REFUSED: u8 = 17;
    answer.get(8).filter(|kind| **kind == REFUSED).map(|_| answer[13])
}

#[test]
fn bad_input_on_the_gossip_port_is_refused_and_the_node_goes_on() {
    let cluster = Cluster::start(2, QUICK);
    let node = &cluster.nodes[0];
    let ours: model::ClusterId = node.view().cluster.unwrap().parse().unwrap();
    let other = model::ClusterId([9; 16]);
    let whole = hello(ours, 1);
    let silent: [(&str, Vec<u8>, bool); 6] = [
        ("too long", (u32::MAX - 1).to_be_bytes().to_vec(), false),
        ("too long, and all of it sent", framed(&noise(1, 64 * 1024)), false),
        ("cut", whole[..whole.len() - 3].to_vec(), true),
        ("cut in its length", vec![0, 0], true),
        ("another protocol", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), false),
        ("of ours, with a body that is none", framed(b"MGRV\x01\0\x01\0\x01\xff\xff\xff\xff\xff\xff"), false),
    ];
    for (what, bytes, half_close) in &silent {
        let answer = answer_to(node.gossip, bytes, *half_close);
        assert!(answer.is_empty(), "{what}: {answer:?}");
    }
    assert_eq!(refusal(&answer_to(node.gossip, &hello(other, 1), false)), Some(1), "another cluster");
    assert_eq!(refusal(&answer_to(node.gossip, &hello(ours, 900), false)), Some(2), "another version");
    for seed in 0..40 {
        let mut bytes = noise(seed, 1 + seed as usize * 97);
        answer_to(node.gossip, &bytes, true);
        // The same with a true length and a true beginning, so that it gets further.
        bytes.splice(0..0, *b"MGRV\x02\0\x01\0\x01");
        answer_to(node.gossip, &framed(&bytes), true);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..200 {
        let _ = socket.send_to(&noise(seed, seed as usize * 8 % 1_472), node.gossip);
    }
    let _ = socket.send_to(&noise(1, 9_000), node.gossip);
    assert_goes_on(&cluster);
}

/// Both nodes answer, replicate and prove themselves identical, and the log was not flooded.
fn assert_goes_on(cluster: &Cluster) {
    let began = Timestamp::now();
    cluster.api(0).put("after", "all that");
    cluster.wait_everywhere("after", Some("all that"));
    cluster.wait_proven(began);
    for node in &cluster.nodes {
        let view = node.wait_view("the other alive", |view| view.others_are("alive"));
        assert_eq!(view.members.len(), 2);
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
    // Hundreds of bad inputs of one address: once a minute, and a test may cross into a second one.
    let log = cluster.nodes[0].log();
    let told = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!((1..=4).contains(&told), "{told} warnings:\n{log}");
}

#[test]
fn a_frame_that_is_no_gossip_from_a_stranger_who_greets_well_changes_nothing() {
    let cluster = Cluster::start(2, QUICK);
    let node = &cluster.nodes[0];
    let ours: model::ClusterId = node.view().cluster.unwrap().parse().unwrap();
    for seed in 0..10 {
        // A stranger may be welcomed or not; what it then sends must end the connection or be ignored.
        let mut stream = TcpStream::connect(node.gossip).unwrap();
        stream.write_all(&[hello(ours, 1), framed(&noise(seed, 3_000))].concat()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_goes_on(&cluster);
    assert_eq!(node.view().members.len(), 2, "a stranger is no member");
}

/// Runs `serve` where it must not come up: exit code 2, and one line that says all of this.
#[track_caller]
fn refused(command: &mut Command, says: &[&str]) -> Ran {
    let ran = run(command, SOON).expect(2);
    // Log lines may stand before it; the reason is the last line, and no log line.
    let line = ran.stderr.lines().last().unwrap_or_default().to_owned();
    for word in says {
        assert!(line.contains(word), "{word:?} is not in the last line of: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked") && !line.contains("ERROR"), "{}", ran.stderr);
    ran
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let mut cluster = Cluster::start(1, QUICK);
    let dir = cluster.nodes[0].data_dir.clone();
    let (http, gossip) = (cluster.ports.address().to_string(), cluster.ports.address().to_string());
    let mut second = mangrove();
    second.args(["serve", "--http", &http, "--gossip", &gossip, "--data-dir"]).arg(&dir);
    refused(&mut second, &["in use by another process", &dir.display().to_string()]);
    cluster.api(0).put("a", "1");
    // A lock that was held by a process which was killed is free.
    cluster.nodes[0].kill9();
    cluster.nodes[0].start_ready();
    cluster.assert_everywhere("a", Some("1"));
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let mut cluster = Cluster::planned(1, QUICK);
    let home = cluster.home().to_owned();
    let file = home.join("a-file");
    fs::write(&file, "not a folder").unwrap();
    // Not even who may do everything can make a folder in a file or in the system's own.
    for dir in [file.clone(), file.join("below"), "/proc/mangrove".into(), "/dev/null/x".into()] {
        let node: &mut Node = &mut cluster.nodes[0];
        node.data_dir = dir.clone();
        refused(&mut node.command(), &["data directory", &dir.display().to_string()]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

/// What cannot be read is named, and what may be done with it; and what may be done without, is.
#[test]
fn a_data_directory_with_a_file_that_cannot_be_used_is_refused_with_its_name() {
    let mut cluster = Cluster::start(1, QUICK);
    cluster.api(0).put("a", "1");
    cluster.nodes[0].stop();
    let node = &mut cluster.nodes[0];
    let dir = node.data_dir.clone();
    for name in ["clock", "member", "node"] {
        let (file, aside) = (dir.join(name), dir.join("aside"));
        fs::rename(&file, &aside).unwrap();
        fs::write(&file, "something else").unwrap();
        let file_name = file.display().to_string();
        refused(&mut node.command(), &[&file_name, "is damaged", "move it aside as a whole", "--join"]);
        fs::rename(&aside, &file).unwrap();
    }
    for name in ["lock", "engine/mark"] {
        let (file, aside) = (dir.join(name), dir.join("aside"));
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
        refused(&mut node.command(), &[&file.display().to_string(), "directory"]);
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    }
    // A member knows its id without the file of it.
    fs::remove_file(dir.join("node")).unwrap();
    node.start_ready();
    let id = node.view().node.id;
    let log = node.log();
    let starting = log.lines().rfind(|line| line.contains("starting")).unwrap();
    assert!(starting.contains(&id.to_string()), "{id}: {starting}");
    assert!(dir.join("node").exists());
    cluster.assert_everywhere("a", Some("1"));
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() {
    let mut ours = Cluster::start(1, QUICK);
    ours.api(0).put("a", "ours");
    let theirs = Cluster::start(1, QUICK);
    theirs.api(0).put("a", "theirs");
    ours.nodes[0].stop();
    let seed = theirs.nodes[0].gossip;
    ours.nodes[0].seeds = vec![seed];
    let dir = ours.nodes[0].data_dir.display().to_string();
    refused(&mut ours.nodes[0].command(), &["cluster", &dir]);
    ours.nodes[0].seeds.clear();
    ours.nodes[0].start_ready();
    ours.assert_everywhere("a", Some("ours"));
    theirs.assert_everywhere("a", Some("theirs"));
    for cluster in [&ours, &theirs] {
        assert_eq!(cluster.nodes[0].view().members.len(), 1);
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let mut cluster = Cluster::planned(1, QUICK);
    let held = TcpListener::bind(cluster.ports.address()).unwrap();
    let held_udp = UdpSocket::bind(cluster.ports.address()).unwrap();
    let (tcp, udp) = (held.local_addr().unwrap(), held_udp.local_addr().unwrap());
    let free = cluster.ports.address();
    for (http, gossip, says) in [(tcp, free, tcp), (free, tcp, tcp), (free, udp, udp)] {
        let node = &mut cluster.nodes[0];
        (node.http, node.gossip) = (http, gossip);
        refused(&mut node.command(), &["in use", &says.to_string()]);
    }
    // Nothing was left behind that would stop the next start.
    cluster.nodes[0].http = cluster.ports.address();
    cluster.nodes[0].gossip = cluster.ports.address();
    cluster.nodes[0].start_ready();
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    let mut cluster = Cluster::planned(1, &[]);
    let port = cluster.ports.address().port();
    let node = &cluster.nodes[0];
    let cases: &[(&[&str], &[&str])] = &[
        (&["--http", &format!("0.0.0.0:{port}")], &["--http", "--insecure"]),
        (&["--gossip", &format!("0.0.0.0:{port}")], &["--gossip", "--insecure"]),
        (&["--gossip", &format!("0.0.0.0:{port}"), "--insecure"], &["--advertise"]),
        (&["--repair-interval", "soon"], &["--repair-interval", "soon"]),
        (&["--value-bytes-max", "17MiB"], &["--value-bytes-max", "16MiB"]),
        (&["--name", ""], &["--name"]),
    ];
    for (flags, says) in cases {
        let mut command = mangrove();
        command.args(["serve", "--data-dir"]).arg(&node.data_dir);
        if !flags.contains(&"--http") {
            command.args(["--http", &node.http.to_string()]);
        }
        if !flags.contains(&"--gossip") {
            command.args(["--gossip", &node.gossip.to_string()]);
        }
        refused(command.args(*flags), says);
    }
    let mut command = node.command();
    refused(command.env("MANGROVE_FANOUT", "none"), &["MANGROVE_FANOUT"]);
    assert!(!node.data_dir.exists(), "refused before anything is made");
}
