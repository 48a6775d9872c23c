//! Reading a value off the wire, within its limits of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout, timeout_at};

use crate::problem::{Problem, ProblemKind, too_large};

/// How much of a refused body is read and thrown away, so that the client gets to see the answer
/// instead of a reset connection.
const DISCARD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// For how long.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// A request's body.
pub(crate) struct Inbound {
    body: Body,
    /// Reading it has begun: a client that waits for "100 Continue" has been told to go on.
    begun: bool,
}

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub bytes_max: usize,
    /// Between two pieces of it.
    pub idle_max: Duration,
    /// In all.
    pub time_max: Duration,
}

impl Inbound {
    pub fn new(body: Body) -> Self {
        Inbound { body, begun: false }
    }

    /// How many bytes it may take at most, by what the client has announced. An announced length
    /// over the limit is refused here, before anything is read.
    pub fn announced(&self, limits: &BodyLimits) -> Result<usize, Problem> {
        let hint = self.body.size_hint();
        if hint.lower() > limits.bytes_max as u64 {
            return Err(too_large(limits.bytes_max));
        }
        let upper = hint.upper().and_then(|upper| usize::try_from(upper).ok());
        Ok(upper.map_or(limits.bytes_max, |upper| upper.min(limits.bytes_max)))
    }

    /// Reads it whole.
    pub async fn read(&mut self, limits: &BodyLimits) -> Result<Bytes, Problem> {
        let expected = self.body.size_hint().exact();
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        let until = Instant::now() + limits.time_max;
        self.begun = true;
        while let Some(piece) = self.piece(limits, until).await? {
            if piece.len() > limits.bytes_max.saturating_sub(first.len().max(whole.len())) {
                return Err(too_large(limits.bytes_max));
            }
            // Mostly the whole value comes in one piece, and is taken without a copy.
            if first.is_empty() && whole.is_empty() {
                first = piece;
                continue;
            }
            if whole.is_empty() {
                let expected = expected.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
                whole.reserve(expected.min(limits.bytes_max));
                whole.extend_from_slice(&first);
                first = Bytes::new();
            }
            whole.extend_from_slice(&piece);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    async fn piece(&mut self, limits: &BodyLimits, until: Instant) -> Result<Option<Bytes>, Problem> {
        loop {
            if self.body.is_end_stream() {
                return Ok(None);
            }
            let at = until.min(Instant::now() + limits.idle_max);
            let frame = timeout_at(at, poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)));
            match frame.await {
                Err(_) => return Err(too_slow(limits)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(&error)),
                // Trailers carry nothing for us.
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// What remains of a refused request's body is read and thrown away beside the answer: a
    /// connection closed with bytes unread is reset, and the client would lose the answer. A
    /// client that still waits for "100 Continue" gets no chance to send it.
    pub fn discard(mut self, waits_for_continue: bool) {
        if self.body.is_end_stream() || (waits_for_continue && !self.begun) {
            return;
        }
        tokio::spawn(timeout(DISCARD_TIME_MAX, async move {
            let mut left = DISCARD_BYTES_MAX;
            while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        }));
    }
}

fn too_slow(limits: &BodyLimits) -> Problem {
    Problem::new(
        ProblemKind::RequestTimeout,
        format!(
            "The body must come within {} s, without a pause of {} s. Nothing was stored; send it again, \
             over a faster link or as a smaller value.",
            limits.time_max.as_secs_f32(),
            limits.idle_max.as_secs_f32()
        ),
    )
}

fn broken(error: &axum::Error) -> Problem {
    Problem::new(
        ProblemKind::BadBody,
        format!(
            "The body broke off or its framing is wrong ({error}). Nothing was stored; send the request again."
        ),
    )
}
