//! One named run for each hazard whose rule can be switched off: it passes, and with the rule off a checker finds what
//! goes wrong. So each checker is known to be able to fail.
//!
//! | file | hazards |
//! |---|---|
//! | `deletes` | H1, H3, H6, H8, H9, H39: of what deletes leave behind, and of what brings back what they took |
//! | `vectors` | H10, H11, H12, H25, H26: of what members say of each other, and of the watermark |
//! | `writes` | H2, H4, H5, H7, H19, H31: of writes, and of what members exchange |
//! | `expiry` | H20, H35, H36, H37: of values that expire |
//! | `behind` | H17, H21, H24, H27, H28, H29, H30: of nodes that hold less than the others count on |
//! | `leaving` | H13, H14, H32, H33, H38: of members that leave, and that are removed |
//! | `members` | H15, H16, H22, H23, H34: of who belongs, and who may answer |

mod behind;
mod deletes;
mod expiry;
mod leaving;
#[cfg(test)]
mod limits;
mod members;
mod vectors;
mod writes;

use std::time::Duration;

use gossip::rules::{Rule, Rules};
use model::{Hlc, Key};

use crate::checks::Violation;
use crate::client::{Answer, Token};
use crate::host::{HostId, HostSettings};
use crate::run::Outcome;
use crate::world::{Setting, World, seed_name};

/// A named run.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The rule that it is about, by the name of the hazard.
    pub rule: Rule,
    /// What happens, in a sentence or two.
    pub story: &'static str,
    setting: fn(&mut Setting),
    play: fn(&mut World) -> Result<(), Violation>,
}

/// All of them, in the order of their hazards.
pub fn all() -> Vec<Scenario> {
    let files = [
        behind::SCENARIOS,
        deletes::SCENARIOS,
        expiry::SCENARIOS,
        leaving::SCENARIOS,
        members::SCENARIOS,
        vectors::SCENARIOS,
        writes::SCENARIOS,
    ];
    let mut all: Vec<Scenario> = files.into_iter().flatten().copied().collect();
    all.sort_by_key(|scenario| scenario.rule);
    all
}

/// The one about a rule, if there is one.
pub fn of(rule: Rule) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.rule == rule)
}

impl Scenario {
    /// Plays it under these rules, then waits for quiet.
    pub fn run(&self, seed: u64, rules: Rules, words: bool) -> Outcome {
        let mut setting = Setting { seed, rules, ..Setting::default() };
        (self.setting)(&mut setting);
        let mut world = World::new(&setting);
        if words {
            world.keep_words();
        }
        let violation = (self.play)(&mut world).and_then(|()| world.quiet()).err();
        Outcome {
            violation,
            count: world.count(),
            trace: world.trace_hash(),
            words: world.words().map(str::to_owned).collect(),
        }
    }
}

/// As it comes.
fn as_it_is(_: &mut Setting) {}

/// Nothing is told on at once: sessions carry everything.
fn without_rumors(setting: &mut Setting) {
    setting.core.fanout = 0;
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn h(number: u16) -> HostId {
    HostId(number)
}

impl World {
    /// The run did not come to where it has something to show: the scenario itself is at fault.
    fn stuck<T>(&self, why: &str) -> Result<T, Violation> {
        let (at, step) = (self.now(), self.count().steps);
        Err(Violation { check: "scenario", why: why.to_owned(), at, step })
    }

    /// Adds a machine whose node has this name and these seeds, and switches it on.
    fn join(&mut self, id: HostId, name: &str, seeds: &[HostId], may_found: bool) {
        let seeds = seeds.iter().map(|seed| seed_name(*seed)).collect();
        self.add_host(id, HostSettings { name: name.to_owned(), seeds, may_found });
        self.start(id);
    }

    /// Hosts 1 to `count`, one cluster, all serving.
    fn cluster(&mut self, count: u16) -> Result<(), Violation> {
        for id in 1..=count {
            let seeds: Vec<HostId> = if id == 1 { Vec::new() } else { vec![h(1)] };
            self.join(h(id), &format!("n{id}"), &seeds, false);
        }
        let all: Vec<HostId> = (1..=count).map(h).collect();
        self.until_serving(&all)?;
        self.run_for(secs(3))
    }

    fn until_serving(&mut self, hosts: &[HostId]) -> Result<(), Violation> {
        for _ in 0..600 {
            if hosts.iter().all(|host| self.refuses(*host, true).is_none()) {
                return Ok(());
            }
            self.run_for(Duration::from_millis(100))?;
        }
        self.stuck("not everyone serves after a minute")
    }

    /// Waits until something is so, for three minutes at most.
    fn wait_until(&mut self, what: &str, so: impl Fn(&World) -> bool) -> Result<(), Violation> {
        for _ in 0..18_000 {
            if so(self) {
                return Ok(());
            }
            self.run_for(Duration::from_millis(10))?;
        }
        self.stuck(&format!("not after three minutes: {what}"))
    }

    fn watermark_at(&self, host: HostId) -> Hlc {
        let member = self.hosts.get(&host).and_then(|host| host.member());
        member.map_or(Hlc::ZERO, |member| member.store.marks().watermark)
    }

    /// Waits until this host's watermark has passed all that was written so far.
    fn until_forgotten_so_far(&mut self, host: HostId) -> Result<(), Violation> {
        let last = self.ledger.last_of_node.values().max().copied().unwrap_or_default();
        self.wait_until("the watermark passes the last write", |world| world.watermark_at(host) >= last)
    }

    /// A host's record of this key is damaged, and the search for damage finds it at once.
    fn lose_record(&mut self, host: HostId, key: &Key) -> Result<(), Violation> {
        self.rot_key(host, key);
        self.scrub(host);
        self.heal_stopped();
        if self.holds(host, key) { self.stuck("the record was not lost") } else { Ok(()) }
    }

    /// Whether a host has a record of this key.
    fn holds(&self, host: HostId, key: &Key) -> bool {
        let member = self.hosts.get(&host).and_then(|host| host.member());
        member.is_some_and(|member| member.store.get(key).is_ok_and(|entry| entry.is_some()))
    }

    /// A value written and acknowledged.
    fn put_surely(
        &mut self,
        host: HostId,
        key: u16,
        value: &str,
        token: Option<&Token>,
    ) -> Result<(), Violation> {
        self.surely(host, |world| world.put(host, &crate::client::key(key), value.to_owned().into(), token))
    }

    /// ... that expires after so long.
    fn put_surely_for(
        &mut self,
        host: HostId,
        key: u16,
        value: &str,
        ttl: Duration,
    ) -> Result<(), Violation> {
        self.surely(host, |world| {
            world.put_for(host, &crate::client::key(key), value.to_owned().into(), Some(ttl), None)
        })
    }

    fn surely(&mut self, host: HostId, put: impl FnOnce(&mut World) -> Answer) -> Result<(), Violation> {
        let before = self.count().acknowledged;
        let answer = put(self);
        if let Answer::Refused(why) = answer {
            return self.stuck(&format!("{host} refuses a write: {why}"));
        }
        self.run_for(Duration::from_millis(20))?;
        if self.count().acknowledged > before { Ok(()) } else { self.stuck("a write is not acknowledged") }
    }

    /// What a read shows, and its token.
    fn read(&mut self, host: HostId, key: u16, all: bool) -> Result<(usize, Option<Token>), Violation> {
        match self.get(host, &crate::client::key(key), all) {
            Answer::Read(values, token) => Ok((values.len(), token)),
            other => self.stuck(&format!("{host} does not answer a read: {other:?}")),
        }
    }
}

/// Sessions are begun where the story says so, and by nodes that are behind.
fn told_when_to_meet(setting: &mut Setting) {
    setting.core.sessions.enabled = false;
    setting.core.fanout = 0;
}

impl World {
    /// One member has a session with another, by itself or soon, until both are proven to hold the same.
    fn meet(&mut self, one: HostId, other: HostId) -> Result<(), Violation> {
        let proven = |world: &Self| -> Option<u64> {
            let (a, b) = (world.hosts.get(&one)?.member()?, world.hosts.get(&other)?.member()?);
            Some(*a.core.meta().identical.get(&b.node)? ^ (*b.core.meta().identical.get(&a.node)? << 1))
        };
        let before = proven(self);
        // An instant of its own: evidence is told apart by its milliseconds.
        self.run_for(Duration::from_millis(3))?;
        let peer = self.hosts.get(&other).and_then(|h| h.member()).map(|member| member.node);
        let Some(peer) = peer else { return self.stuck("no member runs there") };
        self.tell(one, gossip::core::Event::RepairWanted { peer });
        for _ in 0..400 {
            self.run_for(Duration::from_millis(5))?;
            if proven(self) != before {
                return self.run_for(Duration::from_millis(20));
            }
        }
        self.stuck(&format!("{one} and {other} do not meet"))
    }

    /// Each of them meets each other, twice: what one publishes comes to all.
    fn all_meet(&mut self, hosts: &[HostId]) -> Result<(), Violation> {
        for _ in 0..2 {
            for (at, one) in hosts.iter().enumerate() {
                for other in hosts.iter().skip(at + 1) {
                    self.meet(*one, *other)?;
                }
            }
        }
        Ok(())
    }

    /// The next whole ten seconds of true time, when members publish, have passed, and this much more.
    fn next_step(&mut self, beyond: Duration) -> Result<(), Violation> {
        let into = Duration::from_nanos((self.now().as_nanos() % 10_000_000_000) as u64);
        self.run_for(secs(10) - into + beyond)
    }

    fn watermark(&self, host: HostId) -> model::Hlc {
        let member = self.hosts.get(&host).and_then(|h| h.member());
        member.map_or(model::Hlc::ZERO, |member| member.core.meta().stability.watermark)
    }

    /// The time of the last write that a member knows of under a key; zero where it holds nothing of it.
    fn newest(&self, host: HostId, number: u16) -> model::Hlc {
        let member = self.hosts.get(&host).and_then(|h| h.member());
        let entry = member.and_then(|member| member.seen.entries.get(&crate::client::key(number)));
        entry.map_or(model::Hlc::ZERO, |entry| entry.context().newest())
    }

    /// Lets time pass until something is so; says whether it came to that.
    fn until(&mut self, within: Duration, is_so: impl Fn(&Self) -> bool) -> Result<bool, Violation> {
        let end = self.now() + within;
        while self.now() < end {
            if is_so(self) {
                return Ok(true);
            }
            self.run_for(Duration::from_micros(200))?;
        }
        Ok(is_so(self))
    }

    /// Whether a frame is on its way between two members of which this is so.
    fn is_on_its_way(&self, from: HostId, to: HostId, is_so: impl Fn(&gossip::wire::Frame) -> bool) -> bool {
        let links = self.links.values().filter(|link| link.from == from && link.to == to && !link.broken);
        let mut frames = links.flat_map(|link| &link.in_flight);
        frames.any(|(_, bytes)| gossip::wire::decode(bytes).is_ok_and(|frame| is_so(&frame)))
    }

    /// From now on members begin sessions by themselves: they are started anew.
    fn meet_by_themselves(&mut self) -> Result<(), Violation> {
        self.config.sessions.enabled = true;
        for host in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.stop(host);
            self.start(host);
        }
        self.run_for(secs(1))
    }
}
