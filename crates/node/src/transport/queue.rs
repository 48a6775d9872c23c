//! The frames that wait for one peer: bounded, in order, never sent twice.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use storage::Seq;
use thiserror::Error;
use tokio::time::Instant;

use super::limits::Limits;
use super::stream::SMALL_FRAME_BYTES;

/// Small frames are taken together up to about this many bytes.
const BATCH_BYTES: usize = 64 << 10;

/// A frame to send.
#[derive(Clone, Debug)]
pub struct OutFrame {
    /// The frame, 1 byte to 4 MiB.
    pub bytes: Bytes,
    /// The write that must be durable before the frame may leave.
    pub after: Seq,
}

/// Why a frame was not taken. The queue is as it was.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// As many frames or bytes wait for the peer as may.
    #[error("the queue for this peer is full")]
    Full,
    /// Nobody has said where the peer is reached.
    #[error("no address is known for this peer")]
    NoAddress,
    /// The frame is empty or longer than frames may be.
    #[error("a frame must have at least one byte and must not be longer than the limit")]
    Length,
    /// The transport is stopping.
    #[error("the transport is stopping")]
    Stopping,
}

/// The queue. Each loss of the connection begins a new generation: what was queued or being written
/// before it is gone, and can neither be taken nor be counted as written afterwards.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Instant, OutFrame)>,
    /// Frames waiting and frames being written.
    frames: usize,
    bytes: usize,
    generation: u64,
}

/// A run of frames to write.
#[derive(Debug)]
pub(super) struct Batch {
    pub frames: Vec<Bytes>,
    pub bytes: usize,
}

impl Queue {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, frame: OutFrame, now: Instant, limits: &Limits) -> Result<(), SendError> {
        let length = frame.bytes.len();
        if length == 0 || length > limits.frame_bytes_max {
            return Err(SendError::Length);
        }
        let too_many = self.frames >= limits.queue_frames_max;
        let too_long = self.bytes.saturating_add(length) > limits.queue_bytes_max;
        if self.frames > 0 && (too_many || too_long) {
            return Err(SendError::Full);
        }
        self.frames += 1;
        self.bytes += length;
        self.waiting.push_back((now, frame));
        Ok(())
    }

    /// The write that the first frame waits for; `None` when no frame waits, or none of this
    /// generation ever will.
    pub(super) fn first_after(&self, generation: u64) -> Option<Seq> {
        if generation != self.generation {
            return None;
        }
        self.waiting.front().map(|(_, frame)| frame.after)
    }

    /// The latest write that any frame of the next run waits for.
    pub(super) fn run_after(&self, generation: u64) -> Option<Seq> {
        if generation != self.generation {
            return None;
        }
        let mut bytes = 0;
        let in_run = |(_, frame): &&(Instant, OutFrame)| {
            bytes += frame.bytes.len();
            bytes <= BATCH_BYTES
        };
        self.waiting.iter().take_while(in_run).map(|(_, frame)| frame.after).max()
    }

    /// Takes frames that may leave once `durable` is: one large frame, or a run of small ones.
    pub(super) fn take(&mut self, generation: u64, durable: Seq) -> Batch {
        let mut batch = Batch { frames: Vec::new(), bytes: 0 };
        if generation != self.generation {
            return batch;
        }
        while let Some((_, frame)) = self.waiting.front() {
            let length = frame.bytes.len();
            let joins = length <= SMALL_FRAME_BYTES && batch.bytes + length <= BATCH_BYTES;
            if frame.after > durable || !(batch.frames.is_empty() || joins) {
                break;
            }
            if let Some((_, frame)) = self.waiting.pop_front() {
                batch.bytes += length;
                batch.frames.push(frame.bytes);
            }
        }
        batch
    }

    /// Makes the room of written frames free again.
    pub(super) fn written(&mut self, generation: u64, batch: &Batch) {
        if generation == self.generation {
            self.frames = self.frames.saturating_sub(batch.frames.len());
            self.bytes = self.bytes.saturating_sub(batch.bytes);
        }
    }

    /// Drops everything of this generation and begins the next; says how many frames were dropped.
    /// Does nothing when the generation is over already.
    pub(super) fn lose(&mut self, generation: u64) -> usize {
        if generation != self.generation {
            return 0;
        }
        let dropped = self.frames;
        self.waiting.clear();
        (self.frames, self.bytes) = (0, 0);
        self.generation += 1;
        dropped
    }

    /// Whether the first frame has waited for longer than it may.
    pub(super) fn is_overdue(&self, now: Instant, wait_max: Duration) -> bool {
        self.waiting.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= wait_max)
    }
}
