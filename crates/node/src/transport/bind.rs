//! Binding the one port that carries frames (TCP) and heartbeats (UDP).

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

/// How often another port is tried when any port would do and UDP finds the chosen one taken.
const ANY_PORT_ATTEMPTS: u32 = 32;

/// Why the gossip port cannot be used. Nothing is bound when this is returned.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("the gossip address {address} ({protocol}) is in use: another process listens there")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
    },
    /// Anything else: the address is none of this machine's, the port is not for this user.
    #[error("the gossip address {address} ({protocol}) cannot be used: {source}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, protocol: &'static str, source: io::Error) -> BindError {
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address, protocol },
            _ => BindError::Io { address, protocol, source },
        }
    }
}

/// Both sockets, on one port number.
#[derive(Debug)]
pub(super) struct Sockets {
    pub tcp: TcpListener,
    pub udp: UdpSocket,
    pub address: SocketAddr,
}

pub(super) async fn bind(wanted: SocketAddr) -> Result<Sockets, BindError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match bind_once(wanted).await {
            Err(BindError::InUse { protocol: "UDP", .. })
                if wanted.port() == 0 && attempt < ANY_PORT_ATTEMPTS => {}
            result => return result,
        }
    }
}

async fn bind_once(wanted: SocketAddr) -> Result<Sockets, BindError> {
    let failed = |protocol| move |source| BindError::new(wanted, protocol, source);
    let tcp = TcpListener::bind(wanted).await.map_err(failed("TCP"))?;
    let address = tcp.local_addr().map_err(failed("TCP"))?;
    let udp = match UdpSocket::bind(address).await {
        Ok(udp) => udp,
        Err(source) => return Err(BindError::new(address, "UDP", source)),
    };
    Ok(Sockets { tcp, udp, address })
}
