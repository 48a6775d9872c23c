//! A small network of nodes under virtual time: latency, loss, cuts, kills, pauses.

use rand::RngExt;

use super::*;

pub struct Net {
    pub now: Duration,
    pub loss_percent: u32,
    /// When, whose view changed and to what: the observer is left out, the observed kept.
    pub changes: Vec<(Duration, u64, LivenessState)>,
    pub refused: BTreeMap<String, usize>,
    pub longest: usize,
    pub sent: usize,
    pub woken: usize,
    pub sent_bytes: usize,
    /// A hash over all that was sent, in order.
    pub trace: u64,
    pub keep_packets: bool,
    pub kept: Vec<Vec<u8>>,
    nodes: BTreeMap<u64, Liveness>,
    count: u64,
    paused: BTreeMap<u64, Duration>,
    flying: BTreeMap<(Duration, usize), (u64, u64, Vec<u8>)>,
    cut_below: Option<u64>,
    rng: StdRng,
}

impl Net {
    pub fn new(count: u64, seed: u64) -> Self {
        let mut net = Self {
            now: Duration::ZERO,
            loss_percent: 0,
            changes: Vec::new(),
            refused: BTreeMap::new(),
            longest: 0,
            sent: 0,
            woken: 0,
            sent_bytes: 0,
            trace: seed,
            keep_packets: false,
            kept: Vec::new(),
            nodes: BTreeMap::new(),
            count,
            paused: BTreeMap::new(),
            flying: BTreeMap::new(),
            cut_below: None,
            rng: StdRng::seed_from_u64(seed ^ 0xface),
        };
        for node in 0..count {
            net.start(node, 1 << 32);
        }
        net
    }

    pub fn now(&self) -> Now {
        Now { mono: self.now, wall_ms: 0 }
    }

    pub fn start(&mut self, node: u64, epoch: u64) {
        let seed = self.rng.random();
        let cluster = ClusterId([7; 16]);
        let mut liveness = Liveness::new(NodeId(node), cluster, epoch, seed, LivenessConfig::default());
        for other in 0..self.count {
            liveness.add_member(self.now(), NodeId(other));
        }
        self.nodes.insert(node, liveness);
        self.collect(node);
    }

    pub fn node(&mut self, node: u64) -> &mut Liveness {
        self.nodes.get_mut(&node).unwrap()
    }

    pub fn kill(&mut self, node: u64) {
        self.nodes.remove(&node);
    }

    pub fn goodbye(&mut self, node: u64) {
        let now = self.now();
        self.node(node).goodbye(now);
        self.collect(node);
        self.kill(node);
    }

    /// The node neither reads nor wakes for a while; what is sent to it waits.
    pub fn pause(&mut self, node: u64, time: Duration) {
        self.paused.insert(node, self.now + time);
    }

    /// Cuts the nodes below `below` from the others.
    pub fn cut(&mut self, below: u64) {
        self.cut_below = Some(below);
    }

    pub fn heal(&mut self) {
        self.cut_below = None;
    }

    pub fn state(&self, observer: u64, observed: u64) -> LivenessState {
        self.nodes[&observer].state(NodeId(observed))
    }

    pub fn all_see(&self, observed: u64, state: LivenessState) -> bool {
        self.nodes.keys().filter(|node| **node != observed).all(|node| self.state(*node, observed) == state)
    }

    pub fn all_agree(&self, state: LivenessState) -> bool {
        (0..self.count).all(|node| self.all_see(node, state))
    }

    /// A packet as `from` would send it to `to` now.
    pub fn packet(&mut self, from: u64, to: u64) -> Vec<u8> {
        let now = self.now();
        let node = self.node(from);
        node.introduce(now, NodeId(to));
        node.drain().packets.pop().unwrap().1
    }

    /// Takes what the node wants to send and puts it on the wire.
    pub fn collect(&mut self, from: u64) {
        let output = self.node(from).drain();
        for (node, state) in output.changes {
            self.changes.push((self.now, node.0, state));
        }
        for (to, bytes) in output.packets {
            self.sent += 1;
            self.sent_bytes += bytes.len();
            self.longest = self.longest.max(bytes.len());
            for byte in &bytes {
                self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
            if self.keep_packets {
                self.kept.push(bytes.clone());
            }
            let lost = self.rng.random_range(0..100) < self.loss_percent;
            let delay = Duration::from_micros(self.rng.random_range(100..5_000));
            if !lost {
                self.flying.insert((self.now + delay, self.sent), (from, to.0, bytes));
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.paused.retain(|_, until| *until > self.now);
            self.deliver();
            self.wake();
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Duration> {
        let held = |node: &u64, at: Duration| self.paused.get(node).map_or(at, |until| at.max(*until));
        let wakes = self.nodes.iter().filter_map(|(node, inner)| Some(held(node, inner.next_wake()?)));
        let arrivals = self.flying.iter().map(|((at, _), (_, to, _))| held(to, *at));
        wakes.chain(arrivals).min()
    }

    fn deliver(&mut self) {
        let due = |((at, _), (_, to, _)): (&(Duration, usize), &(u64, u64, Vec<u8>))| {
            *at <= self.now && !self.paused.contains_key(to)
        };
        let arrived: Vec<_> = self.flying.iter().filter(|entry| due(*entry)).map(|(key, _)| *key).collect();
        for key in arrived {
            let (from, to, bytes) = self.flying.remove(&key).unwrap();
            let apart = self.cut_below.is_some_and(|below| (from < below) != (to < below));
            if apart || !self.nodes.contains_key(&to) {
                continue;
            }
            let now = self.now();
            if let Err(reason) = self.node(to).heartbeat(now, &bytes) {
                *self.refused.entry(reason.to_string()).or_default() += 1;
            }
            self.collect(to);
        }
    }

    fn wake(&mut self) {
        let now = self.now();
        let due = |(node, inner): &(&u64, &Liveness)| {
            !self.paused.contains_key(*node) && inner.next_wake().is_some_and(|at| at <= now.mono)
        };
        let due: Vec<u64> = self.nodes.iter().filter(due).map(|(node, _)| *node).collect();
        for node in due {
            self.woken += 1;
            self.node(node).wake(now);
            self.collect(node);
        }
    }
}
