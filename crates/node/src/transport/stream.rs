//! Reading and writing with a limit on how long nothing may happen.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::codec::LengthDelimitedCodec;

use super::counters::Bad;
use super::incoming::Loss;

/// Frames up to this many bytes are copied together into one write.
pub(super) const SMALL_FRAME_BYTES: usize = 16 << 10;

/// What each side sends now and then to say that it is alive: a frame without bytes.
const BEAT: [u8; 4] = [0; 4];

/// A reader that fails when no byte arrives for too long. Only time spent waiting for bytes counts:
/// a receiver that is busy elsewhere does not take its peer for dead.
#[derive(Debug)]
pub(super) struct Patient<R> {
    inner: R,
    silence_max: Duration,
    waiting: bool,
    alarm: Pin<Box<Sleep>>,
}

impl<R> Patient<R> {
    pub(super) fn new(inner: R, silence_max: Duration) -> Self {
        Patient { inner, silence_max, waiting: false, alarm: Box::pin(sleep(silence_max)) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Patient<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buf) {
            this.waiting = false;
            return Poll::Ready(result);
        }
        if !this.waiting {
            this.waiting = true;
            this.alarm.as_mut().reset(Instant::now() + this.silence_max);
        }
        this.alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The codec for frames of at most so many bytes: four bytes of length, then the frame.
pub(super) fn codec(frame_bytes_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(frame_bytes_max).new_codec()
}

/// What a failed read of a frame means.
pub(super) fn classify(error: &io::Error) -> (Loss, Option<Bad>) {
    match error.kind() {
        io::ErrorKind::InvalidData => (Loss::BadInput, Some(Bad::TooLong)),
        io::ErrorKind::TimedOut => (Loss::Silent, Some(Bad::Silent)),
        // This is how the codec says that the stream ended inside a frame.
        io::ErrorKind::Other | io::ErrorKind::UnexpectedEof => (Loss::BadInput, Some(Bad::Cut)),
        _ => (Loss::Broken, None),
    }
}

/// Writes all bytes; fails when no byte can be written for too long.
pub(super) async fn write_all<W>(to: &mut W, mut bytes: &[u8], stall_max: Duration) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    while !bytes.is_empty() {
        let written = timeout(stall_max, to.write(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Writes frames in order, small ones together. `buffer` is scratch space, kept between calls.
pub(super) async fn write_frames<W>(
    to: &mut W,
    frames: &[Bytes],
    buffer: &mut BytesMut,
    stall_max: Duration,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    buffer.clear();
    for frame in frames {
        let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        buffer.put_u32(length);
        if frame.len() <= SMALL_FRAME_BYTES {
            buffer.put_slice(frame);
        } else {
            write_all(to, buffer, stall_max).await?;
            buffer.clear();
            write_all(to, frame, stall_max).await?;
        }
    }
    write_all(to, buffer, stall_max).await
}

/// Says that this side is alive.
pub(super) async fn write_beat<W: AsyncWrite + Unpin>(to: &mut W, stall_max: Duration) -> io::Result<()> {
    write_all(to, &BEAT, stall_max).await
}
