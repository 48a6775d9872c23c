//! What a joiner and a seed say to each other: one request, one answer.

use model::{ClusterId, DigestKey, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sponsor::ClusterFacts;
use crate::roster::{IDS_HARD_MAX, Roster};

/// The version of requests and answers: their first byte.
const VERSION: u8 = 2;

/// The longest request, bytes.
const REQUEST_BYTES_MAX: usize = 2_048;

/// The longest answer, bytes: a full roster.
const ANSWER_BYTES_MAX: usize = 1_024 * IDS_HARD_MAX;

/// The wire versions that a node speaks, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireVersions {
    /// The oldest.
    pub oldest: u8,
    /// The newest.
    pub newest: u8,
}

impl WireVersions {
    /// Whether two nodes have a version in common.
    pub fn meets(self, other: Self) -> bool {
        self.oldest.max(other.oldest) <= self.newest.min(other.newest)
    }
}

/// A node asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its id.
    pub node: NodeId,
    /// The name it wants.
    pub name: String,
    /// Where frames and heartbeats reach it, `host:port`.
    pub gossip: String,
    /// Where clients reach it, `host:port`.
    pub http: String,
    /// What it speaks.
    pub wire: WireVersions,
    /// Whether it may found a cluster itself.
    pub may_found: bool,
    /// The cluster it is a member of; none for a node that looks for one. A member asks its seeds so as to
    /// find the others after addresses have changed.
    pub cluster: Option<ClusterId>,
}

/// What a seed answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// The asker is a member, and its add is on the sponsor's disk.
    Joined {
        /// The cluster.
        cluster: ClusterId,
        /// The key of its digests.
        digest_key: DigestKey,
        /// Its roster, with the asker in it.
        roster: Box<Roster>,
    },
    /// The seed is a member and does not let the asker in, now or ever.
    Refused(JoinRefusal),
    /// The seed is no member either.
    NotJoinedYet {
        /// Its id.
        node: NodeId,
        /// Whether it may found a cluster.
        may_found: bool,
    },
}

/// Why a member does not let a node in. The roster is unchanged.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// The asker is a member of another cluster than the one asked.
    #[error("the member is of cluster {}, and clusters never merge", .0.cluster)]
    OtherCluster(ClusterFacts),
    /// The member is busy starting, or replacing another under that name. Ask again.
    #[error("the member is not ready to let anyone in yet")]
    NotReady,
    /// A member of that name answers.
    #[error("the name is in use by node {by}, which answers")]
    NameInUse {
        /// That member.
        by: NodeId,
    },
    /// The member of that name is down, but too few members promise to remove it.
    #[error(
        "node {old} of that name is down, but only {promised} of the {needed} members needed promise to remove it"
    )]
    NoMajority {
        /// That member.
        old: NodeId,
        /// Promises so far.
        promised: u32,
        /// Promises needed.
        needed: u32,
    },
    /// The asker's id was a member's once. It needs an empty data directory to come back.
    #[error("this node was removed from the cluster; only with an empty data directory can it join again")]
    RemovedForEver,
    /// No wire version in common.
    #[error("the member speaks wire versions {} to {}, upgrade the older of the two", .0.oldest, .0.newest)]
    Wire(WireVersions),
    /// The roster is full.
    #[error("the cluster has had as many members as it can")]
    Full,
    /// The request breaks a rule.
    #[error("{0}")]
    BadRequest(String),
}

impl JoinRefusal {
    /// Whether asking again may succeed without anyone changing the asker's settings. A joiner asks again
    /// in any case, since an operator may act on the other side.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotReady | Self::NameInUse { .. } | Self::NoMajority { .. })
    }
}

/// Why bytes are no request or answer. Nothing changes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JoinFormError {
    /// Of another version.
    #[error("join version {0}, this node speaks {VERSION}")]
    Version(u8),
    /// Too long, cut, or not of the form.
    #[error("not a join message: {0}")]
    Form(String),
}

impl JoinRequest {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The request that these bytes are; not checked further, see [`super::sponsor()`].
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinFormError> {
        decode::<Self, REQUEST_BYTES_MAX>(bytes)
    }
}

impl JoinAnswer {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The answer that these bytes are.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinFormError> {
        decode::<Self, ANSWER_BYTES_MAX>(bytes)
    }
}

fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let encoded = bincode::serde::encode_into_std_write(message, &mut bytes, bincode::config::standard());
    debug_assert!(encoded.is_ok(), "integers, strings and maps always encode");
    bytes
}

fn decode<T: DeserializeOwned, const BYTES_MAX: usize>(bytes: &[u8]) -> Result<T, JoinFormError> {
    let (version, body) = bytes.split_first().ok_or_else(|| JoinFormError::Form("empty".into()))?;
    if *version != VERSION {
        return Err(JoinFormError::Version(*version));
    }
    if body.len() > BYTES_MAX {
        return Err(JoinFormError::Form(format!("{} bytes, at most {BYTES_MAX}", body.len())));
    }
    let config = bincode::config::standard().with_limit::<BYTES_MAX>();
    let (message, used) = bincode::serde::decode_from_slice(body, config)
        .map_err(|error| JoinFormError::Form(error.to_string()))?;
    if used != body.len() {
        return Err(JoinFormError::Form("bytes too many".into()));
    }
    Ok(message)
}
