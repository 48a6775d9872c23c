//! How much may be on its way: credit, which the receiver gives back as it takes things in.
//!
//! Names count in frames, data in bytes. It holds for the whole session, both searches of it. Data begins with a small
//! part of its window; the rest is given once data comes, in slices where the receiver is held back, so that no more
//! than a slice ever comes at once.

use super::Failure;
use super::frames::SessionFrame;

/// Names frames that may be on their way.
const NAMES_WINDOW: u32 = 8;
/// Bytes of data that may be on their way: at 100 ms there and back, 40 MB a second.
const DATA_WINDOW: u64 = 4 << 20;
/// ... as long as no credit was given.
const DATA_FIRST: u64 = 512 << 10;
/// A frame may begin while any credit is left, so one of them may go beyond the window. None is longer than this.
pub const DATA_FRAME_MAX: u64 = 1 << 20;
/// Credit is given back in parts of this size, or of a slice if that is less: a small session needs none.
const NAMES_PART: u32 = 2;
const DATA_PART: u64 = DATA_WINDOW / 32;

/// How much repair may be done in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whether any may be done now: else no data is made and no credit for data is given.
    pub now: bool,
    /// Bytes that may be sent, and bytes that credit may be given for, in one step; the last frame may go beyond.
    pub slice: u64,
    /// Bytes that credit may be given for before they come.
    pub window: u64,
}

/// The credit of one side.
#[derive(Debug)]
pub struct Flow {
    names_out: u32,
    names_in: u32,
    names_done: u32,
    /// Bytes that may still be sent, and that may still come; below zero by what a last frame had beyond.
    data_out_left: i64,
    data_in_left: i64,
    /// The last credit.
    data_slice: u64,
    /// Bytes that credit may be given for.
    data_owed: u64,
    /// Half of the first credit was used: there is enough data for more to be worth a frame.
    streams: bool,
}

impl Allowance {
    /// As much as can be.
    pub const ALL: Self = Self { now: true, slice: u64::MAX, window: u64::MAX };

    /// Bytes of data that may be sent now.
    pub fn bytes(self) -> u64 {
        if self.now { self.slice } else { 0 }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            names_out: 0,
            names_in: 0,
            names_done: 0,
            data_out_left: DATA_FIRST.cast_signed(),
            data_in_left: DATA_FIRST.cast_signed(),
            data_slice: DATA_FIRST,
            data_owed: DATA_WINDOW - DATA_FIRST,
            streams: false,
        }
    }
}

impl Flow {
    /// Whether a frame of names may be sent.
    pub fn names_may(&self) -> bool {
        self.names_out < NAMES_WINDOW
    }

    /// A frame of names is sent.
    pub fn names_go(&mut self) {
        self.names_out += 1;
    }

    /// Whether a frame of data may be sent.
    pub fn data_may(&self) -> bool {
        self.data_out_left > 0
    }

    /// For how many bytes the other side gave credit last: so much it takes in at a time.
    pub fn data_slice(&self) -> u64 {
        self.data_slice
    }

    /// A frame of data is sent, with so many bytes, [`DATA_FRAME_MAX`] at most.
    pub fn data_goes(&mut self, bytes: u64) {
        self.data_out_left -= bytes.cast_signed();
    }

    /// A frame of names came.
    pub fn names_came(&mut self) -> Result<(), Failure> {
        self.names_in += 1;
        if self.names_in > NAMES_WINDOW {
            return Err(Failure::Protocol("names beyond the credit given"));
        }
        Ok(())
    }

    /// A frame of data came.
    pub fn data_came(&mut self, bytes: u64) -> Result<(), Failure> {
        if bytes > DATA_FRAME_MAX || self.data_in_left <= 0 {
            return Err(Failure::Protocol("data beyond the credit given"));
        }
        self.data_in_left -= bytes.cast_signed();
        self.streams |= self.data_in_left <= (DATA_FIRST / 2).cast_signed();
        Ok(())
    }

    /// A frame of names that came is dealt with.
    pub fn names_done(&mut self) {
        self.names_done += 1;
    }

    /// Data that came is stored, or kept for its end to come.
    pub fn data_done(&mut self, bytes: u64) {
        self.data_owed += bytes;
    }

    /// Whether there is data to give credit for, as soon as that may be done.
    pub fn owes(&self, allowed: Allowance) -> bool {
        self.streams && self.may_owe(allowed) >= DATA_PART.min(allowed.slice)
    }

    /// Bytes that credit may be given for without going beyond the window.
    fn may_owe(&self, allowed: Allowance) -> u64 {
        let window = i64::try_from(allowed.window).unwrap_or(i64::MAX);
        let room = window.saturating_sub(self.data_in_left.max(0));
        self.data_owed.min(u64::try_from(room).unwrap_or(0))
    }

    /// What to tell the other side.
    pub fn credit(&mut self, allowed: Allowance) -> Option<SessionFrame> {
        let names = if self.names_done >= NAMES_PART { std::mem::take(&mut self.names_done) } else { 0 };
        let data = if self.owes(allowed) { self.may_owe(allowed).min(allowed.bytes()) } else { 0 };
        self.names_in -= names;
        self.data_owed -= data;
        self.data_in_left += data.cast_signed();
        (names > 0 || data > 0).then_some(SessionFrame::Taken { names, data })
    }

    /// The other side has taken in so much.
    pub fn taken(&mut self, names: u32, data: u64) -> Result<(), Failure> {
        let names = self.names_out.checked_sub(names);
        self.data_slice = if data > 0 { data } else { self.data_slice };
        let data = i64::try_from(data).ok().and_then(|data| self.data_out_left.checked_add(data));
        let (Some(names), Some(data)) = (names, data.filter(|left| *left <= DATA_WINDOW.cast_signed()))
        else {
            return Err(Failure::Protocol("credit for what was not sent"));
        };
        (self.names_out, self.data_out_left) = (names, data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 128 << 10;
    const HELD: Allowance = Allowance { now: true, slice: FRAME, window: DATA_FIRST };

    /// Sends what may be sent; gives the bytes.
    fn stream(from: &mut Flow, to: &mut Flow) -> u64 {
        let mut sent = 0;
        while from.data_may() {
            from.data_goes(FRAME);
            to.data_came(FRAME).unwrap();
            to.data_done(FRAME);
            sent += FRAME;
        }
        sent
    }

    fn give(from: &mut Flow, to: &mut Flow, allowed: Allowance) -> u64 {
        match from.credit(allowed) {
            Some(SessionFrame::Taken { names, data }) => {
                to.taken(names, data).unwrap();
                data
            }
            _ => 0,
        }
    }

    #[test]
    fn a_small_session_needs_no_credit_and_a_large_one_opens_its_window() {
        let (mut sender, mut receiver) = (Flow::default(), Flow::default());
        sender.data_goes(FRAME);
        receiver.data_came(FRAME).unwrap();
        receiver.data_done(FRAME);
        assert_eq!(receiver.credit(Allowance::ALL), None);
        assert_eq!(stream(&mut sender, &mut receiver), DATA_FIRST - FRAME);
        assert_eq!(give(&mut receiver, &mut sender, Allowance::ALL), DATA_WINDOW);
        assert_eq!(stream(&mut sender, &mut receiver), DATA_WINDOW);
        assert_eq!(give(&mut receiver, &mut sender, Allowance::ALL), DATA_WINDOW);
    }

    #[test]
    fn who_is_held_back_is_sent_a_slice_at_a_time() {
        let (mut sender, mut receiver) = (Flow::default(), Flow::default());
        stream(&mut sender, &mut receiver);
        for _ in 0..100 {
            assert!(receiver.owes(HELD));
            assert_eq!(give(&mut receiver, &mut sender, Allowance { now: false, ..HELD }), 0);
            assert_eq!(give(&mut receiver, &mut sender, HELD), FRAME);
            assert_eq!(stream(&mut sender, &mut receiver), FRAME);
        }
        // While it is held back, no more is let out than its window, however much is owed.
        let mut given = 0;
        while receiver.owes(HELD) {
            given += give(&mut receiver, &mut sender, HELD);
        }
        assert_eq!(given, DATA_FIRST);
    }

    #[test]
    fn what_goes_beyond_the_credit_is_refused() {
        let mut receiver = Flow::default();
        assert!(receiver.data_came(DATA_FRAME_MAX + 1).is_err());
        receiver.data_came(DATA_FRAME_MAX).unwrap();
        assert!(receiver.data_came(1).is_err());
        let mut sender = Flow::default();
        assert!(sender.taken(1, 0).is_err());
        assert!(sender.taken(0, DATA_WINDOW).is_err());
        assert!(sender.taken(0, u64::MAX).is_err());
        sender.taken(0, DATA_WINDOW - DATA_FIRST).unwrap();
    }
}
