//! Which peers take no connection of this node for a reason that does not pass by itself: the two speak no common wire
//! version. Nothing else shows it, since heartbeats go on, and deletes wait for such a pair.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::NodeId;

use crate::transport::{Refusal, RefusalCode};

/// What such peers said last.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<NodeId, String>>);

impl Refusals {
    /// A peer has refused a connection.
    pub fn refused(&self, peer: NodeId, refusal: &Refusal) {
        if refusal.code == RefusalCode::NoCommonVersion {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, refusal.reason.clone());
        }
    }

    /// A peer has taken one.
    pub fn taken(&self, peer: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }

    /// What a peer said that takes none.
    pub fn of(&self, peer: NodeId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_by_itself_is_told_until_the_peer_takes_a_connection() {
        let refusals = Refusals::default();
        let (peer, reason) =
            (NodeId(7), "wire versions 2 to 2 were offered, this node speaks 3 to 4".to_owned());
        let refusal = |code| Refusal { code, reason: reason.clone() };
        refusals.refused(peer, &refusal(RefusalCode::NotReady));
        assert_eq!(refusals.of(peer), None);
        refusals.refused(peer, &refusal(RefusalCode::NoCommonVersion));
        assert_eq!(refusals.of(peer), Some(reason.clone()));
        refusals.taken(peer);
        assert_eq!(refusals.of(peer), None);
    }
}
