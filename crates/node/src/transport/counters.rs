//! What the transport counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Running totals since the start; see [`Snapshot`] for what each means.
        #[derive(Debug, Default)]
        pub struct Counters { $(pub(super) $name: AtomicU64,)* }

        /// The totals as of one moment (each is read on its own).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Reads all totals.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Snapshot {
            /// Every total with its name, for metrics.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Connections taken from peers.
    accepted,
    /// Connections made to peers.
    dialed,
    /// Attempts to connect to a peer that failed.
    dial_failures,
    /// Frames received.
    frames_in,
    /// Bytes of frames received.
    bytes_in,
    /// Frames written.
    frames_out,
    /// Bytes of frames written.
    bytes_out,
    /// Frames not taken because a peer's queue was full.
    queue_full,
    /// Queued frames dropped with their connection or because their peer could not be reached.
    frames_dropped,
    /// Requests to join received.
    joins,
    /// Datagrams received.
    datagrams_in,
    /// Datagrams sent.
    datagrams_out,
    /// Datagrams not sent: queue full, name not resolved, or refused by the system.
    datagrams_dropped,
    /// Failures to accept a connection, such as too many open files.
    accept_errors,
    /// Connections closed for a frame longer than allowed, or bytes that are no frame at all.
    bad_too_long,
    /// Connections that ended in the middle of a frame.
    bad_cut,
    /// Connections closed because their first frame was not Mangrove's or not readable.
    bad_first_frame,
    /// Connections refused because no wire version is common.
    bad_version,
    /// Connections refused because they belong to another cluster.
    bad_cluster,
    /// Connections refused because another node was meant.
    bad_target,
    /// Connections closed because their first frame took too long.
    bad_hello_timeout,
    /// Connections closed because nothing was heard for too long.
    bad_silent,
    /// Connections refused because there were too many.
    bad_too_many,
    /// Connections closed because the driver could not read a frame.
    bad_frame,
    /// Datagrams longer than allowed, or that the driver could not read.
    bad_datagram,
}

/// What can be wrong with what arrives from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A frame longer than allowed, or bytes that are no frame at all.
    TooLong,
    /// The connection ended in the middle of a frame.
    Cut,
    /// The first frame was not Mangrove's or not readable.
    FirstFrame,
    /// No wire version is common.
    Version,
    /// Another cluster.
    Cluster,
    /// Another node was meant.
    Target,
    /// The first frame took too long.
    HelloTimeout,
    /// Nothing was heard for too long.
    Silent,
    /// Too many connections.
    TooMany,
    /// A frame that the driver could not read.
    Frame,
    /// A datagram that is too long or that the driver could not read.
    Datagram,
}

impl Counters {
    pub(super) fn bad(&self, bad: Bad) {
        add(match bad {
            Bad::TooLong => &self.bad_too_long,
            Bad::Cut => &self.bad_cut,
            Bad::FirstFrame => &self.bad_first_frame,
            Bad::Version => &self.bad_version,
            Bad::Cluster => &self.bad_cluster,
            Bad::Target => &self.bad_target,
            Bad::HelloTimeout => &self.bad_hello_timeout,
            Bad::Silent => &self.bad_silent,
            Bad::TooMany => &self.bad_too_many,
            Bad::Frame => &self.bad_frame,
            Bad::Datagram => &self.bad_datagram,
        });
    }
}

/// Adds one.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds a number of bytes or frames.
pub(super) fn add_many(counter: &AtomicU64, many: usize) {
    counter.fetch_add(many as u64, Ordering::Relaxed);
}
