//! Each scenario passes with all rules, and with its rule switched off a checker finds what goes wrong.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use sim::{Rule, Rules, scenarios};

fn shows(rule: Rule) {
    let scenario = scenarios::of(rule).unwrap();
    // More of them by hand: SCENARIO_SEEDS=20 cargo test -p mangrove-sim --release --test scenarios
    let seeds = std::env::var("SCENARIO_SEEDS").map_or(3, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let held = scenario.run(seed, Rules::default(), false);
        assert_eq!(held.violation, None, "{rule}, all rules held, seed {seed}");
        let off = scenario.run(seed, Rules::default().without(rule), false);
        let found = off.violation.unwrap_or_else(|| panic!("{rule} is off and nobody notices, seed {seed}"));
        assert_ne!(found.check, "scenario", "{rule}, seed {seed}: {found}");
        println!("{rule} off, seed {seed}: {found}");
    }
}

macro_rules! scenario_tests {
    ($($name:ident: $rule:ident,)*) => {
        $(#[test]
        fn $name() {
            shows(Rule::$rule);
        })*

        #[test]
        fn every_rule_that_can_be_switched_off_has_its_scenario_and_its_test() {
            let tested = [$(Rule::$rule,)*];
            assert_eq!(Rule::ALL, tested);
            assert_eq!(scenarios::all().iter().map(|scenario| scenario.rule).collect::<Vec<_>>(), tested);
        }
    };
}

scenario_tests! {
    h1_a_delete_is_remembered_until_everyone_knows: H1,
    h2_a_restored_disk_is_another_writer: H2,
    h3_no_writer_is_forgotten_by_a_guess: H3,
    h4_no_token_for_what_was_not_shown: H4,
    h5_members_take_more_siblings_than_clients_may_make: H5,
    h6_sessions_complete_under_steady_writes: H6,
    h7_what_the_sketch_cannot_see_is_found_by_the_tree: H7,
    h8_a_rumor_of_a_restored_node_brings_nothing_back: H8,
    h9_a_frame_that_was_parked_brings_nothing_back: H9,
    h10_nothing_is_claimed_before_it_is_durable: H10,
    h11_a_slow_joiner_writes_above_the_watermark: H11,
    h12_two_additions_at_once_are_two_versions: H12,
    h13_nothing_is_forgotten_before_all_have_met_again: H13,
    h14_a_node_hands_over_before_it_goes: H14,
    h15_two_do_not_remove_each_other: H15,
    h16_two_foundings_stay_two: H16,
    h17_a_lost_record_claims_nothing: H17,
    h19_a_fast_clock_keeps_nothing_out: H19,
    h20_one_fast_clock_lets_nothing_go: H20,
    h21_one_key_for_all_digests: H21,
    h22_a_joiner_does_not_answer_before_it_knows: H22,
    h23_a_wiped_member_takes_its_own_place: H23,
    h24_a_lost_record_begins_a_new_life: H24,
    h25_a_restored_node_is_behind_until_a_session: H25,
    h26_a_new_life_is_an_adoption_for_all: H26,
    h27_a_joiner_takes_no_rumors: H27,
    h28_two_that_are_behind_prove_nothing: H28,
    h29_where_all_are_behind_they_go_on: H29,
    h30_a_lost_record_puts_a_node_behind: H30,
    h31_a_delete_is_remembered_where_the_value_is_not_yet: H31,
    h32_who_is_let_in_too_late_is_removed: H32,
    h33_newcomers_do_not_outvote_the_others: H33,
    h34_one_alone_lets_nobody_take_a_members_place: H34,
    h35_what_was_replaced_does_not_outlive_what_replaced_it: H35,
    h36_a_slow_coordinator_takes_no_value_that_has_expired: H36,
    h37_of_two_members_one_clock_is_no_majority: H37,
    h38_two_that_leave_do_not_hand_over_to_each_other: H38,
    h39_a_rumor_that_was_parked_is_no_news: H39,
    h40_a_floor_of_others_covers_nothing_unseen: H40,
}
