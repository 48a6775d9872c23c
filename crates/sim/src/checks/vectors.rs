//! What a summary vector claims is so: `V[X] = t` at Y says that Y's disk covers all that X held at X's time t. Y's own
//! component is looked at like the others: it says what Y's disk had when it was published.
//!
//! Beside each member stands what it held, and from which of its own times on. Where a component rises in a record that
//! is put on disk, only what X came to hold between the two times is looked for.

use std::collections::BTreeMap;

use gossip::meta::Meta;
use model::{ClusterId, Context, Dot, Hlc, Key, NodeId};

use super::acknowledged::{OnDisk, on_disk};
use crate::host::{HostId, context};
use crate::ledger::Written;
use crate::world::World;

/// A write that a member held, as a sibling or as something replaced.
#[derive(Clone, Debug)]
struct Holding {
    /// From this time of the member on.
    from: Hlc,
    /// Until before this one, where its disk was lost or put back.
    until: Option<Hlc>,
    key: Key,
    dot: Dot,
}

/// What one member held, ascending by time.
#[derive(Debug, Default)]
struct History {
    held: Vec<Holding>,
    /// The greatest own component that it ever had on disk.
    published: Hlc,
}

/// What each member held, by its own times.
#[derive(Debug, Default)]
pub(crate) struct Holdings(BTreeMap<(ClusterId, NodeId), History>);

impl World {
    /// A member's entry of a key is another now: what it covers newly is held from the member's next time on.
    pub(super) fn note_held(&mut self, host: HostId, key: &Key, before: &Context, now: &Context) {
        let Some(h) = self.hosts.get(&host) else { return };
        let Some(member) = h.member() else { return };
        let (cluster, node) = (member.cluster, member.node);
        let Some(next) = member.clock.next(h.wall.ms(self.now)) else { return };
        let dots = self.ledger.of_key(cluster, key).map(|(dot, _)| dot);
        let dots: Vec<Dot> = dots.filter(|dot| now.covers(*dot) && !before.covers(*dot)).collect();
        if dots.is_empty() {
            return;
        }
        let history = self.ledger.holdings.0.entry((cluster, node)).or_default();
        // Times of a disk that was put back may come again: what is held now was not held then.
        let again = history.published.next().unwrap_or(Hlc::MAX);
        let last = history.held.last().map_or(Hlc::ZERO, |last| last.from);
        let from = next.max(again).max(last);
        history.held.extend(dots.into_iter().map(|dot| Holding { from, until: None, key: key.clone(), dot }));
    }

    /// A member begins a life: what it does not hold any more it never held for sure, or held until its disk was lost.
    pub(super) fn note_held_no_more(&mut self, host: HostId) {
        let Some(h) = self.hosts.get(&host) else { return };
        let Some(member) = h.member() else { return };
        let began = member.core.meta().roster.contact(member.node).map(|contact| contact.stamp);
        let Some(history) = self.ledger.holdings.0.get_mut(&(member.cluster, member.node)) else { return };
        let (published, entries) = (history.published, &member.seen.entries);
        let is_held = |holding: &Holding| context(entries.get(&holding.key)).covers(holding.dot);
        history.held.retain(|holding| holding.from <= published || is_held(holding));
        // The times of a disk that was put back, with its clock, come again from the life's first on, and mean something
        // else.
        let end = published.next().into_iter().chain(began).min();
        for holding in history.held.iter_mut().filter(|holding| holding.until.is_none()) {
            holding.until = if is_held(holding) { None } else { end };
        }
    }

    /// A host has put its record on disk, over the one before.
    pub(super) fn check_vector(&mut self, host: HostId, before: Option<&Meta>, now: &Meta) {
        let me = now.node;
        let own = (now.cluster, me);
        let history = self.ledger.holdings.0.entry(own).or_default();
        history.published = history.published.max(now.stability.published);
        let component = |meta: &Meta, of| {
            if of == me { meta.stability.published } else { meta.stability.vector.get(of) }
        };
        if before.is_some_and(|before| {
            let (was, is) = (&before.stability, &now.stability);
            was.published == is.published && was.vector == is.vector
        }) {
            return;
        }
        let mut disk: Option<OnDisk> = None;
        let mut found = Ok(());
        for of in now.roster.members() {
            let (from, upto) = (before.map_or(Hlc::ZERO, |meta| component(meta, of)), component(now, of));
            // Of a disk that was lost what it once held is not expected.
            let anew = before.is_none() || self.ledger.put_back.contains(&me);
            if from >= upto || (of == me && anew) {
                continue;
            }
            let Some(history) = self.ledger.holdings.0.get(&(now.cluster, of)) else { continue };
            let newer = history.held.partition_point(|holding| holding.from <= from);
            let held = history.held.iter().skip(newer).take_while(|holding| holding.from <= upto);
            for holding in held.filter(|holding| holding.until.is_none_or(|until| upto < until)) {
                if disk.is_none() {
                    match self.hosts.get(&host).map(on_disk) {
                        Some(Ok(Some((_, rows)))) => disk = Some(rows),
                        // There is nothing to look at: an engine that is made anew, or a store that has stopped.
                        _ => return,
                    }
                }
                let Some(rows) = &disk else { return };
                // A record that rots is nobody's fault before it is found.
                if !self.is_accounted(now, rows, holding) && !self.is_rotten(host, Some(&holding.key)) {
                    let whose = if of == me { "it" } else { "its member" };
                    let Holding { dot, key, .. } = holding;
                    found = Err(format!(
                        "{host} claims to hold all that {} held at {upto} of that member's time, and {dot} of {key}, \
                         which {whose} held then, is not on its disk",
                        now.roster.shown_name(of)
                    ));
                }
            }
        }
        self.judge("vector", found);
    }

    fn is_accounted(&self, record: &Meta, rows: &OnDisk, holding: &Holding) -> bool {
        let entry = rows.get(&holding.key);
        let covers = |dot| entry.is_some_and(|entry| entry.context().covers(dot));
        // What a removed member alone took the others' floors may cover; nobody of them holds it.
        let stranded = |written: &Written| self.is_stranded(&record.roster, holding.dot, written);
        covers(holding.dot)
            || self.only_removed_hold(holding.dot)
            || self
                .ledger
                .dots
                .get(&holding.dot)
                .is_none_or(|written| written.is_excused() || stranded(written))
            || self.ledger.is_forgotten(holding.dot, self.watermark_of(record.cluster), &covers)
    }

    /// All components of a record, whatever was looked at before.
    pub(super) fn check_whole_vector(&mut self, host: HostId) {
        if let Some(record) = self.hosts.get(&host).and_then(|h| h.record()) {
            self.check_vector(host, None, &record);
        }
    }
}
