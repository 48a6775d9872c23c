//! Rumors: news pushed at once to members that have not heard it, until it is no news any more.
//!
//! Rumor mongering with feedback and counter (Demers et al., "Epidemic Algorithms for Replicated
//! Database Maintenance", 1987, section 1.4), with one addition: a rumor says who has been told, so that
//! in a cluster no larger than the fanout each member is told once. Any rumor may be lost: anti-entropy
//! is the guarantee, so every table here may drop what it has no room for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Key, NodeId};
use rand::Rng;
use rand::seq::IndexedRandom;

/// How many keys may be hot at a time; the rest are left to anti-entropy.
pub const HOT_KEYS_MAX: usize = 65_536;
/// How many answers may be awaited at a time.
const AWAITED_MAX: usize = 256;
/// A rumor dies when this many members knew it already: the counter k of Demers et al.
pub const DUDS_MAX: u8 = 2;
/// Keys in one rumor at most.
pub const KEYS_A_RUMOR_MAX: usize = 1_024;
/// The least time between two rounds: writes within it share a rumor.
const GAP: Duration = Duration::from_millis(2);
/// The time between two rounds for keys that not everyone has been told.
pub const AGAIN: Duration = Duration::from_millis(100);
/// Where so many times fewer have been told than there are, whom to tell is drawn among all, and again where that was
/// somebody who has been: in a large cluster a round does not look at every member.
const FEW: usize = 4;

#[derive(Clone, Debug, Default)]
struct Hot {
    told: BTreeSet<NodeId>,
    duds: u8,
}

/// What to push to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// To whom.
    pub to: NodeId,
    /// The number an answer will name.
    pub batch: u64,
    /// Whether an answer is of use.
    pub answer: bool,
    /// Who will have been told.
    pub told: Vec<NodeId>,
    /// The keys whose entries to send.
    pub keys: Vec<Key>,
}

/// The rumors a node is spreading.
#[derive(Debug)]
pub struct Rumors {
    me: NodeId,
    fanout: usize,
    duds_max: u8,
    hot: BTreeMap<Key, Hot>,
    awaited: BTreeMap<u64, Vec<Key>>,
    batch: u64,
    last_round: Option<Duration>,
    next_round: Option<Duration>,
}

impl Rumors {
    /// Spreads to up to `fanout` members a round; 0 switches rumors off.
    pub fn new(me: NodeId, fanout: usize) -> Self {
        Self {
            me,
            fanout,
            duds_max: DUDS_MAX,
            hot: BTreeMap::new(),
            awaited: BTreeMap::new(),
            batch: 0,
            last_round: None,
            next_round: None,
        }
    }

    /// Lets a rumor die when so many members knew it already, 1 or more: to compare with what others measured.
    #[must_use]
    pub fn dying_after(self, duds_max: u8) -> Self {
        Self { duds_max, ..self }
    }

    /// A key has a new entry here, which those in `told` have heard of.
    pub fn learned(&mut self, now: Duration, key: Key, told: impl IntoIterator<Item = NodeId>) {
        if self.fanout == 0 || (self.hot.len() >= HOT_KEYS_MAX && !self.hot.contains_key(&key)) {
            return;
        }
        // A newer entry: whoever was told of the former has not heard this one.
        self.hot.insert(key, Hot { told: told.into_iter().collect(), duds: 0 });
        let earliest = self.last_round.map_or(now, |last| now.max(last + GAP));
        self.next_round = Some(self.next_round.map_or(earliest, |at| at.min(earliest)));
    }

    /// When the next round is due.
    pub fn next_wake(&self) -> Option<Duration> {
        self.next_round
    }

    /// How many keys are hot.
    pub fn hot(&self) -> usize {
        self.hot.len()
    }

    /// A round, if one is due: what to push to whom among the live members, which are listed ascending, each once.
    pub fn round(&mut self, now: Duration, live: &[NodeId], rng: &mut impl Rng) -> Vec<Push> {
        if self.next_round.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.last_round = Some(now);
        self.next_round = None;
        let mut groups: BTreeMap<(NodeId, Vec<NodeId>, bool), Vec<Key>> = BTreeMap::new();
        let (me, fanout) = (self.me, self.fanout);
        self.hot.retain(|key, hot| {
            hot.told.insert(me);
            let (chosen, left) = choose(live, &hot.told, fanout, rng);
            hot.told.extend(chosen.iter().copied());
            let told: Vec<NodeId> = hot.told.iter().copied().collect();
            for to in chosen {
                groups.entry((to, told.clone(), left)).or_default().push(key.clone());
            }
            left
        });
        if !self.hot.is_empty() {
            self.next_round = Some(now + AGAIN);
        }
        let mut pushes = Vec::new();
        for ((to, told, answer), keys) in groups {
            for keys in keys.chunks(KEYS_A_RUMOR_MAX) {
                pushes.push(self.push(to, told.clone(), answer, keys));
            }
        }
        pushes
    }

    fn push(&mut self, to: NodeId, told: Vec<NodeId>, answer: bool, keys: &[Key]) -> Push {
        self.batch += 1;
        if answer {
            self.awaited.insert(self.batch, keys.to_vec());
            while self.awaited.len() > AWAITED_MAX {
                self.awaited.pop_first();
            }
        }
        Push { to, batch: self.batch, answer, told, keys: keys.to_vec() }
    }

    /// A member's answer: the places within the rumor that were no news to it.
    pub fn answered(&mut self, batch: u64, known: &[u32]) {
        let Some(keys) = self.awaited.remove(&batch) else { return };
        for key in known.iter().filter_map(|place| keys.get(*place as usize)) {
            if let Some(hot) = self.hot.get_mut(key) {
                hot.duds += 1;
                if hot.duds >= self.duds_max {
                    self.hot.remove(key);
                }
            }
        }
    }
}

/// Up to `fanout` of the live members that have not been told, and whether others are left.
fn choose(
    live: &[NodeId],
    told: &BTreeSet<NodeId>,
    fanout: usize,
    rng: &mut impl Rng,
) -> (Vec<NodeId>, bool) {
    let mut chosen: Vec<NodeId> = Vec::with_capacity(fanout);
    if live.len() > FEW * (told.len() + fanout) {
        while chosen.len() < fanout {
            let drawn = live.choose(rng).filter(|id| !told.contains(id) && !chosen.contains(id));
            chosen.extend(drawn);
        }
        return (chosen, true);
    }
    let untold: Vec<NodeId> = live.iter().copied().filter(|id| !told.contains(id)).collect();
    chosen.extend(untold.sample(rng, fanout));
    let left = untold.len() > chosen.len();
    (chosen, left)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn key(n: u32) -> Key {
        Key::new(format!("k{n}")).unwrap()
    }

    fn members(n: u64) -> Vec<NodeId> {
        (1..=n).map(NodeId).collect()
    }

    #[test]
    fn a_small_cluster_is_told_once_each_and_the_rumor_is_done() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut rumors = Rumors::new(NodeId(1), 4);
        rumors.learned(Duration::ZERO, key(1), []);
        rumors.learned(Duration::ZERO, key(2), []);
        let pushes = rumors.round(Duration::ZERO, &members(3), &mut rng);
        let to: Vec<_> = pushes.iter().map(|p| (p.to, p.keys.len(), p.answer)).collect();
        assert_eq!(to, [(NodeId(2), 2, false), (NodeId(3), 2, false)]);
        assert_eq!(pushes[0].told, [NodeId(1), NodeId(2), NodeId(3)]);
        assert_eq!((rumors.hot(), rumors.next_wake()), (0, None));
        // Who hears it last passes it to nobody.
        let mut last = Rumors::new(NodeId(3), 4);
        last.learned(Duration::ZERO, key(1), pushes[1].told.clone());
        assert_eq!(last.round(Duration::ZERO, &members(3), &mut rng), []);
        assert_eq!(last.hot(), 0);
    }

    #[test]
    fn writes_soon_after_a_round_share_the_next_one() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut rumors = Rumors::new(NodeId(1), 4);
        rumors.learned(Duration::ZERO, key(0), []);
        assert_eq!(rumors.round(Duration::ZERO, &members(2), &mut rng).len(), 1);
        for n in 1..=5 {
            rumors.learned(Duration::from_micros(u64::from(n)), key(n), []);
        }
        assert_eq!(rumors.round(Duration::from_millis(1), &members(2), &mut rng), []);
        let pushes = rumors.round(Duration::from_millis(2), &members(2), &mut rng);
        assert_eq!(pushes.iter().map(|p| p.keys.len()).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_rumor_dies_when_two_members_knew_it() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut rumors = Rumors::new(NodeId(1), 1);
        rumors.learned(Duration::ZERO, key(1), []);
        for n in 0..2 {
            let pushes = rumors.round(AGAIN * n, &members(9), &mut rng);
            assert!(pushes[0].answer);
            rumors.answered(pushes[0].batch, &[0]);
            rumors.answered(pushes[0].batch, &[0]);
        }
        assert_eq!(rumors.hot(), 0);
    }

    #[test]
    fn in_a_large_cluster_nobody_is_told_twice_nor_the_one_who_tells() {
        let mut rng = StdRng::seed_from_u64(5);
        let (live, mut rumors) = (members(100), Rumors::new(NodeId(7), 5));
        rumors.learned(Duration::ZERO, key(1), [NodeId(1), NodeId(2)]);
        let mut told = BTreeSet::from([NodeId(1), NodeId(2), NodeId(7)]);
        for round in 0..20 {
            let pushes = rumors.round(AGAIN * round, &live, &mut rng);
            assert_eq!(pushes.len(), if told.len() < 98 { 5 } else { 100 - told.len() }, "round {round}");
            assert!(pushes.iter().all(|push| told.insert(push.to)), "round {round}");
        }
        assert_eq!((told.len(), rumors.hot()), (100, 0));
    }

    /// Every member of a cluster of 50 hears a rumor nobody loses, or the few it missed are within what
    /// Demers' analysis of two duds allows.
    #[test]
    fn a_rumor_reaches_nearly_all_of_a_large_cluster() {
        let live = members(50);
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut nodes: BTreeMap<NodeId, Rumors> =
                live.iter().map(|id| (*id, Rumors::new(*id, 3))).collect();
            let mut knows = BTreeSet::from([NodeId(1)]);
            nodes.get_mut(&NodeId(1)).unwrap().learned(Duration::ZERO, key(1), []);
            let mut messages = 0;
            for step in 0..40u32 {
                let mut answers = Vec::new();
                for id in &live {
                    for push in nodes.get_mut(id).unwrap().round(AGAIN * step, &live, &mut rng) {
                        messages += 1;
                        if knows.insert(push.to) {
                            nodes.get_mut(&push.to).unwrap().learned(AGAIN * step, key(1), push.told);
                        } else {
                            answers.push((*id, push.batch));
                        }
                    }
                }
                for (id, batch) in answers {
                    nodes.get_mut(&id).unwrap().answered(batch, &[0]);
                }
            }
            assert!(knows.len() >= 47, "seed {seed}: {} of 50", knows.len());
            assert!(messages <= 500, "seed {seed}: {messages} messages");
            assert!(nodes.values().all(|n| n.hot() == 0), "every rumor ends");
        }
    }
}
