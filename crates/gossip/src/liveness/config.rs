//! How fast a silent member is found out, and what that costs.

use std::time::Duration;

/// The figures of the heartbeats. The defaults find a killed member within 5 s in clusters of 2 to 32.
///
/// Detection takes: the wait until some member probes the dead one (in a cluster of two up to one period,
/// in a large one the first of many at random: over 7 periods once in thousands of times), one period
/// until that probe has failed, the suspicion, and one or two gossip rounds until all have heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// How often each node probes one member, taking them in a shuffled order. A probe that is not answered
    /// by the end of it, directly or through others, makes the member suspect. Shorter finds out sooner and
    /// costs packets: about 4 a period and node. More than twice `probe_rtt`. Not zero.
    pub probe_period: Duration,
    /// How often each node says to each other member of a small cluster that it is there. While everyone is heard of
    /// nobody is probed: what an idle cluster sends is these beats.
    pub beat_period: Duration,
    /// A member of a small cluster that has not been heard of for this long is probed. Little more than `beat_period`:
    /// it is a part of how long detection takes, and a beat that comes late costs only probes.
    pub silence: Duration,
    /// A cluster of no more members than this, the node itself counted in, is small.
    pub small_cluster: usize,
    /// How long a direct answer may take before others are asked to probe in this node's place. Above the
    /// round trip and the usual stalls of a busy machine; a low figure only costs packets. Not zero.
    pub probe_rtt: Duration,
    /// How many others are asked to probe in this node's place.
    pub indirect_probes: usize,
    /// How long a suspect has to say that it is alive. With what is left of a probe period this is the
    /// pause of a process or network that is forgiven; it is most of the time that detection takes.
    pub suspect_to_down_after: Duration,
    /// How often news that are still fresh are sent out by themselves, apart from riding on probes.
    pub gossip_period: Duration,
    /// To how many random members each time.
    pub gossip_members: usize,
    /// How many times a node sends each piece of news. A suspect must get word of it to answer it, so this
    /// is what keeps lossy networks from losing members; 1 to 255.
    pub transmissions: u8,
    /// How often members that are down are announced to, for ever.
    pub announce_period: Duration,
    /// To how many of them each time, in turn: bounds the traffic when most of a large cluster is down.
    pub announce_members_max: usize,
    /// With more other members than this a node announces itself to them in turn, not to all of them at its start: a
    /// cluster that starts as one would send the square of its number.
    pub met_at_once: usize,
    /// A wake-up later than this shows that the process did not run; see [`super::Liveness::wake`].
    pub pause: Duration,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(300),
            beat_period: Duration::from_millis(800),
            silence: Duration::from_millis(900),
            small_cluster: 3,
            probe_rtt: Duration::from_millis(120),
            indirect_probes: 3,
            suspect_to_down_after: Duration::from_millis(2_000),
            gossip_period: Duration::from_millis(200),
            gossip_members: 3,
            transmissions: 20,
            announce_period: Duration::from_millis(1_000),
            announce_members_max: 16,
            met_at_once: 64,
            pause: Duration::from_millis(500),
        }
    }
}
