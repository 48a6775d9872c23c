//! What is taken of what comes.

use super::*;

/// H8: C was restored and wrote (C,900) beside (A,50), which was purged.
#[test]
fn of_a_rumor_what_was_replaced_long_ago_is_not_taken() {
    let came = entry(&[dot(50, 1), dot(900, 3)], &[]);
    let none = |held: Option<Entry>| move || Ok::<_, ()>(held);
    let judged = rumor(came.clone(), at(100), none(None)).unwrap();
    assert_eq!(judged.refused, 1);
    assert_eq!(judged.entry.siblings().iter().map(Sibling::dot).collect::<Vec<_>>(), [dot(900, 3)]);
    assert!(judged.entry.context().covers(dot(50, 1)), "it counts as replaced");
    // Where it is held it is not news, and stays.
    let held = entry(&[dot(50, 1)], &[]);
    let judged = rumor(came.clone(), at(100), none(Some(held))).unwrap();
    assert_eq!((judged.refused, judged.entry), (0, came.clone()));
    // Above the watermark nothing is asked.
    let judged = rumor(came.clone(), at(40), || Err::<Option<Entry>, _>("asked")).unwrap();
    assert_eq!((judged.refused, judged.entry), (0, came));
}

/// H39: a tombstone that was purged, in a rumor later than the grace.
#[test]
fn of_a_key_that_is_not_held_nothing_old_is_taken() {
    let tombstone = entry(&[], &[dot(50, 1), dot(60, 2)]);
    assert!(rumor(tombstone.clone(), at(60), || Ok::<_, ()>(None)).unwrap().entry.is_blank());
    assert_eq!(rumor(tombstone.clone(), at(59), || Ok::<_, ()>(None)).unwrap().entry, tombstone);
    let held = entry(&[dot(50, 1)], &[]);
    assert_eq!(rumor(tombstone.clone(), at(60), || Ok::<_, ()>(Some(held))).unwrap().entry, tombstone);
}

#[test]
fn whose_word_counts() {
    assert_eq!(Terms::of(false, false, false), Terms::Equal);
    assert_eq!(Terms::of(true, false, false), Terms::Behind);
    assert_eq!(Terms::of(false, true, false), Terms::Authority);
    assert_eq!(Terms::of(true, true, false), Terms::NoAuthority);
    assert_eq!(Terms::of(true, true, true), Terms::AllBehind, "H29");
}

#[test]
fn an_authority_takes_nothing_old_that_it_does_not_hold() {
    let judge = Judge { terms: Terms::Authority, watermark: at(100) };
    let came = all_of(&entry(&[dot(50, 1), dot(900, 3)], &[]));
    assert!(judge.needs_held(&came) && judge.must_answer(&came));
    let Ruling::Take(taken, 1) = judge.rule(came.clone(), None) else { panic!() };
    assert_eq!(taken.siblings.iter().map(model::DeltaSibling::dot).collect::<Vec<_>>(), [dot(900, 3)]);
    assert_eq!(taken.context, came.context);
    let held = entry(&[dot(50, 1)], &[]);
    assert_eq!(judge.rule(came.clone(), Some(&held)), Ruling::Take(came, 0));
    let old = all_of(&entry(&[dot(50, 1)], &[]));
    assert_eq!(judge.rule(old, None), Ruling::Known(1));
    let new = all_of(&entry(&[dot(101, 1)], &[]));
    assert!(!judge.must_answer(&new));
}

/// The other side's grace lasts longer: a key that was named has expired here since.
#[test]
fn a_forgotten_tombstone_is_not_taken_in_again() {
    let judge = Judge { terms: Terms::Equal, watermark: at(100) };
    let tombstone = all_of(&entry(&[], &[dot(60, 1)]));
    assert!(judge.needs_held(&tombstone));
    assert_eq!(judge.rule(tombstone.clone(), None), Ruling::Known(0));
    let held = entry(&[dot(50, 1)], &[]);
    assert_eq!(judge.rule(tombstone.clone(), Some(&held)), Ruling::Take(tombstone.clone(), 0));
    let all = Judge { terms: Terms::AllBehind, ..judge };
    assert_eq!(
        all.rule(tombstone.clone(), None),
        Ruling::Take(tombstone, 0),
        "somebody may hold what it replaced"
    );
    let newer = all_of(&entry(&[], &[dot(101, 1)]));
    assert_eq!(judge.rule(newer.clone(), None), Ruling::Take(newer, 0));
    let value = all_of(&entry(&[dot(60, 1)], &[]));
    assert_eq!(judge.rule(value.clone(), None), Ruling::Take(value, 0));
}

/// H28: two nodes that are both behind leave out whole what neither can judge.
#[test]
fn without_an_authority_what_is_old_is_left_out_whole() {
    let judge = Judge { terms: Terms::NoAuthority, watermark: at(100) };
    let came = all_of(&entry(&[dot(50, 1), dot(900, 3)], &[]));
    assert_eq!(judge.rule(came.clone(), None), Ruling::LeftOut);
    let held = entry(&[dot(50, 1)], &[]);
    assert_eq!(judge.rule(came.clone(), Some(&held)), Ruling::Take(came, 0));
    let tombstone = all_of(&entry(&[], &[dot(60, 1)]));
    assert_eq!(judge.rule(tombstone.clone(), Some(&held)), Ruling::Take(tombstone, 0));
}

#[test]
fn what_a_node_that_is_behind_alone_holds_is_told_from_what_was_replaced() {
    let judge = Judge { terms: Terms::Behind, watermark: at(100) };
    let held = entry(&[dot(50, 1), dot(60, 2), dot(70, 3), dot(900, 4)], &[]);
    // The authority holds (2,60), knows that (3,70) was replaced, and has never heard of the others.
    let theirs = entry(&[dot(60, 2)], &[dot(70, 3)]).summary();
    assert_eq!(judge.alone(&held, &theirs), [dot(50, 1)]);
    let equal = Judge { terms: Terms::Equal, ..judge };
    assert!(equal.alone(&held, &theirs).is_empty(), "absence alone is never a delete");
    let (left, gone) = split(&held, &[dot(50, 1)]);
    assert_eq!((left.siblings().len(), gone.siblings().len()), (3, 1));
    assert!(left.context().covers(dot(50, 1)));
    let named = judge.only_names(all_of(&held));
    assert_eq!(named.siblings.iter().filter(|s| s.full().is_some()).count(), 1, "old values do not travel");
}
