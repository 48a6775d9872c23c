//! The network between machines: who is reached where, how long it takes, what is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::dice::Dice;
use crate::host::HostId;

/// How the network treats what is sent, apart from faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The shortest way takes this long.
    pub delay_min: Duration,
    /// Most take no longer than this.
    pub delay_usual: Duration,
    /// Of so many thousandths each takes up to `delay_long`.
    pub long_permille: u32,
    /// The longest way.
    pub delay_long: Duration,
    /// Datagrams lost, in thousandths.
    pub lost_permille: u32,
    /// Datagrams that come twice, in thousandths.
    pub doubled_permille: u32,
    /// How many bytes of frames pass in a millisecond.
    pub bytes_a_ms: u32,
    /// A frame that is lost, as datagrams are, is sent again after this time; zero where no frame is ever lost.
    pub resent_after: Duration,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(80),
            delay_usual: Duration::from_micros(900),
            long_permille: 20,
            delay_long: Duration::from_millis(40),
            lost_permille: 0,
            doubled_permille: 0,
            bytes_a_ms: 100_000,
            resent_after: Duration::ZERO,
        }
    }
}

/// Nobody goes on sending for longer than this.
const RESENT_MAX: Duration = Duration::from_secs(20);

/// One direction between two machines.
type Way = (HostId, HostId);

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) config: NetworkConfig,
    /// How many faults block a way now.
    blocked: BTreeMap<Way, u32>,
    /// How many times longer than usual a way takes.
    slow: BTreeMap<Way, u32>,
    /// Who listens where.
    listeners: BTreeMap<String, HostId>,
    /// Names that lead to a machine wherever it is, as a name service's do.
    names: BTreeMap<String, HostId>,
    dice: Dice,
    rngs: BTreeMap<Way, StdRng>,
    crowded: bool,
}

impl Network {
    pub(crate) fn new(config: NetworkConfig, dice: Dice) -> Self {
        Self {
            config,
            blocked: BTreeMap::new(),
            slow: BTreeMap::new(),
            listeners: BTreeMap::new(),
            names: BTreeMap::new(),
            dice,
            rngs: BTreeMap::new(),
            crowded: false,
        }
    }

    /// One between so many machines that not each pair has a generator of its own.
    pub(crate) fn crowded(config: NetworkConfig, dice: Dice) -> Self {
        Self { crowded: true, ..Self::new(config, dice) }
    }

    /// Makes it one of those.
    pub(crate) fn crowd(&mut self) {
        self.crowded = true;
    }

    /// A machine is reached at this address from now on, and at no other.
    pub(crate) fn listen(&mut self, host: HostId, address: &str) {
        self.listeners.retain(|_, other| *other != host);
        self.listeners.insert(address.to_owned(), host);
    }

    /// A machine has this name for ever.
    pub(crate) fn name(&mut self, host: HostId, name: String) {
        self.names.insert(name, host);
    }

    /// Who is reached there, by address or name.
    pub(crate) fn at(&self, address: &str) -> Option<HostId> {
        self.listeners.get(address).or_else(|| self.names.get(address)).copied()
    }

    /// Nothing passes from one to the other any more; once more for each call.
    pub(crate) fn block(&mut self, from: HostId, to: HostId) {
        *self.blocked.entry((from, to)).or_default() += 1;
    }

    /// Undoes one [`Network::block`].
    pub(crate) fn unblock(&mut self, from: HostId, to: HostId) {
        if let Some(times) = self.blocked.get_mut(&(from, to)) {
            *times = times.saturating_sub(1);
        }
    }

    /// Whether nothing passes this way.
    pub(crate) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.blocked.get(&(from, to)).is_some_and(|times| *times > 0)
    }

    /// Whether a connection between the two is dead in either direction: then neither goes on.
    pub(crate) fn is_cut(&self, one: HostId, other: HostId) -> bool {
        self.is_blocked(one, other) || self.is_blocked(other, one)
    }

    /// Everything takes so many times longer both ways; 1 is as usual.
    pub(crate) fn set_slow(&mut self, one: HostId, other: HostId, times: u32) {
        for way in [(one, other), (other, one)] {
            self.slow.insert(way, times.max(1));
        }
    }

    /// No way is blocked or slow, and nothing is lost or doubled.
    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
        self.slow.clear();
        (self.config.lost_permille, self.config.doubled_permille) = (0, 0);
    }

    fn rng(&mut self, from: HostId, to: HostId) -> &mut StdRng {
        let dice = self.dice;
        let to = if self.crowded { HostId(0) } else { to };
        let make = || dice.of("network", (u64::from(from.0), u64::from(to.0)));
        self.rngs.entry((from, to)).or_insert_with(make)
    }

    /// How long so many bytes take this way, this time.
    pub(crate) fn delay(&mut self, from: HostId, to: HostId, bytes: usize) -> Duration {
        let NetworkConfig { delay_min, delay_usual, long_permille, delay_long, bytes_a_ms, .. } = self.config;
        let rng = self.rng(from, to);
        let long = rng.random_range(0..1_000) < long_permille;
        let (least, most) = if long { (delay_usual, delay_long) } else { (delay_min, delay_usual) };
        let way = rng.random_range(least.as_micros() as u64..=most.max(least).as_micros() as u64);
        let bulk = bytes as u64 * 1_000 / u64::from(bytes_a_ms.max(1));
        Duration::from_micros(way + bulk) * self.slow.get(&(from, to)).copied().unwrap_or(1)
    }

    /// How much longer a frame takes since it was lost and sent again, perhaps more than once.
    pub(crate) fn resent(&mut self, from: HostId, to: HostId) -> Duration {
        let NetworkConfig { lost_permille, resent_after, .. } = self.config;
        let mut longer = Duration::ZERO;
        if !resent_after.is_zero() && lost_permille > 0 {
            let mut wait = resent_after;
            while self.rng(from, to).random_range(0..1_000) < lost_permille && longer < RESENT_MAX {
                longer += wait;
                wait *= 2;
            }
        }
        longer
    }

    /// After what times a datagram arrives: none if it is lost, two if it comes twice.
    pub(crate) fn datagram(&mut self, from: HostId, to: HostId, bytes: usize) -> Vec<Duration> {
        let NetworkConfig { lost_permille, doubled_permille, .. } = self.config;
        let rng = self.rng(from, to);
        // Drawn whether or not it matters, so that a fault does not shift what comes behind it.
        let (lost, doubled) = (rng.random_range(0..1_000), rng.random_range(0..1_000));
        let times = [self.delay(from, to, bytes), self.delay(from, to, bytes) * 3];
        let come = match (lost < lost_permille || self.is_blocked(from, to), doubled < doubled_permille) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        times.into_iter().take(come).collect()
    }

    /// A draw between 0 and `below`, for what happens this way.
    pub(crate) fn draw(&mut self, from: HostId, to: HostId, below: u64) -> u64 {
        self.rng(from, to).random_range(0..below.max(1))
    }
}
