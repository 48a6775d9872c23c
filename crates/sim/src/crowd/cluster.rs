//! Whole nodes: the core, the store and the connections that ship, in the surroundings that random runs have, with all
//! their checkers. How long until every node has a write, and what that costs.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip::core::CoreConfig;
use rand::RngExt;

use super::watch::{Sent, Watch, Watched};
use super::{Cut, WRITES_EVERY};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::fault::Fault;
use crate::host::HostId;
use crate::network::NetworkConfig;
use crate::world::{Count, Setting, World};

/// What is written, among how many, on what network.
#[derive(Clone, Debug)]
pub struct ClusterSetting {
    /// Nodes, 1 to [`super::WHOLE_NODES_MAX`].
    pub nodes: u16,
    /// Writes, each of a key of its own, at nodes drawn at random.
    pub writes: u16,
    /// Of datagrams so many thousandths are lost; of frames as many are sent again.
    pub lost_permille: u32,
    /// Whether the network is cut.
    pub cut: Option<Cut>,
    /// How long it runs at least, the start included.
    pub time: Duration,
    /// How the protocol is paced.
    pub core: CoreConfig,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// How writes came to all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Whole {
    /// From a write until another node has it, on average.
    pub mean: Duration,
    /// From a write until the last node has it, on average over the writes.
    pub last_mean: Duration,
    /// The same for the slowest write; after a cut that is counted from its end, where the write came before it.
    pub last: Duration,
    /// Rumors and their answers sent by the busiest node.
    pub busiest: u64,
    /// Datagrams sent, per node and second.
    pub datagrams: f64,
    /// Frames sent, per node and second.
    pub frames: f64,
    /// Bytes of both, per node and second.
    pub bytes: f64,
    /// How long it ran, in the time of the simulation.
    pub time: Duration,
    /// What happened, in numbers.
    pub count: Count,
}

/// What a machine needs to send again what was lost: the shortest time that TCP waits on Linux.
const RESENT_AFTER: Duration = Duration::from_millis(200);
/// They know each other by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Longer than that nothing takes that ever ends.
const TIME_MAX: Duration = Duration::from_secs(3_600);

/// Runs whole nodes until every one has every write, and for as long as was asked for; then all checks there are.
/// `progress` is told the share that is done, now and then.
///
/// # Errors
/// What a checker found, or that a write did not come to every node.
pub fn run(setting: &ClusterSetting, progress: &mut dyn FnMut(f64)) -> Result<Whole, Violation> {
    let mut world = world(setting, NetworkConfig::default());
    let violation = |world: &World, why: String| {
        let (at, step) = (world.now, world.count.steps);
        Violation { check: "crowd", why, at, step }
    };
    if let Err(error) = world.form(setting.nodes) {
        return Err(violation(&world, error.to_string()));
    }
    world.run_for(SETTLED_AFTER)?;
    world.watch = Some(Box::default());
    let began = world.now;
    if let Some(cut) = setting.cut {
        let group =
            (1..=setting.nodes).take(cut.first_side(usize::from(setting.nodes))).map(HostId).collect();
        world.inject(&Fault::Cut { group, one_way: false, time: cut.time });
    }
    let mut rng = world.dice.of("crowd", (0, 0));
    for write in 0..setting.writes {
        let host = HostId(rng.random_range(1..=setting.nodes));
        world.write_watched(host, write)?;
        world.run_for(WRITES_EVERY)?;
    }
    let least = setting.time.max(world.now);
    while (world.now < least || !world.all_got(setting.nodes)) && world.now < TIME_MAX {
        world.run_for(Duration::from_millis(100))?;
        progress(world.now.as_secs_f64() / least.as_secs_f64().max(0.001));
    }
    if !world.all_got(setting.nodes) {
        return Err(violation(&world, format!("a write is not at every node after {TIME_MAX:?}")));
    }
    world.check_all()?;
    Ok(outcome(setting, &world, began))
}

/// A world with the network of an experiment.
pub(super) fn world(setting: &ClusterSetting, network: NetworkConfig) -> World {
    let network =
        NetworkConfig { lost_permille: setting.lost_permille, resent_after: RESENT_AFTER, ..network };
    World::new(&Setting { seed: setting.seed, network, core: setting.core.clone(), ..Setting::default() })
}

impl World {
    /// A write that is followed.
    pub(super) fn write_watched(&mut self, host: HostId, write: u16) -> Result<(), Violation> {
        let (key, began) = (key(write), self.now);
        if let Some(watch) = &mut self.watch {
            watch.writes.insert(key.clone(), Watched { began, got: Vec::new() });
        }
        match self.put(host, &key, format!("value {write}").into(), None) {
            Answer::Refused(why) => {
                let (at, step) = (self.now, self.count.steps);
                Err(Violation { check: "crowd", why: format!("{host} refuses a write: {why}"), at, step })
            }
            _ => Ok(()),
        }
    }

    fn all_got(&self, nodes: u16) -> bool {
        let Some(watch) = &self.watch else { return true };
        watch.writes.values().all(|watched| watched.holders() == usize::from(nodes))
    }
}

impl Watched {
    fn holders(&self) -> usize {
        self.got.iter().map(|(_, host)| host).collect::<BTreeSet<_>>().len()
    }
}

fn outcome(setting: &ClusterSetting, world: &World, began: Duration) -> Whole {
    let none = Watch::default();
    let watch = world.watch.as_deref().unwrap_or(&none);
    let healed = setting.cut.map_or(Duration::ZERO, |cut| began + cut.time);
    let mut lasts = Vec::new();
    let (mut sum, mut others) = (Duration::ZERO, 0_u32);
    for watched in watch.writes.values() {
        // The first is the one that took it.
        for (at, _) in watched.got.iter().skip(1) {
            sum += at.saturating_sub(watched.began);
            others += 1;
        }
        let last = watched.got.last().map_or(watched.began, |(at, _)| *at);
        let since = if last >= healed { watched.began.max(healed) } else { watched.began };
        lasts.push(last.saturating_sub(since));
    }
    let time = world.now.saturating_sub(began);
    let total = watch.sent.values().fold(Sent::default(), |sum, sent| Sent {
        rumors: sum.rumors + sent.rumors,
        frames: sum.frames + sent.frames,
        datagrams: sum.datagrams + sent.datagrams,
        bytes: sum.bytes + sent.bytes,
    });
    let each = |number: u64| number as f64 / f64::from(setting.nodes) / time.as_secs_f64().max(0.001);
    Whole {
        mean: sum / others.max(1),
        last_mean: lasts.iter().sum::<Duration>() / u32::try_from(lasts.len().max(1)).unwrap_or(1),
        last: lasts.into_iter().max().unwrap_or_default(),
        busiest: watch.sent.values().map(|sent| sent.rumors).max().unwrap_or(0),
        datagrams: each(total.datagrams),
        frames: each(total.frames),
        bytes: each(total.bytes),
        time: world.now,
        count: world.count(),
    }
}
