mod net;

use std::time::Duration;

use net::Net;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A net of `count` nodes in which all see each other.
fn settled(count: u64, seed: u64) -> Net {
    let mut net = Net::new(count, seed);
    net.run(3 * SECOND);
    assert!(net.all_agree(LivenessState::Alive), "{count} nodes, seed {seed}");
    net.changes.clear();
    net
}

#[test]
fn all_find_each_other_at_once() {
    for count in [2, 3, 7, 32] {
        let mut net = Net::new(count, 1);
        net.run(50 * MS);
        assert!(net.all_agree(LivenessState::Alive), "{count} nodes");
    }
}

/// How long until all others see the last node as down after it was killed.
fn detection(count: u64, seed: u64) -> Duration {
    let mut net = settled(count, seed);
    // Until there are no news left to send, each of which would show that its sender is there.
    net.run(10 * SECOND);
    net.run(seed as u32 * 37 % 1_000 * MS);
    let killed = net.now;
    net.kill(count - 1);
    net.run(10 * SECOND);
    let last =
        net.changes.iter().filter(|(_, _, state)| *state == LivenessState::Down).map(|(at, ..)| *at).max();
    assert!(net.all_see(count - 1, LivenessState::Down), "{count} nodes, seed {seed}");
    last.unwrap() - killed
}

#[test]
fn a_killed_member_is_down_everywhere_within_five_seconds() {
    for (count, seeds) in [(2, 40), (3, 60), (4, 40), (5, 40), (7, 40), (16, 10), (32, 6)] {
        let mut times: Vec<Duration> = (0..seeds).map(|seed| detection(count, seed)).collect();
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{count} nodes: detected in {median:?}, at worst {worst:?} of {seeds}");
        assert!(worst <= 5 * SECOND, "{count} nodes: {worst:?}");
    }
}

#[test]
fn nobody_flaps_on_a_lossy_network() {
    for (count, percent) in [(2, 10), (3, 10), (5, 10), (7, 10), (3, 25)] {
        let mut net = settled(count, 5);
        net.loss_percent = percent;
        net.run(300 * SECOND);
        let of = |state| net.changes.iter().filter(|(_, _, seen)| *seen == state).count();
        let (suspected, down) = (of(LivenessState::Suspect), of(LivenessState::Down));
        println!("{count} nodes, {percent}% loss, 5 min: {suspected} suspicions, {down} taken for down");
        assert_eq!(down, 0, "{count} nodes");
        assert!(net.all_agree(LivenessState::Alive) || suspected > 0);
    }
}

#[test]
fn two_halves_that_were_cut_apart_find_each_other_again() {
    for (count, cut) in [(2, 1), (3, 1), (5, 2), (7, 3)] {
        for seed in 0..5 {
            let mut net = settled(count, seed);
            net.cut(cut);
            net.run(30 * SECOND);
            for node in 0..count {
                let far = (0..count).filter(|other| (*other < cut) != (node < cut));
                assert!(far.into_iter().all(|other| net.state(node, other) == LivenessState::Down));
            }
            net.heal();
            let healed = net.now;
            net.run(10 * SECOND);
            assert!(net.all_agree(LivenessState::Alive), "{count} nodes, seed {seed}");
            let took = net.changes.last().unwrap().0 - healed;
            assert!(took <= 3 * SECOND, "{count} nodes, seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_restarted_member_is_alive_at_once() {
    for count in [2, 3, 7] {
        // Before the others have noticed, and long after.
        for away in [100 * MS, 20 * SECOND] {
            let mut net = settled(count, 3);
            net.kill(0);
            net.run(away);
            net.start(0, 2 << 32);
            net.run(30 * MS);
            assert!(net.all_agree(LivenessState::Alive), "{count} nodes, away {away:?}");
            net.run(20 * SECOND);
            assert!(net.all_agree(LivenessState::Alive), "{count} nodes, away {away:?}");
        }
    }
}

#[test]
fn a_restart_with_an_epoch_that_did_not_rise_is_caught_up() {
    for away in [100 * MS, 20 * SECOND] {
        for epoch in [0, 1 << 32] {
            let mut net = settled(3, 4);
            net.kill(0);
            net.run(away);
            net.start(0, epoch);
            net.run(3 * SECOND);
            assert!(net.all_agree(LivenessState::Alive), "away {away:?}, epoch {epoch}");
            net.changes.clear();
            net.run(20 * SECOND);
            assert_eq!(net.changes, [], "away {away:?}, epoch {epoch}");
        }
    }
}

#[test]
fn a_goodbye_is_down_at_once() {
    for count in [2, 3, 7, 32] {
        let mut net = settled(count, 6);
        net.goodbye(1);
        net.run(600 * MS);
        assert!(net.all_see(1, LivenessState::Down), "{count} nodes");
        net.start(1, 2 << 32);
        net.run(100 * MS);
        assert!(net.all_agree(LivenessState::Alive), "{count} nodes");
    }
}

#[test]
fn a_goodbye_that_was_old_news_is_corrected() {
    let mut net = settled(3, 6);
    let now = net.now();
    net.node(0).said_goodbye(now, NodeId(2));
    net.collect(0);
    assert_eq!(net.state(0, 2), LivenessState::Down);
    net.run(2 * SECOND);
    assert!(net.all_agree(LivenessState::Alive));
}

#[test]
fn a_process_that_was_stopped_does_not_take_the_others_for_down() {
    let mut net = settled(3, 8);
    net.pause(0, 60 * SECOND);
    net.run(60 * SECOND);
    assert!(net.all_see(0, LivenessState::Down));
    net.changes.clear();
    net.run(10 * SECOND);
    assert!(net.all_agree(LivenessState::Alive));
    let by_paused = net.changes.iter().any(|(_, node, state)| *node != 0 && *state == LivenessState::Down);
    assert!(!by_paused, "{:?}", net.changes);
}

#[test]
fn a_removed_member_is_forgotten_and_refused() {
    let mut net = settled(3, 9);
    let now = net.now();
    for node in [0, 1] {
        net.node(node).remove_member(now, NodeId(2));
    }
    net.run(10 * SECOND);
    assert_eq!(net.node(0).members().count(), 1);
    assert_eq!(net.state(0, 2), LivenessState::Down);
    assert_eq!(net.state(2, 0), LivenessState::Down);
    assert!(net.refused.contains_key("a heartbeat of node 0000000000000002, which is not in the roster"));
    assert_eq!(net.state(0, 1), LivenessState::Alive);
}

#[test]
fn a_member_unknown_to_one_is_not_spread_by_the_others() {
    let mut net = Net::new(3, 10);
    let now = net.now();
    net.node(0).remove_member(now, NodeId(2));
    net.run(20 * SECOND);
    assert_eq!(net.state(0, 1), LivenessState::Alive);
    assert_eq!(net.node(0).members().count(), 1);
    net.changes.clear();
    let now = net.now();
    net.node(0).add_member(now, NodeId(2));
    net.collect(0);
    net.run(3 * SECOND);
    assert!(net.all_agree(LivenessState::Alive));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut net = Net::new(5, 77);
        net.loss_percent = 5;
        net.run(20 * SECOND);
        net.kill(3);
        net.run(10 * SECOND);
        (net.trace, net.changes)
    };
    assert_eq!(run(), run());
}

#[test]
fn packets_stay_small_in_a_full_cluster() {
    let mut net = Net::new(64, 2);
    net.run(2 * SECOND);
    net.cut(32);
    net.run(8 * SECOND);
    assert!(net.longest <= PACKET_BYTES_MAX, "{}", net.longest);
    println!("longest packet of 64 nodes: {} bytes", net.longest);
}

#[test]
fn what_a_quiet_cluster_sends() {
    for count in [3, 32] {
        let mut net = settled(count, 2);
        net.run(10 * SECOND);
        let before = (net.sent, net.sent_bytes);
        net.run(60 * SECOND);
        let (sent, bytes) = ((net.sent - before.0) as u64, (net.sent_bytes - before.1) as u64);
        let (per_second, size) = (sent / 60 / count, bytes / sent);
        println!("{count} nodes: {per_second} packets a second and node, {size} bytes each");
        assert!(per_second <= 8 && size < 100);
        assert!(count > 3 || bytes <= 60 * 600, "{} bytes a second", bytes / 60);
    }
}

/// Packets a minute of a cluster in which nothing happens, and how often its nodes wake.
#[test]
fn a_quiet_small_cluster_sends_beats_alone_and_wakes_for_nothing_else() {
    let mut net = settled(3, 2);
    net.run(20 * SECOND);
    let (sent, woken) = (net.sent, net.woken);
    net.keep_packets = true;
    net.run(60 * SECOND);
    let beats = 3 * 2 * (60 * SECOND).as_millis() / LivenessConfig::default().beat_period.as_millis();
    assert_eq!((net.sent - sent) as u128, beats);
    assert_eq!((net.woken - woken) as u128, beats / 2, "each wake sends to both others");
    let all_beats = net.kept.iter().all(|bytes| packet::beat_from(&bytes[9..]).is_some());
    assert!(all_beats, "something else was sent");
    // Where one is missing all are probed again, and once it is back nobody is.
    net.kill(2);
    net.run(10 * SECOND);
    net.start(2, 2 << 32);
    net.run(20 * SECOND);
    let sent = net.sent;
    net.run(60 * SECOND);
    assert_eq!((net.sent - sent) as u128, beats);
}

#[test]
fn a_member_in_doubt_is_found_out_sooner() {
    for count in [2, 3] {
        for seed in 0..20 {
            let mut net = settled(count, seed);
            net.run(10 * SECOND + seed as u32 * 37 * MS);
            let killed = net.now;
            net.kill(0);
            let now = net.now();
            for node in 1..count {
                net.node(node).doubt(now, NodeId(0));
            }
            net.changes.clear();
            net.run(5 * SECOND);
            assert!(net.all_see(0, LivenessState::Down));
            let took = net.changes.last().unwrap().0 - killed;
            assert!(took <= 3 * SECOND, "{count} nodes, seed {seed}: {took:?}");
        }
    }
    let mut net = settled(3, 1);
    let now = net.now();
    net.node(0).doubt(now, NodeId(1));
    net.run(10 * SECOND);
    assert_eq!(net.changes, [], "one that answers is not in doubt any more");
}

#[test]
fn beats_of_strangers_and_of_this_node_are_refused() {
    let mut net = settled(3, 2);
    let (now, cluster) = (net.now(), ClusterId([7; 16]));
    let beat = |node, epoch| packet::beat(cluster, NodeId(node), epoch);
    assert_eq!(net.node(0).heartbeat(now, &beat(1, 1 << 32)), Ok(()));
    assert_eq!(net.node(0).heartbeat(now, &beat(0, 1 << 32)), Err(PacketRefused::OurOwnId));
    assert_eq!(net.node(0).heartbeat(now, &beat(9, 1)), Err(PacketRefused::NotAMember(NodeId(9))));
    let elsewhere = packet::beat(ClusterId([8; 16]), NodeId(1), 1 << 32);
    assert_eq!(net.node(0).heartbeat(now, &elsewhere), Err(PacketRefused::Cluster));
    net.node(0).goodbye(now);
    assert_eq!(net.node(0).heartbeat(now, &beat(1, 1 << 32)), Err(PacketRefused::Stopped));
}

#[test]
fn foreign_packets_are_refused_with_the_reason() {
    let mut net = settled(2, 11);
    let now = net.now();
    let good = net.packet(1, 0);
    let mut other_cluster = good.clone();
    other_cluster[3] ^= 1;
    let mut other_version = good.clone();
    other_version[0] = 9;
    let long = vec![HEARTBEAT_VERSION; PACKET_BYTES_MAX + 1];
    let mut trailing = good.clone();
    trailing.extend([0; 5]);
    let back = net.packet(0, 1);
    let node = net.node(0);
    assert_eq!(node.heartbeat(now, &[]), Err(PacketRefused::Size(0)));
    assert_eq!(node.heartbeat(now, &long), Err(PacketRefused::Size(PACKET_BYTES_MAX + 1)));
    assert_eq!(node.heartbeat(now, &good[..4]), Err(PacketRefused::Size(4)));
    assert_eq!(node.heartbeat(now, &other_version), Err(PacketRefused::Version(9)));
    assert_eq!(node.heartbeat(now, &other_cluster), Err(PacketRefused::Cluster));
    assert_eq!(node.heartbeat(now, &good[..9]), Err(PacketRefused::Malformed));
    assert_eq!(node.heartbeat(now, &trailing), Err(PacketRefused::Malformed));
    assert_eq!(node.heartbeat(now, &back), Err(PacketRefused::OurOwnId));
    assert_eq!(node.heartbeat(now, &good), Ok(()));
    node.goodbye(now);
    assert_eq!(node.heartbeat(now, &good), Err(PacketRefused::Stopped));
    assert_eq!(node.next_wake(), None);
}

#[test]
fn damaged_packets_never_panic() {
    use rand::RngExt;
    let mut rng = StdRng::seed_from_u64(1);
    let mut net = settled(5, 12);
    net.keep_packets = true;
    net.kill(4);
    net.run(6 * SECOND);
    let packets = std::mem::take(&mut net.kept);
    for _ in 0..5_000 {
        let mut bytes = packets[rng.random_range(0..packets.len())].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(9..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(9..=bytes.len()));
        let now = net.now();
        let _ = net.node(0).heartbeat(now, &bytes);
        net.node(0).wake(now);
        net.node(0).drain();
        net.now += MS;
    }
    assert!(net.node(0).timers.len() < 1_000, "{}", net.node(0).timers.len());
}
