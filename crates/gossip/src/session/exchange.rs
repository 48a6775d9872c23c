//! The middle of a session: both sides name what differs, and each streams what the other lacks.
//!
//! Names travel in ascending order of token and key. Each side walks its own names and the other's in
//! step, like the merge of two sorted files: at each key it knows what the other holds, or that the other
//! holds nothing it named, and sends the difference. Frames count against windows that the receiver
//! opens again as it takes them in, so neither side buffers more than a window of the other's.

use std::collections::VecDeque;

use merkle::{Frozen, RangeDigest};
use model::{Delta, Key, Summary};
use storage::Store;

use super::frames::{Close, Names, SessionFrame};
use super::{Failure, Found};

/// Names frames that may be on their way.
const NAMES_WINDOW: u32 = 8;
/// Data frames that may be on their way.
const DATA_WINDOW: u32 = 16;
/// Names in a frame.
const NAMES_A_FRAME: usize = 1_024;
/// A frame is sent when it holds this many bytes of names or data, about.
const FRAME_BYTES: usize = 128 << 10;
/// Reading names reads whole entries: a frame of them ends after about this many bytes.
const NAMES_READ_BYTES: usize = 8 << 20;
/// An entry heavier than this travels in pieces of this size.
const PIECE_BYTES: usize = 512 << 10;

/// The exchange as one side sees it.
#[derive(Debug)]
pub struct Exchange {
    own: Vec<Found>,
    own_cut: bool,
    sent: usize,
    joined: usize,
    sent_last: bool,
    theirs: VecDeque<(Key, Summary)>,
    last_name: Option<(u64, Key)>,
    theirs_last: bool,
    theirs_cut: bool,
    names_out: u32,
    data_out: u32,
    names_owed: u32,
    remainder: RangeDigest,
    data: Vec<(Key, Delta)>,
    data_bytes: usize,
    pieces: VecDeque<SessionFrame>,
    closed: bool,
    /// Keys named by either side.
    pub named: u64,
    /// Entries sent.
    pub entries_sent: u64,
}

impl Exchange {
    /// An exchange over what this side found, ascending; `cut` if it found more than this.
    pub fn new(own: Vec<Found>, cut: bool, frozen_root: RangeDigest) -> Self {
        Self {
            own,
            own_cut: cut,
            sent: 0,
            joined: 0,
            sent_last: false,
            theirs: VecDeque::new(),
            last_name: None,
            theirs_last: false,
            theirs_cut: false,
            names_out: 0,
            data_out: 0,
            names_owed: 0,
            remainder: frozen_root,
            data: Vec::new(),
            data_bytes: 0,
            pieces: VecDeque::new(),
            closed: false,
            named: 0,
            entries_sent: 0,
        }
    }

    /// Takes in names from the other side.
    pub fn names(&mut self, names: Names) -> Result<(), Failure> {
        // A late word on frames of a first search may let twice the window out.
        if self.theirs_last || self.names_owed >= 2 * NAMES_WINDOW {
            return Err(Failure::Protocol("names beyond the window or after the last"));
        }
        for (key, _) in &names.items {
            let place = (key.token().0, key.clone());
            if self.last_name.as_ref().is_some_and(|last| *last >= place) {
                return Err(Failure::Protocol("names out of order"));
            }
            self.last_name = Some(place);
        }
        self.names_owed += 1;
        self.theirs_last = names.last;
        self.theirs_cut |= names.cut;
        self.theirs.extend(names.items);
        Ok(())
    }

    /// The other side has taken in this many frames. Those of a first search may still be answered for
    /// while a second one runs, so a count can be greater than what is out.
    pub fn taken(&mut self, names: u32, data: u32) {
        self.names_out = self.names_out.saturating_sub(names);
        self.data_out = self.data_out.saturating_sub(data);
    }

    /// What was sent at the end, once everything is.
    pub fn close(&self) -> Option<Close> {
        self.closed.then_some(Close { remainder: self.remainder, cut: self.own_cut || self.theirs_cut })
    }

    /// Goes on as far as the windows and the other side's names allow. What it returns is to be sent, in
    /// this order, once everything written before now is durable.
    pub fn pump(&mut self, store: &Store, view: &impl Frozen) -> Result<Vec<SessionFrame>, Failure> {
        let mut out = Vec::new();
        self.send_names(store, &mut out)?;
        while self.data_out < DATA_WINDOW && !self.closed {
            if let Some(piece) = self.pieces.pop_front() {
                self.data_out += 1;
                out.push(piece);
            } else if self.join_finished() {
                self.flush_data(&mut out);
                self.closed = true;
                out.extend(self.close().map(SessionFrame::Close));
            } else if !self.join_one(store, view, &mut out)? {
                self.flush_data(&mut out);
                break;
            }
        }
        if self.closed {
            self.theirs.clear();
        }
        if self.names_owed > 0 && self.theirs.len() < NAMES_A_FRAME * 4 {
            out.push(SessionFrame::Taken { names: self.names_owed, data: 0 });
            self.names_owed = 0;
        }
        Ok(out)
    }

    fn send_names(&mut self, store: &Store, out: &mut Vec<SessionFrame>) -> Result<(), Failure> {
        while !self.sent_last && self.names_out < NAMES_WINDOW {
            let mut names = Names::default();
            let (mut bytes, mut read) = (0, 0);
            while names.items.len() < NAMES_A_FRAME && bytes < FRAME_BYTES && read < NAMES_READ_BYTES {
                let Some(found) = self.own.get(self.sent) else { break };
                let held = store.get(&found.key).map_err(Failure::Store)?.unwrap_or_default();
                let components = held.context().components();
                bytes += found.key.as_bytes().len() + 40 + 26 * held.siblings().len() + 18 * components;
                read += held.weight();
                names.items.push((found.key.clone(), held.summary()));
                self.sent += 1;
            }
            names.last = self.sent >= self.own.len();
            names.cut = names.last && self.own_cut;
            self.sent_last = names.last;
            self.names_out += 1;
            out.push(SessionFrame::Names(names));
        }
        Ok(())
    }

    /// Whether every key that either side named has been dealt with.
    fn join_finished(&self) -> bool {
        let own_ended = self.joined >= self.own.len();
        let theirs_ended = self.theirs.is_empty() && self.theirs_last;
        (own_ended && (theirs_ended || self.own_cut)) || (theirs_ended && self.theirs_cut)
    }

    /// Deals with the next key; false when it must wait for more of the other side's names.
    fn join_one(
        &mut self,
        store: &Store,
        view: &impl Frozen,
        out: &mut Vec<SessionFrame>,
    ) -> Result<bool, Failure> {
        if self.theirs.is_empty() && !self.theirs_last {
            return Ok(false);
        }
        let own = self.own.get(self.joined).map(|f| (f.token, f.key.clone()));
        let head = self.theirs.front().map(|(key, _)| (key.token().0, key.clone()));
        let Some(place) = own.clone().into_iter().chain(head.clone()).min() else { return Ok(false) };
        let digest = if own.as_ref() == Some(&place) {
            let found = self.own.get(self.joined).map(|f| f.digest);
            self.joined += 1;
            found
        } else {
            // Named by the other side alone: it may be here too, unseen by a truncated digest.
            view.digest_of(place.0, place.1.as_bytes()).map_err(|_| Failure::ViewLost)?
        };
        let summary = match head {
            Some(head) if head == place => self.theirs.pop_front().map(|(_, s)| s).unwrap_or_default(),
            _ => Summary::default(),
        };
        if let Some(digest) = digest {
            self.remainder = self.remainder.sub(RangeDigest { count: 1, sum: digest });
        }
        self.named += 1;
        let held = store.get(&place.1).map_err(Failure::Store)?.unwrap_or_default();
        if let Some(delta) = held.delta_for(&summary) {
            self.send(place.1, delta, out)?;
        }
        Ok(true)
    }

    fn send(&mut self, key: Key, delta: Delta, out: &mut Vec<SessionFrame>) -> Result<(), Failure> {
        self.entries_sent += 1;
        let weight = delta.weight();
        if weight > PIECE_BYTES {
            self.flush_data(out);
            self.pieces = pieces(&key, &delta)?;
            return Ok(());
        }
        if self.data_bytes + weight > FRAME_BYTES {
            self.flush_data(out);
        }
        self.data_bytes += weight;
        self.data.push((key, delta));
        Ok(())
    }

    fn flush_data(&mut self, out: &mut Vec<SessionFrame>) {
        if !self.data.is_empty() {
            self.data_out += 1;
            self.data_bytes = 0;
            out.push(SessionFrame::Data(std::mem::take(&mut self.data)));
        }
    }
}

/// One large entry as a row of pieces.
fn pieces(key: &Key, delta: &Delta) -> Result<VecDeque<SessionFrame>, Failure> {
    let whole = bincode::serde::encode_to_vec((key, delta), bincode::config::standard())
        .map_err(|_| Failure::Protocol("an entry that cannot be encoded"))?;
    let whole = bytes::Bytes::from(whole);
    let mut pieces = VecDeque::new();
    let mut at = 0;
    while at < whole.len() {
        let end = (at + PIECE_BYTES).min(whole.len());
        pieces.push_back(SessionFrame::Piece { last: end == whole.len(), bytes: whole.slice(at..end) });
        at = end;
    }
    Ok(pieces)
}
