//! Failure detection alone: the heartbeats of every node on a network that delays and loses. How often a node that lives is
//! held for down, and how long it takes until all know of one that does not.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip::liveness::{Liveness, LivenessConfig, LivenessState};
use gossip::time::Now;
use model::{ClusterId, NodeId};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::host::HostId;
use crate::network::{Network, NetworkConfig};

/// Among how many, for how long, on what network.
#[derive(Clone, Debug)]
pub struct DetectionSetting {
    /// Members, 2 to [`super::WHOLE_NODES_MAX`].
    pub nodes: usize,
    /// Datagrams lost, in thousandths.
    pub lost_permille: u32,
    /// How long nobody dies, in the time of the simulation.
    pub time: Duration,
    /// Members that die then, one after the other; each comes back.
    pub deaths: u32,
    /// The heartbeats.
    pub liveness: LivenessConfig,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// What the heartbeats found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Detection {
    /// Members times the time in which nobody died.
    pub node_hours: f64,
    /// Members that lived and were held for down: from the first that thought so until none did counts once.
    pub wrong: u64,
    /// How often any member held another for down that lived.
    pub wrong_verdicts: u64,
    /// How often a member was suspected, rightly or not, and not yet held for down.
    pub suspicions: u64,
    /// Datagrams sent per member and second.
    pub datagrams: f64,
    /// Bytes of them per member and second.
    pub bytes: f64,
    /// From a death until the first knows it, on average.
    pub first: Duration,
    /// From a death until all know it, on average.
    pub all_mean: Duration,
    /// The same at the worst.
    pub all_last: Duration,
    /// Deaths that not all knew of within a minute.
    pub missed: u32,
}

impl Detection {
    /// Wrong verdicts on a member, per thousand hours of a member.
    pub fn wrong_per_thousand_hours(&self) -> f64 {
        self.wrong as f64 * 1_000.0 / self.node_hours.max(f64::MIN_POSITIVE)
    }
}

/// How long a death may take until all know it.
const DETECTED_WITHIN: Duration = Duration::from_secs(60);
/// After a start, and after a return, so long is waited until all know each other.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
const CLUSTER: ClusterId = ClusterId([7; 16]);

enum Due {
    Wake { node: usize },
    Datagram { to: usize, bytes: Vec<u8> },
}

struct Hearts {
    now: Duration,
    agenda: Agenda<Due>,
    /// None is dead.
    nodes: Vec<Option<Liveness>>,
    wakes: Vec<Option<Duration>>,
    /// For each: who holds it for down.
    down_at: Vec<BTreeSet<usize>>,
    net: Network,
    rng: StdRng,
    epoch: u64,
    liveness: LivenessConfig,
    sent: (u64, u64),
    verdicts: u64,
    wrong: u64,
    suspicions: u64,
}

/// Runs the heartbeats; `progress` is told the share that is done, now and then.
pub fn detection(setting: &DetectionSetting, progress: &mut dyn FnMut(f64)) -> Detection {
    let mut hearts = Hearts::new(setting);
    hearts.run_for(SETTLED_WITHIN);
    (hearts.sent, hearts.verdicts, hearts.wrong, hearts.suspicions) = ((0, 0), 0, 0, 0);
    let slices = 100;
    for slice in 0..slices {
        hearts.run_for(setting.time / slices);
        progress(f64::from(slice + 1) / f64::from(slices + setting.deaths));
    }
    let seconds = setting.nodes as f64 * setting.time.as_secs_f64();
    let mut found = Detection {
        node_hours: seconds / 3_600.0,
        wrong: hearts.wrong,
        wrong_verdicts: hearts.verdicts,
        suspicions: hearts.suspicions,
        datagrams: hearts.sent.0 as f64 / seconds.max(1.0),
        bytes: hearts.sent.1 as f64 / seconds.max(1.0),
        ..Detection::default()
    };
    let (mut first, mut all) = (Duration::ZERO, Duration::ZERO);
    for death in 0..setting.deaths {
        match hearts.death() {
            Some((one, last)) => {
                first += one;
                all += last;
                found.all_last = found.all_last.max(last);
            }
            None => found.missed += 1,
        }
        progress(f64::from(slices + death + 1) / f64::from(slices + setting.deaths));
    }
    let counted = setting.deaths.saturating_sub(found.missed).max(1);
    (found.first, found.all_mean) = (first / counted, all / counted);
    found
}

impl Hearts {
    fn new(setting: &DetectionSetting) -> Self {
        let dice = Dice::new(setting.seed);
        let config = NetworkConfig { lost_permille: setting.lost_permille, ..NetworkConfig::default() };
        let mut hearts = Self {
            now: Duration::ZERO,
            agenda: Agenda::default(),
            nodes: (0..setting.nodes).map(|_| None).collect(),
            wakes: vec![None; setting.nodes],
            down_at: vec![BTreeSet::new(); setting.nodes],
            net: Network::crowded(config, dice),
            rng: dice.of("hearts", (0, 0)),
            epoch: 1,
            liveness: setting.liveness.clone(),
            sent: (0, 0),
            verdicts: 0,
            wrong: 0,
            suspicions: 0,
        };
        for node in 0..setting.nodes {
            hearts.now += Duration::from_millis(1);
            hearts.start(node);
        }
        hearts
    }

    fn at(&self) -> Now {
        Now { mono: self.now, wall_ms: self.now.as_millis() as u64 }
    }

    fn start(&mut self, node: usize) {
        self.epoch += 1;
        let (now, seed) = (self.at(), self.rng.random());
        let mut own = Liveness::new(id(node), CLUSTER, self.epoch, seed, self.liveness.clone());
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            own.add_member(now, id(other));
        }
        if let Some(place) = self.nodes.get_mut(node) {
            *place = Some(own);
        }
        self.settle(node);
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, due)) = self.agenda.pop(end) {
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        let now = self.at();
        let node = match due {
            Due::Wake { node } => {
                let Some(wake) = self.wakes.get_mut(node) else { return };
                if wake.is_none_or(|at| at > self.now) {
                    return;
                }
                *wake = None;
                let Some(Some(own)) = self.nodes.get_mut(node) else { return };
                own.wake(now);
                node
            }
            Due::Datagram { to, bytes } => {
                let Some(Some(own)) = self.nodes.get_mut(to) else { return };
                // What is refused changes nothing.
                let _ = own.heartbeat(now, &bytes);
                to
            }
        };
        self.settle(node);
    }

    /// Sends what a node wants to send, notes what it thinks, and sets its timer.
    fn settle(&mut self, node: usize) {
        let Some(Some(own)) = self.nodes.get_mut(node) else { return };
        let (output, wake) = (own.drain(), own.next_wake());
        for (to, bytes) in output.packets {
            self.sent = (self.sent.0 + 1, self.sent.1 + bytes.len() as u64);
            let to = to.0.saturating_sub(1) as usize;
            for delay in self.net.datagram(host(node), host(to), bytes.len()) {
                self.agenda.push(self.now + delay, Due::Datagram { to, bytes: bytes.clone() });
            }
        }
        for (of, state) in output.changes {
            self.think(node, of.0.saturating_sub(1) as usize, state);
        }
        let Some(at) = wake.map(|at| at.max(self.now)) else { return };
        let Some(set) = self.wakes.get_mut(node) else { return };
        if set.is_none_or(|set| at < set) {
            *set = Some(at);
            self.agenda.push(at, Due::Wake { node });
        }
    }

    fn think(&mut self, node: usize, of: usize, state: LivenessState) {
        let lives = self.nodes.get(of).is_some_and(Option::is_some);
        let Some(down_at) = self.down_at.get_mut(of) else { return };
        if state != LivenessState::Down {
            down_at.remove(&node);
        }
        match state {
            LivenessState::Down => {
                self.wrong += u64::from(lives && down_at.is_empty());
                self.verdicts += u64::from(lives && down_at.insert(node));
                down_at.insert(node);
            }
            LivenessState::Suspect => self.suspicions += 1,
            LivenessState::Alive => {}
        }
    }

    /// Somebody dies, at some time. After what times the first and the last know it; none if not all do. It comes back.
    fn death(&mut self) -> Option<(Duration, Duration)> {
        let node = self.rng.random_range(0..self.nodes.len());
        let before = Duration::from_micros(self.rng.random_range(0..1_000_000));
        self.run_for(before);
        let died = self.now;
        if let (Some(place), Some(wake)) = (self.nodes.get_mut(node), self.wakes.get_mut(node)) {
            (*place, *wake) = (None, None);
        }
        // Of a datagram that is on its way to it nothing comes; those that it sent still arrive.
        let others = self.nodes.len() - 1;
        let knowing = |hearts: &Self| hearts.down_at.get(node).map_or(0, BTreeSet::len);
        let (mut first, mut last) = (None, None);
        while last.is_none() && self.now < died + DETECTED_WITHIN {
            self.run_for(Duration::from_millis(10));
            if first.is_none() && knowing(self) > 0 {
                first = Some(self.now - died);
            }
            if knowing(self) == others {
                last = Some(self.now - died);
            }
        }
        if let Some(own) = self.down_at.get_mut(node) {
            own.clear();
        }
        self.down_at.iter_mut().for_each(|down_at| {
            down_at.remove(&node);
        });
        self.start(node);
        self.run_for(SETTLED_WITHIN);
        Some((first?, last?))
    }
}

fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

fn host(node: usize) -> HostId {
    HostId(u16::try_from(node + 1).unwrap_or(u16::MAX))
}
