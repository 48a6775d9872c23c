//! How a node without a cluster gets one: it founds, or it is let in by a member.
//!
//! | seeds | `found` | data | what happens |
//! |---|---|---|---|
//! | none | - | none | founds alone, at once |
//! | some | no | none | asks the seeds, for ever, until a member answers |
//! | some | yes | none | the same, but founds once no seed turns out to be a member |
//! | - | - | some | is a member already: no business of this module |
//!
//! A cluster has one founding. Its id is random, so two foundings are two clusters, which never merge
//! (H16). Only a node that was told to may found where there are seeds, and of several such nodes that see
//! each other only the one of the smallest id: each tells the others in its requests and answers that it
//! may found, and one that has seen a smaller id lately waits. A node that has decided to found but has
//! not put it on disk yet answers like a member that is busy, so that nobody founds in that gap.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::{ClusterId, DigestKey, NodeId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::roster::Roster;
use crate::time::Now;

mod exchange;
mod sponsor;
#[cfg(test)]
mod tests;

pub use exchange::{JoinAnswer, JoinFormError, JoinRefusal, JoinRequest, WireVersions};
pub use sponsor::{ClusterFacts, SponsorDecision, admit, should_dissolve, sponsor};

/// The pause between rounds of asking starts here and doubles.
pub const ROUND_PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause between rounds of asking, before up to a quarter is added or taken at random.
pub const ROUND_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a node that may found looks for members at least.
pub const FOUND_GRACE: Duration = Duration::from_secs(3);
/// How many full rounds it asks at least.
pub const FOUND_ROUNDS_MIN: u64 = 2;
/// How long a node of a smaller id that may found as well is given precedence after it was last seen.
pub const RIVAL_MEMORY: Duration = Duration::from_secs(6);
/// A round ends after this even if the driver never reports some attempts; such a round founds nothing.
pub const ROUND_MAX: Duration = Duration::from_secs(30);

/// What a node is told by its settings and made at its first start.
#[derive(Clone, Debug)]
pub struct FoundingSettings {
    /// What it sends to seeds: its id, name and addresses, and whether it may found.
    pub request: JoinRequest,
    /// Addresses or DNS names with port, resolved anew by the driver at each attempt.
    pub seeds: Vec<String>,
    /// The id of the cluster, should this node found it: random, from the system's source.
    pub cluster: ClusterId,
    /// The digest key of that cluster: random, from the system's source.
    pub digest_key: DigestKey,
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundingStep {
    /// Resolve and ask this seed, and report with [`Founding::result`], also when nothing answers. A time
    /// limit of a few seconds is the driver's.
    Dial {
        /// To be named in the result.
        attempt: u64,
        /// The seed as it was given.
        seed: String,
    },
    /// The node founds: a roster of itself alone, on disk before anything else. The last step.
    Founded {
        /// The new cluster.
        cluster: ClusterId,
        /// Its digest key.
        digest_key: DigestKey,
    },
    /// The node was let in: put this on disk and start above its add's time. The last step.
    Joined {
        /// The cluster.
        cluster: ClusterId,
        /// Its digest key.
        digest_key: DigestKey,
        /// Its roster, with this node in it.
        roster: Box<Roster>,
    },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SeedResult {
    /// The seed answered.
    Answered(JoinAnswer),
    /// It did not: not resolved, not connected, not in time, or not in our language. Why, for people.
    Unreachable(String),
}

/// What is known of a seed since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seed {
    Unasked,
    Unreachable(String),
    Itself,
    NotJoinedYet,
    Refused(JoinRefusal),
    BadAnswer,
}

/// Why a node is not ready yet, in words for people: one line a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundingReport {
    /// Full rounds of asking so far.
    pub rounds: u64,
    /// Each seed and what it said last.
    pub seeds: Vec<(String, String)>,
    /// A node that may found too and has precedence.
    pub waits_for: Option<NodeId>,
}

/// A node looking for its cluster.
#[derive(Debug)]
pub struct Founding {
    settings: FoundingSettings,
    rng: StdRng,
    started: Duration,
    seeds: Vec<(String, Seed)>,
    /// Attempts of this round that have not been reported, and the seed's place.
    open: BTreeMap<u64, usize>,
    attempts: u64,
    rounds: u64,
    /// When the next round starts, or this one is given up.
    due: Duration,
    asking: bool,
    /// Nodes that may found too, and when they were last seen.
    rivals: BTreeMap<NodeId, Duration>,
    done: bool,
}

impl Founding {
    /// Starts looking; call [`Founding::wake`] next.
    pub fn new(now: Now, settings: FoundingSettings, seed: u64) -> Self {
        let seeds = settings.seeds.iter().map(|seed| (seed.clone(), Seed::Unasked)).collect();
        Self {
            settings,
            rng: StdRng::seed_from_u64(seed),
            started: now.mono,
            seeds,
            open: BTreeMap::new(),
            attempts: 0,
            rounds: 0,
            due: now.mono,
            asking: false,
            rivals: BTreeMap::new(),
            done: false,
        }
    }

    /// When to call [`Founding::wake`] next; never once it has founded or joined.
    pub fn next_wake(&self) -> Option<Duration> {
        (!self.done).then_some(self.due)
    }

    /// Whether it has founded or joined.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What this node sends to seeds.
    pub fn request(&self) -> &JoinRequest {
        &self.settings.request
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) -> Vec<FoundingStep> {
        if self.done || now.mono < self.due {
            return Vec::new();
        }
        if self.seeds.is_empty() {
            return vec![self.found()];
        }
        if self.asking {
            self.open.clear();
            self.pause(now);
            return Vec::new();
        }
        self.asking = true;
        self.due = now.mono.saturating_add(ROUND_MAX);
        let first = self.attempts + 1;
        self.attempts += self.seeds.len() as u64;
        let dials: Vec<_> = (first..).zip(self.seeds.iter().enumerate()).collect();
        self.open = dials.iter().map(|(attempt, (place, _))| (*attempt, *place)).collect();
        let dial = |(attempt, (_, (seed, _))): (u64, (usize, &(String, _)))| FoundingStep::Dial {
            attempt,
            seed: seed.clone(),
        };
        dials.into_iter().map(dial).collect()
    }

    /// An attempt ended. Being let in counts however late it comes, everything else only in its round.
    pub fn result(&mut self, now: Now, attempt: u64, result: SeedResult) -> Vec<FoundingStep> {
        if self.done || attempt == 0 || attempt > self.attempts {
            return Vec::new();
        }
        let seen = match result {
            SeedResult::Answered(JoinAnswer::Joined { cluster, digest_key, roster }) => {
                if roster.contains(self.settings.request.node) {
                    self.done = true;
                    return vec![FoundingStep::Joined { cluster, digest_key, roster }];
                }
                Seed::BadAnswer
            }
            SeedResult::Answered(JoinAnswer::NotJoinedYet { node, may_found }) => {
                self.saw(now, node, may_found);
                if node == self.settings.request.node { Seed::Itself } else { Seed::NotJoinedYet }
            }
            SeedResult::Answered(JoinAnswer::Refused(refusal)) => Seed::Refused(refusal),
            SeedResult::Unreachable(why) => Seed::Unreachable(why.chars().take(200).collect()),
        };
        let Some(place) = self.open.remove(&attempt) else { return Vec::new() };
        if let Some((_, seed)) = self.seeds.get_mut(place) {
            *seed = seen;
        }
        if self.open.is_empty() { self.end_round(now) } else { Vec::new() }
    }

    /// What this node answers when another asks it to be let in.
    pub fn asked(&mut self, now: Now, request: &JoinRequest) -> JoinAnswer {
        if self.done {
            return JoinAnswer::Refused(JoinRefusal::NotReady);
        }
        self.saw(now, request.node, request.may_found);
        let own = &self.settings.request;
        JoinAnswer::NotJoinedYet { node: own.node, may_found: own.may_found }
    }

    /// Why the node is not ready, for its 503 answers.
    pub fn report(&self, now: Now) -> FoundingReport {
        FoundingReport {
            rounds: self.rounds,
            seeds: self.seeds.iter().map(|(seed, seen)| (seed.clone(), seen.to_string())).collect(),
            waits_for: self.settings.request.may_found.then(|| self.rival(now)).flatten(),
        }
    }

    fn end_round(&mut self, now: Now) -> Vec<FoundingStep> {
        self.rounds += 1;
        // The grace is for seeds that do not answer; where all say that they have no cluster, there is none.
        let all_say_none =
            self.seeds.iter().all(|(_, seen)| matches!(seen, Seed::NotJoinedYet | Seed::Itself));
        let graced = now.mono.saturating_sub(self.started) >= FOUND_GRACE;
        let looked = self.rounds >= FOUND_ROUNDS_MIN && (graced || all_say_none);
        // A refusal is a member's, and so may be an answer that makes no sense.
        let member_seen = self
            .seeds
            .iter()
            .any(|(_, seen)| matches!(seen, Seed::Refused(_) | Seed::BadAnswer | Seed::Unasked));
        if self.settings.request.may_found && looked && !member_seen && self.rival(now).is_none() {
            return vec![self.found()];
        }
        self.pause(now);
        Vec::new()
    }

    fn found(&mut self) -> FoundingStep {
        self.done = true;
        FoundingStep::Founded { cluster: self.settings.cluster, digest_key: self.settings.digest_key.clone() }
    }

    fn pause(&mut self, now: Now) {
        self.asking = false;
        let doublings = u32::try_from(self.rounds.saturating_sub(1).min(16)).unwrap_or(16);
        // Somebody else looks too: one of us is about to found.
        let soon = self.seeds.iter().any(|(_, seen)| *seen == Seed::NotJoinedYet);
        let pause_max = if soon { ROUND_PAUSE_MIN } else { ROUND_PAUSE_MAX };
        let pause = ROUND_PAUSE_MIN.saturating_mul(1 << doublings).min(pause_max);
        let percent = self.rng.random_range(75..=125_u32);
        self.due = now.mono.saturating_add(pause * percent / 100);
    }

    fn saw(&mut self, now: Now, node: NodeId, may_found: bool) {
        self.rivals.retain(|_, seen| now.mono.saturating_sub(*seen) <= RIVAL_MEMORY);
        // Only smaller ids matter; anyone can send requests, so what is remembered of them is bounded.
        let room = self.rivals.len() < 64 || self.rivals.contains_key(&node);
        if may_found && room && node < self.settings.request.node {
            self.rivals.insert(node, now.mono);
        }
    }

    /// The node that has precedence, if one was seen lately.
    fn rival(&self, now: Now) -> Option<NodeId> {
        let lately = |(_, seen): &(&NodeId, &Duration)| now.mono.saturating_sub(**seen) <= RIVAL_MEMORY;
        self.rivals.iter().find(lately).map(|(node, _)| *node)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("not asked yet"),
            Self::Unreachable(why) => write!(f, "the seed is unreachable: {why}"),
            Self::Itself => f.write_str("the seed is this node itself"),
            Self::NotJoinedYet => f.write_str("the seed has not joined a cluster yet"),
            Self::Refused(refusal) => write!(f, "the seed refused: {refusal}"),
            Self::BadAnswer => f.write_str("the seed answered with a roster that this node is not in"),
        }
    }
}

impl fmt::Display for FoundingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not joined yet, asked {} times", self.rounds)?;
        for (seed, said) in &self.seeds {
            write!(f, "; {seed}: {said}")?;
        }
        match self.waits_for {
            Some(node) => write!(f, "; node {node} may found too and goes first"),
            None => Ok(()),
        }
    }
}
