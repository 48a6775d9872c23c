use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0)
}

fn add(name: &str, sponsor: u64, millis: u64) -> Add {
    Add { at: at(millis), sponsor: NodeId(sponsor), name: name.to_owned() }
}

fn contact(host: &str, millis: u64) -> Contact {
    Contact { stamp: at(millis), gossip: format!("{host}:7711"), http: format!("{host}:7710") }
}

fn founded() -> Roster {
    Roster::found(NodeId(1), "one", contact("a", 10)).unwrap()
}

#[test]
fn a_removed_id_never_returns() {
    let mut roster = founded();
    roster.add(NodeId(2), add("two", 1, 20)).unwrap();
    roster.set_contact(NodeId(2), contact("b", 21)).unwrap();
    let before = roster.clone();
    roster.remove(NodeId(2), Removal { at: at(30), by: NodeId(1) }).unwrap();
    assert!(!roster.contains(NodeId(2)));
    assert_eq!(roster.contact(NodeId(2)), None);
    assert_eq!(roster.add(NodeId(2), add("two", 1, 40)), Err(RosterError::Removed(NodeId(2))));
    assert_eq!(roster.set_contact(NodeId(2), contact("b", 41)), Err(RosterError::Unknown(NodeId(2))));
    assert_eq!(roster.merge(&before), Ok(RosterChange::default()));
    assert!(!roster.contains(NodeId(2)));
    assert_eq!(roster.name(NodeId(2)), Some("two"));
    assert_eq!(roster.members().collect::<Vec<_>>(), [NodeId(1)]);
}

#[test]
fn who_is_leaving_counts_in_the_version_until_it_is_gone() {
    let mut roster = founded();
    roster.add(NodeId(2), add("two", 1, 20)).unwrap();
    let before = roster.clone();
    assert!(roster.leave(NodeId(2), at(30)).unwrap().members);
    assert!(roster.is_leaving(NodeId(2)) && roster.contains(NodeId(2)) && !roster.is_leaving(NodeId(1)));
    assert_ne!(roster.version(), before.version());
    assert_eq!(roster.leave(NodeId(2), at(31)), Ok(RosterChange::default()));
    assert_eq!(roster.leave(NodeId(9), at(31)), Err(RosterError::Unknown(NodeId(9))));
    assert!(!roster.merge(&before).unwrap().any(), "a mark stays");
    roster.remove(NodeId(2), Removal { at: at(40), by: NodeId(2) }).unwrap();
    assert!(!roster.is_leaving(NodeId(2)));
    let mut late = before;
    late.leave(NodeId(2), at(30)).unwrap();
    assert!(!roster.merge(&late).unwrap().any());
    late.merge(&roster).unwrap();
    assert_eq!((late.version(), late.is_leaving(NodeId(2))), (roster.version(), false));
}

#[test]
fn two_adds_at_one_time_make_two_versions() {
    let (mut a, mut b) = (founded(), founded());
    a.add(NodeId(4), add("d", 1, 20)).unwrap();
    b.add(NodeId(5), add("e", 1, 20)).unwrap();
    assert_ne!(a.version(), b.version());
    let (had_a, had_b) = (a.clone(), b.clone());
    assert!(a.merge(&had_b).unwrap().members);
    assert!(b.merge(&had_a).unwrap().members);
    assert_eq!(a.version(), b.version());
    assert_eq!(a.len(), 3);
}

#[test]
fn contacts_are_a_version_of_their_own() {
    let mut roster = founded();
    let version = roster.version();
    let contacts = roster.contacts_version();
    assert!(roster.set_contact(NodeId(1), contact("a", 11)).unwrap().contacts);
    assert_eq!(roster.version(), version);
    assert_ne!(roster.contacts_version(), contacts);
    let newest = roster.contacts_version();
    assert!(!roster.set_contact(NodeId(1), contact("older", 10)).unwrap().any());
    assert_eq!(roster.contacts_version(), newest);
}

#[test]
fn each_life_of_a_member_is_another_version() {
    let mut roster = founded();
    roster.set_contact(NodeId(1), contact("a", 11)).unwrap();
    let (members, lives) = (roster.version(), roster.lives_version());
    assert!(!roster.set_contact(NodeId(1), contact("elsewhere", 11)).unwrap().members);
    roster.set_contact(NodeId(1), contact("a", 12)).unwrap();
    assert_eq!(roster.version(), members);
    assert_ne!(roster.lives_version(), lives);
}

#[test]
fn a_name_clash_keeps_both_and_the_elder_owns_the_name() {
    let (mut a, mut b) = (founded(), founded());
    a.add(NodeId(9 << 32), add("web", 1, 30)).unwrap();
    b.add(NodeId(0xabcd_ef01 << 32), add("web", 1, 20)).unwrap();
    a.merge(&b).unwrap();
    assert_eq!(a.len(), 3);
    assert_eq!(a.by_name("web"), Some(NodeId(0xabcd_ef01 << 32)));
    assert_eq!(a.shown_name(NodeId(0xabcd_ef01 << 32)), "web#abcdef01");
    assert_eq!(a.shown_name(NodeId(9 << 32)), "web#00000009");
    assert_eq!(a.shown_name(NodeId(1)), "one");
    a.remove(NodeId(9 << 32), Removal { at: at(40), by: NodeId(1) }).unwrap();
    assert_eq!(a.shown_name(NodeId(0xabcd_ef01 << 32)), "web");
    assert_eq!(a.shown_name(NodeId(77)), "000000000000004d");
    assert_eq!(a.by_name("nobody"), None);
}

#[test]
fn names_and_addresses_are_checked() {
    for good in ["a", "node-1", "A_b.c", &"x".repeat(63)] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in ["", " ", "a b", "ä", "a/b", "a\n", &"x".repeat(64)] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
    for good in ["127.0.0.1:7711", "node1:1", "[::1]:65535", "a.example.com:80"] {
        assert_eq!(check_address(good), Ok(()), "{good}");
    }
    let long = format!("{}:80", "x".repeat(253));
    for bad in [
        "", "a", ":80", "a:", "a:0", "a:65536", "a:+80", "::1:80", "[::1:80", "[]:80", "a b:80", "a/b:80",
        "a@b:80", &long,
    ] {
        assert!(check_address(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_sponsor_stops_at_the_bound_and_a_merge_above_it() {
    let fill = |from: u64| {
        let mut roster = founded();
        for id in from..from + IDS_MAX as u64 - 1 {
            roster.add(NodeId(id), add("x", 1, id)).unwrap();
        }
        roster
    };
    let mut roster = fill(1_000);
    assert_eq!(roster.add(NodeId(2), add("x", 1, 1)), Err(RosterError::Full(IDS_MAX)));
    assert!(roster.add(NodeId(1_000), add("x", 1, 1)).unwrap().members);
    for part in 2..=4 {
        roster.merge(&fill(part * 10_000)).unwrap();
    }
    let before = roster.clone();
    assert_eq!(roster.merge(&fill(90_000)), Err(RosterError::Full(IDS_HARD_MAX)));
    assert_eq!(roster, before);
}

fn encode(roster: &Roster) -> Vec<u8> {
    bincode::serde::encode_to_vec(roster, bincode::config::standard()).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Roster, String> {
    let config = bincode::config::standard().with_limit::<65_536>();
    bincode::serde::decode_from_slice(bytes, config)
        .map(|(roster, _)| roster)
        .map_err(|error| error.to_string())
}

#[test]
fn what_breaks_a_rule_is_refused_when_decoded() {
    let mut good = founded();
    good.set_contact(NodeId(1), contact("a", 11)).unwrap();
    assert_eq!(decode(&encode(&good)), Ok(good.clone()));
    let bad_name = Roster { adds: [(NodeId(1), add("a b", 1, 1))].into(), ..Roster::default() };
    let ghost =
        Roster { removes: [(NodeId(3), Removal { at: at(1), by: NodeId(1) })].into(), ..good.clone() };
    let stray = Roster { contacts: [(NodeId(3), contact("a", 1))].into(), ..good.clone() };
    let mut address = good.clone();
    address.contacts.get_mut(&NodeId(1)).unwrap().http = "nowhere".to_owned();
    for bad in [bad_name, ghost, stray, address] {
        assert!(decode(&encode(&bad)).is_err(), "{bad:?}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Add(u64, u64, u64),
    Remove(u64, u64),
    Leave(u64, u64),
    Contact(u64, u64, u8),
}

fn rosters() -> impl Strategy<Value = Roster> {
    let id = 1..6_u64;
    let change = prop_oneof![
        3 => (id.clone(), 1..4_u64, 1..20_u64).prop_map(|(id, name, t)| Change::Add(id, name, t)),
        1 => (id.clone(), 1..20_u64).prop_map(|(id, t)| Change::Remove(id, t)),
        1 => (id.clone(), 1..20_u64).prop_map(|(id, t)| Change::Leave(id, t)),
        2 => (id, 1..20_u64, any::<u8>()).prop_map(|(id, t, host)| Change::Contact(id, t, host)),
    ];
    prop::collection::vec(change, 0..20).prop_map(|changes| {
        let mut roster = Roster::default();
        for change in changes {
            // A change that the roster refuses is part of the test too.
            let _ = match change {
                Change::Add(id, name, t) => roster.add(NodeId(id), add(&format!("n{name}"), t % 3, t)),
                Change::Remove(id, t) => roster.remove(NodeId(id), Removal { at: at(t), by: NodeId(t % 4) }),
                Change::Leave(id, t) => roster.leave(NodeId(id), at(t)),
                Change::Contact(id, t, host) => {
                    roster.set_contact(NodeId(id), contact(&format!("h{host}"), t))
                }
            };
        }
        roster
    })
}

fn joined(a: &Roster, b: &Roster) -> Roster {
    let mut both = a.clone();
    both.merge(b).unwrap();
    both
}

proptest! {
    #[test]
    fn merge_is_a_join(a in rosters(), b in rosters(), c in rosters()) {
        prop_assert_eq!(joined(&a, &a), a.clone());
        prop_assert_eq!(joined(&a, &b), joined(&b, &a));
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(joined(&a, &b).check(), Ok(()));
    }

    #[test]
    fn a_merge_says_what_it_changed(a in rosters(), b in rosters()) {
        let mut both = a.clone();
        let change = both.merge(&b).unwrap();
        prop_assert_eq!(change.members, both.version() != a.version());
        prop_assert_eq!(change.contacts, both.contacts_version() != a.contacts_version());
        prop_assert_eq!(both.merge(&b), Ok(RosterChange::default()));
    }

    #[test]
    fn what_a_merge_would_change_is_known_without_it(a in rosters(), b in rosters()) {
        let (lacks, change) = (a.lacks_of(&b), a.clone().merge(&b).unwrap());
        prop_assert_eq!((lacks.members, lacks.any()), (change.members, change.any()));
    }

    #[test]
    fn what_is_new_is_a_roster_that_brings_one_up_to_date(a in rosters(), b in rosters()) {
        let after = joined(&a, &b);
        let news = after.of(&after.differing(&a));
        prop_assert_eq!(news.check(), Ok(()));
        prop_assert_eq!(joined(&a, &news), after.clone());
        prop_assert_eq!(after.of(&after.differing(&after)), Roster::default());
    }

    #[test]
    fn no_removed_id_is_a_member_after_any_merge(a in rosters(), b in rosters()) {
        let both = joined(&a, &b);
        for (id, _) in a.removed().chain(b.removed()) {
            prop_assert!(!both.contains(id));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}
