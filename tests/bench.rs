//! `mangrove bench` against real nodes, small: that it measures what it says, shows it, and leaves nothing behind.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::{Cluster, QUICK, Ran, mangrove, run};

/// A benchmark starts nodes several times over.
const LONG: Duration = Duration::from_secs(240);

fn bench(home: &Path, arguments: &[&str]) -> Ran {
    run(mangrove().arg("bench").args(arguments).args(["--dir", home.to_str().unwrap()]), LONG)
}

/// One JSON object a line.
fn objects(ran: &Ran) -> Vec<Value> {
    ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn is_empty(home: &Path) {
    let left: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn impossible_arguments_are_one_line_and_start_nothing() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (["repair", "--keys", "10", "--differ", "11"].as_slice(), "--differ is 11"),
        (&["repair", "--keys", "0", "--differ", "0"], "--keys is 0"),
        (&["repair", "--nodes", "1"], "--nodes is 1"),
        (&["repair", "--shape", "round"], "--shape is \"round\""),
        (&["repair", "--keys", "900000000", "--value-size", "1048576"], "may need"),
        (&["repair", "--plot", "nowhere/at/all.svg"], "--plot is nowhere/at/all.svg"),
        (&["repair", "--cluster", "http://127.0.0.1:1"], "--cluster names one node"),
        (&["load", "--keys", "0"], "--keys is 0"),
        (&["load", "--value-size", "99999999"], "--value-size wants at most"),
        (&["load", "--endpoint", "http://127.0.0.1:1", "--with-repair"], "--with-repair"),
        (
            &["load", "--endpoint", "http://127.0.0.1:1", "--scenario", "ttl"],
            "--scenario ttl stops and starts",
        ),
    ] {
        let ran = bench(home.path(), arguments).expect(2);
        assert!(ran.stdout.is_empty() && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        is_empty(home.path());
    }
    let missing = home.path().join("missing");
    assert!(bench(&missing, &["repair"]).expect(2).stderr.contains("is not a folder"));
}

#[test]
fn a_load_is_measured_on_nodes_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let ran = bench(
        home.path(),
        &["load", "--seconds", "1", "--keys", "500", "--clients", "8", "--durability", "interval", "--json"],
    )
    .expect(0);
    let phases = objects(&ran);
    let [phase] = phases.as_slice() else { panic!("{}", ran.text()) };
    assert_eq!((&phase["failed"], &phase["unsent"]), (&0.into(), &0.into()), "{phase:#}");
    for operation in ["put", "get"] {
        let row = &phase["operations"][operation];
        assert!(row["requests"].as_u64().unwrap() > 10, "{phase:#}");
        let times =
            ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map(|name| row[name].as_u64().unwrap());
        assert!(times[0] > 0 && times.is_sorted(), "{phase:#}");
    }
    is_empty(home.path());

    // At a fixed rate that any machine can do, all that was due is sent.
    let ran = bench(
        home.path(),
        &["load", "--seconds", "2", "--keys", "100", "--rate", "50", "--mix", "get=1", "--json"],
    )
    .expect(0);
    let phase = &objects(&ran)[0];
    assert!((90..=101).contains(&phase["requests"].as_u64().unwrap()), "{phase:#}");
    assert_eq!(phase["failed"], 0);
}

#[test]
fn a_repair_is_measured_on_nodes_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let chart = outside.path().join("chart.svg");
    let ran = bench(
        home.path(),
        &[
            "repair",
            "--keys",
            "2000",
            "--differ",
            "0,10,100",
            "--repeat",
            "1",
            "--json",
            "--plot",
            chart.to_str().unwrap(),
        ],
    )
    .expect(0);
    let rows = objects(&ran);
    let differ: Vec<u64> = rows.iter().map(|row| row["differ"].as_u64().unwrap()).collect();
    // The first is the node that had nothing.
    assert_eq!(differ, [2_000, 0, 10, 100], "{}", ran.text());
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row:#}"));
        assert_eq!((&row["keys"], &row["rtt_ms"], &row["nodes"]), (&2_000.into(), &0.into(), &2.into()));
        assert!(number("wall_ms") > 0.0 && number("cpu_ms") > 0.0, "{row:#}");
        let (find, total, ideal) = (number("bytes_find"), number("bytes_total"), number("bytes_ideal"));
        assert!(find <= total && ideal <= total && total > 0.0, "{row:#}");
        if number("differ") > 0.0 {
            assert!(number("keys_per_second") > 0.0 && ideal > 100.0 * number("differ"), "{row:#}");
            assert!(number("found") >= number("differ"), "{row:#}");
        } else {
            assert_eq!((ideal, number("round_trips")), (0.0, 1.0), "{row:#}");
        }
    }
    assert!(fs::read_to_string(&chart).unwrap().contains("<polyline"));
    is_empty(home.path());
}

#[test]
fn a_running_cluster_is_measured_from_outside_where_it_takes_drills() {
    let cluster = Cluster::start(3, &[QUICK, &["--allow-drills"]].concat());
    let urls: Vec<String> = (0..3).map(|index| format!("http://{}", cluster.api(index).address)).collect();
    let arguments = [
        "bench",
        "repair",
        "--cluster",
        &urls.join(","),
        "--keys",
        "200",
        "--differ",
        "20",
        "--repeat",
        "1",
        "--isolate",
        "3s",
        "--json",
    ];
    let ran = run(mangrove().args(arguments), LONG).expect(0);
    let rows = objects(&ran);
    assert_eq!((&rows[0]["differ"], &rows[0]["cpu_ms"]), (&20.into(), &Value::Null));
    assert!(rows[0]["wall_ms"].as_f64().unwrap() < 60_000.0, "{}", ran.text());
    assert!(rows[0]["bytes_ideal"].as_f64().unwrap() > 2_000.0, "{}", ran.text());
    cluster.wait_equal_roots();
}

#[test]
fn keys_that_expire_leave_nothing_although_a_node_is_down() {
    let home = tempfile::tempdir().unwrap();
    let ran = bench(home.path(), &["load", "--scenario", "ttl", "--keys", "2000", "--json"]).expect(0);
    let rows = objects(&ran);
    let row = |name: &str, note: &str| {
        let is = |row: &&Value| {
            row["row"] == name && row["note"].as_str().is_none_or(|noted| noted.starts_with(note))
        };
        rows.iter().rfind(is).unwrap_or_else(|| panic!("{name}, {note}: {}", ran.text()))["value"]
            .as_f64()
            .unwrap()
    };
    let on_disk = "rows a node has on disk";
    assert!(row(on_disk, "all keys written") > 0.0, "{}", ran.text());
    assert_eq!(row(on_disk, "all expired"), 0.0, "{}", ran.text());
    // A node that has just let go of the last keys may keep some room for a moment.
    let memory = |when| row("tree and sketch", when);
    assert!(memory("all expired") < memory("all keys written") / 2.0, "{}", ran.text());
    assert!(row("nothing left of any key", "after") >= 0.0 && row("the third node back, as empty", "") > 0.0);
    is_empty(home.path());
}

/// Takes the grace: more than six minutes.
#[test]
#[ignore = "takes seven minutes: cargo test -p mangrove --test bench -- --ignored"]
fn deletes_give_back_what_they_took() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["load", "--scenario", "deletes", "--keys", "2000", "--json"];
    let long = Duration::from_secs(900);
    let ran =
        run(mangrove().arg("bench").args(arguments).args(["--dir", home.path().to_str().unwrap()]), long);
    let rows = objects(&ran.expect(0));
    let last = |name: &str| rows.iter().rfind(|row| row["row"] == name).unwrap()["value"].as_f64().unwrap();
    assert_eq!(last("rows a node has on disk"), 0.0);
    assert!(last("tombstones off the disks") >= 360.0);
    is_empty(home.path());
}
