//! Sending on one connection: frames in order, each only once what it tells of is durable.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use storage::Seq;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

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
        match sender.wire.alive_during(shared.tell(begun)).await {
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

/// The two halves of sending, so that one can go on while the other waits.
struct Sender<'a> {
    taker: Taker<'a>,
    wire: Wire<'a>,
}

impl<'a> Sender<'a> {
    fn new(peer: &'a Peer, shared: &'a Shared, writer: OwnedWriteHalf, generation: u64) -> Self {
        let every = shared.limits.beat_every;
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let taker = Taker { peer, shared, generation, durable: None };
        Sender { taker, wire: Wire { peer, shared, writer, generation, beat, buffer: BytesMut::new() } }
    }

    async fn send_all(self) -> Loss {
        let delay = self.taker.shared.limits.send_delay;
        if delay.is_zero() { self.send_at_once().await } else { self.send_late(delay).await }
    }

    async fn send_at_once(mut self) -> Loss {
        loop {
            let batch = match self.wire.alive_during(self.taker.next()).await {
                Ok(Next::Batch(batch)) => batch,
                Ok(Next::Closing) => return self.wire.finish().await,
                Ok(Next::Lost(why)) => return why,
                Err(error) => return loss(&error),
            };
            if let Err(error) = self.wire.send(&batch).await {
                return loss(&error);
            }
        }
    }

    /// Batches on their way count as waiting in the queue, which bounds them.
    async fn send_late(self, delay: Duration) -> Loss {
        let Sender { mut taker, mut wire } = self;
        let (late, mut due) = mpsc::unbounded_channel();
        let taking = async {
            loop {
                let next = taker.next().await;
                let ended = !matches!(next, Next::Batch(_));
                if late.send((Instant::now() + delay, next)).is_err() || ended {
                    return std::future::pending().await;
                }
            }
        };
        let writing = async {
            loop {
                let at = async {
                    let (at, next) = due.recv().await?;
                    sleep_until(at).await;
                    Some(next)
                };
                let sent = match wire.alive_during(at).await {
                    Ok(Some(Next::Batch(batch))) => wire.send(&batch).await,
                    Ok(Some(Next::Lost(why))) => return why,
                    Ok(Some(Next::Closing) | None) => return wire.finish().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = sent {
                    return loss(&error);
                }
            }
        };
        tokio::select! {
            why = writing => why,
            why = taking => why,
        }
    }
}

/// What is to be done next.
enum Next {
    /// These are to be written.
    Batch(Batch),
    /// The transport is stopping and nothing waits.
    Closing,
    /// The first frame that waits can never leave.
    Lost(Loss),
}

/// Takes frames from the queue as they become durable.
struct Taker<'a> {
    peer: &'a Peer,
    shared: &'a Shared,
    generation: u64,
    /// All writes up to this one are known to be durable.
    durable: Option<Seq>,
}

impl Taker<'_> {
    /// Waits for frames that may leave. What was not handed out stays queued if this is dropped.
    async fn next(&mut self) -> Next {
        loop {
            let first = lock(&self.peer.state).queue.first_after(self.generation);
            match first {
                Some(after) => match self.wait_durable(after).await {
                    Ok(durable) => {
                        let durable = self.look_ahead(durable);
                        return Next::Batch(lock(&self.peer.state).queue.take(self.generation, durable));
                    }
                    Err(why) => return Next::Lost(why),
                },
                None if self.shared.closing.is_cancelled() => return Next::Closing,
                None => tokio::select! {
                    () = self.peer.wake.notified() => {}
                    () = self.shared.closing.cancelled() => {}
                },
            }
        }
    }

    /// Waits until the write is durable.
    async fn wait_durable(&mut self, after: Seq) -> Result<Seq, Loss> {
        if let Some(durable) = self.durable
            && durable >= after
        {
            return Ok(durable);
        }
        match self.shared.gate.pass(after).await {
            Ok(()) => {
                self.durable = Some(after);
                Ok(after)
            }
            Err(reason) => {
                tracing::error!(peer = %self.peer.id, "a frame is not sent: {reason}");
                Err(Loss::NotDurable)
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
}

/// Writes frames, and now and then that this side is alive.
struct Wire<'a> {
    peer: &'a Peer,
    shared: &'a Shared,
    writer: OwnedWriteHalf,
    generation: u64,
    beat: Interval,
    buffer: BytesMut,
}

impl Wire<'_> {
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

    async fn send(&mut self, batch: &Batch) -> io::Result<()> {
        let Batch { frames, bytes } = batch;
        let stall_max = self.shared.limits.write_time_max;
        write_frames(&mut self.writer, frames, &mut self.buffer, stall_max).await?;
        lock(&self.peer.state).queue.written(self.generation, batch);
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
