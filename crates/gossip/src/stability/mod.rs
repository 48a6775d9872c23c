//! Forgetting deletes safely: what every member is known to hold, and what follows from that. Pure parts that know
//! nothing of sessions, stores or timers; [`crate::core`] puts them to work.
//!
//! A *summary vector* says of each member up to which of its times this node durably holds all that it held (Golding,
//! "A Weak-Consistency Architecture for Distributed Information Services", 1992). Members publish theirs; from all of
//! them each member reckons the *watermark*, at or under which every write is known to every member. Tombstones there
//! may go, contexts are folded there, and what somebody alone brings back from there was replaced long ago.
//!
//! | file | what it holds |
//! |---|---|
//! | `vector` | the summary vector, and steps of time |
//! | `published` | what members publish of themselves |
//! | `said`, `packed` | the form of that, and of vectors, on the wire |
//! | `watermark` | the watermark, and whom it waits for |
//! | `horizon` | the expiry horizon |
//! | `behind` | whether a node holds less than it should |
//! | `judge` | which siblings of what comes are taken |

mod behind;
mod horizon;
mod judge;
mod packed;
mod published;
mod said;
#[cfg(test)]
mod tests;
mod vector;
mod watermark;

use model::{Hlc, NodeId};
use serde::{Deserialize, Serialize};
use storage::Marks;

use crate::rules::{Rule, Rules};

pub use behind::Cause;
pub use horizon::{Elapsed, majority};
pub use judge::{Judge, Judged, Ruling, Terms, rumor, split, take_out, without};
pub use published::{Adoptions, Own, Publications, Published};
pub use said::{Places, SAID_MAX, Said, SaidVector};
pub use vector::{STEP_MS, Vector, in_steps, step};
pub use watermark::{Reckoned, Waits, reckon};

/// What of all this a member must remember across restarts. On disk before it is used or told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether this process has founded the cluster: the disk has nothing to prove until it ends. Never on a disk, where it
    /// would be in a backup, too.
    #[serde(skip)]
    pub founded_now: bool,
    /// Every dot at or under it is known to every member. Never falls.
    pub watermark: Hlc,
    /// What expires at or under it has expired for everybody. Never falls.
    pub horizon: Hlc,
    /// Of each other member, removed ones too: up to which of its times all that it held is durably held here.
    pub vector: Vector,
    /// This node's own time at its last adoption: of another roster, or a new life.
    pub adopted: Hlc,
    /// The time of what was last published: the own component, but for what is said under `unproven`.
    pub published: Hlc,
    /// From a start until a session has shown that the disk is not an old one: the own component as the disk said that it was
    /// last published (H25), or as a peer has held it since.
    pub unproven: Option<Hlc>,
    /// Whether it is unproven since records were lost from it: each other member may hold a part of what is missing here.
    pub lost: bool,
    /// Since the start of which life the disk may be one from when this node was alone (H32): whom it has let in since then
    /// knows no more of the cluster. None once a session has shown otherwise.
    pub alone: Option<Hlc>,
    /// Why the node is behind, if it is.
    pub behind: Option<Cause>,
    /// When this node last took data from a member that was leaving, milliseconds since 1970 by its own clock; 0: never.
    /// From then on it may hold what no other disk has, whenever that was written.
    pub inherited_ms: u64,
}

impl Kept {
    /// Watermark and horizon together.
    pub fn marks(&self) -> Marks {
        Marks { watermark: self.watermark, horizon: self.horizon }
    }

    /// A new life begins at `at`, its own time: an adoption. Until a session has completed no more is believed of the
    /// own component than what the disk says was last published; of several lives in a row without one, the first's.
    pub fn begin_life(&mut self, at: Hlc) {
        self.adopted = self.adopted.max(at);
        self.unproven.get_or_insert(self.published);
    }

    /// The own component that others are told at its time `at`. While the disk may be an old one: no more than what it said
    /// last, or what a peer has held of this node since. What it did in times that it has forgotten it holds no longer.
    #[must_use]
    pub fn vouched(&self, at: Hlc) -> Hlc {
        self.unproven.map_or(at, |unproven| unproven.min(at))
    }

    /// The disk is not an old one, as far as anybody can tell.
    pub fn be_proven(&mut self) {
        self.go_on();
        (self.unproven, self.alone, self.lost) = (None, None, false);
    }

    /// What a peer has held of this node since its start counts as published, up to the watermark: no time under that comes
    /// again. Above it the clock goes on from what this disk has published.
    fn go_on(&mut self) {
        let held = self.unproven.unwrap_or_default();
        self.published = self.published.max(held.min(self.watermark));
    }

    /// Records were found lost: nothing is claimed any more of what others held, nor of what this node did itself (H17), and
    /// the node is behind (H30).
    pub fn lost_records(&mut self, rules: Rules) {
        if rules.hold(Rule::H17) {
            self.vector = Vector::default();
            // One that has just been let in has an empty engine, too, and vouched for nothing yet.
            self.lost |= self.published > Hlc::ZERO;
            self.unproven = Some(Hlc::ZERO);
        }
        if rules.hold(Rule::H30) {
            self.behind.get_or_insert(Cause::Lost);
        }
    }

    /// A member was removed, up to whose time `held` this node holds what it had. Where the disk may be an old one, the others
    /// may have had of the former member since what is not here, and go on without its component: no more is vouched for
    /// than while it counted. Nothing that lies under the watermark: then it did not count.
    pub fn removed_unproven(&mut self, held: Hlc) {
        if held >= self.watermark {
            self.unproven = self.unproven.map(|unproven| unproven.min(held));
        }
    }

    /// Another member has begun a life at `at` of its clock. Where its disk was put back, and its clock with it, an
    /// earlier life had later times: what was held of them says nothing of what the new life writes until they come
    /// again. At or under the watermark it writes nothing.
    pub fn life_began(&mut self, member: NodeId, at: Hlc) {
        self.vector.lower(member, at.max(self.watermark));
    }

    /// This node's vector over all members of the roster, its own component among them.
    pub fn complete(&self, me: NodeId, own: Hlc, roster: &crate::roster::Roster) -> Vector {
        self.vector.complete(me, own, roster)
    }
}
