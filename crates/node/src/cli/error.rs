//! Why a command failed, what to do next, and the exit code that says so to programs.

use std::io;

use crate::exit::{EXIT_FAILED, EXIT_REFUSED, Fatal};

/// Why a command ended without doing all it was asked for.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Nothing was tried: the arguments or surroundings do not allow it. Exit code 2.
    Refused(String),
    /// Tried, and failed. Exit code 1.
    Failed(String),
    /// A node could not start or stopped.
    Fatal(Fatal),
    /// Whoever reads our output has seen enough (`mangrove list | head`): no error.
    ReaderGone,
}

impl CliError {
    /// The line for stderr, where there is something to say.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Refused(text) | Self::Failed(text) => Some(text.clone()),
            Self::Fatal(fatal) => Some(fatal.to_string()),
            Self::ReaderGone => None,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => EXIT_REFUSED,
            Self::Failed(_) => EXIT_FAILED,
            Self::Fatal(fatal) => fatal.exit_code(),
            Self::ReaderGone => 0,
        }
    }

    /// The error for output that cannot be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Failed(format!("the output cannot be written: {error}"))
    }
}

impl From<Fatal> for CliError {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}
