//! The side that joins the names with what it found, sends what the namer lacks, and wants what it lacks.

use std::collections::VecDeque;

use merkle::{Frozen, RangeDigest, Remainder};
use model::{Key, Summary};
use storage::View;

use super::super::Failure;
use super::super::flow::Flow;
use super::super::frames::{Close, Names, SessionFrame};
use super::super::packed::{Item, Name, Place, Want, pack_wants, unpack_names};
use super::outbox::Outbox;
use super::own::Own;
use super::read::read;
use super::{Bench, Came, NAMES_A_FRAME, Pumped, ROWS_AT_A_TIME, Says};

/// A key to be dealt with: its place in both rows is known.
#[derive(Debug)]
struct Joined {
    token: u64,
    key: Key,
    digest: Option<u128>,
    /// Which name it is, and what the namer holds; none where this side alone has found it.
    name: Option<(u64, Summary)>,
}

/// The joining side of an exchange.
#[derive(Debug)]
pub struct Joiner {
    own: Own,
    names: VecDeque<(u64, Name)>,
    name_last: Option<(u64, Key)>,
    /// How many names each frame has that is not yet dealt with.
    frames: VecDeque<usize>,
    names_ended: bool,
    names_cut: bool,
    /// How many names were dealt with; the first that data may be sent of, and the first that may be wanted.
    index: u64,
    data_from: u64,
    want_from: u64,
    joined: VecDeque<Joined>,
    wants: Vec<Want>,
    /// Keys wanted whose answers have not come.
    asked: VecDeque<Key>,
    /// Keys sent by themselves: so many may come back.
    returns_left: u64,
    outbox: Outbox,
    remainder: Remainder,
    closed: bool,
}

impl Joiner {
    /// Joins what it has of its `own` with names. `named` is false where the other side has nothing to name.
    pub fn new(own: Own, frozen_root: RangeDigest, named: bool) -> Self {
        Self {
            own,
            names: VecDeque::new(),
            name_last: None,
            frames: VecDeque::new(),
            names_ended: !named,
            names_cut: false,
            index: 0,
            data_from: 0,
            want_from: 0,
            joined: VecDeque::new(),
            wants: Vec::new(),
            asked: VecDeque::new(),
            returns_left: 0,
            outbox: Outbox::default(),
            remainder: Remainder::of(frozen_root),
            closed: false,
        }
    }

    pub fn close(&self) -> Option<Close> {
        let cut = self.own.is_cut() || self.names_cut;
        self.closed.then_some(Close { remainder: self.remainder.left(), cut })
    }

    pub fn left(&self) -> Option<u64> {
        let ahead = self.own.left() + self.joined.len() as u64 + self.asked.len() as u64;
        self.names_ended.then_some(ahead)
    }

    pub fn peer_closed(&self) -> Result<(), Failure> {
        let answered = self.closed && self.asked.is_empty();
        if answered { Ok(()) } else { Err(Failure::Protocol("closed with wants unanswered")) }
    }

    pub fn names(&mut self, names: Names, flow: &mut Flow) -> Result<(), Failure> {
        flow.names_came()?;
        if self.names_ended {
            return Err(Failure::Protocol("names after the last"));
        }
        let items = unpack_names(names.packed).map_err(Failure::Form)?;
        if items.is_empty() && !names.last {
            return Err(Failure::Protocol("a frame of no names"));
        }
        self.frames.push_back(items.len());
        for name in items {
            let place = (name.key.token().0, name.key.clone());
            if self.name_last.as_ref().is_some_and(|last| *last >= place) {
                return Err(Failure::Protocol("names out of order"));
            }
            self.name_last = Some(place.clone());
            self.names.push_back((place.0, name));
        }
        self.names_ended = names.last;
        self.names_cut |= names.cut;
        Ok(())
    }

    pub fn data(&mut self, items: Vec<Item>, view: &View<'_>) -> Result<Vec<Came>, Failure> {
        let mut taken = Vec::with_capacity(items.len());
        for Item { place, delta, .. } in items {
            let says = if matches!(place, Place::Key(_)) { Says::InReturn } else { Says::Lacking };
            let key = match place {
                Place::Next => {
                    self.asked.pop_front().ok_or(Failure::Protocol("an answer to what was not wanted"))?
                }
                Place::Key(key) => {
                    let held =
                        view.digest_of(key.token().0, key.as_bytes()).map_err(|_| Failure::ViewLost)?;
                    let left = self.returns_left.checked_sub(1).filter(|_| held.is_some());
                    self.returns_left = left.ok_or(Failure::Protocol("data that was not asked for"))?;
                    key
                }
                Place::Name(_) => return Err(Failure::Protocol("data of a name that was not said")),
            };
            taken.push(Came { key, delta, says });
        }
        Ok(taken)
    }

    pub fn pump(&mut self, bench: &mut Bench<'_>) -> Result<Pumped, Failure> {
        self.outbox.send(bench);
        let mut stuck = false;
        while bench.bytes > 0 && !self.outbox.is_full() && bench.rows > 0 && !stuck {
            self.join(bench)?;
            stuck = self.joined.is_empty();
            self.read(bench)?;
            self.outbox.send(bench);
        }
        let idle = stuck && self.joined.is_empty();
        if idle {
            self.outbox.cut(bench);
            self.outbox.send(bench);
        }
        if idle || self.wants.len() >= NAMES_A_FRAME {
            self.want(bench);
        }
        let ended = self.names_ended && self.names.is_empty() && self.own.peek(&bench.view)?.is_none();
        self.closed |= ended && idle && self.outbox.is_empty();
        let more = !self.closed && (!idle || !self.outbox.is_empty()) && bench.flow.data_may();
        Ok(if more { Pumped::Again } else { Pumped::Wait })
    }

    /// Walks both rows as far as the names that have come allow.
    fn join(&mut self, bench: &mut Bench<'_>) -> Result<(), Failure> {
        while self.joined.len() < ROWS_AT_A_TIME {
            let own = self.own.peek(&bench.view)?;
            let name = self.names.front();
            let order = match (own, name) {
                (None, None) => return Ok(()),
                // What comes next may be among the names that have not come.
                (Some(_), None) if !self.names_ended => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(own), Some((token, name))) => (own.token, &own.key).cmp(&(*token, &name.key)),
            };
            let own = if order.is_le() { self.own.next() } else { None };
            let name = if order.is_ge() { self.names.pop_front() } else { None };
            if let Some(found) = own {
                let name = name.map(|(_, name)| (self.take_index(bench.flow), name.summary));
                self.joined.push_back(Joined {
                    token: found.token,
                    key: found.key,
                    digest: Some(found.digest),
                    name,
                });
            } else if let Some((token, name)) = name {
                // Named by the other side alone: it may be here too, unseen by a truncated digest.
                let digest =
                    bench.view.digest_of(token, name.key.as_bytes()).map_err(|_| Failure::ViewLost)?;
                let index = self.take_index(bench.flow);
                self.joined.push_back(Joined {
                    token,
                    key: name.key,
                    digest,
                    name: Some((index, name.summary)),
                });
            }
        }
        Ok(())
    }

    /// One more name is dealt with; with the last one of a frame there is room for another frame.
    fn take_index(&mut self, flow: &mut Flow) -> u64 {
        if let Some(left) = self.frames.front_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.frames.pop_front();
                flow.names_done();
            }
        }
        self.index += 1;
        self.index - 1
    }

    /// Reads entries that are joined, and sorts out who lacks what.
    fn read(&mut self, bench: &mut Bench<'_>) -> Result<(), Failure> {
        let some = self.joined.iter().take(bench.rows);
        let places: Vec<(u64, Key)> = some.map(|joined| (joined.token, joined.key.clone())).collect();
        let entries = read(bench.store, &places, bench.held)?;
        bench.rows = bench.rows.saturating_sub(entries.len());
        for read in entries {
            let Some(Joined { key, digest, name, .. }) = self.joined.pop_front() else { break };
            self.remainder.name(digest);
            bench.tally.named += 1;
            let entry = bench.entry(digest, read).unwrap_or_default();
            let Some((index, theirs)) = name else {
                self.returns_left += 1;
                let delta = entry.delta_for(&Summary::default()).map(|delta| bench.judge.only_names(delta));
                self.outbox.push(&key, Place::Key(key.clone()), delta, bench);
                continue;
            };
            let entry = bench.agreed(&key, entry, &theirs);
            let held = entry.summary();
            if let Some(delta) = entry.delta_for(&theirs) {
                let place = Place::Name(index - self.data_from);
                self.data_from = index + 1;
                self.outbox.push(&key, place, Some(delta), bench);
            }
            if theirs.has_for(&held) {
                self.wants.push(Want { skipped: index - self.want_from, held });
                self.want_from = index + 1;
                self.asked.push_back(key);
            }
        }
        Ok(())
    }

    fn want(&mut self, bench: &mut Bench<'_>) {
        for wants in std::mem::take(&mut self.wants).chunks(NAMES_A_FRAME) {
            bench.out.push(SessionFrame::Wants(pack_wants(wants)));
        }
    }
}
