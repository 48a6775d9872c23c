use std::collections::BTreeSet;
use std::time::Duration;

use clap::Parser;

use super::ask::Method;
use super::differ::{Keys, Shape};
use super::row::{Cell, Sample, Spread};
use super::session::{Costs, Repaired};
use super::*;
use crate::cli::bench::fill::Write;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    repair: Repair,
}

fn repair(arguments: &[&str]) -> Repair {
    Line::try_parse_from(["repair"].iter().chain(arguments)).unwrap().repair
}

#[test]
fn impossible_arguments_are_one_line_each() {
    for (arguments, says) in [
        (["--keys", "10", "--differ", "0,11"].as_slice(), "--differ is 11, more than the --keys"),
        (&["--differ", "many"], "--differ is \"many\""),
        (&["--differ=-1,2"], "--differ is \"-1\""),
        (&["--nodes", "1"], "--nodes is 1 and wants 2 to 5"),
        (&["--nodes", "6"], "--nodes is 6"),
        (&["--shape", "round"], "--shape is \"round\""),
        (&["--method", "magic"], "--method is \"magic\""),
        (&["--rtt", "50"], "--rtt is \"50\""),
        (&["--rtt", "1m"], "--rtt is \"1m\""),
        (&["--repeat", "0"], "--repeat is 0"),
        (&["--value-size", "99999999"], "--value-size is 99999999"),
        (&["--key-size", "5"], "--key-size is 5"),
        (&["--key-size", "8", "--keys", "600000000"], "too few keys"),
        (&["--keys", "10000000000"], "--keys is 10000000000"),
        (&["--plot", "no/such/folder/x.svg"], "--plot is no/such/folder/x.svg"),
        (&["--plot", "/"], "--plot is /"),
        (&["--isolate", "5s"], "--isolate goes with --cluster"),
        (&["--cluster", "a:1"], "--cluster names one node"),
        (&["--cluster", "a:1,b:1", "--rtt", "50ms"], "settings of own nodes"),
        (&["--cluster", "a:1,b:1", "--isolate", "1h"], "--isolate is \"1h\""),
    ] {
        let error = ask::plan(&repair(arguments)).unwrap_err();
        let line = error.message().unwrap();
        assert!(
            error.exit_code() == 2 && line.contains(says) && !line.contains('\n'),
            "{arguments:?}: {line}"
        );
    }
    let plan =
        ask::plan(&repair(&["--rtt", "0,50ms", "--method", "tree,sketch", "--keys", "100000"])).unwrap();
    assert_eq!(plan.rtts, [Duration::ZERO, Duration::from_millis(50)]);
    assert_eq!(plan.methods, [Method::Tree, Method::Sketch]);
    assert_eq!((plan.differ.len(), plan.nodes, plan.repeat), (6, 2, 5));
    assert!(plan.bytes_needed() > 100_000_000);
}

fn keys(count: u64) -> Keys {
    Keys::new(ask::plan(&repair(&[])).unwrap().data, count)
}

#[test]
fn the_same_seed_makes_the_same_differences() {
    let (mut one, mut two) = (keys(1_000), keys(1_000));
    for shape in Shape::ALL {
        let writes = one.differ(100, shape, 2).unwrap();
        assert_eq!(writes, two.differ(100, shape, 2).unwrap());
        assert_ne!(writes, two.clone().differ(100, shape, 2).unwrap(), "each time others");
        let written: BTreeSet<u64> = writes.iter().map(|write| write.index).collect();
        assert_eq!(written.len(), 100, "{shape:?}: no key twice");
    }
    assert_eq!(one.count(), 1_000 + 50 + 50 + 100);
}

#[test]
fn each_shape_writes_what_it_says() {
    let new = |writes: &[Write], node| {
        writes.iter().filter(|write| write.index >= 1_000 && write.node == node).count()
    };
    let old = |writes: &[Write]| writes.iter().filter(|write| write.index < 1_000).count();
    let of = |shape| keys(1_000).differ(40, shape, 2).unwrap();
    let random = of(Shape::Random);
    assert_eq!((old(&random), new(&random, 0), new(&random, 1)), (20, 10, 10));
    let missing = of(Shape::Missing);
    assert_eq!((old(&missing), new(&missing, 0), new(&missing, 1)), (0, 40, 0));
    assert_eq!(old(&of(Shape::Updated)), 40);
    let cluster = of(Shape::Cluster);
    assert_eq!((old(&cluster), new(&cluster, 0), new(&cluster, 1)), (20, 10, 10));
    let data = ask::plan(&repair(&[])).unwrap().data;
    let token = |write: &Write| model::Key::new(data.key(write.index)).unwrap().token().0;
    let tokens: Vec<u64> = cluster.iter().map(token).collect();
    let width = tokens.iter().max().unwrap() - tokens.iter().min().unwrap();
    assert!(width < u64::MAX / 20, "{width}: 20 of 1,000 keys lie within a thirtieth");
    for differ in [0, 1, 3, 4, 999, 1_000] {
        for shape in Shape::ALL {
            assert_eq!(keys(1_000).differ(differ, shape, 3).unwrap().len() as u64, differ, "{shape:?}");
        }
    }
}

/// A row such as real nodes give.
fn row(differ: u64, repeats: u64) -> Row {
    let cell = Cell {
        keys: 1_000_000,
        differ,
        shape: "random",
        method: "auto",
        nodes: 2,
        rtt: Some(Duration::ZERO),
        key_bytes: 16,
        value_bytes: 128,
    };
    let sample = |number: u64| {
        let costs = Costs {
            sessions: 1,
            round_trips: 2,
            found: differ,
            bytes_find: 150 + 12 * differ,
            bytes_names: 20 * differ,
            bytes_total: 500 + 200 * differ,
            bytes_ideal: 170 * differ,
            wall: Duration::from_micros(1_500 + 20 * differ + number),
        };
        let repaired = Repaired { costs, methods: vec!["sketch"] };
        Sample {
            wall: costs.wall,
            repaired,
            cpu: Some(Duration::from_micros(900 + 15 * differ)),
            held: 1_000_000,
        }
    };
    Row { cell, samples: (0..repeats).map(sample).collect() }
}

#[test]
fn the_median_and_what_lies_around_it() {
    let of = |numbers: &[f64]| Spread::of(numbers.to_vec()).map(|s| (s.min, s.median, s.max));
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[3.0]), Some((3.0, 3.0, 3.0)));
    assert_eq!(of(&[9.0, 1.0, 2.0]), Some((1.0, 2.0, 9.0)));
    assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]), Some((1.0, 3.0, 9.0)));
}

#[test]
fn rows_as_a_table() {
    let rows: Vec<Row> = [0, 1, 1_000, 100_000].map(|differ| row(differ, 3)).into();
    insta::assert_snapshot!(shown::table(Screen::PLAIN, &rows));
}

#[test]
fn rows_as_json_and_as_comma_separated_values() {
    insta::assert_snapshot!(shown::json(&row(1_000, 2)).unwrap());
    let csv = shown::csv(&row(1_000, 2), true)
        + &shown::csv(&Row { cell: Cell { rtt: None, ..row(1, 1).cell }, ..row(1, 1) }, false);
    insta::assert_snapshot!(csv);
    let counts: BTreeSet<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(counts.len(), 1, "{counts:?}");
}

#[test]
fn the_chart_is_well_formed_whatever_was_measured() {
    let plan = ask::plan(&repair(&[])).unwrap();
    let rows: Vec<Row> = [0, 1, 100, 1_000, 10_000, 100_000].map(|differ| row(differ, 1)).into();
    let chart = plot::svg(&rows, &plan);
    well_formed(&chart);
    insta::assert_snapshot!(chart);
    assert_eq!(chart.matches("<polyline").count(), 4);
    assert_eq!(chart.matches("<circle").count(), 5, "a logarithm has no place for 0");
    for words in ["Mangrove (measured)", "ideal", "naive", "fixed segments", "1,000,000 keys", "dark"] {
        assert!(chart.contains(words), "{words}");
    }
    for few in [&rows[..0], &rows[..1], &rows[1..2]] {
        let chart = plot::svg(few, &plan);
        well_formed(&chart);
        assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
    }
}

/// Every tag is closed in order, every attribute quoted.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        let name = |tag: &str| tag.split_whitespace().next().unwrap().to_owned();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed)),
            None if tag.ends_with('/') => {}
            None => open.push(name(tag)),
        }
        rest = &rest[end + 1..];
        assert!(!rest[..rest.find('<').unwrap_or(rest.len())].contains('&'));
    }
    assert!(open.is_empty(), "{open:?}");
}
