//! Dissemination alone: the rumors of every node on a network that delays and loses, without stores, sessions or
//! connections. What rumors leave to anti-entropy is the residue.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip::rumor::{Push, Rumors};
use model::{Key, NodeId};
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Cut, WRITES_EVERY};
use crate::agenda::Agenda;
use crate::client::key;
use crate::dice::Dice;
use crate::host::HostId;
use crate::network::{Network, NetworkConfig};

/// What is spread, among how many, and how.
#[derive(Clone, Debug)]
pub struct SpreadSetting {
    /// Nodes, 1 to [`super::NODES_MAX`].
    pub nodes: usize,
    /// Writes, each of a key of its own, at nodes drawn at random.
    pub writes: u16,
    /// Members that a rumor is pushed to in a round.
    pub fanout: usize,
    /// Messages lost, in thousandths. Rumors travel on connections, which send again what is lost: this is for those that
    /// break.
    pub lost_permille: u32,
    /// Whether the network is cut.
    pub cut: Option<Cut>,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// How far rumors came, and what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The share of node and write that the rumor did not reach: the residue s of Demers et al.
    pub residue: f64,
    /// The longest chain of nodes that passed a rumor on.
    pub rounds: u32,
    /// From a write until a node has it, on average over those that got it by rumor.
    pub mean: Duration,
    /// The same for the last one.
    pub last: Duration,
    /// Rumors sent, per write and node: the traffic m of Demers et al.
    pub traffic: f64,
    /// Messages sent by the busiest node, rumors and answers.
    pub busiest: u64,
    /// Node ids that a rumor carried at most: who has been told.
    pub told_max: usize,
}

enum Due {
    Write { node: usize, write: u16 },
    Round { node: usize },
    Rumor { from: usize, to: usize, push: Push, hops: Vec<u32> },
    Answer { to: usize, batch: u64, known: Vec<u32> },
}

/// What one node has, by write.
#[derive(Clone, Copy)]
struct Heard {
    at: Duration,
    hops: u32,
}

struct Spreading<'a> {
    setting: &'a SpreadSetting,
    now: Duration,
    agenda: Agenda<Due>,
    nodes: Vec<Rumors>,
    live: Vec<NodeId>,
    heard: Vec<BTreeMap<u16, Heard>>,
    sent: Vec<u64>,
    written: BTreeMap<Key, (u16, Duration)>,
    net: Network,
    rng: StdRng,
    rumors: u64,
    told_max: usize,
}

/// Spreads the writes, until nobody has anything to tell any more.
pub fn spread(setting: &SpreadSetting) -> Spread {
    let dice = Dice::new(setting.seed);
    let live: Vec<NodeId> = (1..=setting.nodes as u64).map(NodeId).collect();
    let config = NetworkConfig { lost_permille: setting.lost_permille, ..NetworkConfig::default() };
    let mut spreading = Spreading {
        setting,
        now: Duration::ZERO,
        agenda: Agenda::default(),
        nodes: live.iter().map(|id| Rumors::new(*id, setting.fanout)).collect(),
        heard: vec![BTreeMap::new(); setting.nodes],
        sent: vec![0; setting.nodes],
        live,
        written: BTreeMap::new(),
        net: Network::crowded(config, dice),
        rng: dice.of("spread", (0, 0)),
        rumors: 0,
        told_max: 0,
    };
    for write in 0..setting.writes {
        let node = spreading.rng.random_range(0..setting.nodes.max(1));
        spreading.agenda.push(WRITES_EVERY * u32::from(write), Due::Write { node, write });
    }
    while let Some((at, due)) = spreading.agenda.pop(Duration::MAX) {
        spreading.now = at;
        spreading.happen(due);
    }
    spreading.outcome()
}

impl Spreading<'_> {
    fn happen(&mut self, due: Due) {
        match due {
            Due::Write { node, write } => {
                self.written.insert(key(write), (write, self.now));
                self.learn(node, write, 0, &[]);
            }
            Due::Round { node } => self.round(node),
            Due::Rumor { from, to, push, hops } => self.rumor(from, to, &push, &hops),
            Due::Answer { to, batch, known } => {
                if let Some(rumors) = self.nodes.get_mut(to) {
                    rumors.answered(batch, &known);
                }
            }
        }
    }

    fn learn(&mut self, node: usize, write: u16, hops: u32, told: &[NodeId]) -> bool {
        let Some(heard) = self.heard.get_mut(node) else { return false };
        if heard.contains_key(&write) {
            return false;
        }
        heard.insert(write, Heard { at: self.now, hops });
        if let Some(rumors) = self.nodes.get_mut(node) {
            rumors.learned(self.now, key(write), told.iter().copied());
        }
        self.wake(node);
        true
    }

    fn wake(&mut self, node: usize) {
        if let Some(at) = self.nodes.get(node).and_then(Rumors::next_wake) {
            self.agenda.push(at.max(self.now), Due::Round { node });
        }
    }

    fn round(&mut self, node: usize) {
        let Some(rumors) = self.nodes.get_mut(node) else { return };
        if rumors.next_wake().is_none_or(|at| at > self.now) {
            return;
        }
        let pushes = rumors.round(self.now, &self.live, &mut self.rng);
        for push in pushes {
            let to = push.to.0.saturating_sub(1) as usize;
            self.rumors += push.keys.len() as u64;
            self.told_max = self.told_max.max(push.told.len());
            let own = |key| {
                let (write, _) = self.written.get(key)?;
                Some(self.heard.get(node)?.get(write)?.hops)
            };
            let hops = push.keys.iter().map(|key| own(key).unwrap_or(0) + 1).collect();
            let bytes = 60 + push.keys.len() * 80 + push.told.len() * 9;
            self.send(node, to, bytes, Due::Rumor { from: node, to, push, hops });
        }
        self.wake(node);
    }

    fn rumor(&mut self, from: usize, to: usize, push: &Push, hops: &[u32]) {
        let mut known = Vec::new();
        let told: Vec<NodeId> = push.told.iter().copied().chain(self.live.get(from).copied()).collect();
        for (place, (key, hops)) in push.keys.iter().zip(hops).enumerate() {
            let Some((write, _)) = self.written.get(key).copied() else { continue };
            if !self.learn(to, write, *hops, &told) {
                known.push(place as u32);
            }
        }
        if push.answer && !known.is_empty() {
            self.send(to, from, 40, Due::Answer { to: from, batch: push.batch, known });
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: usize, due: Due) {
        if let Some(sent) = self.sent.get_mut(from) {
            *sent += 1;
        }
        let cut = self.setting.cut.is_some_and(|cut| {
            let side = cut.first_side(self.setting.nodes);
            self.now < cut.time && (from < side) != (to < side)
        });
        let times = self.net.datagram(host(from), host(to), bytes);
        if let Some(delay) = times.first().filter(|_| !cut) {
            self.agenda.push(self.now + *delay, due);
        }
    }

    fn outcome(&self) -> Spread {
        let began: BTreeMap<u16, Duration> = self.written.values().copied().collect();
        let heard = || self.heard.iter().flatten();
        let took = |(write, heard): (&u16, &Heard)| {
            heard.at.saturating_sub(began.get(write).copied().unwrap_or_default())
        };
        let reached = heard().count();
        let others = heard().filter(|(_, heard)| heard.hops > 0).count();
        let all = self.setting.nodes * usize::from(self.setting.writes);
        Spread {
            residue: 1.0 - reached as f64 / all.max(1) as f64,
            rounds: heard().map(|(_, heard)| heard.hops).max().unwrap_or(0),
            mean: heard().map(took).sum::<Duration>() / u32::try_from(others.max(1)).unwrap_or(u32::MAX),
            last: heard().map(took).max().unwrap_or_default(),
            traffic: self.rumors as f64 / all.max(1) as f64,
            busiest: self.sent.iter().copied().max().unwrap_or(0),
            told_max: self.told_max,
        }
    }
}

fn host(node: usize) -> HostId {
    HostId(u16::try_from(node + 1).unwrap_or(u16::MAX))
}
