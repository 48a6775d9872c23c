//! Who this node is, as it tells every peer it connects to.

use model::{ClusterId, NodeId, WriterId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name and longest address, in bytes.
pub const TEXT_BYTES_MAX: usize = 255;

/// Where a node is reached, as the node itself says. The transport carries it and compares nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// `host:port` for frames and heartbeats.
    pub gossip: String,
    /// `host:port` of its HTTP API.
    pub http: String,
    /// Which of two contacts of one node is the later one: the greater stamp.
    pub stamp: u64,
}

/// Who this node is. Nothing is dialed and no peer is welcomed before it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; peers of another one are refused.
    pub cluster: ClusterId,
    /// This node's id.
    pub node: NodeId,
    /// This node's present life.
    pub life: WriterId,
    /// Its name for people, 1 to 255 bytes without control characters.
    pub name: String,
    /// Where it is reached.
    pub contact: Contact,
}

/// Why an identity cannot be told to peers. Nothing has changed when this is returned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// A text is empty where it must not be, longer than 255 bytes or has control characters.
    #[error("the {what} must have at most {TEXT_BYTES_MAX} bytes and no control characters: {text:?}")]
    Text {
        /// Which text.
        what: &'static str,
        /// The text itself.
        text: String,
    },
}

impl Identity {
    /// Whether peers would take the two for one and the same connection partner.
    pub(super) fn is_same_life(&self, other: &Identity) -> bool {
        (self.cluster, self.node, self.life) == (other.cluster, other.node, other.life)
    }

    pub(super) fn check(&self) -> Result<(), IdentityError> {
        check_texts(&self.name, &self.contact)
    }
}

/// The same bounds for what is told to peers and for what they tell.
pub(super) fn check_texts(name: &str, contact: &Contact) -> Result<(), IdentityError> {
    let texts = [("name", name), ("gossip address", &contact.gossip), ("HTTP address", &contact.http)];
    for (what, text) in texts {
        let bad = text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control);
        if bad || (what == "name" && text.is_empty()) {
            let shown = text.chars().take(TEXT_BYTES_MAX).collect();
            return Err(IdentityError::Text { what, text: shown });
        }
    }
    Ok(())
}
