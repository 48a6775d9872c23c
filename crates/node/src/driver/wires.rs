//! The transport's own thread, so that a client's request which waits for a disk never keeps a heartbeat or
//! a frame waiting.

use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};

use crate::exit::Fatal;
use crate::transport::{BindError, DurableGate, Inbox, Limits, Transport};

/// A runtime for the transport; it ends with this.
pub struct Wires(Option<Runtime>);

impl Wires {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn new() -> Result<Self, Fatal> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("transport").enable_all().build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| Fatal::Failed(format!("no thread for the transport: {error}")))
    }

    /// Binds the gossip port and begins to listen.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(
        &self,
        address: SocketAddr,
        limits: Limits,
        gate: DurableGate,
    ) -> Result<(Transport, Inbox), Fatal> {
        let ended = || Fatal::Failed("the transport's thread ended".into());
        let runtime = self.0.as_ref().ok_or_else(ended)?;
        let started = runtime.spawn(Transport::start(address, limits, gate)).await;
        started.map_err(|_| ended())?.map_err(bind_failed)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A runtime must not be waited for inside another one.
            runtime.shutdown_background();
        }
    }
}

fn bind_failed(error: BindError) -> Fatal {
    match error {
        BindError::InUse { address, .. } => Fatal::PortInUse { what: "gossip", address, flag: "--gossip" },
        BindError::Io { address, source, .. } => Fatal::bind("gossip", address, "--gossip", &source),
    }
}
