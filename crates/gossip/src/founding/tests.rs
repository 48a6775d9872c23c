mod net;

use std::time::Duration;

use model::Hlc;
use net::Net;

use super::*;
use crate::liveness::LivenessState;
use crate::roster::{Add, Contact, Removal};

const WIRE: WireVersions = WireVersions { oldest: 1, newest: 2 };

fn request(node: u64, name: &str, may_found: bool) -> JoinRequest {
    JoinRequest {
        node: NodeId(node),
        name: name.to_owned(),
        gossip: format!("{name}:7711"),
        http: format!("{name}:7710"),
        wire: WIRE,
        may_found,
        cluster: None,
    }
}

fn settings(node: u64, seeds: &[&str], may_found: bool) -> FoundingSettings {
    FoundingSettings {
        request: request(node, &format!("n{node}"), may_found),
        seeds: seeds.iter().map(|seed| (*seed).to_owned()).collect(),
        cluster: ClusterId([node as u8; 16]),
        digest_key: DigestKey([node as u8; 32]),
    }
}

fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(ms), wall_ms: 0 }
}

fn unreachable() -> SeedResult {
    SeedResult::Unreachable("refused".to_owned())
}

/// Runs with every seed answering the same, until done or `end_ms`; says when it ended, and with what.
fn run(
    founding: &mut Founding,
    end_ms: u64,
    answer: impl Fn(&str) -> SeedResult,
) -> (u64, Option<FoundingStep>) {
    while let Some(due) = founding.next_wake().filter(|due| due.as_millis() as u64 <= end_ms) {
        let now = Now { mono: due, wall_ms: 0 };
        for step in founding.wake(now) {
            let FoundingStep::Dial { attempt, seed } = step else {
                return (due.as_millis() as u64, Some(step));
            };
            if let Some(step) = founding.result(now, attempt, answer(&seed)).pop() {
                return (due.as_millis() as u64, Some(step));
            }
        }
    }
    (end_ms, None)
}

#[test]
fn without_seeds_a_node_founds_at_once() {
    for may_found in [false, true] {
        let mut founding = Founding::new(at(5), settings(1, &[], may_found), 1);
        let steps = founding.wake(at(5));
        let (cluster, digest_key) = (ClusterId([1; 16]), DigestKey([1; 32]));
        assert_eq!(steps, [FoundingStep::Founded { cluster, digest_key }]);
        assert_eq!(founding.next_wake(), None);
        assert!(founding.is_done());
    }
}

#[test]
fn with_seeds_a_node_asks_for_ever() {
    let mut founding = Founding::new(at(0), settings(1, &["b:7711", "c:7711"], false), 1);
    let (_, step) = run(&mut founding, 600_000, |_| unreachable());
    assert_eq!(step, None);
    let report = founding.report(at(600_000));
    assert!((240..=420).contains(&report.rounds), "{} rounds in ten minutes", report.rounds);
    let line = report.to_string();
    assert!(
        line.ends_with(
            "; b:7711: the seed is unreachable: refused; c:7711: the seed is unreachable: refused"
        ),
        "{line}"
    );
}

#[test]
fn a_founder_waits_a_short_grace_and_founds() {
    for seed in 0..50 {
        let mut founding = Founding::new(at(0), settings(1, &["b:7711"], true), seed);
        let (ms, step) = run(&mut founding, 60_000, |_| unreachable());
        assert!(matches!(step, Some(FoundingStep::Founded { .. })));
        assert!((3_000..6_000).contains(&ms), "after {ms} ms");
    }
}

#[test]
fn a_founder_does_not_found_where_a_member_answers() {
    let refused = |_: &str| SeedResult::Answered(JoinAnswer::Refused(JoinRefusal::NotReady));
    let mut founding = Founding::new(at(0), settings(1, &["b:7711", "c:7711"], true), 1);
    let one_is = |seed: &str| if seed == "b:7711" { refused(seed) } else { unreachable() };
    assert_eq!(run(&mut founding, 60_000, one_is).1, None);
    let (_, step) = run(&mut founding, 120_000, |_| unreachable());
    assert!(matches!(step, Some(FoundingStep::Founded { .. })));
}

#[test]
fn an_attempt_that_is_never_reported_founds_nothing() {
    let mut founding = Founding::new(at(0), settings(1, &["b:7711"], true), 1);
    for ms in 0..300 {
        let steps = founding.wake(at(ms * 1_000));
        assert!(steps.iter().all(|step| matches!(step, FoundingStep::Dial { .. })));
    }
    assert_eq!(founding.report(at(0)).rounds, 0);
}

#[test]
fn a_founder_waits_for_one_of_a_smaller_id_while_it_is_seen() {
    let other = |node| {
        move |_: &str| SeedResult::Answered(JoinAnswer::NotJoinedYet { node: NodeId(node), may_found: true })
    };
    let mut founding = Founding::new(at(0), settings(5, &["b:7711"], true), 1);
    assert_eq!(run(&mut founding, 60_000, other(3)).1, None);
    assert_eq!(founding.report(at(60_000)).waits_for, Some(NodeId(3)));
    let (ms, step) = run(&mut founding, 120_000, |_| unreachable());
    assert!(matches!(step, Some(FoundingStep::Founded { .. })) && ms >= 63_000, "{ms}");
    for node in [5, 7] {
        let mut founding = Founding::new(at(0), settings(5, &["b:7711"], true), 1);
        let (ms, step) = run(&mut founding, 60_000, other(node));
        assert!(matches!(step, Some(FoundingStep::Founded { .. })) && ms < 6_000, "{ms}");
    }
}

#[test]
fn a_request_shows_a_rival_too() {
    let mut founding = Founding::new(at(0), settings(5, &["b:7711"], true), 1);
    run(&mut founding, 1_000, |_| unreachable());
    let own = JoinAnswer::NotJoinedYet { node: NodeId(5), may_found: true };
    assert_eq!(founding.asked(at(1_000), &request(3, "c", true)), own);
    let (ms, _) = run(&mut founding, 60_000, |_| unreachable());
    assert!(ms > 7_000, "{ms}");
    assert_eq!(founding.asked(at(ms), &request(3, "c", true)), JoinAnswer::Refused(JoinRefusal::NotReady));
}

fn contact(ms: u64) -> Contact {
    let here = || "a:1".to_owned();
    Contact { stamp: Hlc::new(ms, 0), gossip: here(), http: here() }
}

#[test]
fn being_let_in_ends_it_however_late() {
    let mut roster = Roster::found(NodeId(9), "z", contact(1)).unwrap();
    let answer = |roster: &Roster| {
        let roster = Box::new(roster.clone());
        let joined =
            JoinAnswer::Joined { cluster: ClusterId([9; 16]), digest_key: DigestKey([9; 32]), roster };
        SeedResult::Answered(joined)
    };
    let mut founding = Founding::new(at(0), settings(1, &["b:7711"], true), 1);
    founding.wake(at(0));
    assert_eq!(founding.result(at(1), 1, answer(&roster)), []);
    assert!(founding.report(at(1)).to_string().contains("this node is not in"));
    founding.wake(founding.next_wake().map(|mono| Now { mono, wall_ms: 0 }).unwrap());
    admit(&mut roster, NodeId(9), Hlc::new(5, 0), founding.request()).unwrap();
    assert_eq!(founding.result(at(900), 77, answer(&roster)), []);
    let steps = founding.result(at(900), 1, answer(&roster));
    assert!(matches!(&steps[..], [FoundingStep::Joined { cluster: ClusterId([9, ..]), .. }]));
    assert_eq!((founding.next_wake(), founding.result(at(901), 2, unreachable())), (None, vec![]));
}

#[test]
fn of_founders_that_see_each_other_one_founds_and_all_join_it() {
    for seed in 0..400 {
        let mut net = Net::new(seed, 2 + seed % 4);
        net.run(Duration::from_secs(60));
        assert_eq!(net.founded.len(), 1, "seed {seed}: {:?}", net.founded);
        assert_eq!(net.joined(), net.count, "seed {seed}");
    }
}

fn roster_of_three() -> Roster {
    let mut roster = Roster::found(NodeId(1), "one", contact(10)).unwrap();
    for (id, name) in [(2, "two"), (3, "three")] {
        roster
            .add(NodeId(id), Add { at: Hlc::new(20, 0), sponsor: NodeId(1), name: name.to_owned() })
            .unwrap();
    }
    roster
}

#[test]
fn a_sponsor_decides() {
    use SponsorDecision::{Add, AlreadyMember, Refuse, ReplaceFirst};
    let mut roster = roster_of_three();
    roster.remove(NodeId(3), Removal { at: Hlc::new(30, 0), by: NodeId(1) }).unwrap();
    let decide = |request: &JoinRequest, two| sponsor(&roster, NodeId(1), |_| two, WIRE, request);
    let (alive, suspect, down) = (LivenessState::Alive, LivenessState::Suspect, LivenessState::Down);
    assert_eq!(decide(&request(4, "four", false), alive), Add);
    assert_eq!(decide(&request(4, "three", false), alive), Add);
    assert_eq!(decide(&request(2, "two", false), alive), AlreadyMember);
    for state in [alive, suspect] {
        assert_eq!(
            decide(&request(4, "two", false), state),
            Refuse(JoinRefusal::NameInUse { by: NodeId(2) })
        );
    }
    assert_eq!(decide(&request(4, "two", false), down), ReplaceFirst { old: NodeId(2) });
    assert_eq!(decide(&request(4, "one", false), down), Refuse(JoinRefusal::NameInUse { by: NodeId(1) }));
    assert_eq!(decide(&request(3, "three", false), down), Refuse(JoinRefusal::RemovedForEver));
    let newer = JoinRequest { wire: WireVersions { oldest: 3, newest: 4 }, ..request(4, "four", false) };
    assert_eq!(decide(&newer, alive), Refuse(JoinRefusal::Wire(WIRE)));
    for bad in [
        request(4, "no good", false),
        JoinRequest { gossip: "nowhere".to_owned(), ..request(4, "four", false) },
        JoinRequest { http: String::new(), ..request(4, "four", false) },
    ] {
        assert!(matches!(decide(&bad, alive), Refuse(JoinRefusal::BadRequest(_))), "{bad:?}");
    }
}

#[test]
fn a_joiner_is_added_under_the_sponsors_clock_and_refreshed_later() {
    let mut roster = roster_of_three();
    let change = admit(&mut roster, NodeId(2), Hlc::new(40, 1), &request(4, "four", false)).unwrap();
    assert!(change.members && change.contacts);
    let add = roster.added(NodeId(4)).unwrap();
    assert_eq!((add.at, add.sponsor, add.name.as_str()), (Hlc::new(40, 1), NodeId(2), "four"));
    let moved = JoinRequest { gossip: "elsewhere:7711".to_owned(), ..request(4, "four", false) };
    let change = admit(&mut roster, NodeId(1), Hlc::new(50, 0), &moved).unwrap();
    assert!(!change.members && change.contacts);
    assert_eq!(roster.contact(NodeId(4)).unwrap().gossip, "elsewhere:7711");
    assert_eq!(roster.added(NodeId(4)).unwrap().at, Hlc::new(40, 1));
}

#[test]
fn only_a_lone_cluster_without_entries_dissolves_and_never_both() {
    let all = [(1, 0), (1, 5), (2, 0), (3, 9)];
    for (members, entries) in all {
        for (others, theirs) in all {
            let own = ClusterFacts { cluster: ClusterId([1; 16]), members, entries };
            let other = ClusterFacts { cluster: ClusterId([2; 16]), members: others, entries: theirs };
            let (a, b) = (should_dissolve(own, other), should_dissolve(other, own));
            assert!(!(a && b));
            assert!(!a || (members, entries) == (1, 0));
            assert_eq!(a || b, (members, entries) == (1, 0) || (others, theirs) == (1, 0));
            assert!(!should_dissolve(own, own));
        }
    }
}

#[test]
fn messages_read_back_and_damaged_ones_do_not() {
    let request = request(4, "four", true);
    assert_eq!(JoinRequest::decode(&request.encode()), Ok(request.clone()));
    let joined = JoinAnswer::Joined {
        cluster: ClusterId([3; 16]),
        digest_key: DigestKey([4; 32]),
        roster: Box::new(roster_of_three()),
    };
    let bytes = joined.encode();
    assert_eq!(JoinAnswer::decode(&bytes), Ok(joined));
    for cut in 0..bytes.len() {
        assert!(JoinAnswer::decode(&bytes[..cut]).is_err());
    }
    assert_eq!(JoinAnswer::decode(&[9, 1]), Err(JoinFormError::Version(9)));
    assert!(JoinAnswer::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(JoinRequest::decode(&vec![1; 1 << 20]).is_err());
    assert!(JoinRefusal::NotReady.may_pass() && !JoinRefusal::Full.may_pass());
}
