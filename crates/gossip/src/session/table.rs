//! When a node begins a session, and with whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use merkle::Prefer;
use model::NodeId;
use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};

/// How sessions are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Whether this node begins sessions. Off, it still answers them, and begins some while it is behind. For tests
    /// and benchmarks.
    pub enabled: bool,
    /// The time between two sessions begun, 10 ms to 1 h; a quarter of it is jitter. Shorter finds what rumors missed
    /// sooner, and costs a round trip each time. It doubles up to eightfold while nothing changes and all
    /// live members were found identical.
    pub interval: Duration,
    /// A session without a frame for this long ends.
    pub idle_max: Duration,
    /// The same for one that repairs, or waits for the answer to its opening: shorter, since a node repairs in one at a
    /// time and a peer that has stalled must not keep it from the others; longer than the longest round trip.
    pub repairing_idle_max: Duration,
    /// A session in which the peer only says for this long that it is still there ends.
    pub progress_max: Duration,
    /// A session this long ends; shorter than the grace after which purged tombstones leave the disk.
    pub total_max: Duration,
    /// How this node searches in the sessions that it answers: who answers chooses.
    pub prefer: Prefer,
    /// Sessions open at a time, begun and answered together.
    pub open_max: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            idle_max: Duration::from_secs(30),
            repairing_idle_max: Duration::from_secs(15),
            progress_max: Duration::from_secs(120),
            total_max: Duration::from_secs(300),
            prefer: Prefer::Auto,
            open_max: 8,
        }
    }
}

/// How many times as long as the interval a node waits between two sessions at most, while all is quiet.
pub const QUIET_MAX: u32 = 8;

/// Which session to begin next.
///
/// A node that holds something new looks at each live member in turn until it has found all of them identical to what
/// it holds; only then it looks less and less often. So whoever has a change that others lack keeps looking: it does
/// not matter that those others, which see no change, are quiet.
#[derive(Debug)]
pub struct Schedule {
    config: SessionConfig,
    enabled: bool,
    next: Duration,
    /// How many times the interval lies between two sessions now.
    quiet: u32,
    /// Members found identical since something changed last.
    identical: BTreeSet<NodeId>,
    urgent: BTreeMap<NodeId, Duration>,
    /// Sessions that somebody asked for: begun even where this node begins none by itself.
    wanted: BTreeMap<NodeId, Duration>,
}

impl Schedule {
    /// The first session is due within an interval of `now`.
    pub fn new(config: SessionConfig, now: Duration, rng: &mut impl Rng) -> Self {
        let next = now + config.interval.mul_f64(rng.random_range(0.0..1.0));
        Self {
            config,
            enabled: config.enabled,
            next,
            quiet: 1,
            identical: BTreeSet::new(),
            urgent: BTreeMap::new(),
            wanted: BTreeMap::new(),
        }
    }

    /// What this node holds, who belongs, who answers or how a session went is not what it was: sessions are begun at
    /// the configured interval again.
    pub fn changed(&mut self, now: Duration, rng: &mut impl Rng) {
        self.identical.clear();
        if self.quiet > 1 {
            self.quiet = 1;
            self.next = self.next.min(self.after_interval(now, rng));
        }
    }

    /// The member holds just what this node holds.
    pub fn identical(&mut self, peer: NodeId) {
        self.identical.insert(peer);
    }

    fn after_interval(&self, now: Duration, rng: &mut impl Rng) -> Duration {
        let jitter = rng.random_range(0.875..1.125);
        now + (self.config.interval * self.quiet).mul_f64(jitter)
    }

    /// Begins sessions whatever the configuration says, as a node must that is behind; or as it says again.
    pub fn set_needed(&mut self, needed: bool) {
        self.enabled = self.config.enabled || needed;
    }

    /// A session with this member is wanted at this time, without waiting for the interval.
    pub fn soon(&mut self, peer: NodeId, at: Duration) {
        if self.enabled {
            let due = self.urgent.entry(peer).or_insert(at);
            *due = at.min(*due);
        }
    }

    /// Somebody asks for a session with this member.
    pub fn wanted(&mut self, peer: NodeId, at: Duration) {
        self.wanted.insert(peer, at);
    }

    /// Whoever asked is too late.
    pub fn not_wanted(&mut self, peer: NodeId) {
        self.wanted.remove(&peer);
    }

    /// The member is gone: what was wanted with it is not any more.
    pub fn forget(&mut self, peer: NodeId) {
        self.urgent.remove(&peer);
        self.wanted.remove(&peer);
    }

    /// When [`Schedule::pick`] may have something to say; none while it never will by itself.
    pub fn next_wake(&self) -> Option<Duration> {
        let wanted = self.wanted.values().min().copied();
        let own = self.urgent.values().copied().chain([self.next]).min().filter(|_| self.enabled);
        [own, wanted].into_iter().flatten().min()
    }

    /// The member to begin a session with now, if one is due. `free` are the `live` members with which no session is
    /// open, `open` how many sessions are.
    pub fn pick(
        &mut self,
        now: Duration,
        (live, free): (&BTreeSet<NodeId>, &BTreeSet<NodeId>),
        open: usize,
        rng: &mut impl Rng,
    ) -> Option<NodeId> {
        let later = now + Duration::from_millis(50);
        if open >= self.config.open_max {
            self.next = self.next.max(later);
            self.urgent.values_mut().chain(self.wanted.values_mut()).for_each(|at| *at = (*at).max(later));
            return None;
        }
        if let Some(peer) =
            self.wanted.iter().find(|(p, at)| **at <= now && free.contains(p)).map(|(p, _)| *p)
        {
            self.wanted.remove(&peer);
            return Some(peer);
        }
        // Who cannot be met now is met once it can.
        self.wanted.values_mut().for_each(|at| *at = (*at).max(later));
        if !self.enabled {
            return None;
        }
        let due =
            self.urgent.iter().find(|(peer, at)| **at <= now && free.contains(peer)).map(|(peer, _)| *peer);
        // Whoever is due but busy or down is looked at again when it is free: its session or its return says so.
        self.urgent.retain(|peer, at| *at > now || (due != Some(*peer) && free.contains(peer)));
        if due.is_some() {
            return due;
        }
        if now < self.next {
            return None;
        }
        let all_identical = live.is_subset(&self.identical);
        self.quiet = if all_identical { (self.quiet * 2).min(QUIET_MAX) } else { 1 };
        self.next = self.after_interval(now, rng);
        let unproven = free.difference(&self.identical).copied().choose(rng);
        unproven.or_else(|| free.iter().copied().choose(rng))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn one_session_an_interval_and_urgent_ones_at_once() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::new(SessionConfig::default(), Duration::ZERO, &mut rng);
        let free: BTreeSet<_> = [NodeId(2), NodeId(3)].into();
        let mut begun = 0;
        for ms in 0..10_000u64 {
            begun +=
                usize::from(schedule.pick(Duration::from_millis(ms), (&free, &free), 0, &mut rng).is_some());
        }
        assert!((9..=11).contains(&begun), "{begun} in ten seconds");
        let now = Duration::from_millis(10_000);
        schedule.soon(NodeId(3), now);
        assert!(schedule.next_wake().is_some_and(|at| at <= now));
        assert_eq!(schedule.pick(now, (&free, &free), 0, &mut rng), Some(NodeId(3)));
        schedule.soon(NodeId(9), now);
        assert!(schedule.pick(now, (&free, &free), 0, &mut rng).is_none_or(|peer| peer != NodeId(9)));
    }

    /// When the schedule begins sessions within so much time, and with whom; each finds equal roots if `equal` does.
    fn begun(
        schedule: &mut Schedule,
        (from, secs): (u64, u64),
        members: &BTreeSet<NodeId>,
        equal: impl Fn(NodeId) -> bool,
    ) -> Vec<(u64, NodeId)> {
        let mut rng = StdRng::seed_from_u64(from);
        let mut begun = Vec::new();
        for ms in from * 1_000..(from + secs) * 1_000 {
            if let Some(peer) = schedule.pick(Duration::from_millis(ms), (members, members), 0, &mut rng) {
                begun.push((ms, peer));
                if equal(peer) {
                    schedule.identical(peer);
                }
            }
        }
        begun
    }

    #[test]
    fn sessions_are_begun_less_often_while_all_are_identical_and_at_once_again_after_a_change() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::new(SessionConfig::default(), Duration::ZERO, &mut rng);
        let members: BTreeSet<_> = [NodeId(2), NodeId(3)].into();
        let first = begun(&mut schedule, (0, 100), &members, |_| true);
        let met: BTreeSet<NodeId> = first.iter().take(2).map(|(_, peer)| *peer).collect();
        assert_eq!(met, members, "each is looked at before any is looked at again");
        let gaps: Vec<u64> = first.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        for (gap, factor) in gaps.iter().zip([1, 1, 2, 4, 8, 8, 8]) {
            assert!((875 * factor..=1_125 * factor).contains(gap), "{gaps:?}");
        }
        assert!(gaps[6..].iter().all(|gap| (7_000..=9_000).contains(gap)), "{gaps:?}");
        schedule.changed(Duration::from_secs(100), &mut rng);
        let again = begun(&mut schedule, (100, 5), &members, |_| true);
        assert!(again.len() >= 3 && again[0].0 <= 101_125 && again[0].1 != again[1].1, "{again:?}");
    }

    #[test]
    fn while_one_is_not_identical_it_is_looked_at_every_interval() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::new(SessionConfig::default(), Duration::ZERO, &mut rng);
        let members: BTreeSet<_> = (2..6).map(NodeId).collect();
        let sessions = begun(&mut schedule, (0, 60), &members, |peer| peer != NodeId(4));
        assert!((57..=64).contains(&sessions.len()), "{}", sessions.len());
        assert!(sessions[8..].iter().all(|(_, peer)| *peer == NodeId(4)), "{sessions:?}");
    }

    #[test]
    fn a_full_table_or_a_switch_begins_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let free: BTreeSet<_> = [NodeId(2)].into();
        let mut full = Schedule::new(SessionConfig::default(), Duration::ZERO, &mut rng);
        full.soon(NodeId(2), Duration::ZERO);
        assert_eq!(full.pick(Duration::from_secs(9), (&free, &free), 8, &mut rng), None);
        assert_eq!(full.pick(Duration::from_secs(10), (&free, &free), 7, &mut rng), Some(NodeId(2)));
        let off = SessionConfig { enabled: false, ..SessionConfig::default() };
        let mut off = Schedule::new(off, Duration::ZERO, &mut rng);
        off.soon(NodeId(2), Duration::ZERO);
        assert_eq!(
            (off.pick(Duration::from_secs(9), (&free, &free), 0, &mut rng), off.next_wake()),
            (None, None)
        );
    }
}
