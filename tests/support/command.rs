//! The command line asked, and what it answers.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use super::{Api, Ran, SOON, mangrove, run};

/// Runs a command against a node.
pub fn ask(api: Api, arguments: &[impl AsRef<OsStr>]) -> Ran {
    run(mangrove().args(arguments).args(["--endpoint", &format!("http://{}", api.address)]), SOON)
}

pub fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

/// The exit code, and one line on stderr that says this.
#[track_caller]
pub fn fails(ran: Ran, code: i32, says: &str) {
    let ran = ran.expect(code);
    assert!(ran.stdout.is_empty(), "{}", ran.text());
    assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains(says), "{says}: {}", ran.stderr);
}

/// Asks `mangrove quarantine` of a file, or of a data directory.
pub fn quarantine(arguments: &[&str], file: &Path) -> Ran {
    run(mangrove().arg("quarantine").args(arguments).arg(file), SOON)
}

/// The keys in a node's quarantine file.
pub fn quarantined(home: &Path) -> BTreeSet<String> {
    let listed = json(&quarantine(&["list", "--json"], home).expect(0));
    listed.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
}
