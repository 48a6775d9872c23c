//! How much may be on its way: credit, which the receiver gives back as it takes things in.
//!
//! Names count in frames, data in bytes. It holds for the whole session, both searches of it.

use super::Failure;
use super::frames::SessionFrame;

/// Names frames that may be on their way.
const NAMES_WINDOW: u32 = 8;
/// Bytes of data that may be on their way: at 100 ms there and back, 40 MB a second.
const DATA_WINDOW: u64 = 4 << 20;
/// A frame may begin while any credit is left, so one of them may go beyond the window. None is longer than this.
pub const DATA_FRAME_MAX: u64 = 1 << 20;
/// Credit is given back in parts of this size: a small session needs none.
const NAMES_PART: u32 = 2;
const DATA_PART: u64 = DATA_WINDOW / 8;

/// The credit of one side.
#[derive(Debug, Default)]
pub struct Flow {
    names_out: u32,
    data_out: u64,
    names_in: u32,
    names_done: u32,
    data_in: u64,
    data_done: u64,
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
        self.data_out < DATA_WINDOW
    }

    /// A frame of data is sent, with so many bytes.
    pub fn data_goes(&mut self, bytes: u64) {
        self.data_out += bytes;
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
        self.data_in = self.data_in.saturating_add(bytes);
        if bytes > DATA_FRAME_MAX || self.data_in > DATA_WINDOW + DATA_FRAME_MAX {
            return Err(Failure::Protocol("data beyond the credit given"));
        }
        Ok(())
    }

    /// A frame of names that came is dealt with.
    pub fn names_done(&mut self) {
        self.names_done += 1;
    }

    /// Data that came is stored, or kept for its end to come.
    pub fn data_done(&mut self, bytes: u64) {
        self.data_done += bytes;
    }

    /// Whether there is data to give credit for.
    pub fn owes(&self) -> bool {
        self.data_done >= DATA_PART
    }

    /// What to tell the other side; `data`: whether it may send more data.
    pub fn credit(&mut self, data: bool) -> Option<SessionFrame> {
        let names = if self.names_done >= NAMES_PART { std::mem::take(&mut self.names_done) } else { 0 };
        let data = if data && self.owes() { std::mem::take(&mut self.data_done) } else { 0 };
        self.names_in -= names;
        self.data_in -= data;
        (names > 0 || data > 0).then_some(SessionFrame::Taken { names, data })
    }

    /// The other side has taken in so much.
    pub fn taken(&mut self, names: u32, data: u64) -> Result<(), Failure> {
        let (Some(names), Some(data)) = (self.names_out.checked_sub(names), self.data_out.checked_sub(data))
        else {
            return Err(Failure::Protocol("credit for what was not sent"));
        };
        (self.names_out, self.data_out) = (names, data);
        Ok(())
    }
}
