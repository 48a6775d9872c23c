//! Whether the ports are free, asked before any node starts: a cluster that comes up in part helps nobody.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::super::error::CliError;
use super::plan::NodePlan;
use crate::exit::Fatal;

/// Tries every address of every node, and lets go of it again.
pub(crate) fn check(nodes: &[NodePlan]) -> Result<(), CliError> {
    for node in nodes {
        try_tcp("HTTP", node.http)?;
        try_tcp("gossip", node.gossip)?;
        UdpSocket::bind(node.gossip).map_err(|error| taken("gossip", node.gossip, &error))?;
    }
    Ok(())
}

fn try_tcp(what: &'static str, address: SocketAddr) -> Result<(), CliError> {
    TcpListener::bind(address).map(drop).map_err(|error| taken(what, address, &error))
}

fn taken(what: &'static str, address: SocketAddr, error: &std::io::Error) -> CliError {
    Fatal::bind(what, address, "--http-base", error).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::plan;
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        // The kernel chooses the port, so that tests beside this one do not meet it.
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let nodes = plan::nodes(1, port, Path::new("d"), &[]);
        let Ok(nodes) = nodes else { return };
        let error = check(&nodes).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = error.message().unwrap();
        assert!(line.starts_with(&format!("the HTTP port 127.0.0.1:{port} is in use")), "{line}");
    }
}
