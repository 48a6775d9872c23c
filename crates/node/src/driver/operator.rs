//! What operators ask of a member: that it leaves, or that another is removed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gossip::core::{Answered, Event, ReplyId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long the protocol may take to answer: longer than it tries to evict.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Requests that may wait at a time; one more is refused.
const WAITING_MAX: usize = 64;

/// Requests that wait for the protocol's answer.
#[derive(Debug, Default)]
pub struct Operators {
    made: AtomicU64,
    waiting: Mutex<BTreeMap<ReplyId, oneshot::Sender<Answered>>>,
}

impl Operators {
    /// Hands a request to the protocol, made of the number under which it answers, and waits for the answer; none if
    /// there comes none in time, or the node is stopping.
    pub async fn ask(
        &self,
        events: &mpsc::Sender<Event>,
        request: impl FnOnce(ReplyId) -> Event,
    ) -> Option<Answered> {
        let reply = ReplyId(self.made.fetch_add(1, Ordering::Relaxed));
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|_, asker| !asker.is_closed());
            if waiting.len() >= WAITING_MAX {
                return None;
            }
            waiting.insert(reply, tell);
        }
        let answered = timeout(ANSWERED_WITHIN, async {
            events.send(request(reply)).await.ok()?;
            told.await.ok()
        });
        answered.await.ok().flatten()
    }

    /// The protocol has answered. Whoever has gone away meanwhile is not told.
    pub fn answer(&self, reply: ReplyId, answer: Answered) {
        let asker = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&reply);
        if let Some(asker) = asker {
            let _ = asker.send(answer);
        }
    }
}
