//! Tells the program which commit it is built from, so that what the simulator finds names it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MANGROVE_COMMIT");
    // Written with every commit and checkout. Not there where no repository is.
    let log = "../../.git/logs/HEAD";
    println!("cargo:rerun-if-changed={}", if Path::new(log).exists() { log } else { "build.rs" });
    let set = std::env::var("MANGROVE_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = set.or_else(head) {
        println!("cargo:rustc-env=MANGROVE_COMMIT={commit}");
    }
}

fn head() -> Option<String> {
    let said = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(said.stdout).ok().filter(|_| said.status.success())?;
    Some(commit.trim().to_owned())
}
