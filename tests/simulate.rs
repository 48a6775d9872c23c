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
fn an_experiment_is_one_document_and_a_chart() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("out.svg");
    let arguments =
        ["--nodes", "4,8", "--writes", "3", "--loss", "1%", "--partition", "25%:5s", "--simulated", "8s"];
    let plot = ["--node-hours", "1", "--epidemics", "2", "--json", "--plot", chart.to_str().unwrap()];
    let arguments: Vec<&str> = arguments.into_iter().chain(plot).collect();
    let output = simulate(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output);
    let nodes: Vec<_> = found["sizes"].as_array().unwrap().iter().map(|size| size["nodes"].clone()).collect();
    assert_eq!(nodes, [4, 8]);
    assert_eq!(found["sizes"][1]["central_messages"], 21);
    assert!(found["sizes"][1]["whole"]["all_max_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(found["table_1987"]["ours"].as_array().unwrap().len(), 5);
    assert_eq!(found["failure_detection"].as_array().unwrap().len(), 3);
    let chart = std::fs::read_to_string(&chart).unwrap();
    assert!(chart.starts_with("<svg") && chart.ends_with("</svg>\n") && !chart.contains("NaN"));
    assert_eq!(json(&simulate(&arguments)), found);
}

#[test]
fn rumors_alone_are_a_table() {
    let output = simulate(&["--nodes", "100", "--rumors-only", "--epidemics", "1"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("a central one") && said.lines().any(|line| line.starts_with("100 ")), "{said}");
    assert!(!said.contains("Whole nodes") && !said.contains('\u{1b}'));
}

#[test]
fn a_story_is_told_the_same_way_each_time() {
    let told = || String::from_utf8(simulate(&["--story", "four-servers"]).stdout).unwrap();
    insta::assert_snapshot!(told(), @r"
    Four servers keep the same files. A client gives server 1 a new one of 9000 bytes. Nobody is in charge:
    in each round of 100 ms every server that knows of it, and is not tired of telling, tells one other, drawn at random.

        1 ●         ○ 2



        3 ○         ○ 4

    server 1 has the file, and has acknowledged it: it is on its disk.

    Round 1

        1 ●         ○ 2
            ╲
               ╲
                  ▼
        3 ○         ● 4

    server 1 tells server 4, which did not know it, stores it, and will tell others.
    2 of 4 have it.

    Round 2

        1 ● ──────▶ ● 2
                    ▲
                    │
                    │
        3 ○         ● 4

    server 4 tells server 2, which did not know it, stores it, and will tell others.
    server 1 tells server 2, which knew it already, and says so.
    3 of 4 have it.

    Round 3

        1 ●         ● 2
          │       ╱
          │    ╱
          ▼ ▼
        3 ● ◀────── ● 4

    server 2 tells server 3, which did not know it, stores it, and will tell others.
    server 4 tells server 3, which knew it already, and says so.
    server 1 tells server 3, which knew it already, and says so.
    All four have it.

    Now nobody tells any more: who has told all, or met two who knew it, is tired of it. Had a message been lost, some
    server might not know it still. So the servers also compare: each keeps a tree over its files, and two with the
    same root hold the same. 5.5 s after the write every pair has compared:

      server 1  root 0e3657ec...
      server 2  root 0e3657ec...
      server 3  root 0e3657ec...
      server 4  root 0e3657ec...

    One root: the four are identical.
    ");
    assert_eq!(told(), told());
}

#[test]
fn an_experiment_that_makes_no_sense_is_refused_with_the_reason() {
    for (wrong, why) in [
        (&["--nodes", "0"][..], "one node at least"),
        (&["--nodes", "5000"], "2000 at most, or 50000 with --rumors-only"),
        (&["--nodes", "1000000000"], "1000000000 whole nodes are too many"),
        (&["--nodes", "60000", "--rumors-only"], "50000 at most"),
        (&["--nodes", "5", "--rumors-only", "--spread-only"], "cannot be used with"),
        (&["--nodes", "5", "--loss", "120%"], "between 0% and 100%"),
        (&["--nodes", "5", "--loss", "80%"], "at most 50%"),
        (&["--nodes", "5", "--partition", "100%:1s"], "between 1% and 99%"),
        (&["--nodes", "5", "--writes", "0"], "not in 1..=10000"),
        (&["--nodes", "5", "--simulated", "3d"], "an hour at most"),
        (&["--nodes", "5", "--plot", "/no/such/folder/out.svg"], "cannot be written"),
        (&["--loss", "1%"], "--nodes"),
        (&["--nodes", "5", "--scenario", "H1"], "cannot be used with"),
        (&["--nodes", "5", "--plot", "-"], "--plot is -: the chart is not written to stdout"),
        (&["--story", "two-servers"], "four-servers"),
        (&["--story", "four-servers", "--plot", "x.svg"], "cannot be used with"),
        (&["--scenario", "H999"], "there is no scenario \"H999\"; there are H1, "),
    ] {
        let output = simulate(wrong);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {said}");
        assert!(said.contains(why), "{wrong:?}: {said}");
    }
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
