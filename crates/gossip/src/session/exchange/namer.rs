//! The side that names what it found, and answers what the joiner wants.

use std::collections::VecDeque;

use merkle::{Frozen, RangeDigest, Remainder};
use model::{Delta, Entry, Key, Summary};
use storage::View;

use super::super::frames::{Close, Names, SessionFrame};
use super::super::packed::{Item, Name, Place, Want, pack_names};
use super::super::{Failure, Found, Tally};
use super::outbox::Outbox;
use super::read::read;
use super::{Bench, Came, NAMES_A_FRAME, Pumped, ROWS_AT_A_TIME, Says};
use crate::stability::Judge;

/// Naming pauses while so many wants wait to be answered.
const WANTS_MAX: usize = 8 * NAMES_A_FRAME;

/// An entry that the joiner lacks something of.
#[derive(Debug)]
struct Wanted {
    token: u64,
    key: Key,
    /// What the frozen view holds of it.
    digest: Option<u128>,
    place: Place,
    held: Summary,
    /// Whether all that is held here must be said, were it nothing: this side's word counts.
    whole: bool,
}

/// The naming side of an exchange.
#[derive(Debug)]
pub struct Namer {
    own: Vec<Found>,
    cut: bool,
    /// Whether `own` is all of the frozen view: then that need not be asked, and may be given back.
    is_whole: bool,
    named: usize,
    named_last: bool,
    gathered: Vec<Name>,
    wanted: VecDeque<Wanted>,
    /// The first name that may still be wanted, and the first that data may still come of.
    want_from: usize,
    data_from: usize,
    data_last: Option<(u64, Key)>,
    /// Keys that the joiner may send by themselves.
    unnamed_left: u64,
    outbox: Outbox,
    remainder: Remainder,
    peer_closed: bool,
    closed: bool,
}

impl Namer {
    /// Names `own`, ascending; `cut` if there is more. The other side holds `theirs` entries. Who holds nothing at all
    /// says nothing.
    pub fn new(own: Vec<Found>, cut: bool, frozen_root: RangeDigest, theirs: u64) -> Self {
        Self {
            own,
            cut,
            is_whole: false,
            named: 0,
            named_last: frozen_root.is_zero(),
            gathered: Vec::new(),
            wanted: VecDeque::new(),
            want_from: 0,
            data_from: 0,
            data_last: None,
            unnamed_left: theirs,
            outbox: Outbox::default(),
            remainder: Remainder::of(frozen_root),
            peer_closed: false,
            closed: false,
        }
    }

    /// Names `all` that the frozen view holds. The view is not asked from here on: a side that holds next to nothing is
    /// about to change more than a view can remember.
    pub fn of_all(all: Vec<Found>, frozen_root: RangeDigest, theirs: u64) -> Self {
        Self { is_whole: true, ..Self::new(all, false, frozen_root, theirs) }
    }

    pub fn close(&self) -> Option<Close> {
        self.closed.then_some(Close { remainder: self.remainder.left(), cut: self.cut })
    }

    pub fn left(&self) -> Option<u64> {
        let all = self.named_last && self.peer_closed;
        all.then_some(self.wanted.len() as u64)
    }

    pub fn peer_closed(&mut self) -> Result<(), Failure> {
        if !self.named_last {
            return Err(Failure::Protocol("closed before all was named"));
        }
        self.peer_closed = true;
        Ok(())
    }

    pub fn wants(&mut self, wants: Vec<Want>) -> Result<(), Failure> {
        for Want { skipped, held } in wants {
            let (at, found) = name_at(&self.own, self.named, self.want_from, skipped)
                .ok_or(Failure::Protocol("a want that names nothing"))?;
            self.want_from = at + 1;
            self.wanted.push_back(Wanted {
                token: found.token,
                key: found.key.clone(),
                digest: Some(found.digest),
                place: Place::Next,
                held,
                whole: false,
            });
        }
        Ok(())
    }

    pub fn data(
        &mut self,
        items: Vec<Item>,
        view: &View<'_>,
        judge: Judge,
        tally: &mut Tally,
    ) -> Result<Vec<Came>, Failure> {
        let mut taken = Vec::with_capacity(items.len());
        for Item { place, delta, .. } in items {
            let (key, named) = match place {
                Place::Name(skipped) => {
                    let (at, found) = name_at(&self.own, self.named, self.data_from, skipped)
                        .ok_or(Failure::Protocol("data of a name that was not said"))?;
                    self.data_from = at + 1;
                    (found.key.clone(), true)
                }
                Place::Key(key) => (key, false),
                Place::Next => return Err(Failure::Protocol("data that nobody wanted")),
            };
            let at = (key.token().0, key.clone());
            if self.data_last.as_ref().is_some_and(|last| *last >= at) {
                return Err(Failure::Protocol("data out of order"));
            }
            if !named {
                self.unnamed(at.0, &key, &delta, (view, judge))?;
                tally.named += 1;
            }
            self.data_last = Some(at);
            taken.push(Came { key, delta, says: Says::All });
        }
        Ok(taken)
    }

    /// Data of a key that the joiner alone has found.
    fn unnamed(
        &mut self,
        token: u64,
        key: &Key,
        delta: &Delta,
        (view, judge): (&View<'_>, Judge),
    ) -> Result<(), Failure> {
        let own = self.own.binary_search_by(|found| (found.token, &found.key).cmp(&(token, key)));
        if own.is_ok() {
            return Err(Failure::Protocol("data by its key of what was named"));
        }
        self.unnamed_left = self
            .unnamed_left
            .checked_sub(1)
            .ok_or(Failure::Protocol("more entries than it said it holds"))?;
        let whole = judge.must_answer(delta);
        if self.is_whole && !whole {
            return Ok(());
        }
        let digest = match self.is_whole {
            true => None,
            false => view.digest_of(token, key.as_bytes()).map_err(|_| Failure::ViewLost)?,
        };
        self.remainder.name(digest);
        if digest.is_some() || whole {
            // It was here as well, unseen by a truncated digest: what the joiner lacks of it must go back.
            let held = delta.summary(&Entry::default());
            let (key, place) = (key.clone(), Place::Key(key.clone()));
            self.wanted.push_back(Wanted { token, key, digest, place, held, whole });
        }
        Ok(())
    }

    pub fn pump(&mut self, bench: &mut Bench<'_>) -> Result<Pumped, Failure> {
        self.name(bench)?;
        self.outbox.send(bench);
        while bench.bytes > 0 && !self.outbox.is_full() && !self.wanted.is_empty() && bench.rows > 0 {
            self.answer(bench)?;
            self.outbox.send(bench);
        }
        if self.wanted.is_empty() {
            self.outbox.cut(bench);
            self.outbox.send(bench);
        }
        if self.named_last && self.peer_closed && self.wanted.is_empty() && self.outbox.is_empty() {
            self.closed = true;
        }
        let naming = !self.named_last && bench.flow.names_may() && self.wanted.len() < WANTS_MAX;
        let answering = !(self.wanted.is_empty() && self.outbox.is_empty()) && bench.flow.data_may();
        Ok(if naming || answering { Pumped::Again } else { Pumped::Wait })
    }

    fn name(&mut self, bench: &mut Bench<'_>) -> Result<(), Failure> {
        while !self.named_last
            && bench.bytes > 0
            && bench.rows > 0
            && bench.flow.names_may()
            && self.wanted.len() < WANTS_MAX
        {
            let ahead = self.named + self.gathered.len();
            let upto = self.own.len().min(ahead + (NAMES_A_FRAME - self.gathered.len()).min(ROWS_AT_A_TIME));
            let some = self.own.get(ahead..upto).into_iter().flatten();
            let places: Vec<(u64, Key)> =
                some.clone().map(|found| (found.token, found.key.clone())).collect();
            let entries = read(bench.store, &places, bench.held)?;
            bench.rows = bench.rows.saturating_sub(entries.len().max(1));
            for (found, read) in some.zip(entries) {
                let entry = bench.entry(Some(found.digest), read);
                let summary = entry.map_or_else(Summary::default, |entry| entry.summary());
                self.gathered.push(Name { key: found.key.clone(), summary });
            }
            let last = self.named + self.gathered.len() >= self.own.len();
            if !last && self.gathered.len() < NAMES_A_FRAME {
                continue;
            }
            let names = std::mem::take(&mut self.gathered);
            let said = self.own.get(self.named..self.named + names.len()).into_iter().flatten();
            said.for_each(|found| self.remainder.name(Some(found.digest)));
            self.named += names.len();
            bench.tally.named += names.len() as u64;
            self.named_last = last;
            bench.flow.names_go();
            let packed = pack_names(&names);
            bench.out.push(SessionFrame::Names(Names { packed, last, cut: last && self.cut }));
        }
        Ok(())
    }

    fn answer(&mut self, bench: &mut Bench<'_>) -> Result<(), Failure> {
        let some = self.wanted.iter().take(ROWS_AT_A_TIME.min(bench.rows));
        let places: Vec<(u64, Key)> = some.map(|wanted| (wanted.token, wanted.key.clone())).collect();
        let entries = read(bench.store, &places, bench.held)?;
        bench.rows = bench.rows.saturating_sub(entries.len());
        for read in entries {
            let Some(wanted) = self.wanted.pop_front() else { break };
            let entry = bench.entry(wanted.digest, read);
            let entry = entry.map(|entry| bench.agreed(&wanted.key, entry, &wanted.held));
            let delta = match wanted.whole {
                true => Some(entry.unwrap_or_default().word_for(&wanted.held)),
                false => entry.and_then(|entry| entry.delta_for(&wanted.held)),
            };
            // A want is answered even with nothing; what was not asked for only if there is something.
            if delta.is_some() || wanted.place == Place::Next {
                self.outbox.push(&wanted.key, wanted.place, delta, bench);
            }
        }
        Ok(())
    }
}

/// The name that lies so many behind `from`, if it has been said.
fn name_at(own: &[Found], named: usize, from: usize, skipped: u64) -> Option<(usize, &Found)> {
    let at = from.checked_add(usize::try_from(skipped).ok()?)?;
    own.get(at).filter(|_| at < named).map(|found| (at, found))
}
