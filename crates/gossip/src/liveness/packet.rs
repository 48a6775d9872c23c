//! The header in front of each heartbeat, and why a datagram is refused.

use model::{ClusterId, NodeId};
use thiserror::Error;

/// The version of heartbeats: the first byte of each.
pub const HEARTBEAT_VERSION: u8 = 2;

/// The longest datagram made or taken, bytes: fits into one Ethernet frame.
pub const PACKET_BYTES_MAX: usize = 1_400;

/// How much of the cluster's id a heartbeat carries: enough to tell clusters apart, not to prove anything.
const CLUSTER_BYTES: usize = 8;

pub(super) const BODY_BYTES_MAX: usize = PACKET_BYTES_MAX - 1 - CLUSTER_BYTES;

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PacketRefused {
    /// Over [`PACKET_BYTES_MAX`], or too short to be one.
    #[error("a datagram of {0} bytes is no heartbeat")]
    Size(usize),
    /// Of a program that speaks otherwise.
    #[error("heartbeat version {0}, this node speaks {HEARTBEAT_VERSION}")]
    Version(u8),
    /// Of another cluster.
    #[error("a heartbeat of another cluster")]
    Cluster,
    /// Not what a heartbeat looks like inside.
    #[error("not a heartbeat")]
    Malformed,
    /// The sender, or who it speaks for, does not belong; its add may not have reached this node yet.
    #[error("a heartbeat of node {0}, which is not in the roster")]
    NotAMember(NodeId),
    /// The sender uses this node's id: its own packet came back, or its data directory was copied.
    #[error("a heartbeat of another process under this node's own id")]
    OurOwnId,
    /// Addressed to another node: a stale address.
    #[error("a heartbeat for node {0}")]
    NotForUs(NodeId),
    /// Well formed, but makes no sense here.
    #[error("a heartbeat that contradicts itself")]
    Conflicting,
    /// This node has said goodbye.
    #[error("this node has said goodbye")]
    Stopped,
}

/// An id as eight bytes, whatever its value.
pub(super) mod fixed {
    use model::NodeId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        node: &NodeId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        node.0.to_be_bytes().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NodeId, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(|bytes| NodeId(u64::from_be_bytes(bytes)))
    }
}

/// The datagram of a heartbeat.
pub(super) fn seal(cluster: ClusterId, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + CLUSTER_BYTES + body.len());
    bytes.push(HEARTBEAT_VERSION);
    bytes.extend(cluster.0.iter().take(CLUSTER_BYTES));
    bytes.extend_from_slice(body);
    bytes
}

/// A datagram that says nothing but who sent it, and under which epoch.
pub(super) fn beat(cluster: ClusterId, from: NodeId, epoch: u64) -> Vec<u8> {
    let body = (u128::from(from.0) << 64) | u128::from(epoch);
    seal(cluster, &body.to_be_bytes())
}

/// Who sent the beat that this body is, if it is one, and its epoch: every other body is longer.
pub(super) fn beat_from(body: &[u8]) -> Option<(NodeId, u64)> {
    let body = u128::from_be_bytes(body.try_into().ok()?);
    Some((NodeId((body >> 64) as u64), body as u64))
}

/// The heartbeat in a datagram.
pub(super) fn open(bytes: &[u8], cluster: ClusterId) -> Result<&[u8], PacketRefused> {
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(PacketRefused::Size(bytes.len()));
    }
    let (version, rest) = bytes.split_first().ok_or(PacketRefused::Size(0))?;
    if *version != HEARTBEAT_VERSION {
        return Err(PacketRefused::Version(*version));
    }
    let (start, body) = rest.split_at_checked(CLUSTER_BYTES).ok_or(PacketRefused::Size(bytes.len()))?;
    if !cluster.0.starts_with(start) {
        return Err(PacketRefused::Cluster);
    }
    Ok(body)
}
