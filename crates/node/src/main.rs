//! The `mangrove` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::run()
}
