//! `mangrove simulate` as people and programs run it.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::{Command, Output};

use serde_json::Value;

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mangrove")).arg("simulate").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_band_of_seeds_is_searched_and_counted() {
    let ends = simulate(&["--seeds", "0..1000000", "--for", "1s", "--json"]);
    assert!(ends.status.success() && json(&ends)["seeds"].as_u64().is_some_and(|seeds| seeds < 100_000));
    let output = simulate(&["--seeds", "100..112", "--jobs", "2", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    assert_eq!((&found["seeds"], &found["failed"]), (&Value::from(12), &Value::Null));
    assert!(found["count"]["steps"].as_u64().unwrap() > 1_000);
    assert!(found["count"]["faults"].as_u64().unwrap() > 10);
}

#[test]
fn a_failure_says_how_to_replay_it_and_the_replay_fails_in_the_same_way() {
    let output = simulate(&["--seeds", "0..400", "--rule-off", "h31"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let replay = said.lines().find_map(|line| line.strip_prefix("replay: mangrove simulate ")).unwrap();
    assert!(said.contains("commit ") && replay.ends_with("--rule-off H31"), "{said}");
    let again: Vec<Output> =
        (0..2).map(|_| simulate(&replay.split(' ').chain(["--json"]).collect::<Vec<_>>())).collect();
    assert_eq!(again[0].status.code(), Some(1));
    assert_eq!(json(&again[0])["trace"], json(&again[1])["trace"]);
    assert!(json(&again[0])["violation"].as_str().unwrap().starts_with("knowing: "));
}

#[test]
fn a_scenario_passes_and_fails_with_its_rule_off() {
    let held = simulate(&["--scenario", "H31"]);
    assert_eq!(held.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&held.stdout).contains("no violation"));
    assert_eq!(simulate(&["--scenario", "H31", "--rule-off", "H31"]).status.code(), Some(1));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for wrong in
        [["--seeds", "5..5"], ["--seed", "-1"], ["--scenario", "H99"], ["--rule-off", "H0"], ["--jobs", "0"]]
    {
        let output = simulate(&wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}
