//! A small random model: members that write, meet, restart and are restored, and hold sets of writes.

use std::collections::{BTreeMap, BTreeSet};

use model::{Dot, Hlc, NodeId, WriterId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{id, roster};
use crate::roster::Roster;
use crate::stability::{Kept, Own, Publications, Published, Terms, reckon};

/// A member of the small model: which writes it holds, and what it keeps of the others.
#[derive(Clone)]
struct Member {
    me: NodeId,
    kept: Kept,
    holds: BTreeSet<Dot>,
    caught_up: bool,
    known: Publications,
    life: u64,
    clock: u64,
    skew: u64,
    image: Option<(Kept, BTreeSet<Dot>, bool)>,
}

impl Member {
    fn tick(&mut self, now: u64) -> Hlc {
        self.clock = (self.clock + 1).max(now + self.skew);
        Hlc::new(self.clock, 0)
    }

    fn publish(&mut self, roster: &Roster, now: u64) {
        let at = self.tick(now);
        self.kept.published = at;
        let vector = self.kept.complete(self.me, at, roster);
        let own = Own { roster: roster.version(), adopted: self.kept.adopted, unproven: false };
        let published = Published::new(self.me, own, &vector, &self.known);
        self.known.take(self.me, published, self.me);
    }

    fn take(&mut self, watermark: Hlc, roster: &Roster) {
        self.kept.watermark = self.kept.watermark.max(watermark);
        self.clock = self.clock.max(self.kept.watermark.millis());
        if self.kept.holds_too_little(self.me, roster) {
            self.caught_up = false;
        }
    }

    fn begin_life(&mut self, now: u64) {
        self.life += 1;
        let at = self.tick(now);
        self.kept.begin_life(at);
        self.known = Publications::default();
    }
}

/// Random writes, sessions, publications, restarts and restored backups; nothing is ever purged. After every step each
/// write at or under a member's watermark that still is anywhere is held by every member that is not behind, no new
/// write lies under a watermark, and watermarks and components never fall but by a restored backup.
fn run(seed: u64) -> (u64, u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let count = rng.random_range(2..=4);
    let roster = roster(count);
    let mut members: BTreeMap<NodeId, Member> = BTreeMap::new();
    for n in 1..=count {
        let kept = Kept::default();
        let skew = [0, 0, 700, 90_000][rng.random_range(0..4)];
        let (holds, known) = (BTreeSet::new(), Publications::default());
        let mut member = Member {
            me: id(n),
            kept,
            holds,
            caught_up: true,
            known,
            life: n * 1_000,
            clock: 0,
            skew,
            image: None,
        };
        member.begin_life(1_000);
        members.insert(id(n), member);
    }
    let (mut now, mut risen, mut restored) = (1_000_u64, 0, 0);
    for _ in 0..600 {
        now += rng.random_range(0..2_500);
        let (a, b) = (id(rng.random_range(1..=count)), id(rng.random_range(1..=count)));
        let member = members.get_mut(&a).unwrap();
        let before = member.kept.clone();
        let images = restored;
        match rng.random_range(0..100) {
            0..30 if member.caught_up => {
                let hlc = member.tick(now);
                assert!(hlc > member.kept.watermark, "seed {seed}: a new write under a watermark");
                let written = Dot { hlc, writer: WriterId(member.life) };
                member.holds.insert(written);
            }
            30..45 => member.publish(&roster, now),
            45..50 => member.image = Some((member.kept.clone(), member.holds.clone(), member.caught_up)),
            50..53 => member.begin_life(now),
            53 => {
                if let Some((kept, holds, caught_up)) = member.image.clone() {
                    (member.kept, member.holds, member.caught_up) = (kept, holds, caught_up);
                    (member.clock, restored) = (0, restored + 1);
                    member.begin_life(now);
                }
            }
            _ if a != b => session(&mut members, (a, b), &roster, &mut rng),
            _ => {}
        }
        let was_restored = restored > images;
        for member in members.values_mut() {
            let own = member.kept.vector.clone();
            let reckoned = reckon(&roster, roster.version(), &member.known, &own);
            let watermark = member.kept.watermark;
            member.take(reckoned.watermark.unwrap_or_default(), &roster);
            risen += u64::from(member.kept.watermark > watermark);
        }
        let after = &members[&a].kept;
        assert!(was_restored || after.watermark >= before.watermark);
        assert!(was_restored || before.vector.iter().all(|(of, at)| after.vector.get(of) >= at));
        check(&members, &roster, seed);
    }
    (risen, restored)
}

/// Whoever is not behind holds every write at or under its watermark that still is anywhere.
fn check(members: &BTreeMap<NodeId, Member>, roster: &Roster, seed: u64) {
    let somewhere: BTreeSet<Dot> = members.values().flat_map(|m| m.holds.iter().copied()).collect();
    for member in members.values().filter(|member| member.caught_up) {
        let under = somewhere.iter().filter(|dot| dot.hlc <= member.kept.watermark);
        let missing: Vec<&Dot> = under.filter(|dot| !member.holds.contains(dot)).collect();
        assert!(missing.is_empty(), "seed {seed}: {:?} lacks {missing:?}", member.me);
        assert!(member.kept.watermark <= member.kept.stable(member.me, roster), "seed {seed}");
    }
}

/// A session of two: vectors as of its beginning, whole states, and the rules of who is behind.
fn session(
    members: &mut BTreeMap<NodeId, Member>,
    (a, b): (NodeId, NodeId),
    roster: &Roster,
    rng: &mut StdRng,
) {
    let watermark = members[&a].kept.watermark.max(members[&b].kept.watermark);
    let (known_a, known_b) = (members[&a].known.clone(), members[&b].known.clone());
    for (me, theirs) in [(a, known_b), (b, known_a)] {
        let member = members.get_mut(&me).unwrap();
        for (of, published) in theirs.iter().filter(|(of, _)| *of != me) {
            member.known.take(of, published.clone(), me);
        }
        member.take(watermark, roster);
    }
    let all_behind = members.values().all(|member| !member.caught_up);
    let vectors = [a, b].map(|of| {
        let published = members[&of].known.get(of)?;
        Some(members[&of].kept.complete(of, published.at, roster))
    });
    let states = [a, b].map(|of| members[&of].holds.clone());
    let behind = [a, b].map(|of| !members[&of].caught_up);
    let mut withheld = false;
    let mut taken = [BTreeSet::new(), BTreeSet::new()];
    for side in 0..2 {
        let terms = Terms::of(behind[side], behind[1 - side], all_behind);
        for dot in states[1 - side].difference(&states[side]) {
            match terms {
                Terms::NoAuthority if dot.hlc <= watermark => withheld = true,
                Terms::Authority if dot.hlc <= watermark => {}
                _ => {
                    taken[side].insert(*dot);
                }
            }
        }
    }
    for (side, me) in [a, b].into_iter().enumerate() {
        let terms = Terms::of(behind[side], behind[1 - side], all_behind);
        let member = members.get_mut(&me).unwrap();
        member.holds.extend(&taken[side]);
        if terms == Terms::Behind {
            let theirs = &states[1 - side];
            member.holds.retain(|dot| dot.hlc > watermark || theirs.contains(dot));
        }
        // The other side's last word may be lost.
        if withheld || rng.random_bool(0.15) {
            continue;
        }
        if let Some(vector) = &vectors[1 - side] {
            member.kept.vector.merge(vector, roster);
        }
        if matches!(terms, Terms::Equal | Terms::Behind) {
            member.caught_up = !member.kept.completed(me, roster, true, Hlc::ZERO);
        }
    }
}

#[test]
fn whatever_lies_under_a_watermark_is_held_by_everyone_who_is_not_behind() {
    let (mut risen, mut restored) = (0, 0);
    for seed in 0..120 {
        let (more, images) = run(seed);
        (risen, restored) = (risen + more, restored + images);
    }
    assert!(risen > 800 && restored > 300, "the watermark rose {risen} times, {restored} backups came back");
}
