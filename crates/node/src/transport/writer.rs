//! Sending on one connection: frames in order, each only once what it tells of is durable.

use std::io;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use storage::Seq;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::cord::Cord;
use super::counters::add_many;
use super::dial::{Dialed, FrameReader};
use super::incoming::{DriverGone, Incoming, Loss};
use super::peer::Peer;
use super::queue::Batch;
use super::shared::{Shared, lock};
use super::stream::{classify, write_beat, write_frames};

/// Tells the driver of the connection and sends until it ends; says why it did.
pub(super) async fn serve(
    peer: &Peer,
    shared: &Shared,
    dialed: Dialed,
    cord: &Cord,
    generation: u64,
) -> Loss {
    let Dialed { mut reader, writer, welcome, wire } = dialed;
    let begun = Incoming::Dialed { peer: peer.id, life: welcome.life, wire };
    let mut sender = Sender::new(peer, shared, writer, generation);
    let sending = async {
        match sender.alive_during(shared.tell(begun)).await {
            Ok(Ok(())) => sender.send_all().await,
            Ok(Err(DriverGone)) => Loss::Stopping,
            Err(error) => loss(&error),
        }
    };
    tokio::select! {
        why = sending => why,
        why = listen(&mut reader, shared) => why,
        why = cord.ended() => why,
        () = shared.isolation.begun() => Loss::Isolated,
    }
}

/// The other side says nothing on this connection but that it is alive.
async fn listen(reader: &mut FrameReader, shared: &Shared) -> Loss {
    loop {
        match reader.next().await {
            None => return Loss::Ended,
            Some(Ok(frame)) if frame.is_empty() => {}
            Some(Ok(_)) => return Loss::BadInput,
            Some(Err(error)) => {
                let (why, bad) = classify(&error);
                if let Some(bad) = bad {
                    shared.counters.bad(bad);
                }
                return why;
            }
        }
    }
}

struct Sender<'a> {
    peer: &'a Peer,
    shared: &'a Shared,
    writer: OwnedWriteHalf,
    generation: u64,
    /// All writes up to this one are known to be durable.
    durable: Option<Seq>,
    beat: Interval,
    buffer: BytesMut,
}

impl<'a> Sender<'a> {
    fn new(peer: &'a Peer, shared: &'a Shared, writer: OwnedWriteHalf, generation: u64) -> Self {
        let every = shared.limits.beat_every;
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Sender { peer, shared, writer, generation, durable: None, beat, buffer: BytesMut::new() }
    }

    async fn send_all(&mut self) -> Loss {
        loop {
            let first = lock(&self.peer.state).queue.first_after(self.generation);
            let sent = match first {
                Some(after) => match self.wait_durable(after).await {
                    Ok(durable) => self.send_batch(durable).await,
                    Err(why) => return why,
                },
                None if self.shared.closing.is_cancelled() => return self.finish().await,
                None => self.rest().await,
            };
            if let Err(error) = sent {
                return loss(&error);
            }
        }
    }

    /// Waits for frames.
    async fn rest(&mut self) -> io::Result<()> {
        let (peer, shared) = (self.peer, self.shared);
        let waiting = async {
            tokio::select! {
                () = peer.wake.notified() => {}
                () = shared.closing.cancelled() => {}
            }
        };
        self.alive_during(waiting).await
    }

    /// Waits until the write is durable.
    async fn wait_durable(&mut self, after: Seq) -> Result<Seq, Loss> {
        if let Some(durable) = self.durable
            && durable >= after
        {
            return Ok(durable);
        }
        let shared = self.shared;
        match self.alive_during(shared.gate.pass(after)).await {
            Ok(Ok(())) => {
                self.durable = Some(after);
                Ok(after)
            }
            Ok(Err(reason)) => {
                tracing::error!(peer = %self.peer.id, "a frame is not sent: {reason}");
                Err(Loss::NotDurable)
            }
            Err(error) => Err(loss(&error)),
        }
    }

    /// Waits for something, and says meanwhile that this side is alive.
    async fn alive_during<T>(&mut self, waiting: impl Future<Output = T>) -> io::Result<T> {
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                done = &mut waiting => return Ok(done),
                _ = self.beat.tick() => {
                    write_beat(&mut self.writer, self.shared.limits.write_time_max).await?;
                }
            }
        }
    }

    /// Raises what is known to be durable as far as the next run of frames needs, without waiting,
    /// so that small frames behind one flush leave together.
    fn look_ahead(&mut self, durable: Seq) -> Seq {
        let wanted = lock(&self.peer.state).queue.run_after(self.generation);
        match wanted {
            Some(after) if after > durable => match self.shared.gate.pass(after).now_or_never() {
                Some(Ok(())) => {
                    self.durable = Some(after);
                    after
                }
                _ => durable,
            },
            _ => durable,
        }
    }

    async fn send_batch(&mut self, durable: Seq) -> io::Result<()> {
        let durable = self.look_ahead(durable);
        let batch = lock(&self.peer.state).queue.take(self.generation, durable);
        let Batch { frames, bytes } = &batch;
        let stall_max = self.shared.limits.write_time_max;
        write_frames(&mut self.writer, frames, &mut self.buffer, stall_max).await?;
        lock(&self.peer.state).queue.written(self.generation, &batch);
        add_many(&self.shared.counters.frames_out, frames.len());
        add_many(&self.shared.counters.bytes_out, *bytes);
        Ok(())
    }

    /// Everything is written: says so to the other side and waits until it has read it all.
    async fn finish(&mut self) -> Loss {
        match self.writer.shutdown().await {
            // `listen` ends when the other side closes in turn.
            Ok(()) => std::future::pending().await,
            Err(error) => loss(&error),
        }
    }
}

fn loss(error: &io::Error) -> Loss {
    match error.kind() {
        io::ErrorKind::TimedOut => Loss::Stalled,
        _ => Loss::Broken,
    }
}
