//! Nodes that start at different times with each other as seeds, some of which may found. Requests and
//! answers take their time; a founder is a member only after its record is on disk.

use rand::seq::IndexedRandom;

use super::*;

pub struct Net {
    pub count: u64,
    pub founded: Vec<u64>,
    nodes: BTreeMap<u64, Node>,
    events: BTreeMap<(Duration, u64), Event>,
    numbered: u64,
    rng: StdRng,
}

enum Node {
    Looking(Box<Founding>),
    Member(ClusterId, Box<Roster>),
}

enum Event {
    Start(u64),
    Wake(u64),
    Asked { from: u64, to: u64, attempt: u64, request: JoinRequest },
    Result { to: u64, attempt: u64, result: SeedResult },
    OnDisk(u64, ClusterId, Box<Roster>),
}

impl Net {
    pub fn new(seed: u64, count: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Self {
            count,
            founded: Vec::new(),
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            numbered: 0,
            rng: StdRng::seed_from_u64(seed ^ 1),
        };
        let spread = *[10, 3_000, 4_000, 10_000].choose(&mut rng).unwrap();
        for node in 0..count {
            let start = Duration::from_millis(rng.random_range(0..spread));
            net.after(start, Event::Start(node));
        }
        net
    }

    pub fn joined(&self) -> u64 {
        let founder = self.founded.first().map(|node| ClusterId([*node as u8; 16]));
        let is_member = |node: &&Node| matches!(node, Node::Member(cluster, _) if Some(*cluster) == founder);
        self.nodes.values().filter(is_member).count() as u64
    }

    pub fn run(&mut self, end: Duration) {
        while let Some(((at, _), event)) = self.events.pop_first().filter(|((at, _), _)| *at <= end) {
            self.handle(Now { mono: at, wall_ms: 0 }, event);
        }
    }

    fn handle(&mut self, now: Now, event: Event) {
        match event {
            Event::Start(node) => {
                let names: Vec<String> = (0..self.count).map(|node| node.to_string()).collect();
                let seeds: Vec<&str> = names.iter().map(String::as_str).collect();
                // At least node 1 may found; with it, at random, others.
                let may_found = node == 1 || self.rng.random();
                let settings = settings(node, &seeds, may_found);
                let founding = Founding::new(now, settings, self.rng.random());
                self.nodes.insert(node, Node::Looking(Box::new(founding)));
                self.after(now.mono, Event::Wake(node));
            }
            Event::Wake(node) => self.step(now, node, |founding| founding.wake(now)),
            Event::Asked { from, to, attempt, request } => {
                let result = match self.nodes.get_mut(&to) {
                    None => unreachable(),
                    Some(Node::Looking(founding)) => SeedResult::Answered(founding.asked(now, &request)),
                    Some(Node::Member(cluster, roster)) => {
                        admit(roster, NodeId(to), Hlc::new(1, 0), &request).unwrap();
                        let digest_key = DigestKey([0; 32]);
                        let (cluster, roster) = (*cluster, roster.clone());
                        SeedResult::Answered(JoinAnswer::Joined { cluster, digest_key, roster })
                    }
                };
                let delay = self.delay();
                self.after(now.mono + delay, Event::Result { to: from, attempt, result });
            }
            Event::Result { to, attempt, result } => {
                self.step(now, to, |founding| founding.result(now, attempt, result));
            }
            Event::OnDisk(node, cluster, roster) => {
                self.nodes.insert(node, Node::Member(cluster, roster));
            }
        }
    }

    fn step(&mut self, now: Now, node: u64, act: impl FnOnce(&mut Founding) -> Vec<FoundingStep>) {
        let Some(Node::Looking(founding)) = self.nodes.get_mut(&node) else { return };
        let steps = act(founding);
        let wake = founding.next_wake();
        let request = founding.request().clone();
        for step in steps {
            let delay = self.delay();
            let event = match step {
                FoundingStep::Dial { attempt, seed } => {
                    Event::Asked { from: node, to: seed.parse().unwrap(), attempt, request: request.clone() }
                }
                FoundingStep::Founded { cluster, .. } => {
                    self.founded.push(node);
                    let roster = Roster::found(NodeId(node), "n", contact(1)).unwrap();
                    let slow_disk = Duration::from_millis(self.rng.random_range(0..8_000));
                    self.after(now.mono + slow_disk, Event::OnDisk(node, cluster, Box::new(roster)));
                    continue;
                }
                FoundingStep::Joined { cluster, roster, .. } => Event::OnDisk(node, cluster, roster),
            };
            self.after(now.mono + delay, event);
        }
        if let Some(wake) = wake {
            self.after(wake.max(now.mono), Event::Wake(node));
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(*[1, 5, 50, 400].choose(&mut self.rng).unwrap())
    }

    fn after(&mut self, at: Duration, event: Event) {
        self.numbered += 1;
        self.events.insert((at, self.numbered), event);
    }
}
