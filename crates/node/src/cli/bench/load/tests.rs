use clap::Parser;

use super::job::Measured;
use super::mix::Operation;
use super::shown::Beside;
use super::tally::{Outcome, Tally};
use super::*;
use crate::cli::bench::data::Dice;
use crate::cli::bench::wire::Fault;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    load: Load,
}

fn load(arguments: &[&str]) -> Load {
    Line::try_parse_from(["load"].iter().chain(arguments)).unwrap().load
}

#[test]
fn impossible_arguments_are_one_line_each() {
    for (arguments, says) in [
        (["--keys", "0"].as_slice(), "--keys is 0"),
        (&["--key-size", "7"], "--key-size wants 8 to 1024"),
        (&["--key-size", "1025"], "--key-size wants"),
        (&["--keys", "5000000000", "--key-size", "8"], "only 4294967296 keys"),
        (&["--value-size", "1048577"], "at most 1048576"),
        (&["--endpoint", "a:1", "--with-repair"], "--with-repair stops and starts nodes"),
        (&["--endpoint", "a:1", "--scenario", "cluster"], "--scenario cluster stops"),
    ] {
        let error = check(&load(arguments)).unwrap_err();
        let line = error.message().unwrap();
        assert!(error.exit_code() == 2 && line.contains(says) && !line.contains('\n'), "{line}");
    }
    for bad in
        [["--clients", "0"], ["--mix", "put"], ["--seconds", "0"], ["--rate", "0"], ["--durability", "x"]]
    {
        assert!(Line::try_parse_from(["load"].iter().chain(&bad)).is_err(), "{bad:?}");
    }
    check(&load(&[])).unwrap();
}

#[test]
fn a_mix_is_picked_by_weight() {
    let mix: Mix = "put=1,get=3".parse().unwrap();
    let mut dice = Dice::new(5);
    let puts = (0..4_000).filter(|_| mix.pick(&mut dice) == Operation::Put).count();
    assert!((850..1150).contains(&puts), "{puts}");
    assert_eq!(mix.to_string(), "put=1,get=3");
    for bad in ["", "put", "put=x", "put=0", "put=1,put=2", "watch=1", "put=-1", "put=9999999999"] {
        assert!(bad.parse::<Mix>().is_err(), "{bad}");
    }
}

fn measured() -> Measured {
    let mut tally = Tally::default();
    for millis in 1..=100 {
        tally.note(Operation::Put, Outcome::Done, Duration::from_millis(millis));
        tally.note(Operation::Get, Outcome::Done, Duration::from_micros(millis * 10));
    }
    let mut other = Tally::default();
    other.note(Operation::Put, Outcome::Refused(503), Duration::ZERO);
    other.note(Operation::Put, Outcome::Fault(Fault::Timeout), Duration::ZERO);
    other.note(Operation::Put, Outcome::Refused(503), Duration::ZERO);
    other.unsent = 7;
    tally.add(other);
    Measured { job: load(&[]).job(Vec::new(), Some(50)), tally, time: Duration::from_secs(4) }
}

#[test]
fn rates_latencies_and_errors_are_shown_to_people() {
    let mut phase = Phase::new("load", &Measured { job: Job { threads: 1, ..measured().job }, ..measured() });
    insta::assert_snapshot!(phase.text(output::Screen::PLAIN));
    let beside = Beside {
        governor: "on",
        entries: 400,
        entries_per_second: 100.0,
        bytes_per_second: 20_480.0,
        of_unhindered: 0.25,
        ended: false,
    };
    phase = phase.beside(beside);
    assert!(
        phase.text(output::Screen::PLAIN).contains(
            "repair beside it, governor on: 100 entries a second, 20.0 KiB/s, 25 % of its rate alone"
        )
    );
    insta::assert_snapshot!(phase.json().unwrap());
}
