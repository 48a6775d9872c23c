//! Clients' writes on their way to the protocol.
//!
//! A wake of the protocol's thread costs as much as half a write. So writes are gathered, and fetched no more often
//! than rumors leave: under load some dozens at a time, and a write that comes alone at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Key;
use tokio::sync::Notify;

/// News is fetched no sooner than this after the last. A round of rumors is no sooner after the last, either.
pub const FETCHED_EVERY: Duration = Duration::from_millis(2);
/// Writes that may wait to be told on; more are left to anti-entropy.
const KEYS_MAX: usize = 16_384;
/// Keys that are fetched at a time.
const KEYS_TOGETHER_MAX: usize = 1_024;

/// The keys that clients have written, until the protocol fetches them.
#[derive(Debug, Default)]
pub struct News {
    keys: Mutex<Vec<Key>>,
    bell: Notify,
}

impl News {
    /// A key has been written, durably as far as its client was promised.
    pub fn tell(&self, key: Key) {
        let mut keys = self.lock();
        if keys.len() >= KEYS_MAX {
            return;
        }
        keys.push(key);
        let first = keys.len() == 1;
        drop(keys);
        if first {
            self.bell.notify_one();
        }
    }

    /// Waits until there is something and gives it, oldest first. May be dropped at any time: nothing is lost.
    pub async fn fetch(&self) -> Vec<Key> {
        loop {
            self.bell.notified().await;
            let mut keys = self.lock();
            let count = keys.len().min(KEYS_TOGETHER_MAX);
            let fetched: Vec<Key> = keys.drain(..count).collect();
            if !keys.is_empty() {
                self.bell.notify_one();
            }
            drop(keys);
            if !fetched.is_empty() {
                return fetched;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        // Nothing under this lock can leave it half changed.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::new(format!("k{number}").into_bytes()).unwrap()
    }

    #[tokio::test]
    async fn all_that_was_told_is_fetched_in_order() {
        let news = News::default();
        (0..KEYS_TOGETHER_MAX + 3).for_each(|number| news.tell(key(number)));
        let first = news.fetch().await;
        news.tell(key(7_000_000));
        let second = news.fetch().await;
        assert_eq!((first.len(), second.len()), (KEYS_TOGETHER_MAX, 4));
        assert_eq!((&first[0], &second[0], &second[3]), (&key(0), &key(KEYS_TOGETHER_MAX), &key(7_000_000)));
    }

    #[tokio::test]
    async fn a_fetch_that_was_given_up_loses_nothing() {
        let news = News::default();
        let mut given_up = Box::pin(news.fetch());
        assert!(tokio::time::timeout(Duration::ZERO, &mut given_up).await.is_err());
        news.tell(key(1));
        drop(given_up);
        assert_eq!(news.fetch().await, [key(1)]);
    }

    #[tokio::test]
    async fn what_is_too_much_is_left_out() {
        let news = News::default();
        (0..2 * KEYS_MAX).for_each(|number| news.tell(key(number)));
        let mut fetched = 0;
        while let Ok(keys) = tokio::time::timeout(Duration::from_millis(1), news.fetch()).await {
            fetched += keys.len();
        }
        assert_eq!(fetched, KEYS_MAX);
    }
}
