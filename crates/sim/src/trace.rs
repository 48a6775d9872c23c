//! What happened, as a hash, and in words where somebody wants to read it.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use crate::host::HostId;

/// Words that are kept: the latest.
const WORDS_MAX: usize = 20_000;

#[derive(Default)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    line: Vec<u8>,
    words: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn keep_words(&mut self) {
        self.words.get_or_insert_default();
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().flatten().map(String::as_str)
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// Something came to a host, as these bytes.
    pub(crate) fn bytes(&mut self, now: Duration, host: HostId, what: &str, bytes: &[u8]) {
        self.number(now, host, what, bytes.len() as u64);
        self.hasher.update(bytes);
    }

    /// Something happened at a host, told by a number.
    pub(crate) fn number(&mut self, now: Duration, host: HostId, what: &str, number: u64) {
        // Gathered first: each update of the hash costs about as much as a whole line.
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(&(now.as_nanos() as u64).to_be_bytes());
        line.extend_from_slice(&host.0.to_be_bytes());
        line.extend_from_slice(what.as_bytes());
        line.extend_from_slice(&number.to_be_bytes());
        self.hasher.update(line);
    }

    /// Says it in words, if somebody wants them.
    pub(crate) fn say(&mut self, now: Duration, words: impl FnOnce() -> String) {
        let Some(kept) = &mut self.words else { return };
        if kept.len() >= WORDS_MAX {
            kept.pop_front();
        }
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(line, "{:>10.4} s  {}", now.as_secs_f64(), words());
        kept.push_back(line);
    }
}
