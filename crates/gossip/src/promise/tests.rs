use proptest::prelude::*;

use super::*;
use crate::roster::{Add, Contact, Removal};

fn roster(members: u64) -> Roster {
    let here = || "a:1".to_owned();
    let contact = Contact { stamp: Hlc::new(1, 0), gossip: here(), http: here() };
    let mut roster = Roster::found(NodeId(0), "n0", contact).unwrap();
    for id in 1..members {
        let add = Add { at: Hlc::new(1 + id, 0), sponsor: NodeId(0), name: format!("n{id}") };
        roster.add(NodeId(id), add).unwrap();
    }
    roster
}

fn ask(roster: &Roster, evictor: u64, target: u64, stamp: u64) -> Ask {
    Ask {
        evictor: NodeId(evictor),
        target: NodeId(target),
        stamp: Hlc::new(stamp, 0),
        roster: roster.version(),
    }
}

fn begin(roster: &Roster, evictor: u64, target: u64, watermark: Hlc) -> Eviction {
    let stamp = Hlc::new(50, 0);
    let own = Promises::default();
    Eviction::begin(NodeId(evictor), NodeId(target), stamp, roster, watermark, &own, true).unwrap().0
}

fn verdict(promises: &mut Promises, me: u64, roster: &Roster, ask: &Ask) -> Verdict {
    let (answer, durable) = promises.answer(NodeId(me), roster, ask, true);
    if let Some(durable) = durable {
        *promises = durable;
    }
    answer.verdict
}

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(refusal)
}

#[test]
fn three_members_replace_one_by_two_promises() {
    let roster = roster(3);
    let (mut a, mut b) = (Promises::default(), Promises::default());
    let stamp = Hlc::new(9, 0);
    let (mut eviction, own) =
        Eviction::begin(NodeId(0), NodeId(2), stamp, &roster, Hlc::ZERO, &a, true).unwrap();
    a = own;
    assert!(a.has_promised_to_remove(NodeId(2)));
    assert_eq!(eviction.to_ask().collect::<Vec<_>>(), [NodeId(1)]);
    assert!(!eviction.may_remove(&roster));
    let (answer, durable) = b.answer(NodeId(1), &roster, eviction.ask(), true);
    b = durable.unwrap();
    eviction.heard(NodeId(1), &answer);
    let tally = Tally { promised: 2, needed: 2, elders_promised: 0, elders_needed: 0 };
    assert_eq!(eviction.tally(), tally);
    assert!(eviction.may_remove(&roster));
    let (again, nothing_new) = b.answer(NodeId(1), &roster, eviction.ask(), true);
    assert_eq!((again.verdict, nothing_new), (Verdict::Promised, None));

    let mut after = roster.clone();
    after.remove(NodeId(2), Removal { at: stamp, by: NodeId(0) }).unwrap();
    assert!(!eviction.may_remove(&after));
    assert!(a.release(&after) && a.is_empty());
    assert!(b.release(&after) && b.is_empty());
}

#[test]
fn a_cluster_of_two_cannot_evict() {
    let eviction = begin(&roster(2), 0, 1, Hlc::ZERO);
    assert_eq!(eviction.to_ask().count(), 0);
    assert!(!eviction.tally().enough());
}

#[test]
fn each_refusal_has_its_reason_and_changes_nothing() {
    let roster = roster(4);
    let mut other = roster.clone();
    other.remove(NodeId(3), Removal { at: Hlc::new(7, 0), by: NodeId(0) }).unwrap();
    let fresh = Promises::default();
    let refusal = |promises: &Promises, roster: &Roster, ask: &Ask, down| {
        let (answer, durable) = promises.answer(NodeId(1), roster, ask, down);
        assert_eq!(durable, None);
        answer.verdict
    };
    let good = ask(&roster, 0, 2, 10);
    assert_eq!(refusal(&fresh, &other, &good, true), refused(Refusal::RosterDiffers));
    assert_eq!(refusal(&fresh, &roster, &good, false), refused(Refusal::TargetAnswers));
    assert_eq!(refusal(&fresh, &roster, &ask(&roster, 0, 1, 10), true), refused(Refusal::TargetAnswers));
    assert_eq!(refusal(&fresh, &roster, &ask(&roster, 0, 0, 10), true), refused(Refusal::NotTwoMembers));
    assert_eq!(refusal(&fresh, &roster, &ask(&roster, 0, 9, 10), true), refused(Refusal::NotTwoMembers));
    assert_eq!(refusal(&fresh, &other, &ask(&other, 3, 2, 10), true), refused(Refusal::NotTwoMembers));
    let mut promised = Promises::default();
    assert_eq!(verdict(&mut promised, 1, &roster, &good), Verdict::Promised);
    assert_eq!(refusal(&promised, &roster, &ask(&roster, 2, 3, 99), true), refused(Refusal::EvictorLeaves));
    let than = good.stamp;
    assert_eq!(
        refusal(&promised, &roster, &ask(&roster, 3, 0, 10), true),
        refused(Refusal::Earlier { than })
    );
    assert_eq!(verdict(&mut promised, 1, &roster, &ask(&roster, 3, 0, 11)), Verdict::Promised);
    assert_eq!(promised.iter().count(), promised.len());
}

#[test]
fn an_evictor_that_dies_for_good_does_not_stand_in_the_way() {
    // 0 collected promises to remove 4 and died. The others remove 0 with a later stamp, then 4.
    let roster = roster(5);
    let mut disks: BTreeMap<u64, Promises> = (1..4).map(|me| (me, Promises::default())).collect();
    for (me, disk) in &mut disks {
        assert_eq!(verdict(disk, *me, &roster, &ask(&roster, 0, 4, 10)), Verdict::Promised);
    }
    let early = Eviction::begin(NodeId(1), NodeId(0), Hlc::new(10, 0), &roster, Hlc::ZERO, &disks[&1], true);
    assert!(matches!(early, Err(Refusal::Earlier { .. })));
    let mut eviction = begin(&roster, 1, 0, Hlc::ZERO);
    for me in [2, 3] {
        let (answer, _) = disks[&me].answer(NodeId(me), &roster, eviction.ask(), true);
        eviction.heard(NodeId(me), &answer);
    }
    assert!(eviction.may_remove(&roster));
}

#[test]
fn an_attempt_that_was_given_up_does_not_stand_in_the_targets_way() {
    let roster = roster(3);
    let (mut own, other) = (Promises::default(), Promises::default());
    assert_eq!(verdict(&mut own, 1, &roster, &ask(&roster, 1, 2, 10)), Verdict::Promised);
    assert_eq!(verdict(&mut own, 1, &roster, &ask(&roster, 2, 0, 11)), refused(Refusal::EvictorLeaves));
    assert!(!own.give_up(NodeId(1), |target| target == NodeId(2)), "it is still about that one");
    assert!(own.give_up(NodeId(1), |_| false) && own == other);
    assert_eq!(verdict(&mut own, 1, &roster, &ask(&roster, 2, 0, 11)), Verdict::Promised);
    assert!(!own.give_up(NodeId(1), |_| false), "what another was promised stays");
}

#[test]
fn a_new_attempt_goes_above_what_refusals_named() {
    let roster = roster(3);
    let mut eviction = begin(&roster, 0, 2, Hlc::ZERO);
    let than = Hlc::new(70, 3);
    let answer = Answer { ask: *eviction.ask(), verdict: refused(Refusal::Earlier { than }) };
    eviction.heard(NodeId(1), &answer);
    assert_eq!(eviction.stamp_above(), than);
    assert_eq!(eviction.refusals().len(), 1);
}

#[test]
fn answers_of_others_or_to_others_do_not_count() {
    let roster = roster(5);
    let mut eviction = begin(&roster, 0, 4, Hlc::ZERO);
    let good = Answer { ask: *eviction.ask(), verdict: Verdict::Promised };
    let stale = Answer { ask: Ask { stamp: Hlc::new(1, 0), ..good.ask }, ..good };
    eviction.heard(NodeId(4), &good);
    eviction.heard(NodeId(77), &good);
    eviction.heard(NodeId(1), &stale);
    for _ in 0..3 {
        eviction.heard(NodeId(2), &good);
    }
    assert_eq!(eviction.tally().promised, 2);
}

#[test]
fn members_added_above_the_watermark_cannot_outvote_the_elders() {
    // H33: 0 was cut off from 1 and 2 and added 3 and 4; adds of 0, 1, 2 lie at 1, 2, 3.
    let roster = roster(5);
    let mut eviction = begin(&roster, 0, 1, Hlc::new(3, 0));
    for id in [3, 4] {
        eviction.heard(NodeId(id), &Answer { ask: *eviction.ask(), verdict: Verdict::Promised });
    }
    let tally = Tally { promised: 3, needed: 3, elders_promised: 1, elders_needed: 2 };
    assert_eq!(eviction.tally(), tally);
    assert!(!eviction.may_remove(&roster));
    eviction.heard(NodeId(2), &Answer { ask: *eviction.ask(), verdict: Verdict::Promised });
    assert!(eviction.may_remove(&roster));
    // The same where the watermark was learned of after they had been asked.
    let mut eviction = begin(&roster, 0, 1, Hlc::ZERO);
    for id in [3, 4] {
        eviction.heard(NodeId(id), &Answer { ask: *eviction.ask(), verdict: Verdict::Promised });
    }
    assert!(eviction.may_remove(&roster));
    eviction.watermark_rose(&roster, Hlc::new(3, 0));
    assert_eq!(eviction.tally(), tally);
    assert!(!eviction.may_remove(&roster));
}

/// Every ordered selection of `items`, the empty one too.
fn orders(items: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for item in items {
        let rest: Vec<usize> = items.iter().copied().filter(|other| other != item).collect();
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, *item);
            order
        }));
    }
    all
}

/// For every way in which the members can receive (or never receive) the asks: which evictions succeed.
/// An evictor's own promise is made in its own order too; without it nobody was asked.
fn outcomes(members: u64, asks: &[(u64, u64, u64)], check: impl Fn(&[bool])) {
    let roster = roster(members);
    let asks: Vec<Ask> = asks.iter().map(|(e, t, s)| ask(&roster, *e, *t, *s)).collect();
    let orders = orders(&(0..asks.len()).collect::<Vec<_>>());
    // What each member promises depends on its own order alone.
    let promised: Vec<Vec<u32>> = (0..members)
        .map(|me| {
            let mut masks: Vec<u32> =
                orders.iter().map(|order| promises_of(me, &roster, &asks, order)).collect();
            masks.sort_unstable();
            masks.dedup();
            masks
        })
        .collect();
    let mut choice = vec![0; promised.len()];
    loop {
        let masks: Vec<u32> = choice.iter().zip(&promised).map(|(i, masks)| masks[*i]).collect();
        let won = |(i, ask): (usize, &Ask)| {
            let of = |id: usize| masks[id] >> i & 1 == 1;
            let count = (0..masks.len()).filter(|id| of(*id)).count();
            of(ask.evictor.0 as usize) && count >= majority(masks.len())
        };
        check(&asks.iter().enumerate().map(won).collect::<Vec<_>>());
        let Some(next) = (0..choice.len()).find(|i| choice[*i] + 1 < promised[*i].len()) else { return };
        choice[next] += 1;
        choice[..next].fill(0);
    }
}

fn promises_of(me: u64, roster: &Roster, asks: &[Ask], order: &[usize]) -> u32 {
    let mut promises = Promises::default();
    let given = order.iter().filter(|i| verdict(&mut promises, me, roster, &asks[**i]) == Verdict::Promised);
    given.fold(0, |mask, i| mask | 1 << i)
}

#[test]
fn two_members_never_evict_each_other_in_any_order() {
    for members in 2..=6 {
        for (first, second) in [(10, 20), (20, 10), (10, 10)] {
            outcomes(members, &[(0, 1, first), (1, 0, second)], |won| assert!(!(won[0] && won[1])));
        }
    }
}

#[test]
fn two_members_never_evict_each_other_with_attempts_repeated() {
    let asks = [(0, 1, 10), (1, 0, 11), (0, 1, 12), (1, 0, 13)];
    for members in 2..=5 {
        outcomes(members, &asks, |won| assert!(!((won[0] || won[2]) && (won[1] || won[3]))));
    }
}

#[test]
fn no_circle_of_three_evicts_itself_in_any_order() {
    for members in 3..=5 {
        for stamps in [[10, 20, 30], [30, 20, 10], [20, 10, 30], [10, 10, 10]] {
            let [a, b, c] = stamps;
            outcomes(members, &[(0, 1, a), (1, 2, b), (2, 0, c)], |won| assert!(won.contains(&false)));
        }
    }
}

/// A member of the long runs below: its disk, and the eviction it is collecting promises for.
#[derive(Clone)]
struct Member {
    roster: Roster,
    promises: Promises,
    eviction: Option<Eviction>,
}

proptest! {
    /// Long runs: evictions one after another, rosters that merge pair by pair in any order, crashes that
    /// forget all but the disk, asks and answers that are repeated. Nobody is ever evicted by a member
    /// that it evicted, and somebody is left.
    #[test]
    fn evictions_never_cross_over_long_runs(
        count in 2..=6_usize,
        steps in prop::collection::vec((0..5_u8, 0..6_usize, 0..6_usize), 1..400),
    ) {
        let start = roster(count as u64);
        let fresh = Member { roster: start, promises: Promises::default(), eviction: None };
        let mut members = vec![fresh; count];
        let mut evicted: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (now, (kind, a, b)) in steps.into_iter().enumerate() {
            let (a, b) = (a % count, b % count);
            match kind {
                0 => begin_one(&mut members[a], a, b, now),
                1 | 2 => ask_one(&mut members, a, b),
                3 => carry_out(&mut members[a], a, now, &mut evicted),
                _ if now % 7 == 0 => {
                    members[a].eviction = None;
                    members[a].promises.give_up(NodeId(a as u64), |_| false);
                }
                _ => {
                    let other = members[b].roster.clone();
                    members[a].roster.merge(&other).unwrap();
                    let roster = members[a].roster.clone();
                    members[a].promises.release(&roster);
                }
            }
            prop_assert!(evicted.iter().all(|(a, b)| !evicted.contains(&(*b, *a))), "{evicted:?}");
        }
        let mut all = Roster::default();
        for member in &members {
            all.merge(&member.roster).unwrap();
        }
        prop_assert!(!all.is_empty(), "{evicted:?}");
    }
}

fn begin_one(member: &mut Member, me: usize, target: usize, now: usize) {
    let above = member.eviction.as_ref().map_or(Hlc::ZERO, Eviction::stamp_above);
    let stamp = Hlc::new(now as u64, 0).max(above.next().unwrap());
    let (me, target) = (NodeId(me as u64), NodeId(target as u64));
    let begun = Eviction::begin(me, target, stamp, &member.roster, Hlc::ZERO, &member.promises, true);
    if let Ok((eviction, promises)) = begun {
        member.promises = promises;
        member.eviction = Some(eviction);
    }
}

fn ask_one(members: &mut [Member], evictor: usize, of: usize) {
    let Some(mut eviction) = members[evictor].eviction.clone() else { return };
    let asked = &mut members[of];
    let (answer, durable) = asked.promises.answer(NodeId(of as u64), &asked.roster, eviction.ask(), true);
    if let Some(durable) = durable {
        asked.promises = durable;
    }
    eviction.heard(NodeId(of as u64), &answer);
    members[evictor].eviction = Some(eviction);
}

fn carry_out(member: &mut Member, me: usize, now: usize, evicted: &mut BTreeSet<(usize, usize)>) {
    let Some(eviction) = member.eviction.clone().filter(|eviction| eviction.may_remove(&member.roster))
    else {
        return;
    };
    let target = eviction.ask().target;
    let removal = Removal { at: Hlc::new(now as u64, 0), by: NodeId(me as u64) };
    member.roster.remove(target, removal).unwrap();
    member.promises.release(&member.roster);
    member.eviction = None;
    evicted.insert((me, target.0 as usize));
}
