//! What a method of finding differences is to the bench, and how its cost is taken.

use std::any::Any;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::workload::{Item, Name, Workload};

/// A way for two replicas to find out what differs between them.
pub trait Method: Sized {
    /// What one side keeps of the keys both have, before any session.
    type Kept: 'static;

    /// As in the table.
    const NAME: &'static str;
    /// Its settings, and what was decided in its favour where something had to be.
    const SETTINGS: &'static str;

    /// What one side keeps beside its entries.
    fn kept(common: &[Item]) -> Self::Kept;

    /// The same without what a bench needs besides, for counting memory.
    fn kept_alone(common: &[Item]) -> Box<dyn Any> {
        Box::new(Self::kept(common))
    }

    /// Whether what it costs beside sessions is shown with another.
    const UPKEEP: bool = true;

    /// Both sides once they differ, ready for a session. Not timed.
    fn pair(kept: &Self::Kept, workload: &Workload) -> Self;

    /// One session, both sides in this thread, every message encoded and decoded.
    fn session(&self) -> Session;

    /// Why it is not run with so many keys that differ.
    fn skipped(_differing: usize) -> Option<&'static str> {
        None
    }

    /// Writes these new versions of keys that it holds, and does what must be done before a session. None when nothing
    /// is kept in step.
    fn write(_kept: &mut Self::Kept, _updates: &[(Item, Item)]) -> Option<()> {
        None
    }
}

/// What a session came to.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Bytes of all messages, both directions.
    pub bytes: usize,
    /// Messages of the side that began, each of them answered.
    pub round_trips: usize,
    /// Rows that were sent, by both sides, because they lie where something differs.
    pub rows: usize,
    /// The keys that differ, as found; in any order.
    pub found: Vec<Name>,
    /// Where a method knows a differing key by an id only: how many it found.
    pub ids: Option<usize>,
}

impl Session {
    /// Encodes a message, counts it, and gives back what the other side decodes.
    pub fn send<T: Serialize + DeserializeOwned>(&mut self, message: &T) -> T {
        let bytes = bincode::serde::encode_to_vec(message, bincode::config::standard()).unwrap();
        self.bytes += bytes.len();
        bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
    }
}

/// CPU time of this thread so far, user and system.
pub fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// CPU time of one call: the median of some rounds, each long enough for the clock, after a first one that is not
/// counted. What takes seconds is taken once.
pub fn cpu_of<T>(mut call: impl FnMut() -> T) -> Duration {
    const ROUND_MIN: Duration = Duration::from_millis(5);
    const ROUNDS: usize = 7;
    const LONG: Duration = Duration::from_secs(2);
    let mut round = |calls: u32| {
        let begun = cpu();
        for _ in 0..calls {
            std::hint::black_box(call());
        }
        (cpu() - begun) / calls
    };
    let first = round(1);
    if first > LONG {
        return first;
    }
    let calls = (ROUND_MIN.as_nanos() / first.as_nanos().max(1)).clamp(1, 10_000) as u32;
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| round(calls)).collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

/// Bytes of memory that this process has in use and that no file backs.
pub fn resident() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<usize>().ok());
    kib.unwrap_or(0) * 1_024
}
