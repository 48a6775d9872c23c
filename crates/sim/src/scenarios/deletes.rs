//! Hazards of deletes: what they leave behind, and what brings back what they took.

use std::time::Duration;

use gossip::rules::Rule;
use gossip::session::SessionFrame;
use gossip::wire::Frame;

use super::{Scenario, as_it_is, h, secs, told_when_to_meet, without_rumors};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::disk::Kept;
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::{Setting, World};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        rule: Rule::H1,
        story: "A value is old and everywhere. One node deletes it while it is cut off. Did the delete make no dot, all \
                that it has seen would lie under the watermark, and nobody would remember it when the other node, which \
                still holds the value, is back.",
        setting: short_grace,
        play: a_delete_of_something_old,
    },
    Scenario {
        rule: Rule::H3,
        story: "A value reaches all three. While one node is down, the others overwrite it again and again, in several \
                lives. Did they forget the writers of long ago to keep the context short, the first value would be a \
                sibling again when the node is back.",
        setting: as_it_is,
        play: many_writers_while_one_is_down,
    },
    Scenario {
        rule: Rule::H6,
        story: "Two nodes are written to without a pause: their roots are never equal at one moment. Sessions must \
                complete all the same, or the watermark stands still for as long as anybody writes.",
        setting: a_long_way,
        play: writes_without_a_pause,
    },
    Scenario {
        rule: Rule::H8,
        story: "A value is deleted, and that is forgotten everywhere. A node is put back to a backup from before, and \
                before it meets anybody a client writes there beside the value. The rumor of that write has the value in \
                it, which nobody else knows of any more.",
        setting: rumors_without_sessions,
        play: a_restored_node_spreads_a_rumor,
    },
    Scenario {
        rule: Rule::H9,
        story: "In a session a value is on its way to a node when the connection stalls. Meanwhile the value is deleted, \
                all know it, and the watermark passes the delete. Then the frame arrives, in a session that is still \
                open.",
        setting: patient_sessions,
        play: a_frame_that_was_parked,
    },
    Scenario {
        rule: Rule::H39,
        story: "The rumor of a delete is stuck in a connection while everyone learns of it in another way, the watermark \
                passes it, and it is forgotten. Then the rumor arrives: were it taken for news, it would go round and be \
                forgotten again and again.",
        setting: rumors_without_sessions,
        play: a_rumor_that_was_parked,
    },
];

fn short_grace(setting: &mut Setting) {
    without_rumors(setting);
    setting.core.grace = secs(2);
}

/// A session takes longer than the time between two writes.
fn a_long_way(setting: &mut Setting) {
    without_rumors(setting);
    (setting.network.delay_min, setting.network.delay_usual) =
        (Duration::from_millis(15), Duration::from_millis(25));
}

fn rumors_without_sessions(setting: &mut Setting) {
    told_when_to_meet(setting);
    setting.core.fanout = 4;
    setting.core.grace = secs(2);
}

/// As long a grace as usual, and sessions that wait for a long time.
fn patient_sessions(setting: &mut Setting) {
    told_when_to_meet(setting);
    setting.core.fanout = 4;
    setting.core.sessions.repairing_idle_max = secs(60);
}

fn cut_pair(one: u16, other: u16, time: Duration) -> Fault {
    Fault::CutPair { one: HostId(one), other: HostId(other), time }
}

fn a_delete_of_something_old(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    world.put_surely(h(1), 1, "value", None)?;
    let written = world.newest(h(1), 1);
    let passed = |world: &World| world.watermark(h(1)) > written && world.watermark(h(2)) > written;
    if !world.until(secs(60), passed)? {
        return world.stuck("the watermark does not pass a write");
    }
    let stands = world.watermark(h(1));
    world.until(secs(60), |world| world.watermark(h(1)) > stands)?;
    world.inject(&Fault::Cut { group: vec![h(1)], one_way: false, time: secs(12) });
    if let Answer::Refused(why) = world.delete(h(1), &key(1), None) {
        return world.stuck(&why);
    }
    world.run_for(secs(20))
}

fn many_writers_while_one_is_down(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(3), 1, "first", None)?;
    world.run_for(secs(1))?;
    world.inject(&Fault::Crash {
        host: h(2),
        kept: Kept::Prefix(1_000),
        power: false,
        off: secs(25),
        moves: false,
    });
    for round in 0..3 {
        for host in [h(1), h(3)] {
            world.put_surely(host, 1, &format!("{host} {round}"), None)?;
            world.run_for(secs(1))?;
            world.inject(&Fault::Restart { host, off: Duration::from_millis(100), moves: false });
            world.until_serving(&[h(1), h(3)])?;
            world.run_for(secs(1))?;
        }
    }
    world.run_for(secs(20))?;
    let (siblings, _) = world.read(h(1), 1, true)?;
    if siblings == 1 { Ok(()) } else { world.stuck("a value that was replaced is back") }
}

fn writes_without_a_pause(world: &mut World) -> Result<(), Violation> {
    world.cluster(2)?;
    let began = world.now();
    let mut first = model::Hlc::ZERO;
    for number in 0..600_u16 {
        for host in [h(1), h(2)] {
            let answer = world.put(host, &key(number % 20), number.to_string().into(), None);
            if let Answer::Refused(why) = answer {
                return world.stuck(&why);
            }
            world.run_for(Duration::from_millis(20))?;
        }
        if number == 0 {
            first = world.newest(h(1), 0);
        }
    }
    let passed = world.watermark(h(1)) > first && world.watermark(h(2)) > first;
    let time = (world.now() - began).as_secs();
    let found = if passed {
        Ok(())
    } else {
        Err(format!(
            "for {time} s two healthy nodes were written to, no session has completed, and the watermark stands still"
        ))
    };
    world.judge("watermark", found);
    world.run_for(secs(1))
}

/// A write of `key` is under the watermark of all three.
fn all_know(world: &mut World, number: u16) -> Result<(), Violation> {
    let written = world.newest(h(1), number);
    let all = [h(1), h(2), h(3)];
    world.all_meet(&all)?;
    world.next_step(secs(1))?;
    world.all_meet(&all)?;
    if all.iter().all(|host| world.watermark(*host) > written) {
        return Ok(());
    }
    world.stuck("the watermark does not pass what all know")
}

fn a_restored_node_spreads_a_rumor(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(1), 1, "before", None)?;
    let (_, token) = world.read(h(1), 1, false)?;
    // Another life, so that what was read before does not cover what is written now.
    world.inject(&Fault::Restart { host: h(1), off: Duration::from_millis(100), moves: false });
    world.until_serving(&[h(1)])?;
    world.run_for(secs(2))?;
    world.put_surely(h(1), 1, "old", None)?;
    world.run_for(secs(2))?;
    world.inject(&Fault::BackUp { host: h(3) });
    if let Answer::Refused(why) = world.delete(h(2), &key(1), None) {
        return world.stuck(&why);
    }
    world.run_for(secs(1))?;
    all_know(world, 1)?;
    let forgotten =
        |world: &World| [h(1), h(2), h(3)].iter().all(|host| world.newest(*host, 1).millis() == 0);
    if !world.until(secs(10), forgotten)? {
        return world.stuck("a delete that all know is not forgotten");
    }
    world.inject(&Fault::Restore { host: h(3), off: Duration::from_millis(100) });
    world.until_serving(&[h(3)])?;
    // Its connections stand again; nobody has told it of a watermark.
    world.run_for(secs(1))?;
    world.put_surely(h(3), 1, "beside", token.as_ref())?;
    world.run_for(secs(5))?;
    world.meet_by_themselves()
}

fn a_frame_that_was_parked(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    // Host 3 does not hear of the value at once.
    world.inject(&Fault::Cut { group: vec![h(3)], one_way: false, time: secs(9) });
    world.run_for(secs(7))?;
    world.put_surely(h(1), 1, "value", None)?;
    world.run_for(secs(3))?;
    world.next_step(Duration::from_millis(7_500))?;
    let Some(peer) = world.hosts.get(&h(3)).and_then(|h| h.member()).map(|member| member.node) else {
        return world.stuck("no member runs there");
    };
    world.tell(h(1), gossip::core::Event::RepairWanted { peer });
    let is_data = |frame: &Frame| matches!(frame, Frame::Session { body: SessionFrame::Data(_), .. });
    if !world.until(secs(5), |world| world.is_on_its_way(h(1), h(3), is_data))? {
        return world.stuck("the value is not sent");
    }
    world.inject(&cut_pair(1, 3, secs(10)));
    if let Answer::Refused(why) = world.delete(h(2), &key(1), None) {
        return world.stuck(&why);
    }
    world.run_for(secs(1))?;
    let deleted = world.newest(h(3), 1);
    world.next_step(secs(1))?;
    for (one, other) in [(2, 1), (2, 3), (2, 1), (2, 3), (2, 1), (2, 3)] {
        world.meet(h(one), h(other))?;
    }
    if world.watermark(h(3)) <= deleted || deleted.millis() == 0 {
        return world.stuck("the watermark does not pass the delete in time");
    }
    world.run_for(secs(15))?;
    world.meet_by_themselves()
}

fn a_rumor_that_was_parked(world: &mut World) -> Result<(), Violation> {
    world.cluster(3)?;
    world.put_surely(h(1), 1, "value", None)?;
    world.next_step(secs(1))?;
    all_know(world, 1)?;
    world.next_step(Duration::from_millis(8_500))?;
    if let Answer::Refused(why) = world.delete(h(1), &key(1), None) {
        return world.stuck(&why);
    }
    let is_rumor = |frame: &Frame| matches!(frame, Frame::Rumor(_));
    if !world.until(secs(1), |world| world.is_on_its_way(h(1), h(2), is_rumor))? {
        return world.stuck("no rumor is sent");
    }
    world.inject(&cut_pair(1, 2, secs(12)));
    world.run_for(secs(1))?;
    let deleted = world.newest(h(3), 1);
    world.meet(h(3), h(2))?;
    world.next_step(secs(1))?;
    for (one, other) in [(3, 1), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2)] {
        world.meet(h(one), h(other))?;
    }
    if [h(1), h(2), h(3)].iter().any(|host| world.watermark(*host) <= deleted) {
        return world.stuck("the watermark does not pass the delete in time");
    }
    world.run_for(secs(12))?;
    world.meet_by_themselves()
}
