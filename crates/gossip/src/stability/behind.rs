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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Add, Removal};

    fn id(n: u64) -> NodeId {
        NodeId(n)
    }

    fn at(seconds: u64) -> Hlc {
        Hlc::new(seconds * 1_000, 0)
    }

    /// What a member with a slow clock wrote lies far under the watermark that the others reckon without it.
    #[test]
    fn a_removal_does_not_lift_what_a_disk_vouches_for_that_may_be_an_old_one() {
        let mut roster = Roster::default();
        for n in 1..=3 {
            roster.add(id(n), Add { at: at(1), sponsor: id(1), name: format!("n{n}") }).unwrap();
        }
        let vector = || [(id(2), at(90)), (id(3), at(5))].into_iter().collect();
        let mut kept = Kept { vector: vector(), published: at(90), ..Kept::default() };
        kept.begin_life(at(95));
        assert_eq!(kept.stable(id(1), &roster), at(5));
        let held = kept.vector.of(id(3), &roster);
        roster.remove(id(3), Removal { at: at(96), by: id(3) }).unwrap();
        assert_eq!(kept.stable(id(1), &roster), at(90));
        kept.removed_unproven(held);
        assert_eq!(kept.stable(id(1), &roster), at(5));
        kept.watermark = at(40);
        assert!(kept.holds_too_little(id(1), &roster));
        // One that was let in so late that it never counted holds nobody back; nor does any where the disk is proven.
        let mut late = Kept { watermark: at(40), ..kept.clone() };
        late.unproven = Some(at(90));
        late.removed_unproven(held);
        assert!(!late.holds_too_little(id(1), &roster));
        let mut proven = Kept { unproven: None, watermark: at(4), ..kept };
        proven.removed_unproven(held);
        proven.watermark = at(40);
        assert!(!proven.holds_too_little(id(1), &roster));
    }
}
