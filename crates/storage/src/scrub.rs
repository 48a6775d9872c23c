//! When to read what again: one pass over all entries at a bounded rate, and the next one a day after it began.
//!
//! Pure: the time is handed in, in milliseconds since 1970 by a clock that may be set.

use std::num::NonZeroU64;
use std::time::Duration;

use model::{KEY_BYTES_MAX, Key};

use crate::store::Scrubbed;

/// From the beginning of one pass to that of the next, unless it takes longer itself.
pub const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Read in one step. A client's request may have to wait for a processor that long: for a few milliseconds.
const BYTES_A_STEP: u64 = 128 << 10;
/// How often the progress is worth a note.
const NOTED_EVERY: Duration = Duration::from_secs(60);

const FORM: &[u8; 8] = b"MGVSCRU1";

/// How far scrubbing has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the last pass began that came to its end. Every entry has been proven since.
    pub whole_since_ms: Option<u64>,
    /// The pass under way: when it began, and the last entry that it has read.
    pub pass: Option<(u64, Option<Key>)>,
}

/// What scrubbing did since the node's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubCounts {
    /// Entries proven.
    pub entries: u64,
    /// Bytes of their keys and records.
    pub bytes: u64,
    /// Passes that came to their end.
    pub passes: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrubNext {
    /// Read from behind this key on, so many bytes, and tell [`Scrub::has_read`].
    Read {
        /// None: from the start.
        after: Option<Key>,
        /// As in [`crate::Store::scrub`].
        bytes_max: u64,
    },
    /// Nothing for so long.
    Rest(Duration),
}

/// A scrub in its course.
#[derive(Debug, Clone)]
pub struct Scrub {
    bytes_per_second: NonZeroU64,
    progress: Progress,
    counts: ScrubCounts,
    /// Until when what was read pays for itself.
    paid_ms: u64,
    noted_ms: u64,
}

impl Scrub {
    /// Goes on from what was noted. `proven_ms` is when the store began to be opened, if that has proven each entry.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64, noted: Progress, proven_ms: Option<u64>) -> Scrub {
        let progress = match proven_ms {
            Some(_) => Progress { whole_since_ms: proven_ms, pass: None },
            None => noted,
        };
        Scrub { bytes_per_second, progress, counts: ScrubCounts::default(), paid_ms: 0, noted_ms: 0 }
    }

    /// What to do now.
    pub fn next(&mut self, now_ms: u64) -> ScrubNext {
        let paid_ahead = self.paid_ms.saturating_sub(now_ms);
        // A clock that was set back must not stop the scrub until it has come there again.
        let paid_ahead_max = self.cost(BYTES_A_STEP).saturating_mul(1_000).max(60_000);
        if (1..=paid_ahead_max).contains(&paid_ahead) {
            return ScrubNext::Rest(Duration::from_millis(paid_ahead));
        }
        if self.progress.pass.is_none() {
            let left = self.progress.whole_since_ms.and_then(|since| left(since, now_ms));
            if let Some(left) = left {
                return ScrubNext::Rest(left);
            }
            self.progress.pass = Some((now_ms, None));
        }
        let after = self.progress.pass.as_ref().and_then(|(_, after)| after.clone());
        ScrubNext::Read { after, bytes_max: BYTES_A_STEP.min(self.bytes_per_second.get()) }
    }

    /// What was asked for has been read, without damage.
    pub fn has_read(&mut self, now_ms: u64, read: Scrubbed) {
        self.counts.entries += read.entries;
        self.counts.bytes += read.bytes;
        self.paid_ms = now_ms.saturating_add(self.cost(read.bytes));
        let began = self.progress.pass.take().map_or(now_ms, |(began, _)| began);
        match read.last {
            Some(last) => self.progress.pass = Some((began, Some(last))),
            None => {
                self.counts.passes += 1;
                self.progress.whole_since_ms = Some(began);
            }
        }
    }

    /// The progress, when it is worth a note: once a minute, and at the end of a pass.
    pub fn to_note(&mut self, now_ms: u64) -> Option<&Progress> {
        let is_late = now_ms.abs_diff(self.noted_ms) >= NOTED_EVERY.as_millis() as u64;
        if !is_late && self.progress.pass.is_some() {
            return None;
        }
        self.noted_ms = now_ms;
        Some(&self.progress)
    }

    /// What was done since the start.
    #[must_use]
    pub fn counts(&self) -> ScrubCounts {
        self.counts
    }

    /// Whether a pass is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.progress.pass.is_some()
    }

    /// When the entry that was proven least recently was, at the earliest. None: nobody knows of all of them.
    #[must_use]
    pub fn proven_since_ms(&self) -> Option<u64> {
        self.progress.whole_since_ms
    }

    /// What reading so many bytes costs in time, in milliseconds.
    fn cost(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000) / self.bytes_per_second
    }
}

/// How long it is until the next pass is due; none when it is, or the clock was set back behind the last one.
fn left(since_ms: u64, now_ms: u64) -> Option<Duration> {
    let passed = Duration::from_millis(now_ms.checked_sub(since_ms)?);
    SCRUB_INTERVAL.checked_sub(passed).filter(|left| !left.is_zero())
}

impl Progress {
    /// Form (8); when the last whole pass began (8) and the one under way (8), 0 for none, big endian; the key that the
    /// latter has read last (to the end), empty for none. The first 8 bytes of the BLAKE3 hash of all that stand before.
    pub(crate) fn form(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(FORM);
        let (began, key) = self.pass.as_ref().map_or((0, None), |(began, key)| (*began, key.as_ref()));
        for time in [self.whole_since_ms.unwrap_or(0), began] {
            out.extend_from_slice(&time.to_be_bytes());
        }
        out.extend_from_slice(key.map_or(&[], |key| key.as_bytes()));
        let check = blake3::hash(&out);
        check.as_bytes().iter().take(8).chain(&out).copied().collect()
    }

    /// What was noted in these bytes, if it was.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Progress> {
        let (check, body) = bytes.split_first_chunk::<8>()?;
        if blake3::hash(body).as_bytes().first_chunk::<8>() != Some(check) {
            return None;
        }
        let (whole, rest) = body.strip_prefix(FORM)?.split_first_chunk::<8>()?;
        let (began, key) = rest.split_first_chunk::<8>()?;
        let time = |bytes: &[u8; 8]| Some(u64::from_be_bytes(*bytes)).filter(|time| *time != 0);
        if key.len() > KEY_BYTES_MAX {
            return None;
        }
        let key = if key.is_empty() { None } else { Some(Key::new(key.to_vec()).ok()?) };
        Some(Progress { whole_since_ms: time(whole), pass: time(began).map(|began| (began, key)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;
    const DAY: u64 = 24 * 60 * 60 * 1_000;

    fn scrub(rate: u64, proven_ms: Option<u64>) -> Scrub {
        Scrub::new(NonZeroU64::new(rate).unwrap(), Progress::default(), proven_ms)
    }

    fn key(n: u64) -> Key {
        Key::new(n.to_be_bytes().to_vec()).unwrap()
    }

    /// Runs over a store of so many steps until it rests for long, and gives the time then.
    fn pass(scrub: &mut Scrub, mut now: u64, steps: u64) -> u64 {
        let mut read = 0;
        loop {
            match scrub.next(now) {
                ScrubNext::Rest(time) if time > Duration::from_secs(3_600) => return now,
                ScrubNext::Rest(time) => now += time.as_millis() as u64,
                ScrubNext::Read { after, bytes_max } => {
                    assert_eq!(after, (read > 0).then(|| key(read)), "each entry once, in order");
                    read += 1;
                    let last = (read < steps).then(|| key(read));
                    scrub.has_read(now, Scrubbed { entries: 1, bytes: bytes_max, last });
                }
            }
        }
    }

    #[test]
    fn a_pass_keeps_to_its_rate_and_comes_again_after_a_day() {
        let mut scrub = scrub(1 << 20, None);
        assert_eq!(scrub.proven_since_ms(), None);
        let end = pass(&mut scrub, START, 80);
        // 80 steps of 128 KiB are 10 MiB.
        assert!((9_000..=10_000).contains(&(end - START)), "{}", end - START);
        assert_eq!((scrub.proven_since_ms(), scrub.is_running()), (Some(START), false));
        assert_eq!(scrub.counts(), ScrubCounts { entries: 80, bytes: 10 << 20, passes: 1 });
        assert_eq!(scrub.next(end), ScrubNext::Rest(Duration::from_millis(DAY - (end - START))));
        assert!(matches!(scrub.next(START + DAY), ScrubNext::Read { after: None, .. }));
        assert_eq!(scrub.proven_since_ms(), Some(START), "until it is through");
        pass(&mut scrub, START + DAY, 3);
        assert_eq!(scrub.proven_since_ms(), Some(START + DAY));
    }

    #[test]
    fn an_opening_that_proved_everything_is_a_pass() {
        let mut scrub = scrub(1 << 20, Some(START));
        assert_eq!(scrub.next(START + 1_000), ScrubNext::Rest(Duration::from_millis(DAY - 1_000)));
        assert_eq!(scrub.counts().passes, 0);
    }

    #[test]
    fn a_clock_that_was_set_does_not_stop_it() {
        let mut proven = scrub(1 << 20, Some(START + 30 * DAY));
        assert!(matches!(proven.next(START), ScrubNext::Read { .. }));
        let mut paid = scrub(1 << 20, None);
        assert!(matches!(paid.next(START + 30 * DAY), ScrubNext::Read { .. }));
        paid.has_read(START + 30 * DAY, Scrubbed { entries: 1, bytes: 1 << 20, last: Some(key(1)) });
        assert!(matches!(paid.next(START + 30 * DAY), ScrubNext::Rest(_)));
        assert!(matches!(paid.next(START), ScrubNext::Read { .. }));
        // A value that is larger than the rate is waited for.
        let mut slow = scrub(1_000, None);
        assert_eq!(slow.next(START), ScrubNext::Read { after: None, bytes_max: 1_000 });
        slow.has_read(START, Scrubbed { entries: 1, bytes: 16 << 20, last: Some(key(1)) });
        assert_eq!(slow.next(START), ScrubNext::Rest(Duration::from_millis(16_777_216)));
    }

    #[test]
    fn it_goes_on_from_its_note_and_distrusts_a_damaged_one() {
        let mut first = scrub(1 << 20, None);
        assert!(matches!(first.next(START), ScrubNext::Read { .. }));
        first.has_read(START, Scrubbed { entries: 9, bytes: 9, last: Some(key(9)) });
        let noted = first.to_note(START).unwrap().clone();
        assert_eq!(first.to_note(START + 59_999), None);
        assert!(first.to_note(START + 60_000).is_some());
        let form = noted.form();
        assert_eq!(Progress::parse(&form), Some(noted.clone()));
        for at in 0..form.len() {
            let mut bad = form.clone();
            bad[at] ^= 1;
            assert_eq!(Progress::parse(&bad), None, "byte {at}");
            assert_eq!(Progress::parse(&form[..at]), None, "cut at {at}");
        }
        let mut again = Scrub::new(NonZeroU64::new(9).unwrap(), noted, None);
        assert_eq!(again.next(START), ScrubNext::Read { after: Some(key(9)), bytes_max: 9 });
        again.has_read(START, Scrubbed::default());
        assert_eq!(again.proven_since_ms(), Some(START));
        assert!(again.to_note(START).is_some(), "the end of a pass is always worth one");
        for progress in [Progress::default(), Progress { whole_since_ms: Some(5), pass: Some((7, None)) }] {
            assert_eq!(Progress::parse(&progress.form()), Some(progress));
        }
    }
}
