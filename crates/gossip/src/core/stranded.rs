//! What a member does that finds itself removed by others, or was forced to leave: the values that no other member is
//! known to have seen leave the store for the quarantine file, for a person to look at. The others take nothing from it
//! any more, so it cannot ask them; what it goes by is
//!
//! * the watermark: every dot at or under it is known to every member;
//! * the last session that proved this node identical to one that is still a member: a write that was taken here before
//!   that began is there. It counts only if nothing was taken over from a leaving member since, whose writes may be
//!   older, and on no other disk.
//!
//! So more may come into the file than the others lack, and never less of what this node itself took. An import shows
//! what is already there. Deletes are not kept: a file of values cannot bring them back.

use std::time::Duration;

use model::{Dot, Entry, Hlc, Key, NodeId, Sibling};

use super::{Action, Core, Env, Op};
use crate::stability::split;

/// What is read in one step.
const BYTES_A_STEP: usize = 1 << 20;
const ROWS_A_STEP: usize = 1_024;

/// The search for what only this node may hold.
#[derive(Debug, Default)]
pub(super) struct Stranded {
    /// It begins once no client's write is under way any more.
    wanted: bool,
    search: Option<Search>,
    /// The store could not be read to its end.
    broken_off: bool,
}

#[derive(Debug)]
struct Search {
    after: Option<Key>,
    /// No more rows come behind `after`.
    ended: bool,
    known: Known,
    /// The action under way.
    op: Option<u64>,
    found: u64,
}

/// What other members are known to have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    watermark: Hlc,
    /// What was written here before this time.
    before: Hlc,
}

impl Known {
    /// Whether another member is known to have seen this write, if this node holds it.
    pub fn knows(self, dot: Dot) -> bool {
        dot.hlc <= self.watermark || dot.hlc < self.before
    }
}

impl Stranded {
    pub(super) fn is_searching(&self) -> bool {
        self.wanted || self.search.is_some()
    }

    /// Whether values may still be in the store alone that belong in the file.
    fn has_more(&self) -> bool {
        self.is_searching() || self.broken_off
    }

    /// Rows are read at once, unless some are on their way into the file.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.search.as_ref().filter(|search| search.op.is_none()).map(|_| Duration::ZERO)
    }
}

impl Core {
    /// A node that was removed while it was away, or as it stopped, has not looked yet, or not at all. Nor has one that
    /// was stopped as it left by force.
    pub(super) fn begin_stranded(&mut self) {
        let is_removed = self.meta.roster.removal(self.meta.node).is_some();
        if is_removed && (!self.has_left() || self.meta.unsearched) {
            self.search_stranded();
        }
    }

    /// Looks for what only this node may hold, once no client's write that was let in is on its way any more: it would land
    /// behind the search.
    pub(super) fn search_stranded(&mut self) {
        self.stranded.wanted = true;
        self.out.push_back(Action::CloseWrites);
    }

    /// No client's write is under way any more.
    pub(super) fn begin_search(&mut self) {
        if !std::mem::take(&mut self.stranded.wanted) {
            return;
        }
        let known = self.known_to_others();
        self.stranded.search = Some(Search { after: None, ended: false, known, op: None, found: 0 });
    }

    /// Whether this node is no member any more, and values that only it may hold are not all in the file yet.
    pub(super) fn is_unsearched(&self) -> bool {
        !self.is_member() && (self.meta.unsearched || self.stranded.has_more())
    }

    /// What other members are known to have seen of what this node holds.
    pub(super) fn known_to_others(&self) -> Known {
        let meta = &self.meta;
        let proven = meta.identical.iter().filter(|(id, _)| meta.roster.contains(**id)).map(|(_, at)| *at);
        let proven = proven.max().filter(|at| *at > meta.stability.inherited_ms).unwrap_or(0);
        // Where nobody else is left nobody knows anything, whatever the watermark says of a roster of one.
        let watermark = if self.others().next().is_none() { Hlc::ZERO } else { meta.stability.watermark };
        Known { watermark, before: Hlc::new(proven, 0) }
    }

    pub(super) fn stranded_due(&mut self, env: Env<'_>) {
        let Some(search) = self.stranded.search.as_mut().filter(|search| search.op.is_none()) else { return };
        if search.ended {
            let siblings = search.found;
            self.stranded.search = None;
            self.changed = true;
            if std::mem::take(&mut self.meta.unsearched) {
                self.persist();
            }
            if siblings > 0 {
                tracing::warn!(siblings, "values that no other member is known to have are in quarantine");
            }
            return;
        }
        let read = env.store.read_range(search.after.as_ref(), 0, u64::MAX, BYTES_A_STEP, ROWS_A_STEP);
        let Ok(read) = read else {
            // The store has stopped, and says so; a later start looks again.
            self.stranded.search = None;
            self.stranded.broken_off = true;
            self.changed = true;
            return;
        };
        search.ended = !read.more;
        search.after = read.rows.last().map(|(key, _)| key.clone()).or(search.after.take());
        let known = search.known;
        let alone = |(key, stored): (Key, storage::Stored)| {
            let dots = stored.entry.siblings().iter().map(Sibling::dot);
            let dots: Vec<Dot> = dots.filter(|dot| !known.knows(*dot)).collect();
            (!dots.is_empty()).then(|| (key, split(&stored.entry, &dots).1))
        };
        let entries: Vec<(Key, Entry)> = read.rows.into_iter().filter_map(alone).collect();
        if entries.is_empty() {
            return;
        }
        let siblings = entries.iter().map(|(_, entry)| entry.siblings().len() as u64).sum::<u64>();
        search.found += siblings;
        self.forgetting.quarantined += siblings;
        let op = self.op(Op::Stranded);
        if let Some(search) = &mut self.stranded.search {
            search.op = Some(op);
        }
        self.out.push_back(Action::Quarantine { op, entries });
    }

    /// What was found is in the file and no more in the store.
    pub(super) fn stranded_stored(&mut self, op: u64) {
        if let Some(search) = &mut self.stranded.search {
            search.op.take_if(|under_way| *under_way == op);
        }
    }

    /// What comes from a member that is leaving may soon be on no other disk.
    pub(super) fn note_inherited(&mut self, from: NodeId, env: Env<'_>) {
        if self.meta.roster.is_leaving(from) && self.meta.stability.inherited_ms < env.now.wall_ms {
            self.meta.stability.inherited_ms = env.now.wall_ms;
            self.persist();
        }
    }
}
