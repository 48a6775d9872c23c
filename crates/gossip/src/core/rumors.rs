//! Spreading news, and taking it in.

use model::{Entry, Key, NodeId};
use storage::Store;

use super::{Action, Core, Env, Op};
use crate::coordinator::WriteLimits;
use crate::rules::Rule;
use crate::rumor::Push;
use crate::session::SessionId;
use crate::stability::{self as judge, Judged};
use crate::wire::{Frame, Rumor};

/// An entry heavier than this is left to anti-entropy, which can send it in pieces.
const ENTRY_BYTES_MAX: usize = 2 << 20;
/// A rumor is sent when it holds this many bytes, about.
const RUMOR_BYTES: usize = 256 << 10;

impl Core {
    pub(super) fn rumors_due(&mut self, env: Env<'_>) {
        if !self.may_spread() {
            return;
        }
        let live = self.live();
        for push in self.rumors.round(env.now.mono, &live, &mut self.rng) {
            self.push(push, env.store);
        }
    }

    /// Sends the entries as they are now, which may be newer than what made them news.
    fn push(&mut self, push: Push, store: &Store) {
        let mut items: Vec<(Key, Entry)> = Vec::new();
        // An answer names places within what was sent: where that is not the whole batch, none is asked for.
        let mut whole = push.answer;
        let mut bytes = 0;
        for key in push.keys {
            let Ok(Some(entry)) = store.get(&key) else {
                whole = false;
                continue;
            };
            let weight = entry.weight() + key.as_bytes().len();
            if weight > ENTRY_BYTES_MAX {
                whole = false;
                self.schedule.soon(push.to, std::time::Duration::ZERO);
                continue;
            }
            if bytes + weight > RUMOR_BYTES && !items.is_empty() {
                whole = false;
                let items = std::mem::take(&mut items);
                // A rumor in several frames is answered for none of them: it only spreads a little longer.
                let rumor = Rumor { batch: push.batch, answer: false, told: push.told.clone(), items };
                self.send(push.to, Frame::Rumor(rumor), store.written());
                bytes = 0;
            }
            bytes += weight;
            items.push((key, entry));
        }
        if !items.is_empty() {
            let rumor = Rumor { batch: push.batch, answer: whole, told: push.told, items };
            // Asked after the entries were read: nothing leaves before it is durable.
            self.send(push.to, Frame::Rumor(rumor), store.written());
        }
    }

    pub(super) fn rumor_came(&mut self, from: NodeId, rumor: Rumor, env: Env<'_>) {
        if !self.may_spread() {
            return;
        }
        let keys = rumor.items.iter().map(|(key, _)| key.clone()).collect();
        let Rumor { batch, answer, told, items } = rumor;
        let items = items.into_iter().map(|(key, entry)| self.judge_rumor(key, entry, env)).collect();
        self.merge(from, Op::Rumor { from, batch, answer, told, keys }, items, env);
    }

    /// What of a rumor's entry is taken: what was replaced long ago is not (H8, H39). A blank entry keeps its place.
    fn judge_rumor(&mut self, key: Key, entry: Entry, env: Env<'_>) -> (Key, Entry) {
        let rules = self.config.rules;
        let whole = (!rules.hold(Rule::H8) || !rules.hold(Rule::H39)).then(|| entry.clone());
        match judge::rumor(entry, self.meta.stability.watermark, || env.store.get(&key)) {
            Ok(Judged { entry, refused }) => {
                let broken = if entry.is_blank() { Rule::H39 } else { Rule::H8 };
                if let Some(whole) = whole.filter(|_| !rules.hold(broken)) {
                    return (key, whole);
                }
                self.forgetting.blocked += refused as u64;
                self.changed |= refused > 0;
                (key, entry)
            }
            // The store has stopped, and says so.
            Err(_) => (key, Entry::default()),
        }
    }

    /// What this node alone holds, and its authority knows nothing of, leaves the store for a file.
    pub(super) fn quarantine(&mut self, peer: NodeId, id: SessionId, entries: Vec<(Key, Entry)>) {
        let siblings: usize = entries.iter().map(|(_, entry)| entry.siblings().len()).sum();
        tracing::warn!(peer = %self.meta.roster.shown_name(peer), siblings,
            "values that only this node still had are put into quarantine");
        self.forgetting.quarantined += siblings as u64;
        let op = self.op(Op::Session(id));
        self.out.push_back(Action::Quarantine { op, entries });
    }

    /// What was news is passed on; what was not is told to the sender, if it still spreads it.
    pub(super) fn rumor_stored(
        &mut self,
        (from, batch, answer): (NodeId, u64, bool),
        told: Vec<NodeId>,
        keys: Vec<Key>,
        changed: &[bool],
        env: Env<'_>,
    ) {
        let mut known = Vec::new();
        for (place, key) in keys.into_iter().enumerate() {
            if changed.get(place).copied().unwrap_or(false) {
                let told = told.iter().copied().chain([from]);
                self.rumors.learned(env.now.mono, key, told);
            } else {
                known.push(place as u32);
            }
        }
        if answer && !known.is_empty() {
            self.say(from, Frame::RumorAnswer { batch, known });
        }
    }

    /// Has a peer's entries merged; `op` says what for.
    pub(super) fn merge(&mut self, from: NodeId, op: Op, mut entries: Vec<(Key, Entry)>, env: Env<'_>) {
        self.note_inherited(from, env);
        for (_, entry) in &mut entries {
            let too_far = self.observe(from, entry, env);
            if self.keeps_out(entry, too_far) {
                *entry = Entry::default();
            }
        }
        let op = self.op(op);
        self.out.push_back(Action::Merge { op, entries });
    }

    /// The clock learns of a peer's dots; one far ahead does not move it, and is shown by the peer's name. Says
    /// whether it was.
    fn observe(&mut self, from: NodeId, entry: &Entry, env: Env<'_>) -> bool {
        let skew = env.time.observe(entry.context().newest(), env.now.wall_ms);
        if skew.too_far {
            let peer = self.peers.entry(from).or_default();
            if peer.skew_ms == 0 {
                tracing::warn!(peer = %self.meta.roster.shown_name(from), ahead_ms = skew.ahead_ms,
                    "timestamps far ahead of this node's clock; check both clocks");
            }
            peer.skew_ms = skew.ahead_ms.max(1);
        }
        skew.too_far
    }

    /// Never, unless a rule is switched off that forbids it.
    fn keeps_out(&self, entry: &Entry, too_far: bool) -> bool {
        let rules = self.config.rules;
        let over_limit = entry.siblings().len() > WriteLimits::default().siblings_max;
        (over_limit && !rules.hold(Rule::H5)) || (too_far && !rules.hold(Rule::H19))
    }
}
