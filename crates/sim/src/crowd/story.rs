//! The scene of the textbooks: one file spreads from server one over four servers. Four whole nodes play it, on lines so
//! slow that the file takes most of a round from one to the next; each tells one other a round.

use std::time::Duration;

use gossip::core::CoreConfig;
use gossip::rumor::AGAIN;

use super::cluster::{ClusterSetting, world};
use super::watch::{Told, Watch, Watched};
use crate::checks::Violation;
use crate::client::{Answer, key};
use crate::host::HostId;
use crate::network::NetworkConfig;
use crate::world::World;

/// How many servers play.
pub const SERVERS: u16 = 4;
/// How large the file is.
pub const FILE_BYTES: usize = 9_000;

/// One server tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Who tells, by number from 1.
    pub from: u16,
    /// Who hears it.
    pub to: u16,
    /// Whether it was news.
    pub news: bool,
}

/// What happened within one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// From 1.
    pub number: u32,
    /// Who told whom, in order.
    pub passes: Vec<Pass>,
    /// Who has the file at the end of it, by number from 1.
    pub having: Vec<u16>,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Round by round, until nobody tells any more.
    pub rounds: Vec<Round>,
    /// How long a round lasts.
    pub round: Duration,
    /// After the write: when every server had been proven identical to every other one.
    pub proven: Duration,
    /// The root of each server, in the form shown to people.
    pub roots: Vec<[u8; 16]>,
}

/// Plays it. The same seed plays the same scene.
///
/// # Errors
/// What a checker found, or the servers did not become one.
pub fn tell(seed: u64) -> Result<Story, Violation> {
    let mut core = CoreConfig { fanout: 1, ..CoreConfig::default() };
    // Rumors have told their story before the first comparison begins.
    core.sessions.interval = Duration::from_secs(3);
    let setting = ClusterSetting {
        nodes: SERVERS,
        writes: 1,
        lost_permille: 0,
        cut: None,
        time: Duration::ZERO,
        core,
        seed,
    };
    let slow = NetworkConfig { long_permille: 0, bytes_a_ms: 100, ..NetworkConfig::default() };
    let mut world = world(&setting, slow);
    let stuck = |world: &World, why: &str| {
        let (at, step) = (world.now, world.count.steps);
        Violation { check: "story", why: why.to_owned(), at, step }
    };
    if let Err(error) = world.form(SERVERS) {
        return Err(stuck(&world, &error.to_string()));
    }
    // Long enough for all to know each other, and to have gone quiet.
    world.run_for(Duration::from_secs(40))?;
    let began = world.now;
    let file = key(1);
    let mut watch = Watch { told: Some(Vec::new()), ..Watch::default() };
    watch.writes.insert(file.clone(), Watched { began, got: Vec::new() });
    world.watch = Some(Box::new(watch));
    if let Answer::Refused(why) = world.put(HostId(1), &file, vec![b'.'; FILE_BYTES].into(), None) {
        return Err(stuck(&world, &why));
    }
    world.run_for(Duration::from_secs(1))?;
    let told = world.watch.take().and_then(|watch| watch.told).unwrap_or_default();
    while !world.all_proven(began) {
        if world.now > began + Duration::from_secs(120) {
            return Err(stuck(&world, "the servers were not proven identical within two minutes"));
        }
        world.run_for(Duration::from_millis(10))?;
    }
    let proven = world.now.saturating_sub(began);
    world.check_all()?;
    Ok(Story { rounds: rounds(&told, began), round: AGAIN, proven, roots: world.roots() })
}

impl World {
    /// Whether each member has a proof, begun since then, that it is identical to each other one.
    fn all_proven(&self, since: Duration) -> bool {
        self.hosts.values().all(|host| {
            let proven = |member: &crate::host::Member| {
                let others = member.core.meta().roster.len().saturating_sub(1);
                let since = host.wall.ms(since);
                member.core.meta().identical.values().filter(|at| **at > since).count() == others
            };
            host.member().is_some_and(proven)
        })
    }

    fn roots(&self) -> Vec<[u8; 16]> {
        let members = self.hosts.values().filter_map(|host| host.member());
        members.map(|member| member.store.root().root_hash(&member.digest_key.0)).collect()
    }
}

fn rounds(told: &[Told], began: Duration) -> Vec<Round> {
    let number = |at: Duration| {
        let millis = at.saturating_sub(began).as_millis();
        u32::try_from(millis / AGAIN.as_millis()).unwrap_or(u32::MAX).saturating_add(1)
    };
    let mut rounds: Vec<Round> = Vec::new();
    let mut having = vec![1];
    for (place, event) in told.iter().enumerate() {
        let Told::Rumor { at, from, to } = event else { continue };
        // What was news is in the store in the same instant.
        let news = |later: &Told| matches!(later, Told::Got { at: got, host } if got == at && host == to);
        let news = told.get(place + 1).is_some_and(news);
        if news {
            having.push(to.0);
            having.sort_unstable();
        }
        let pass = Pass { from: from.0, to: to.0, news };
        let number = number(*at);
        match rounds.last_mut().filter(|round| round.number == number) {
            Some(round) => {
                round.passes.push(pass);
                round.having.clone_from(&having);
            }
            None => rounds.push(Round { number, passes: vec![pass], having: having.clone() }),
        }
    }
    rounds
}
