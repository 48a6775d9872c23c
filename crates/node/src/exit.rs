//! How the program ends: the errors that stop a node, their one clear line, and the exit codes.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Exit code after a request or a node failed.
pub const EXIT_FAILED: u8 = 1;

/// Exit code when nothing was done, because what was asked for cannot be done as asked: bad arguments or
/// settings, a data directory or a port that another process holds.
pub const EXIT_REFUSED: u8 = 2;

/// Why a node stopped or never came up. Its text is the one line that the program writes to stderr: what is
/// wrong and what to do about it.
#[derive(Debug, Error)]
pub enum Fatal {
    /// Another process holds the lock of the data directory. Nothing was changed.
    #[error(
        "the data directory {} is in use by another process: stop that one, or choose another with --data-dir",
        path.display()
    )]
    DataDirInUse {
        /// The data directory.
        path: PathBuf,
    },

    /// The data directory belongs to another cluster than the one that the seeds are members of. Nothing was
    /// changed.
    #[error(
        "the data directory {} belongs to cluster {ours}, but the seeds are members of cluster {theirs}: \
         correct --join; to join theirs as a new node, with nothing of this data, choose an empty --data-dir",
        path.display()
    )]
    OtherCluster {
        /// The data directory.
        path: PathBuf,
        /// The cluster that the data directory belongs to, as people are shown it.
        ours: String,
        /// The cluster that answered.
        theirs: String,
    },

    /// The data directory cannot be made, read or written.
    #[error("the data directory {} cannot be used: {reason}; see to its owner, its mode, free space and damaged files, or choose another with --data-dir", path.display())]
    DataDirUnusable {
        /// The data directory.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },

    /// A file in the data directory is not as the node wrote it. Nothing was changed.
    #[error(
        "the data directory {} cannot be used: {reason}. Do not take single files out of it: move it aside as a whole, keep \
         it, and start with an empty one and --join; the others fill that (in a cluster of one, put a backup back)",
        path.display()
    )]
    DataDirDamaged {
        /// The data directory.
        path: PathBuf,
        /// Which file, and what is wrong with it.
        reason: String,
    },

    /// A port is taken. Nothing was changed.
    #[error(
        "the {what} port {address} is in use by another process: stop that one, or choose another with {flag}"
    )]
    PortInUse {
        /// What the port is for: "HTTP" or "gossip".
        what: &'static str,
        /// The address that could not be bound.
        address: SocketAddr,
        /// The setting that changes it.
        flag: &'static str,
    },

    /// An address cannot be bound for another reason than being taken (not one of this machine, not allowed).
    #[error("the {what} address {address} cannot be bound: {reason}; choose another with {flag}")]
    CannotBind {
        /// What the address is for: "HTTP" or "gossip".
        what: &'static str,
        /// The address that could not be bound.
        address: SocketAddr,
        /// What the operating system said.
        reason: String,
        /// The setting that changes it.
        flag: &'static str,
    },

    /// The settings or arguments cannot hold. The text says which and what to write instead.
    #[error("{0}")]
    Settings(String),

    /// Anything else that ends a running node: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Fatal {
    /// The error for an address that could not be bound; `flag` is the setting that changes it.
    #[must_use]
    pub fn bind(what: &'static str, address: SocketAddr, flag: &'static str, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return Self::PortInUse { what, address, flag };
        }
        Self::CannotBind { what, address, reason: error.to_string(), flag }
    }

    /// The exit code of the process: [`EXIT_FAILED`] for [`Fatal::Failed`], [`EXIT_REFUSED`] for all others.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => EXIT_FAILED,
            _ => EXIT_REFUSED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_in_one_line_with_code_two() {
        let address: SocketAddr = "127.0.0.1:7710".parse().unwrap();
        let fatal = Fatal::bind("HTTP", address, "--http", &std::io::ErrorKind::AddrInUse.into());
        assert_eq!(fatal.exit_code(), 2);
        assert_eq!(
            fatal.to_string(),
            "the HTTP port 127.0.0.1:7710 is in use by another process: stop that one, or choose another with --http"
        );
    }

    #[test]
    fn every_message_is_one_line() {
        let path = PathBuf::from("/var/lib/mangrove");
        let all = [
            Fatal::DataDirInUse { path: path.clone() },
            Fatal::OtherCluster { path: path.clone(), ours: "aa".into(), theirs: "bb".into() },
            Fatal::DataDirUnusable { path: path.clone(), reason: "permission denied".into() },
            Fatal::DataDirDamaged { path, reason: "member is damaged".into() },
        ];
        for fatal in all {
            assert_eq!(fatal.exit_code(), EXIT_REFUSED);
            assert_eq!(fatal.to_string().lines().count(), 1);
        }
        assert_eq!(Fatal::Failed("the disk failed".into()).exit_code(), EXIT_FAILED);
    }
}
