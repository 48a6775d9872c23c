//! What a node has lost of its records, as `/v1/cluster` tells it. The JSON names are part of the API.

use serde::Serialize;

use crate::view::moment;

/// Damage since the process began, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageView {
    /// When it was last found, milliseconds since 1970; RFC 3339 in JSON.
    #[serde(serialize_with = "moment")]
    pub found_at: Option<u64>,
    /// What was found then, as a sentence's end.
    pub what: String,
    /// Records that were taken out of the store. Those of a folder that was moved aside are not counted.
    pub records: u64,
    /// Of these: under their keys the node holds something again, from other members.
    pub held_again: u64,
    /// Of these: no other member held anything under their keys.
    pub held_by_none: u64,
    /// Whether the node has completed a session with a member that is not behind since, or is the only one.
    pub healed: bool,
    /// The file with the bytes of records that were taken out; null when there were none.
    pub kept_in: Option<String>,
}
