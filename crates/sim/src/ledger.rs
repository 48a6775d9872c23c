//! Every write there ever was: what it replaced, whether its client was told that it is kept, whether a fault took it.

use std::collections::{BTreeMap, BTreeSet};

use gossip::roster::RosterVersion;
use model::{ClusterId, Context, Dot, Expiry, Hash, Hlc, Key, NodeId, WriterId};

use crate::checks::{Agreed, Holdings};
use crate::host::HostId;

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) cluster: ClusterId,
    pub(crate) key: Key,
    pub(crate) host: HostId,
    /// The member that took it.
    pub(crate) node: NodeId,
    /// The hash of the sibling it made; none for a delete.
    pub(crate) hash: Option<Hash>,
    /// When it expires; never, for a delete.
    pub(crate) expiry: Expiry,
    /// Later writes that were meant to replace it.
    pub(crate) replaced_by: Vec<Dot>,
    pub(crate) acknowledged: bool,
    /// A disk, or a record, that held it was lost by a fault.
    pub(crate) hurt: bool,
    /// Every disk that held it was lost by a fault.
    pub(crate) lost: bool,
    /// It lies in a quarantine file.
    pub(crate) quarantined: bool,
    /// It was deleted by a delete that made no dot.
    pub(crate) deleted: bool,
    /// Every member was behind at a time when it had been replaced: it may return.
    pub(crate) may_return: bool,
}

impl Written {
    /// Whether nobody needs to hold it any more, though no write has replaced it.
    pub(crate) fn is_excused(&self) -> bool {
        self.lost || self.quarantined || self.deleted
    }
}

/// A delete that a client was told is done.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) cluster: ClusterId,
    pub(crate) key: Key,
    pub(crate) host: HostId,
    /// What the client was shown and deleted.
    pub(crate) gone: BTreeSet<Dot>,
}

/// All writes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) dots: BTreeMap<Dot, Written>,
    by_key: BTreeMap<(ClusterId, Key), BTreeSet<Dot>>,
    pub(crate) last_of_writer: BTreeMap<WriterId, Hlc>,
    pub(crate) last_of_node: BTreeMap<NodeId, Hlc>,
    pub(crate) claims: Vec<Claim>,
    /// Writes whose clients wait: number to what was claimed to be gone.
    pub(crate) pending: BTreeMap<u64, Claim>,
    /// Every promise that ever was on a disk: promiser, target, evictor.
    pub(crate) promised: BTreeSet<(NodeId, NodeId, NodeId)>,
    /// Of each member of a cluster, the latest time that it ever published.
    pub(crate) published: BTreeMap<(ClusterId, NodeId), Hlc>,
    /// How far the members of a cluster agree on what has expired.
    pub(crate) agreed: BTreeMap<ClusterId, Agreed>,
    /// What each member held, by its own times.
    pub(crate) holdings: Holdings,
    /// What tombstones had seen that are off some disk.
    pub(crate) purged: BTreeMap<(ClusterId, Key), Context>,
    /// The greatest watermark, and the greatest horizon, that each cluster ever had on a disk.
    pub(crate) watermarks: BTreeMap<ClusterId, Hlc>,
    pub(crate) horizons: BTreeMap<ClusterId, Hlc>,
    /// Which members a roster's version stands for.
    pub(crate) versions: BTreeMap<(ClusterId, RosterVersion), RosterVersion>,
    /// What was last looked at of each host for that: the version, how many ids there were, how many removed.
    pub(crate) versions_of: BTreeMap<HostId, (RosterVersion, usize, usize)>,
    /// Nodes that somebody has removed, whether they know it or not.
    pub(crate) removed: BTreeSet<NodeId>,
    /// Nodes that somebody has let in.
    pub(crate) let_in: BTreeSet<(ClusterId, NodeId)>,
    /// Nodes whose disks were put back, until a session has completed since.
    pub(crate) put_back: BTreeSet<NodeId>,
    /// The same, ever.
    pub(crate) ever_put_back: BTreeSet<NodeId>,
    /// The same, until they know how far the watermark is.
    pub(crate) unaware: BTreeSet<NodeId>,
    /// What operators have forced: who was to remove whom, or itself.
    pub(crate) forced: BTreeSet<(NodeId, NodeId)>,
}

impl Ledger {
    /// Takes a write in. `replaces` is what it was meant to replace: what its client was shown, or all that its
    /// coordinator held.
    pub(crate) fn write(&mut self, dot: Dot, written: Written, replaces: &BTreeSet<Dot>) {
        self.by_key.entry((written.cluster, written.key.clone())).or_default().insert(dot);
        self.dots.insert(dot, written);
        for old in replaces {
            if let Some(old) = self.dots.get_mut(old) {
                old.replaced_by.push(dot);
            }
        }
    }

    /// Every member of a cluster was behind, and they go on with what they hold: what had been deleted may return, and what
    /// had been lost.
    pub(crate) fn deletes_may_return(&mut self, cluster: ClusterId) {
        for written in self.dots.values_mut().filter(|written| written.cluster == cluster) {
            written.may_return |= written.deleted || written.lost || !written.replaced_by.is_empty();
        }
    }

    /// Whether it did no harm if this one were back.
    pub(crate) fn may_return(&self, dot: Dot) -> bool {
        self.dots.get(&dot).is_some_and(|written| written.may_return)
    }

    /// These are gone, and no write says so.
    pub(crate) fn delete_without_a_dot(&mut self, gone: &BTreeSet<Dot>) {
        for dot in gone {
            if let Some(written) = self.dots.get_mut(dot) {
                written.deleted = true;
            }
        }
    }

    /// Whether a value has expired for everybody.
    pub(crate) fn is_expired(&self, written: &Written) -> bool {
        self.agreed.get(&written.cluster).is_some_and(|agreed| written.expiry.is_over(agreed.horizon))
    }

    /// Whether a write was replaced by one of these, or by one that was replaced so in its turn.
    pub(crate) fn is_replaced(&self, written: &Written, by: &dyn Fn(Dot, &Written) -> bool) -> bool {
        let mut left: Vec<Dot> = written.replaced_by.clone();
        let mut looked = BTreeSet::new();
        while let Some(dot) = left.pop() {
            let Some(later) = self.dots.get(&dot).filter(|_| looked.insert(dot)) else { continue };
            if by(dot, later) {
                return true;
            }
            left.extend(&later.replaced_by);
        }
        false
    }

    /// Whether nobody needs to remember a write any more at this watermark: it has expired, it deleted, or was replaced by
    /// one that deleted, has expired, or is nowhere any more. `known` says which other writes are accounted for.
    pub(crate) fn is_forgotten(&self, dot: Dot, watermark: Hlc, known: &dyn Fn(Dot) -> bool) -> bool {
        let mut left = vec![dot];
        let mut looked = BTreeSet::new();
        while let Some(dot) = left.pop() {
            let Some(written) = self.dots.get(&dot).filter(|_| looked.insert(dot)) else { continue };
            let is_gone = looked.len() > 1 && written.is_excused();
            let is_empty = written.hash.is_none() || self.is_expired(written) || is_gone;
            if (is_empty && dot.hlc <= watermark) || (looked.len() > 1 && known(dot)) {
                return true;
            }
            if looked.len() == 1 && self.is_expired(written) {
                return true;
            }
            left.extend(&written.replaced_by);
        }
        false
    }

    /// The writes of a key.
    pub(crate) fn of_key(&self, cluster: ClusterId, key: &Key) -> impl Iterator<Item = (Dot, &Written)> {
        let dots = self.by_key.get(&(cluster, key.clone())).into_iter().flatten();
        dots.filter_map(|dot| Some((*dot, self.dots.get(dot)?)))
    }
}
