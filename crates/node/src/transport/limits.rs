//! Every bound and every time limit of the transport, in one place.

use std::time::Duration;

/// Bounds on sizes, counts and times. The defaults are for real use; tests shorten them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest frame in bytes, both ways. Longer ones end the connection they arrive on.
    pub frame_bytes_max: usize,
    /// Longest first exchange (hello, welcome, refusal) in bytes.
    pub hello_bytes_max: usize,
    /// Longest request to join in bytes; the answer may be as long as a frame.
    pub join_request_bytes_max: usize,
    /// How long the first frame of a connection and its answer may take.
    pub hello_time_max: Duration,
    /// How long a whole exchange about joining may take.
    pub join_time_max: Duration,
    /// How long one attempt to connect to one address may take.
    pub connect_time_max: Duration,
    /// How long resolving a name may take.
    pub resolve_time_max: Duration,
    /// Most frames waiting for one peer, those being written included.
    pub queue_frames_max: usize,
    /// Most bytes waiting for one peer; a single frame always fits into an empty queue.
    pub queue_bytes_max: usize,
    /// How long frames may wait for a peer that cannot be reached before they are dropped.
    pub queue_wait_max: Duration,
    /// How long a write may go without any progress.
    pub write_time_max: Duration,
    /// How often each side of a connection says that it is alive. Heartbeats find out dead members and close their
    /// connections long before: this is for connections that are lost between members that answer.
    pub beat_every: Duration,
    /// Without a byte from the other side for so long, a connection is taken for dead.
    /// Must be a few times `beat_every`.
    pub silence_max: Duration,
    /// First pause after a failed attempt to connect.
    pub backoff_min: Duration,
    /// Longest pause between attempts to connect.
    pub backoff_max: Duration,
    /// Most accepted connections at a time.
    pub accepted_max: usize,
    /// Most accepted connections of one remote address that have not yet said who they are.
    pub unproven_per_address_max: usize,
    /// Most events waiting for the driver.
    pub inbox_events_max: usize,
    /// Most bytes of received frames that the driver has not let go of.
    pub inbox_bytes_max: usize,
    /// Most received datagrams waiting for the driver.
    pub inbox_datagrams_max: usize,
    /// Longest datagram in bytes, both ways.
    pub datagram_bytes_max: usize,
    /// Most datagrams waiting to be sent.
    pub datagrams_out_max: usize,
    /// Most names whose addresses are kept for datagrams.
    pub names_max: usize,
    /// Age from which a name is resolved anew when it is next used.
    pub name_fresh: Duration,
    /// Each frame and datagram is held back this long before it is written; for tests and benchmarks.
    pub send_delay: Duration,
    /// Lowest wire version spoken.
    pub wire_min: u16,
    /// Highest wire version spoken; at least `wire_min`.
    pub wire_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: 4 << 20,
            hello_bytes_max: 2 << 10,
            join_request_bytes_max: 16 << 10,
            hello_time_max: Duration::from_secs(2),
            join_time_max: Duration::from_secs(10),
            connect_time_max: Duration::from_secs(2),
            resolve_time_max: Duration::from_secs(2),
            queue_frames_max: 1_024,
            queue_bytes_max: 64 << 20,
            queue_wait_max: Duration::from_secs(5),
            write_time_max: Duration::from_secs(10),
            beat_every: Duration::from_secs(8),
            silence_max: Duration::from_secs(24),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            accepted_max: 1_024,
            unproven_per_address_max: 8,
            inbox_events_max: 1_024,
            inbox_bytes_max: 64 << 20,
            inbox_datagrams_max: 512,
            datagram_bytes_max: 1_472,
            datagrams_out_max: 1_024,
            names_max: 1_024,
            name_fresh: Duration::from_secs(5),
            send_delay: Duration::ZERO,
            wire_min: 1,
            wire_max: 1,
        }
    }
}

impl Limits {
    /// The highest version that both sides speak.
    pub(super) fn common_wire(&self, theirs_min: u16, theirs_max: u16) -> Option<u16> {
        let wire = self.wire_max.min(theirs_max);
        (wire >= self.wire_min && wire >= theirs_min).then_some(wire)
    }

    /// Longest frame that may open a connection.
    pub(super) fn first_bytes_max(&self) -> usize {
        self.hello_bytes_max.max(self.join_request_bytes_max + super::hello::PRELUDE_BYTES)
    }
}
