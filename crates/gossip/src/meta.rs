//! What a node must remember of itself and its cluster across restarts, apart from the data.

use std::collections::BTreeMap;

use model::{ClusterId, DigestKey, Hlc, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::promise::Promises;
use crate::roster::Roster;
use crate::rules::{Rule, Rules};
use crate::stability::Kept;

const VERSION: u8 = 4;
/// The longest form that is read, in bytes.
const BYTES_MAX: usize = 4 << 20;

/// The durable record of a member. A few kilobytes, written whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Made at the first start in this data directory.
    pub node: NodeId,
    /// Unique among members.
    pub name: String,
    /// Made at founding.
    pub cluster: ClusterId,
    /// Made at founding, handed over in a join.
    pub digest_key: DigestKey,
    /// Who belongs.
    pub roster: Roster,
    /// Evictions this node has promised to take part in.
    pub promises: Promises,
    /// Whether a first session with a member that is not behind was completed. Until then the node is behind.
    pub caught_up: bool,
    /// Watermark, expiry horizon, summary vector and what belongs to them.
    pub stability: Kept,
    /// Per peer: the start, in milliseconds since 1970 by this node's clock, of the last session that proved the two
    /// identical.
    pub identical: BTreeMap<NodeId, u64>,
    /// Whether this node was forced to leave, and has not yet searched for what only it holds.
    pub unsearched: bool,
}

/// Why bytes are no such record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MetaError {
    /// Written by a version that this one does not know.
    #[error("the node's record has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// Cut or damaged.
    #[error("the node's record is damaged: {0}")]
    Damaged(String),
}

impl Meta {
    /// Whether this node has removed itself from the roster.
    pub fn has_left(&self) -> bool {
        self.roster.removal(self.node).is_some_and(|removal| removal.by == self.node)
    }

    /// Whether somebody else belongs, so far as this node knows: who could hold what it has lost.
    pub fn has_others(&self) -> bool {
        self.roster.members().any(|id| id != self.node)
    }

    /// Whether lost records matter: somebody else belongs, or may as soon as it is heard of, since the disk may be a backup from
    /// when this node was alone. A node that has just founded has nothing to lose.
    pub fn counts_losses(&self) -> bool {
        self.has_others() || self.stability.published > Hlc::ZERO
    }

    /// Records were found lost: the node is behind, and claims nothing any more of what others held.
    pub fn lost_records(&mut self) {
        self.lost_records_under(Rules::default());
    }

    /// The same where only these rules hold: for the simulator.
    pub fn lost_records_under(&mut self, rules: Rules) {
        self.caught_up &= !rules.hold(Rule::H30);
        self.stability.lost_records(rules);
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let encoded = bincode::serde::encode_into_std_write(self, &mut out, bincode::config::standard());
        debug_assert!(encoded.is_ok(), "integers, strings and maps always encode");
        out
    }

    /// The record that was kept as these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let (version, body) = bytes.split_first().ok_or_else(|| MetaError::Damaged("empty".into()))?;
        if *version != VERSION {
            return Err(MetaError::Version(*version));
        }
        let config = bincode::config::standard().with_limit::<BYTES_MAX>();
        let (meta, used) = bincode::serde::decode_from_slice::<Self, _>(body, config)
            .map_err(|error| MetaError::Damaged(error.to_string()))?;
        if used != body.len() {
            return Err(MetaError::Damaged("bytes too many".into()));
        }
        Ok(meta)
    }
}
