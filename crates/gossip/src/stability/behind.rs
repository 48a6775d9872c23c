//! Whether a node holds less than the cluster counts on: it joined, lost records, or was restored from a backup.

use std::fmt;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};

use super::Kept;
use crate::roster::Roster;

/// Why a node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It has joined, and holds nothing yet.
    Joined,
    /// Some of its records were lost.
    Lost,
    /// Others count on its holding more than its disk shows: it was restored from a backup, or lost writes.
    Restored,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joined => "it has joined and not been filled yet",
            Self::Lost => "some of its records were lost",
            Self::Restored => {
                "its data is older than what the others count on: a restored backup, or lost writes"
            }
        })
    }
}

impl Kept {
    /// The least component of this node's vector. From a start until a session has shown that the disk is no old one the own
    /// one is what the disk says was last published, or a peer has held since, not what the clock says: the clock knows
    /// nothing of a restored disk (H25).
    pub fn stable(&self, me: NodeId, roster: &Roster) -> Hlc {
        let own = self.unproven.unwrap_or(self.published);
        self.complete(me, own, roster).least()
    }

    /// Whether the watermark, held or offered, lies above what this node durably holds (H17, H30). Where nobody else
    /// belongs there is nobody to be behind of.
    pub fn holds_too_little(&self, me: NodeId, roster: &Roster) -> bool {
        let others = roster.members().any(|member| member != me);
        // Nothing lies under no watermark: the vector of a large cluster is looked at once there is one.
        others && self.watermark > Hlc::ZERO && self.watermark > self.stable(me, roster)
    }

    /// A session with an authority, or one of a cluster in which everyone is behind, was completed, and its vector was
    /// merged. Says whether the node is behind still. `proves` says whether the other side knows more of the cluster than
    /// this node's disk does: else that may be an old one still, and has what the other side held of this node at least,
    /// up to `held`.
    pub fn completed(&mut self, me: NodeId, roster: &Roster, proves: bool, held: Hlc) -> bool {
        self.unproven = self.unproven.map(|unproven| unproven.max(held));
        self.go_on();
        if proves {
            self.be_proven();
        }
        if self.holds_too_little(me, roster) {
            self.behind.get_or_insert(Cause::Restored);
            return true;
        }
        self.behind = None;
        false
    }
}
