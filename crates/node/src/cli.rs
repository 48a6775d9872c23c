//! The command line: one command a file, [`run`] in front of them.

mod bench;
mod delete;
mod dev;
mod drill;
mod endpoint;
mod error;
mod evict;
mod get;
mod health;
mod import;
mod keys;
mod leave;
mod list;
mod members;
mod output;
mod put;
mod quarantine;
mod repair;
mod repairs;
mod serve;
mod siblings;
mod signals;
mod simulate;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use self::error::CliError;

/// Mangrove: a replicated key-value store whose replicas prove themselves identical.
#[derive(Debug, Parser)]
#[command(name = "mangrove", version, propagate_version = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Dev(dev::Dev),
    Put(put::Put),
    Get(get::Get),
    Delete(delete::Delete),
    List(list::List),
    Status(status::Status),
    Members(members::Members),
    Leave(leave::Leave),
    Evict(evict::Evict),
    Repairs(repairs::Repairs),
    Repair(repair::Repair),
    Drill(drill::Drill),
    Quarantine(quarantine::Quarantine),
    Import(import::Import),
    Bench(bench::Bench),
    Simulate(simulate::Simulate),
    Health(health::Health),
}

/// Runs the command that this process was started with and gives back its exit code: 0 done, 1 failed, 2
/// refused because it cannot be done as asked. Writes what went wrong to stderr, in one line.
#[must_use]
pub fn run() -> ExitCode {
    let command = CommandLine::parse().command;
    let outcome = runtime(&command).and_then(|runtime| {
        let outcome = runtime.block_on(execute(command));
        // A read of stdin that nobody will answer must not hold up the end.
        runtime.shutdown_background();
        outcome
    });
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(message) = error.message() {
        output::say(&format!("mangrove: {message}"));
    }
    ExitCode::from(error.exit_code())
}

/// A node takes all cores; everything else waits for the network most of the time.
fn runtime(command: &Command) -> Result<Runtime, CliError> {
    let mut builder = match command {
        Command::Serve(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let failed = |error: std::io::Error| CliError::Failed(format!("the program cannot start: {error}"));
    builder.enable_all().build().map_err(failed)
}

async fn execute(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments).await,
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Put(arguments) => put::run(arguments).await,
        Command::Get(arguments) => get::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Members(arguments) => members::run(arguments).await,
        Command::Leave(arguments) => leave::run(arguments).await,
        Command::Evict(arguments) => evict::run(arguments).await,
        Command::Repairs(arguments) => repairs::run(arguments).await,
        Command::Repair(arguments) => repair::run(arguments).await,
        Command::Drill(arguments) => drill::run(arguments).await,
        Command::Quarantine(arguments) => quarantine::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Health(arguments) => health::run(arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn switches_stand_alone_or_with_a_word() {
        for arguments in [
            ["mangrove", "serve", "--found", "--insecure"].as_slice(),
            &["mangrove", "serve", "--found=off", "--rumors", "off", "--join", "a,b:1", "--join=c"],
            &["mangrove", "dev", "--nodes", "5", "--", "--rumors", "off"],
            &["mangrove", "list", "etc/", "--endpoint", "http://a:1,http://b:2"],
        ] {
            CommandLine::try_parse_from(arguments).unwrap();
        }
        assert!(CommandLine::try_parse_from(["mangrove", "dev", "--nodes", "0"]).is_err());
    }
}
