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
    /// sooner, and costs a round trip each time.
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

/// Which session to begin next.
#[derive(Debug)]
pub struct Schedule {
    config: SessionConfig,
    enabled: bool,
    next: Duration,
    urgent: BTreeMap<NodeId, Duration>,
    /// Sessions that somebody asked for: begun even where this node begins none by itself.
    wanted: BTreeMap<NodeId, Duration>,
}

impl Schedule {
    /// The first session is due within an interval of `now`.
    pub fn new(config: SessionConfig, now: Duration, rng: &mut impl Rng) -> Self {
        let next = now + config.interval.mul_f64(rng.random_range(0.0..1.0));
        Self { config, enabled: config.enabled, next, urgent: BTreeMap::new(), wanted: BTreeMap::new() }
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

    /// The member to begin a session with now, if one is due. `free` are the live members with which no session is
    /// open, `open` how many sessions are.
    pub fn pick(
        &mut self,
        now: Duration,
        free: &BTreeSet<NodeId>,
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
        let jitter = rng.random_range(0.875..1.125);
        self.next = now + self.config.interval.mul_f64(jitter);
        free.iter().copied().choose(rng)
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
            begun += usize::from(schedule.pick(Duration::from_millis(ms), &free, 0, &mut rng).is_some());
        }
        assert!((9..=11).contains(&begun), "{begun} in ten seconds");
        let now = Duration::from_millis(10_000);
        schedule.soon(NodeId(3), now);
        assert!(schedule.next_wake().is_some_and(|at| at <= now));
        assert_eq!(schedule.pick(now, &free, 0, &mut rng), Some(NodeId(3)));
        schedule.soon(NodeId(9), now);
        assert!(schedule.pick(now, &free, 0, &mut rng).is_none_or(|peer| peer != NodeId(9)));
    }

    #[test]
    fn a_full_table_or_a_switch_begins_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let free: BTreeSet<_> = [NodeId(2)].into();
        let mut full = Schedule::new(SessionConfig::default(), Duration::ZERO, &mut rng);
        full.soon(NodeId(2), Duration::ZERO);
        assert_eq!(full.pick(Duration::from_secs(9), &free, 8, &mut rng), None);
        assert_eq!(full.pick(Duration::from_secs(10), &free, 7, &mut rng), Some(NodeId(2)));
        let off = SessionConfig { enabled: false, ..SessionConfig::default() };
        let mut off = Schedule::new(off, Duration::ZERO, &mut rng);
        off.soon(NodeId(2), Duration::ZERO);
        assert_eq!((off.pick(Duration::from_secs(9), &free, 0, &mut rng), off.next_wake()), (None, None));
    }
}
