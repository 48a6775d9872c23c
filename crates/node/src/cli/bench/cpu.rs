//! The CPU time of a process, from `/proc`.

use std::collections::BTreeMap;
use std::time::Duration;

/// The CPU time that a process had used at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Of the whole process, ended threads included, in ticks of a hundredth of a second.
    ticks: u64,
    /// Of each thread that runs, in nanoseconds.
    threads: BTreeMap<u32, u64>,
}

/// Linux counts in these for programs, whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

impl Cpu {
    /// What the process has used until now; `None` where `/proc` does not say.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between the listing and the reading.
            let text = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            if let Some(used) = text.split(' ').next().and_then(|word| word.parse().ok()) {
                threads.insert(id, used);
            }
        }
        Some(Self { ticks: ticks(&stat)?, threads })
    }

    /// What was used from `earlier` on: exact while no thread has ended, else to a hundredth of a second.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let all_run =
            !self.threads.is_empty() && earlier.threads.keys().all(|id| self.threads.contains_key(id));
        if !all_run {
            let ticks = self.ticks.saturating_sub(earlier.ticks);
            return Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND));
        }
        let used =
            |(id, now): (&u32, &u64)| now.saturating_sub(earlier.threads.get(id).copied().unwrap_or(0));
        Duration::from_nanos(self.threads.iter().map(used).sum())
    }
}

/// User and system time. The program's name, in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace().skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time() {
        let before = Cpu::of(std::process::id()).unwrap();
        let mut sum = 0u64;
        for number in 0..3_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        let used = Cpu::of(std::process::id()).unwrap().since(&before);
        assert!(used < Duration::from_secs(60), "{used:?}");
        assert_eq!(Cpu::of(u32::MAX), None);
    }

    #[test]
    fn threads_are_exact_and_an_ended_one_falls_back_to_ticks() {
        let at = |ticks, threads: &[(u32, u64)]| Cpu { ticks, threads: threads.iter().copied().collect() };
        let earlier = at(10, &[(1, 500), (2, 100)]);
        assert_eq!(at(11, &[(1, 700), (2, 100), (3, 40)]).since(&earlier), Duration::from_nanos(240));
        assert_eq!(at(13, &[(1, 700)]).since(&earlier), Duration::from_millis(30));
    }

    #[test]
    fn a_strange_name_does_not_confuse() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 31 12 0 0";
        assert_eq!(ticks(stat), Some(43));
        assert_eq!(ticks("7 (a"), None);
    }
}
