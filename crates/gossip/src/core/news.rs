//! What has changed in the roster of a large cluster, told on by itself: gathered for a moment, so that a thousand members
//! that start together do not send each other a thousand whole rosters for each.
//!
//! Any of it may be lost. A session of two members compares the versions of their rosters and exchanges them whole where
//! they differ.

use std::collections::BTreeSet;
use std::time::Duration;

use model::NodeId;
use rand::RngExt;

use super::{Core, Env};
use crate::roster::{Roster, RosterVersion};
use crate::wire::Frame;

/// What members say of themselves is gathered for so long before it is told on.
const GATHERED_FOR: Duration = Duration::from_millis(500);
/// So long after the last change whole rosters are not sent to those who have another one: what differs is on its way.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What is to be told on.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Heard, and not in this node's roster yet.
    heard: Roster,
    /// Of whom the others do not know all.
    of: BTreeSet<NodeId>,
    due: Option<Duration>,
    changed: Option<Duration>,
}

impl Core {
    /// A peer tells what has changed. Who belongs is taken over at once; where somebody is reached can wait a moment.
    pub(super) fn roster_news_came(&mut self, news: &Roster, env: Env<'_>) {
        let lacks = self.meta.roster.lacks_of(news);
        if !lacks.any() {
            return;
        }
        if let Err(error) = self.news.heard.merge(news) {
            tracing::warn!(%error, "what a peer tells of the roster could not be merged");
            return;
        }
        let wait = if lacks.members { Duration::ZERO } else { GATHERED_FOR };
        self.tell_news_within(wait, env);
        if lacks.members {
            self.roster_news_due(env);
        }
    }

    /// This node's roster is another than before: a few members are told what is new, and tell it on.
    pub(super) fn tell_news(&mut self, before: &Roster, env: Env<'_>) {
        self.news.of.extend(self.meta.roster.differing(before));
        self.news.changed = Some(env.now.mono);
        let members = before.lacks_of(&self.meta.roster).members;
        self.tell_news_within(if members { Duration::ZERO } else { GATHERED_FOR }, env);
    }

    fn tell_news_within(&mut self, wait: Duration, env: Env<'_>) {
        // Jittered: where many hear of one thing they do not all tell it on at one time.
        let at = env.now.mono + wait.mul_f64(self.rng.random_range(0.5..1.0));
        self.news.due = Some(self.news.due.map_or(at, |due| due.min(at)));
    }

    pub(super) fn news_wakes(&self) -> Option<Duration> {
        self.news.due
    }

    /// Takes over what was heard, and tells on what is new.
    pub(super) fn roster_news_due(&mut self, env: Env<'_>) {
        if self.news.due.is_none_or(|due| due > env.now.mono) {
            return;
        }
        let heard = std::mem::take(&mut self.news.heard);
        if heard.ids() > 0 {
            self.merge_roster(&heard, env);
            self.heard_of_leaving(&heard);
        }
        self.news.due = None;
        let of = std::mem::take(&mut self.news.of);
        let news = self.meta.roster.of(&of);
        if news.ids() == 0 {
            return;
        }
        let live = self.live();
        for peer in self.some_of(&live) {
            self.say(peer, Frame::RosterNews(Box::new(news.clone())));
        }
    }

    /// Whether the roster has been as it is for a while.
    pub(super) fn is_settled(&self, env: Env<'_>) -> bool {
        self.news.changed.is_none_or(|at| env.now.mono >= at + SETTLED_AFTER)
    }

    /// A peer says which roster it has: where that is another one it is told this one, and answers with what it knows
    /// beyond it.
    pub(super) fn roster_is(
        &mut self,
        from: NodeId,
        (members, contacts): (RosterVersion, RosterVersion),
        env: Env<'_>,
    ) {
        let same = (members, contacts) == (self.forgetting.version, self.contacts_version());
        // One that does not know this node as a member gets nothing else from it.
        if !same && (self.is_settled(env) || !self.both_members(from)) {
            self.tell_roster(from);
        }
    }
}
