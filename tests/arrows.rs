//! Which crate may use which. ARCHITECTURE.md draws the arrows; this test holds them.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod source_tree;

use serde_json::Value;
use source_tree::{Source, names, parse, program_sources, repo_root, rust_sources};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Package, and the packages of this workspace that its program code may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("mangrove-model", &[]),
    ("mangrove-merkle", &[]),
    ("mangrove-storage", &["mangrove-model", "mangrove-merkle"]),
    ("mangrove-gossip", &["mangrove-storage", "mangrove-merkle", "mangrove-model"]),
    ("mangrove-sim", &["mangrove-gossip", "mangrove-storage", "mangrove-merkle", "mangrove-model"]),
    ("mangrove-http", &["mangrove-model"]),
    ("mangrove-client", &["mangrove-model"]),
    (
        "mangrove",
        &[
            "mangrove-model",
            "mangrove-merkle",
            "mangrove-storage",
            "mangrove-gossip",
            "mangrove-sim",
            "mangrove-http",
            "mangrove-client",
        ],
    ),
    (
        "mangrove-benches",
        &[
            "mangrove-model",
            "mangrove-merkle",
            "mangrove-storage",
            "mangrove-gossip",
            "mangrove-http",
            "mangrove-client",
            "mangrove",
        ],
    ),
];

/// Crates that do no IO, know no clock and make no randomness: `now` and the RNG are handed to them.
const PURE: &[&str] = &["model", "merkle", "gossip", "sim"];

/// What pure crates must not depend on, directly.
const IMPURE_PACKAGES: &[&str] =
    &["tokio", "tokio-util", "axum", "hyper", "reqwest", "sled", "mio", "socket2"];

/// What pure crates must not name: these paths and all below them.
const IMPURE_PATHS: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "reqwest",
    "std::net",
    "std::thread",
    "std::fs",
    "std::process",
    "std::env",
    "rand::rng",
];

/// What pure crates must not name in any path, wherever it was imported from. A `HashMap`'s order differs
/// from run to run, so a seed would not replay.
const IMPURE_WORDS: &[&str] =
    &["Instant", "SystemTime", "HashMap", "HashSet", "RandomState", "thread_rng", "ThreadRng", "SysRng"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(repo_root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package -> what it depends on, tests left out.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            (
                text(&package["name"]),
                used.filter(|one| one["kind"] != "dev").map(|one| text(&one["name"])).collect(),
            )
        })
        .collect()
}

fn wrong_arrows(metadata: &Value) -> Vec<String> {
    let used = dependencies(metadata);
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (package, uses) in &used {
        let Some(allowed) = allowed.get(package.as_str()) else {
            wrong.push(format!("{package} has no line in ARROWS"));
            continue;
        };
        for other in uses.iter().filter(|other| used.contains_key(*other)) {
            if !allowed.contains(&other.as_str()) {
                wrong.push(format!("{package} -> {other}"));
            }
        }
    }
    for pure in PURE {
        let package = format!("mangrove-{pure}");
        let impure = used[&package].iter().filter(|name| IMPURE_PACKAGES.contains(&name.as_str()));
        wrong.extend(impure.map(|name| format!("{package} -> {name}")));
    }
    wrong
}

/// The paths that a pure crate must not name.
fn impure_names(source: &Source) -> Vec<String> {
    let impure = |name: &String| {
        IMPURE_PATHS.iter().any(|path| is_or_is_below(name, path))
            || name.split("::").any(|word| IMPURE_WORDS.contains(&word))
    };
    names(&parse(source)).into_iter().filter(impure).map(|name| format!("{}: {name}", source.path)).collect()
}

fn is_or_is_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a file names an outside crate. Where a module of the same name is declared, the name is the module's.
fn names_crate(source: &Source, outside: &str) -> bool {
    let file = parse(source);
    let own_module =
        file.items.iter().any(|item| matches!(item, syn::Item::Mod(module) if module.ident == outside));
    !own_module && names(&file).iter().any(|name| is_or_is_below(name, outside))
}

fn files_naming(outside: &str) -> Vec<String> {
    let sources = rust_sources(&["crates", "benches", "tests"]);
    sources.into_iter().filter(|source| names_crate(source, outside)).map(|source| source.path).collect()
}

#[test]
fn arrows_between_crates_run_one_way() {
    let wrong = wrong_arrows(&metadata());
    assert!(wrong.is_empty(), "arrows that DESIGN does not have: {wrong:#?}");
}

#[test]
fn pure_crates_know_no_clock_no_socket_and_no_thread() {
    let wrong: Vec<String> = PURE
        .iter()
        .flat_map(|name| program_sources(&format!("crates/{name}")))
        .flat_map(|source| impure_names(&source))
        .collect();
    assert!(wrong.is_empty(), "named in a pure crate: {wrong:#?}");
}

#[test]
fn sled_is_named_in_one_file() {
    let files = files_naming("sled");
    assert!(
        matches!(files.as_slice(), [one] if one.starts_with("crates/storage/src/")),
        "sled is named in {files:?}"
    );
}

#[test]
fn foca_is_named_in_one_file() {
    let files = files_naming("foca");
    assert!(
        matches!(files.as_slice(), [one] if one.starts_with("crates/gossip/src/")),
        "foca is named in {files:?}"
    );
}

// The checks themselves, fed what they must refuse.

fn source(text: &str) -> Source {
    Source { path: "crates/merkle/src/walk.rs".to_owned(), text: text.to_owned() }
}

#[test]
fn a_wrong_arrow_is_found() {
    let mut metadata = metadata();
    let packages = metadata["packages"].as_array_mut().unwrap();
    let model = packages.iter_mut().find(|package| package["name"] == "mangrove-model").unwrap();
    let dependencies = model["dependencies"].as_array_mut().unwrap();
    dependencies.push(serde_json::json!({"name": "mangrove-storage", "kind": null}));
    dependencies.push(serde_json::json!({"name": "tokio", "kind": null}));
    dependencies.push(serde_json::json!({"name": "mangrove-http", "kind": "dev"}));
    packages.push(serde_json::json!({"name": "mangrove-new", "dependencies": []}));
    let wrong = wrong_arrows(&metadata);
    assert_eq!(
        wrong,
        [
            "mangrove-model -> mangrove-storage",
            "mangrove-new has no line in ARROWS",
            "mangrove-model -> tokio"
        ]
    );
}

#[test]
fn a_clock_in_a_pure_crate_is_found_in_every_form() {
    for bad in [
        "use std::time::Instant;",
        "use std::{collections::BTreeMap, time::{Duration, SystemTime}};",
        "fn f() { let now = ::std::time::Instant::now(); }",
        "use std::time; fn f(now: time::Instant) {}",
        "use std::net::SocketAddr;",
        "use std::thread::{self, sleep};",
        "fn f() { println!(\"{:?}\", std::thread::current()); }",
        "use tokio as runtime;",
        "async fn f() { tokio::time::sleep(DELAY).await }",
        "fn f() -> Vec<std::collections::HashMap<u8, u8>> { Vec::new() }",
    ] {
        assert!(!impure_names(&source(bad)).is_empty(), "{bad}");
    }
}

#[test]
fn what_a_pure_crate_may_say_passes() {
    for good in [
        "use std::time::Duration; //! tokio::spawn in a comment",
        "fn f() -> &'static str { \"std::net\" }",
        "#[cfg(test)] mod tests { use std::time::Instant; }",
        "use tokio_like::spawn;",
    ] {
        let good = good.replace("//!", "//");
        assert!(impure_names(&source(&good)).is_empty(), "{good}");
    }
}

#[test]
fn a_crate_is_told_from_a_module_of_its_name() {
    assert!(names_crate(&source("use sled::Db;"), "sled"));
    assert!(names_crate(&source("fn f(tree: &::sled::Tree) {}"), "sled"));
    assert!(names_crate(&source("fn f() { let _ = matches!(error, sled::Error::Io(_)); }"), "sled"));
    assert!(!names_crate(&source("mod sled; pub use sled::SledEngine;"), "sled"));
    assert!(!names_crate(&source("pub use crate::sled::SledEngine;"), "sled"));
}
