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

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The protocol was not asked: nothing has changed.
    NotAsked,
    /// It was, and may still do what was asked for.
    Late,
}

/// Requests that wait for the protocol's answer.
#[derive(Debug, Default)]
pub struct Operators {
    made: AtomicU64,
    waiting: Mutex<BTreeMap<ReplyId, oneshot::Sender<Answered>>>,
}

impl Operators {
    /// Hands a request to the protocol, made of the number under which it answers, and waits for the answer.
    pub async fn ask(
        &self,
        events: &mpsc::Sender<Event>,
        request: impl FnOnce(ReplyId) -> Event,
    ) -> Result<Answered, Unanswered> {
        let reply = ReplyId(self.made.fetch_add(1, Ordering::Relaxed));
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|_, asker| !asker.is_closed());
            if waiting.len() >= WAITING_MAX {
                return Err(Unanswered::NotAsked);
            }
            waiting.insert(reply, tell);
        }
        let answered = timeout(ANSWERED_WITHIN, async {
            events.send(request(reply)).await.map_err(|_| Unanswered::NotAsked)?;
            told.await.map_err(|_| Unanswered::Late)
        });
        answered.await.unwrap_or(Err(Unanswered::Late))
    }

    /// The protocol has answered. Whoever has gone away meanwhile is not told.
    pub fn answer(&self, reply: ReplyId, answer: Answered) {
        let asker = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&reply);
        if let Some(asker) = asker {
            let _ = asker.send(answer);
        }
    }
}
