use std::time::Duration;

use bytes::Bytes;
use model::{Context, Dot, Entry, Expiry, Hlc, Sibling, Summary, WriterId};
use proptest::prelude::*;

use super::*;
use crate::roster::{Add, Removal, Roster, RosterVersion};

mod judging;
mod random;

fn id(n: u64) -> NodeId {
    NodeId(n)
}

fn at(seconds: u64) -> Hlc {
    Hlc::new(seconds * 1_000, 0)
}

fn dot(seconds: u64, writer: u64) -> Dot {
    Dot { hlc: at(seconds), writer: WriterId(writer) }
}

fn roster(members: u64) -> Roster {
    let mut roster = Roster::default();
    for n in 1..=members {
        let add = Add { at: Hlc::new(n, 0), sponsor: id(1), name: format!("n{n}") };
        roster.add(id(n), add).unwrap();
    }
    roster
}

fn vector(components: &[(u64, u64)]) -> Vector {
    components.iter().map(|(member, seconds)| (id(*member), at(*seconds))).collect()
}

/// What a member has to say of itself.
#[derive(Clone)]
struct Member {
    own: Own,
    vector: Vector,
}

fn member(roster: &Roster, adopted: u64, components: &[(u64, u64)]) -> Member {
    let own = Own { roster: roster.version(), adopted: at(adopted), unproven: false };
    Member { own, vector: vector(components) }
}

/// What these members publish, where each has heard of all.
fn known(of: &[(u64, Member)]) -> Publications {
    let mut before = Publications::default();
    for _ in 0..2 {
        let mut known = Publications::default();
        for (n, Member { own, vector }) in of {
            known.take(id(*n), Published::new(id(*n), *own, vector, &before), id(*n));
        }
        before = known;
    }
    before
}

/// An entry of these siblings, each seen by all later ones or concurrent to them; the context covers `seen` too.
fn entry(siblings: &[Dot], seen: &[Dot]) -> Entry {
    let mut context = Context::default();
    siblings.iter().chain(seen).for_each(|dot| context.insert(*dot));
    let mut made: Vec<Sibling> = siblings
        .iter()
        .map(|dot| Sibling::new(*dot, Bytes::from(format!("{dot}")), None, Expiry::NEVER))
        .collect();
    made.sort_by_key(Sibling::dot);
    Entry::from_parts(context, made, Expiry::NEVER).unwrap()
}

fn all_of(entry: &Entry) -> model::Delta {
    entry.word_for(&Summary::default())
}

#[test]
fn time_goes_in_steps_of_ten_seconds() {
    assert_eq!(step(Hlc::new(29_999, 7)), at(20));
    assert_eq!(step(at(30)), at(30));
    assert_eq!(step(Hlc::new(9_999, u16::MAX)), Hlc::ZERO);
}

#[test]
fn components_begin_with_the_add_and_only_rise() {
    let roster = roster(3);
    let mut own = Vector::default();
    assert_eq!(own.of(id(3), &roster), Hlc::new(3, 0), "H11: a joiner does not put anybody behind");
    own.merge(&vector(&[(1, 50), (2, 60), (9, 70)]), &roster);
    own.merge(&vector(&[(1, 40), (2, 65)]), &roster);
    assert_eq!((own.get(id(1)), own.get(id(2)), own.get(id(9))), (at(50), at(65), Hlc::ZERO));
    let complete = own.complete(id(1), at(99), &roster);
    assert_eq!(complete.iter().map(|(_, at)| at).collect::<Vec<_>>(), [at(99), at(65), Hlc::new(3, 0)]);
    assert_eq!(complete.least(), Hlc::new(3, 0));
}

/// Another sponsor has let member 3 in before, and the earlier add stands once rosters have merged: a component that comes
/// from the later one alone must not stay.
#[test]
fn the_time_of_an_add_is_no_claim() {
    let mut roster = roster(2);
    let add = |seconds| Add { at: at(seconds), sponsor: id(1), name: "n3".into() };
    roster.add(id(3), add(30)).unwrap();
    let theirs = Vector::default().complete(id(2), at(40), &roster);
    assert_eq!(theirs.get(id(3)), at(30), "H11");
    let mut own = Vector::default();
    own.merge(&theirs, &roster);
    assert_eq!((own.get(id(2)), own.get(id(3))), (at(40), Hlc::ZERO));
    own.merge(&vector(&[(3, 31)]), &roster);
    assert_eq!(own.get(id(3)), at(31));
}

#[test]
fn the_later_publication_stands() {
    let roster = roster(2);
    let mut known = Publications::default();
    let mut take = |adopted, components: &[(u64, u64)]| {
        let Member { own, vector } = member(&roster, adopted, components);
        let published = Published::new(id(1), own, &vector, &known);
        known.take(id(1), published, id(1))
    };
    assert!(take(10, &[(1, 20), (2, 5)]));
    assert!(!take(10, &[(1, 20), (2, 9)]));
    assert!(take(30, &[(1, 40), (2, 5)]));
    assert_eq!(known.get(id(1)).unwrap().adopted, at(30));
}

fn members(roster: &Roster) -> Vec<NodeId> {
    roster.members().collect()
}

#[test]
fn what_is_said_is_heard_under_the_same_roster_and_no_other() {
    let (three, four) = (roster(3), roster(4));
    let (ids, more) = (members(&three), members(&four));
    let places = Places { members: &ids, version: three.version() };
    let other = Places { members: &more, version: four.version() };
    let of = Member {
        own: Own { unproven: true, ..member(&three, 35, &[]).own },
        ..member(&three, 35, &[(1, 30), (2, 40), (3, 1)])
    };
    let of = Published {
        meets: Adoptions::of([]),
        ..Published::new(id(2), of.own, &of.vector, &Publications::default())
    };
    assert_eq!((of.at, of.least, of.least_of), (at(40), at(1), id(3)));
    for base in [at(40), at(1_000), Hlc::ZERO] {
        let said = Said::of(places, base, id(2), &of).unwrap();
        assert_eq!(said.hear(places, base), Some((id(2), of.clone())));
    }
    assert_eq!(Said::of(other, at(40), id(2), &of), None);
    assert_eq!(Said::of(places, at(40), id(9), &of), None, "a stranger");
    // Places that nobody has, an adoption and a component in the time to come.
    let said = Said::of(other, at(40), id(4), &Published { roster: four.version(), ..of.clone() }).unwrap();
    assert_eq!(said.hear(places, at(40)), None);
    for wrong in [Published { adopted: at(45), ..of.clone() }, Published { least: at(45), ..of.clone() }] {
        assert_eq!(Said::of(places, at(40), id(2), &wrong).unwrap().hear(places, at(40)), None);
    }
    let vector = vector(&[(1, 30), (2, 40), (3, 1_000_000)]);
    let said = SaidVector::of(places, at(40), &vector);
    assert_eq!(said.hear(places, at(40)), Some(vector));
    assert_eq!(said.hear(other, at(40)), None);
}

/// An opening tells what is new to a peer; where that is too much the newest, and of all a part.
#[test]
fn an_opening_tells_what_is_new_and_in_time_all() {
    let roster = roster(30);
    let mut known = Publications::default();
    let publish = |known: &mut Publications, of: u64, now: u64, from: u64| {
        let Member { own, vector } = member(&roster, 1, &[(of, now)]);
        assert!(known.take(id(of), Published::new(id(of), own, &vector, &Publications::default()), id(from)));
    };
    (1..=30).for_each(|of| publish(&mut known, of, 10, of % 2));
    let told = |known: &Publications, learned, peer, max, from| {
        let (news, all) = known.news((learned, id(peer)), max, id(from));
        (news.into_iter().map(|(of, _)| of.0).collect::<Vec<_>>(), all)
    };
    let (all, is_all) = told(&known, 0, 99, 30, 1);
    assert_eq!((all.len(), all.first(), is_all), (30, Some(&30), true), "the latest first");
    assert_eq!(told(&known, 0, 1, 30, 1).0.len(), 15, "not what the peer itself told, nor of it");
    assert_eq!(told(&known, known.learned(), 99, 30, 1), (Vec::new(), true));
    let before = known.learned();
    publish(&mut known, 7, 20, 7);
    assert_eq!(told(&known, before, 99, 30, 1), (vec![7], true));
    assert_eq!(told(&known, 0, 99, 6, 28), (vec![7, 30, 29, 28, 1, 2], false));
    let mut heard: std::collections::BTreeSet<u64> = std::collections::BTreeSet::new();
    (1..=30).for_each(|from| heard.extend(told(&known, 0, 99, 6, from).0));
    assert_eq!(heard.len(), 30, "nobody is left out for ever");
}

#[test]
fn the_watermark_is_the_least_component_of_all() {
    let roster = roster(3);
    let full = [
        (1, member(&roster, 5, &[(1, 95), (2, 80), (3, 70)])),
        (2, member(&roster, 6, &[(1, 90), (2, 91), (3, 66)])),
        (3, member(&roster, 7, &[(1, 71), (2, 72), (3, 99)])),
    ];
    let own = Vector::default();
    let reckoned = reckon(&roster, roster.version(), &known(&full), &own);
    assert_eq!(reckoned.watermark, Some(at(60)));
    assert_eq!(reckoned.waits, Some(Waits { member: id(2), since: at(66) }), "2 has not met 3 since");
    let silent = reckon(&roster, roster.version(), &known(&full[..2]), &vector(&[(3, 66)]));
    assert_eq!(
        silent,
        Reckoned { watermark: None, unmet: None, waits: Some(Waits { member: id(3), since: at(66) }) }
    );
}

#[test]
fn a_member_that_is_down_is_the_one_that_is_waited_for() {
    let roster = roster(3);
    let full = [
        (1, member(&roster, 5, &[(1, 950), (2, 940), (3, 70)])),
        (2, member(&roster, 6, &[(1, 940), (2, 950), (3, 66)])),
        (3, member(&roster, 7, &[(1, 71), (2, 72), (3, 73)])),
    ];
    let reckoned = reckon(&roster, roster.version(), &known(&full), &Vector::default());
    assert_eq!(reckoned.waits.unwrap().member, id(3));
    assert_eq!(reckoned.watermark, Some(at(60)));
}

/// H12: a publication under another roster does not count, however late it is.
#[test]
fn all_must_have_published_under_one_roster() {
    let (two, three) = (roster(2), roster(3));
    let mixed = [
        (1, member(&three, 5, &[(1, 95), (2, 80), (3, 70)])),
        (2, member(&two, 6, &[(1, 90), (2, 91)])),
        (3, member(&three, 7, &[(1, 71), (2, 72), (3, 99)])),
    ];
    let reckoned = reckon(&three, three.version(), &known(&mixed), &Vector::default());
    assert_eq!((reckoned.watermark, reckoned.waits.unwrap().member), (None, id(2)));
    assert_eq!(reckon(&two, two.version(), &known(&mixed), &Vector::default()).watermark, None);
}

/// H13: C's delete reached only B, then C was removed. A has adopted that roster at 70, B at 75: the watermark counts
/// once A holds what B held then, and B what A held.
#[test]
fn the_watermark_counts_once_all_have_exchanged_whole_states_since_the_last_adoption() {
    let mut roster = roster(3);
    roster.remove(id(3), Removal { at: at(65), by: id(1) }).unwrap();
    let mut of =
        [(1, member(&roster, 70, &[(1, 95), (2, 74)])), (2, member(&roster, 75, &[(1, 90), (2, 91)]))];
    assert_eq!(reckon(&roster, roster.version(), &known(&of), &Vector::default()).watermark, None);
    of[0].1.vector = vector(&[(1, 95), (2, 75)]);
    assert_eq!(reckon(&roster, roster.version(), &known(&of), &Vector::default()).watermark, Some(at(70)));
}

/// H26: B's clock is minutes fast, C begins a life at its own 90. That V[B] is far above 90 says nothing: each clock is
/// compared with itself alone.
#[test]
fn a_fast_clock_does_not_stand_for_a_meeting() {
    let roster = roster(3);
    let mut of = [
        (1, member(&roster, 5, &[(1, 100), (2, 1_140), (3, 85)])),
        (2, member(&roster, 1_000, &[(1, 100), (2, 1_150), (3, 100)])),
        (3, member(&roster, 90, &[(1, 100), (2, 1_140), (3, 100)])),
    ];
    assert_eq!(reckon(&roster, roster.version(), &known(&of), &Vector::default()).watermark, None);
    of[0].1.vector = vector(&[(1, 100), (2, 1_140), (3, 90)]);
    assert_eq!(reckon(&roster, roster.version(), &known(&of), &Vector::default()).watermark, Some(at(90)));
    // B lost a record and lives on: what the others hold of its time before does not count.
    of[1].1.own.adopted = at(1_145);
    assert_eq!(reckon(&roster, roster.version(), &known(&of), &Vector::default()).watermark, None);
}

/// H37, and the rest of the horizon.
#[test]
fn the_horizon_is_what_a_majority_has_published() {
    let day = 86_400;
    assert_eq!(majority([at(100), at(100 + day), at(99)], 3), Some(at(100)));
    assert_eq!(majority([at(100), at(100 + day)], 2), Some(at(100)), "of two the lesser");
    assert_eq!(majority([at(100 + day)], 2), None);
    assert_eq!(majority([at(100), at(90), at(80)], 4), Some(at(80)));
    assert_eq!(majority([at(105)], 1), Some(at(100)));
    assert_eq!(majority([], 0), None);
}

#[test]
fn the_one_of_two_that_is_left_counts_the_time_that_passes() {
    let secs = Duration::from_secs;
    let mut elapsed = Elapsed::default();
    assert_eq!(elapsed.horizon(false, secs(5), at(100)), None);
    assert_eq!(elapsed.horizon(true, secs(10), at(100)), Some(at(100)));
    assert_eq!(
        elapsed.horizon(true, secs(41), at(120)),
        Some(at(130)),
        "from where it stood when it was left"
    );
    assert_eq!(elapsed.horizon(false, secs(50), at(130)), None);
    assert_eq!(elapsed.horizon(true, secs(60), at(150)), Some(at(150)));
    assert_eq!(Elapsed::default().horizon(true, secs(60), Hlc::ZERO), None);
}

fn kept(watermark: u64, published: u64, components: &[(u64, u64)]) -> Kept {
    Kept { watermark: at(watermark), published: at(published), vector: vector(components), ..Kept::default() }
}

/// H25: B is restored to its time 355 and its clock says 500; its vector has 470 and 521 for the others.
#[test]
fn a_restored_disk_is_not_believed_by_what_the_clock_says() {
    let roster = roster(3);
    let mut restored = kept(300, 355, &[(1, 470), (3, 521)]);
    restored.begin_life(at(500));
    assert!(!restored.holds_too_little(id(2), &roster));
    restored.published = at(500);
    restored.watermark = at(450);
    assert!(restored.holds_too_little(id(2), &roster));
    // Another life before any session has completed: still what the disk said at first.
    restored.begin_life(at(600));
    assert!(restored.holds_too_little(id(2), &roster));
    assert!(!restored.completed(id(2), &roster, true, Hlc::ZERO));
    assert_eq!((restored.unproven, restored.behind), (None, None));
}

/// H30, H17: lost records reset the vector, and the watermark that is held is above what is held.
#[test]
fn lost_records_put_a_node_behind_its_own_watermark() {
    let roster = roster(3);
    let mut own = kept(450, 500, &[(1, 470), (3, 521)]);
    assert!(!own.holds_too_little(id(2), &roster));
    own.lost_records(Rules::default());
    assert!(own.lost && own.holds_too_little(id(2), &roster));
    assert!(own.completed(id(2), &roster, true, Hlc::ZERO), "a session that brought no vector is not enough");
    own.vector.merge(&vector(&[(1, 480), (3, 490)]), &roster);
    assert!(!own.completed(id(2), &roster, true, Hlc::ZERO));
}

#[test]
fn the_only_member_is_never_behind() {
    let mut own = kept(450, 0, &[]);
    own.lost_records(Rules::default());
    assert!(!own.holds_too_little(id(1), &roster(1)));
    assert!(own.holds_too_little(id(1), &roster(2)));
}

/// A member's disk and clock were put back: what was held of its later times says nothing of those that come again.
#[test]
fn what_was_held_of_times_that_come_again_is_forgotten() {
    let mut kept = Kept { watermark: at(60), ..Kept::default() };
    kept.vector = vector(&[(2, 125), (3, 90)]);
    kept.life_began(id(2), at(101));
    assert_eq!((kept.vector.get(id(2)), kept.vector.get(id(3))), (at(101), at(90)));
    kept.life_began(id(3), at(95));
    assert_eq!(kept.vector.get(id(3)), at(90), "a life that begins later changes nothing");
    kept.life_began(id(2), at(50));
    assert_eq!(kept.vector.get(id(2)), at(60), "what everybody knows stays so: this node is not behind");
    let mut known = Publications::default();
    let of = |seconds, roster| {
        let own = Own { roster: RosterVersion([roster; 16]), adopted: at(1), unproven: false };
        Published::new(id(2), own, &vector(&[(2, seconds)]), &Publications::default())
    };
    assert!(known.take(id(2), of(125, 1), id(2)) && !known.take(id(2), of(101, 1), id(2)));
    assert!(known.take(id(2), of(101, 2), id(2)), "under a new roster an earlier time counts");
}

/// Two disks that were put back do not prove each other. What the other one held of this one's times it holds again.
#[test]
fn who_is_unproven_proves_nobody() {
    let roster = roster(3);
    let mut restored = kept(300, 355, &[(1, 470), (3, 521)]);
    restored.begin_life(at(500));
    restored.alone = Some(at(500));
    restored.watermark = at(450);
    assert!(restored.holds_too_little(id(2), &roster));
    assert!(restored.completed(id(2), &roster, false, at(400)));
    assert_eq!((restored.unproven, restored.behind), (Some(at(400)), Some(Cause::Restored)));
    assert!(!restored.completed(id(2), &roster, false, at(450)), "an authority held all up to its watermark");
    assert_eq!((restored.unproven, restored.alone, restored.behind), (Some(at(450)), Some(at(500)), None));
    restored.watermark = at(460);
    assert!(restored.holds_too_little(id(2), &roster), "another watermark, another test");
    assert!(!restored.completed(id(2), &roster, true, at(465)));
    assert_eq!((restored.unproven, restored.alone, restored.published), (None, None, at(460)));
}

/// What a node did in times that its disk has forgotten it does not hold.
#[test]
fn who_is_unproven_vouches_for_no_more_than_its_disk() {
    let mut restored = kept(300, 355, &[(1, 470), (3, 521)]);
    assert_eq!(restored.vouched(at(600)), at(600));
    restored.begin_life(at(500));
    restored.published = at(600);
    assert_eq!((restored.vouched(at(600)), restored.vouched(at(350))), (at(355), at(350)));
    assert!(!restored.completed(id(2), &roster(3), false, at(420)));
    assert_eq!(restored.vouched(at(600)), at(420), "a peer has held so much, and so does this node again");
    restored.be_proven();
    assert_eq!(restored.vouched(at(600)), at(600));
}

/// What a peer held of a node up to the watermark is vouched for, too, where nothing can be published yet.
#[test]
fn what_everybody_counts_on_is_vouched_for() {
    let mut restored = kept(300, 200, &[(1, 470), (3, 521)]);
    restored.begin_life(at(500));
    assert!(!restored.completed(id(2), &roster(3), false, at(320)));
    assert_eq!((restored.published, restored.vouched(restored.published)), (at(300), at(300)));
}

proptest! {
    /// Under one roster and without adoptions a watermark that counts never falls, however publications rise.
    #[test]
    fn the_watermark_never_falls(rises in prop::collection::vec((0..3_u64, 0..3_u64, 0..60_u64), 1..80)) {
        let roster = roster(3);
        let mut vectors = [vector(&[(1, 1), (2, 1), (3, 1)]), vector(&[(1, 1), (2, 1), (3, 1)]), vector(&[(1, 1), (2, 1), (3, 1)])];
        let mut known = Publications::default();
        let mut last = Hlc::ZERO;
        for (holder, of, by) in rises {
            let own = vectors[holder as usize].get(id(holder + 1));
            let raised = vectors[of as usize].get(id(of + 1));
            vectors[holder as usize].raise(id(of + 1), raised);
            let at = Hlc::new(own.millis() + by * 1_000, 0).max(own.next().unwrap());
            vectors[holder as usize].raise(id(holder + 1), at);
            let vector = vectors[holder as usize].clone();
            let own = Own { roster: roster.version(), adopted: Hlc::ZERO, unproven: false };
            known.take(id(holder + 1), Published::new(id(holder + 1), own, &vector, &known), id(holder + 1));
            if let Some(watermark) = reckon(&roster, roster.version(), &known, &Vector::default()).watermark {
                prop_assert!(watermark >= last);
                prop_assert!(known.iter().all(|(_, published)| watermark <= published.least));
                last = watermark;
            }
        }
    }

    #[test]
    fn vectors_merge_in_any_order(parts in prop::collection::vec(prop::collection::vec((1..5_u64, 1..100_u64), 0..6), 0..5)) {
        let roster = roster(4);
        let vectors: Vec<Vector> = parts.iter().map(|part| {
            let mut vector = Vector::default();
            for (member, seconds) in part {
                vector.raise(id(*member), at(*seconds));
            }
            vector
        }).collect();
        let (mut forth, mut back) = (Vector::default(), Vector::default());
        vectors.iter().for_each(|vector| forth.merge(vector, &roster));
        vectors.iter().rev().for_each(|vector| back.merge(vector, &roster));
        prop_assert_eq!(&forth, &back);
        back.merge(&forth, &roster);
        prop_assert_eq!(forth, back);
    }
}
