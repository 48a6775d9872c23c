//! The same reconciliation on other crates, on two shapes that databases use, and on Mangrove's own finder: bytes,
//! round trips and CPU in one table.
//!
//! `cargo bench -p mangrove-benches --bench peers [-- OPTIONS]`; `--help` has the options. Every message is encoded and
//! decoded, both sides run in one thread on data in memory, and what each method finds is held against what differs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod by_full_tree;
mod by_mangrove;
mod by_negentropy;
mod by_riblt;
mod by_search_tree;
mod by_segments;
mod method;
mod options;
mod table;
mod workload;

use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use by_full_tree::ByFullTree;
use by_mangrove::{ByChoice, ByMangrove, BySketch, ByTree};
use by_negentropy::ByNegentropy;
use by_riblt::ByRiblt;
use by_search_tree::BySearchTree;
use by_segments::BySegments;
use method::{Method, Session, cpu_of, resident};
use options::Options;
use table::{Row, Upkeep};
use workload::{Item, Workload};

/// Writes between two sessions, when what a write costs is taken.
const WRITES: usize = 1_000;

fn main() {
    let options = match Options::read() {
        Ok(Some(options)) => options,
        Ok(None) => return println!("{}", options::HELP),
        Err(why) => {
            eprintln!("peers: {why}");
            std::process::exit(2);
        }
    };
    if let Some(name) = &options.memory_of {
        return memory_alone(name, options.keys);
    }
    let mut report = table::Report::new(&options);
    run::<ByMangrove<ByChoice>>(&options, &mut report);
    run::<ByMangrove<BySketch>>(&options, &mut report);
    run::<ByMangrove<ByTree>>(&options, &mut report);
    run::<ByNegentropy>(&options, &mut report);
    run::<BySearchTree>(&options, &mut report);
    run::<ByRiblt>(&options, &mut report);
    run::<BySegments>(&options, &mut report);
    run::<ByFullTree>(&options, &mut report);
    print!("{}", if options.json { report.json() } else { report.text() });
}

/// All rows of one method.
fn run<M: Method>(options: &Options, report: &mut table::Report) {
    if !options.wants(M::NAME) {
        return;
    }
    let mut kept = None;
    for differing in &options.differ {
        if let Some(why) = M::skipped(*differing) {
            report.rows.push(Row::skipped(M::NAME, *differing, why));
            continue;
        }
        let workload = Workload::new(options.keys, *differing);
        let kept = kept.get_or_insert_with(|| M::kept(&workload.common));
        let pair = M::pair(kept, &workload);
        let session = pair.session();
        check(M::NAME, &workload, &session);
        report.rows.push(Row::of(M::NAME, *differing, &session, cpu_of(|| pair.session())));
        eprintln!("{}: {differing} done", M::NAME);
    }
    if options.upkeep {
        let (mut write, mut bytes_a_key) = (None, None);
        if M::UPKEEP {
            let kept = kept.get_or_insert_with(|| M::kept(&Workload::new(options.keys, 0).common));
            write = write_cost::<M>(kept, options.keys);
            bytes_a_key = memory_in_child(M::NAME, options.keys);
        }
        report.upkeep.push(Upkeep { method: M::NAME, settings: M::SETTINGS, write, bytes_a_key });
    }
}

/// A method that finds too little would win every comparison.
fn check(name: &str, workload: &Workload, session: &Session) {
    let wanted = workload.differing();
    if let Some(ids) = session.ids {
        assert_eq!(ids, wanted.len() + workload.updated(), "{name} did not find all versions");
        return;
    }
    let mut found = session.found.clone();
    found.sort_unstable();
    found.dedup();
    let (named, wanted_count) = (found.len(), wanted.len());
    found.retain(|name| wanted.binary_search(name).is_ok());
    assert!(found == wanted, "{name} found {} keys of {wanted_count}", found.len());
    // A sketch names all keys of a unit in which one differs.
    assert!(
        named <= wanted_count + wanted_count / 5 + 5,
        "{name} named {named} keys where {wanted_count} differ"
    );
}

/// CPU of one write in nanoseconds, of updates of keys anywhere, with its share of what is done before a session.
fn write_cost<M: Method>(kept: &mut M::Kept, keys: usize) -> Option<f64> {
    let mut items = Workload::new(keys, 0).common;
    let mut rng = StdRng::seed_from_u64(5);
    let mut rounds: Vec<f64> = Vec::new();
    for _ in 0..7 {
        let mut updates: Vec<(Item, Item)> = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let item = &mut items[rng.random_range(0..keys)];
            let new = (item.0, rng.random());
            updates.push((*item, new));
            *item = new;
        }
        let begun = method::cpu();
        M::write(kept, &updates)?;
        rounds.push((method::cpu() - begun).as_nanos() as f64 / WRITES as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Some(rounds[rounds.len() / 2])
}

/// Bytes of memory for each key that one side keeps beside its entries, in a process that does nothing else.
fn memory_in_child(name: &str, keys: usize) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    let mut child = Command::new(this);
    child.args(["--memory-of", name, "--keys", &keys.to_string()]);
    // What is freed goes back at once, and does not hide what is taken after it.
    child
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "0")
        .env("MALLOC_TOP_PAD_", "0");
    let child = child.output().ok()?;
    String::from_utf8(child.stdout).ok()?.trim().parse().ok()
}

fn memory_alone(name: &str, keys: usize) {
    fn measured<M: Method>(name: &str, common: &[Item]) {
        if M::NAME == name && size_of::<M::Kept>() > 0 {
            let before = resident();
            let kept = std::hint::black_box(M::kept_alone(common));
            println!("{}", (resident() - before) as f64 / common.len() as f64);
            drop(kept);
        }
    }
    // Pages of 2 MiB would count as a whole.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let common = workload::common(keys, &mut StdRng::seed_from_u64(1));
    measured::<ByMangrove<ByChoice>>(name, &common);
    measured::<ByNegentropy>(name, &common);
    measured::<BySearchTree>(name, &common);
    measured::<ByRiblt>(name, &common);
    measured::<BySegments>(name, &common);
    measured::<ByFullTree>(name, &common);
}
