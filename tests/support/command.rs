//! The command line asked, and what it answers.

use std::ffi::OsStr;

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
