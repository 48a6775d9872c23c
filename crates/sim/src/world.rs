//! The world: machines, their network, and what happens when. One thread, one heap of events, one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use gossip::coordinator::WriteLimits;
use gossip::core::{CoreConfig, Event};
use gossip::founding::WireVersions;
use gossip::roster::Contact;
use gossip::rules::Rules;
use gossip::wire::WIRE_VERSION;
use model::{Hlc, NodeId};

use crate::agenda::Agenda;
use crate::checks::Violation;
use crate::client::Op;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::host::{Host, HostId, HostSettings, State};
use crate::ledger::{Ledger, Written};
use crate::links::{Link, LinkId, Side};
use crate::looking::Ask;
use crate::network::{Network, NetworkConfig};
use crate::trace::Trace;
use crate::wall::Wall;

/// What holds for a whole run.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Which rules hold.
    pub rules: Rules,
    /// The network.
    pub network: NetworkConfig,
    /// How the protocol is paced. Its rules are taken from `rules`.
    pub core: CoreConfig,
    /// What a write may be, at most. Its rules are taken from `rules`.
    pub limits: WriteLimits,
    /// Whether clients keep the tokens that come with answers to writes, too.
    pub written_tokens: bool,
}

/// What happened in a run, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events handled.
    pub steps: u64,
    /// Faults injected.
    pub faults: u64,
    /// Clients' requests.
    pub requests: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Times that a checker looked at something.
    pub checks: u64,
    /// Acknowledged writes that no checker asks for any more: faults took every disk that held them, or what took them is not
    /// promised.
    pub lost: u64,
    /// Acknowledged writes that lie in quarantine files, and nothing has replaced.
    pub quarantined: u64,
}

impl Count {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            faults: self.faults + other.faults,
            requests: self.requests + other.requests,
            acknowledged: self.acknowledged + other.acknowledged,
            frames: self.frames + other.frames,
            checks: self.checks + other.checks,
            lost: self.lost + other.lost,
            quarantined: self.quarantined + other.quarantined,
        }
    }
}

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    Start { host: HostId },
    Wake { host: HostId, run: u64 },
    Tell { host: HostId, run: u64, event: Box<Event> },
    Datagram { to: HostId, bytes: Bytes },
    Flushed { host: HostId, run: u64 },
    IdleFlush { host: HostId, run: u64 },
    News { host: HostId, run: u64 },
    Dial { host: HostId, run: u64, peer: NodeId },
    DialFailed { host: HostId, run: u64, peer: NodeId, refused: bool },
    Hello { link: LinkId },
    Welcome { link: LinkId },
    Deliver { link: LinkId },
    Silent { link: LinkId, since: Duration },
    Lost { link: LinkId, side: Side },
    AskArrives { ask: u64, to: HostId },
    AskAnswered { ask: u64, answer: Bytes },
    AskTimeout { ask: u64 },
    Greet { host: HostId, run: u64, first: bool },
    Op(Op),
    Fault(Fault),
    FaultEnds(Fault),
}

/// A cluster, or several, and all that surrounds them.
pub struct World {
    pub(crate) now: Duration,
    pub(crate) agenda: Agenda<Due>,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) net: Network,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) links_made: u64,
    pub(crate) asks: BTreeMap<u64, Ask>,
    pub(crate) asks_made: u64,
    pub(crate) ledger: Ledger,
    pub(crate) dice: Dice,
    pub(crate) config: CoreConfig,
    pub(crate) limits: WriteLimits,
    pub(crate) trace: Trace,
    pub(crate) count: Count,
    pub(crate) broken: Option<Violation>,
    pub(crate) tokens: Vec<crate::client::Token>,
    /// As [`Setting::written_tokens`].
    pub(crate) written_tokens: bool,
    /// Of writes that are not acknowledged yet.
    pub(crate) tokens_to_come: BTreeMap<u64, crate::client::Token>,
    pub(crate) writes_made: u64,
    /// Whether a store has stopped that nobody has looked at yet.
    pub(crate) store_stopped: Arc<AtomicBool>,
    pub(crate) watch: Option<Box<crate::crowd::watch::Watch>>,
}

impl World {
    /// A world without machines.
    pub fn new(setting: &Setting) -> Self {
        let dice = Dice::new(setting.seed);
        Self {
            now: Duration::ZERO,
            agenda: Agenda::default(),
            hosts: BTreeMap::new(),
            net: Network::new(setting.network, dice),
            links: BTreeMap::new(),
            links_made: 0,
            asks: BTreeMap::new(),
            asks_made: 0,
            ledger: Ledger::default(),
            dice,
            config: CoreConfig { rules: setting.rules, ..setting.core.clone() },
            limits: WriteLimits { rules: setting.rules, ..setting.limits },
            trace: Trace::default(),
            count: Count::default(),
            broken: None,
            tokens: Vec::new(),
            written_tokens: setting.written_tokens,
            tokens_to_come: BTreeMap::new(),
            writes_made: 0,
            store_stopped: Arc::default(),
            watch: None,
        }
    }

    /// Keeps what happens in words, too: for people who look into a failure.
    pub fn keep_words(&mut self) {
        self.trace.keep_words();
    }

    /// A machine with an empty disk, switched off. It is reached at the address of its number.
    pub fn add_host(&mut self, id: HostId, settings: HostSettings) {
        let address = address(id, 0);
        self.net.listen(id, &address);
        self.net.name(id, seed_name(id));
        let host = Host {
            settings,
            address,
            moves: 0,
            disk: Disk::default(),
            wall: Wall::default(),
            state: State::Down,
            run: 0,
            paused_until: Duration::ZERO,
            dies: None,
            given_up: None,
            handed_over: false,
            rng: self.dice.of("host", (u64::from(id.0), 0)),
            speaks: WireVersions { oldest: WIRE_VERSION, newest: WIRE_VERSION },
            same_life: None,
            formed: false,
        };
        self.hosts.insert(id, host);
    }

    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What happened so far, in numbers.
    pub fn count(&self) -> Count {
        let acknowledged = || self.ledger.dots.values().filter(|written| written.acknowledged);
        let lost = acknowledged().filter(|written| written.lost).count() as u64;
        let alone = |written: &&Written| written.quarantined && written.replaced_by.is_empty();
        Count { lost, quarantined: acknowledged().filter(alone).count() as u64, ..self.count }
    }

    /// A hash over everything that happened: equal for equal runs.
    pub fn trace_hash(&self) -> [u8; 32] {
        self.trace.hash()
    }

    /// What happened, in words, the latest last; empty unless they are kept.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.trace.words()
    }

    /// Which run of processes a host is in.
    pub(crate) fn run_of(&self, host: HostId) -> u64 {
        self.hosts.get(&host).map_or(0, |host| host.run)
    }

    /// Notes the first thing that must not be.
    pub(crate) fn fail(&mut self, violation: Violation) {
        if self.broken.is_none() {
            self.trace.say(self.now, || format!("VIOLATION {violation}"));
            self.broken = Some(violation);
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// The first thing found that must not be.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let end = self.now + time;
        while self.broken.is_none() {
            let Some((at, due)) = self.agenda.pop(end) else { break };
            self.now = self.now.max(at);
            if let Some(until) = self.paused(&due) {
                self.agenda.push(until, due);
                continue;
            }
            self.count.steps += 1;
            self.happen(due);
            self.heal_stopped();
        }
        match &self.broken {
            Some(violation) => Err(violation.clone()),
            None => {
                self.now = self.now.max(end);
                Ok(())
            }
        }
    }

    /// Until when the one concerned handles nothing, if that is so.
    fn paused(&self, due: &Due) -> Option<Duration> {
        let host = match due {
            Due::Wake { host, .. }
            | Due::Tell { host, .. }
            | Due::Flushed { host, .. }
            | Due::IdleFlush { host, .. }
            | Due::News { host, .. }
            | Due::Dial { host, .. }
            | Due::DialFailed { host, .. }
            | Due::Greet { host, .. }
            | Due::Datagram { to: host, .. }
            | Due::AskArrives { to: host, .. } => *host,
            Due::Hello { link } | Due::Deliver { link } | Due::Lost { link, side: Side::To } => {
                self.links.get(link)?.to
            }
            Due::Welcome { link } | Due::Lost { link, side: Side::From } => self.links.get(link)?.from,
            _ => return None,
        };
        self.hosts.get(&host).map(|host| host.paused_until).filter(|until| *until > self.now)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Start { host } => self.start(host),
            Due::Wake { host, run } if run == self.run_of(host) => self.wake(host),
            Due::Tell { host, run, event } if run == self.run_of(host) => self.tell(host, *event),
            Due::Datagram { to, bytes } => {
                self.trace.bytes(self.now, to, "datagram", &bytes);
                self.tell(to, Event::Heartbeat { bytes });
            }
            Due::Flushed { host, run } if run == self.run_of(host) => self.flushed(host),
            Due::IdleFlush { host, run } if run == self.run_of(host) => self.idle_flush(host),
            Due::News { host, run } if run == self.run_of(host) => self.news(host),
            Due::Dial { host, run, peer } if run == self.run_of(host) => self.dial(host, peer),
            Due::DialFailed { host, run, peer, refused } if run == self.run_of(host) => {
                self.dial_failed(host, peer, refused);
            }
            Due::Hello { link } => self.hello(link),
            Due::Welcome { link } => self.welcome(link),
            Due::Deliver { link } => self.deliver(link),
            Due::Silent { link, since } => self.silent(link, since),
            Due::Lost { link, side } => self.lose_side(link, side),
            Due::AskArrives { ask, to } => self.ask_arrives(ask, to),
            Due::AskAnswered { ask, answer } => self.ask_answered(ask, &answer),
            Due::AskTimeout { ask } => self.ask_timeout(ask),
            Due::Greet { host, run, first } if run == self.run_of(host) => self.greet(host, first),
            Due::Op(op) => self.client(op),
            Due::Fault(fault) => self.inject(&fault),
            Due::FaultEnds(fault) => self.end_fault(&fault),
            // Meant for a process that has ended.
            _ => {}
        }
    }
}

/// The name under which others have a machine as a seed. It is resolved anew each time.
pub(crate) fn seed_name(host: HostId) -> String {
    format!("{host}.example:7711")
}

/// Where a machine is reached after so many moves.
pub(crate) fn address(host: HostId, moves: u32) -> String {
    match moves {
        0 => format!("{host}:7711"),
        moves => format!("{host}-{moves}:7711"),
    }
}

/// Where clients reach who is reached there.
pub(crate) fn http_address(gossip: &str) -> String {
    gossip.replace(":7711", ":7710")
}

/// That a member is reached there, as of then.
pub(crate) fn contact(address: &str, stamp: Hlc) -> Contact {
    Contact { stamp, gossip: address.to_owned(), http: http_address(address) }
}
