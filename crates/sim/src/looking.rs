//! How a node comes to a cluster: looking for one, being asked, and greeting its seeds as a member. What the program's
//! driver does around [`gossip::founding`].

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::{Event, ReplyId, Serving};
use gossip::founding::{
    ClusterFacts, Founding, FoundingSettings, FoundingStep, JoinAnswer, JoinRefusal, JoinRequest, SeedResult,
    should_dissolve,
};
use gossip::liveness::LivenessState;
use gossip::meta::Meta;
use gossip::roster::Roster;
use gossip::rules::Rule;
use gossip::time::Now;
use model::{ClusterId, DigestKey, NodeId};
use rand::RngExt;

use crate::host::{HostId, Looking, State};
use crate::wall::NodeClock;
use crate::world::{Due, World, contact, http_address};

/// A seed that has not answered in this time is asked again later.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// How often seeds are asked while a member is down or the node is alone.
const GREETED_EVERY: Duration = Duration::from_secs(5);
/// A seed that nobody listens at says so after this time.
const REFUSED_AFTER: Duration = Duration::from_millis(1);

/// A question on its way to a seed, or its answer on the way back.
#[derive(Debug)]
pub(crate) struct Ask {
    host: HostId,
    run: u64,
    to: Option<HostId>,
    request: Bytes,
    why: Why,
}

/// What the answer is for.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// The node looks for a cluster.
    Looking { attempt: u64 },
    /// A member greets its seeds; whether another cluster's answer may still be a reason to end.
    Greeting { may_refuse: bool },
}

impl World {
    /// Begins to look for a cluster.
    pub(crate) fn begin_to_look(&mut self, id: HostId) {
        let now = self.now;
        let random_id = self.config.rules.hold(Rule::H16);
        let Some(request) = self.request(id, None) else { return };
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let mut cluster: [u8; 16] = host.rng.random();
        if !random_id {
            // As if it were made of the cluster's name.
            cluster = [1; 16];
        }
        let settings = FoundingSettings {
            request,
            seeds: host.settings.seeds.clone(),
            cluster: ClusterId(cluster),
            digest_key: DigestKey(host.rng.random()),
        };
        let zero = Now { mono: Duration::ZERO, wall_ms: host.wall.ms(now) };
        let founding = Founding::new(zero, settings, host.rng.random());
        host.state = State::Looking(Box::new(Looking { founding, since: now, wake: None }));
        self.look(id);
    }

    fn request(&self, id: HostId, cluster: Option<ClusterId>) -> Option<JoinRequest> {
        let host = self.hosts.get(&id)?;
        let node = host.disk.small.borrow().node?;
        let name = host.record().map_or_else(|| host.settings.name.clone(), |meta| meta.name.clone());
        Some(JoinRequest {
            node,
            name,
            gossip: host.address.clone(),
            http: http_address(&host.address),
            wire: host.speaks,
            may_found: host.settings.may_found,
            cluster,
        })
    }

    /// Does what is due of looking.
    pub(crate) fn look(&mut self, id: HostId) {
        self.with_founding(id, |founding, now| founding.wake(now));
    }

    fn with_founding(&mut self, id: HostId, act: impl FnOnce(&mut Founding, Now) -> Vec<FoundingStep>) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let wall_ms = host.wall.ms(now);
        let State::Looking(looking) = &mut host.state else { return };
        let at = Now { mono: now.saturating_sub(looking.since), wall_ms };
        let steps = act(&mut looking.founding, at);
        let request = Bytes::from(looking.founding.request().encode());
        for step in steps {
            match step {
                FoundingStep::Dial { attempt, seed } => {
                    self.ask(id, &seed, request.clone(), Why::Looking { attempt });
                }
                FoundingStep::Founded { cluster, digest_key } => return self.found(id, cluster, digest_key),
                FoundingStep::Joined { cluster, digest_key, roster } => {
                    return self.joined(id, cluster, digest_key, *roster);
                }
            }
        }
        self.rewake(id);
    }

    fn found(&mut self, id: HostId, cluster: ClusterId, digest_key: DigestKey) {
        let Some(host) = self.hosts.get(&id) else { return };
        let clock = NodeClock::start(host.disk.small.clone());
        let wall_ms = host.wall.ms(self.now);
        let node = host.disk.small.borrow().node.unwrap_or(NodeId(0));
        let stamp = gossip::core::Time::tick(&clock, wall_ms);
        let contact = stamp.map(|stamp| contact(&host.address, stamp));
        let roster = contact.and_then(|contact| Roster::found(node, &host.settings.name, contact).ok());
        let Some(roster) = roster else {
            return self.crash_of_itself(id, "the cluster could not be founded");
        };
        self.trace.say(self.now, || format!("{id} founds {cluster}"));
        self.first_record(id, cluster, digest_key, roster, true);
    }

    fn joined(&mut self, id: HostId, cluster: ClusterId, digest_key: DigestKey, roster: Roster) {
        self.trace.say(self.now, || format!("{id} was let into {cluster}"));
        let handed_over = self.config.rules.hold(Rule::H21);
        let own = self.hosts.get_mut(&id).filter(|_| !handed_over).map(|host| DigestKey(host.rng.random()));
        let digest_key = own.unwrap_or(digest_key);
        self.first_record(id, cluster, digest_key, roster, false);
    }

    fn first_record(
        &mut self,
        id: HostId,
        cluster: ClusterId,
        digest_key: DigestKey,
        roster: Roster,
        caught_up: bool,
    ) {
        let Some(host) = self.hosts.get(&id) else { return };
        let mut meta = Meta {
            node: host.disk.small.borrow().node.unwrap_or(NodeId(0)),
            name: host.settings.name.clone(),
            cluster,
            digest_key,
            roster,
            promises: Default::default(),
            caught_up,
            stability: Default::default(),
            identical: BTreeMap::new(),
            unsearched: false,
        };
        if !self.persist(id, Rc::new(meta.clone())) {
            return self.crash_of_itself(id, "its record cannot be written");
        }
        // Not on the disk.
        meta.stability.founded_now = caught_up;
        self.be_member(id, meta, false);
    }

    fn ask(&mut self, host: HostId, seed: &str, request: Bytes, why: Why) {
        self.asks_made += 1;
        let (ask, now, run) = (self.asks_made, self.now, self.run_of(host));
        let to = self.net.at(seed);
        self.asks.insert(ask, Ask { host, run, to, request, why });
        self.agenda.push(now + ASKED_FOR, Due::AskTimeout { ask });
        let Some(to) = to.filter(|to| !self.net.is_cut(host, *to)) else { return };
        let delay = self.net.delay(host, to, 300) + self.net.delay(to, host, 0);
        self.agenda.push(now + delay, Due::AskArrives { ask, to });
    }

    /// A question has come to a seed.
    pub(crate) fn ask_arrives(&mut self, ask: u64, to: HostId) {
        let Some(Ask { request, .. }) = self.asks.get(&ask) else { return };
        let request = request.clone();
        let now = self.now;
        self.trace.bytes(now, to, "ask", &request);
        let Some(host) = self.hosts.get_mut(&to) else { return };
        let wall_ms = host.wall.ms(now);
        match &mut host.state {
            State::Down => self.agenda.push(now + REFUSED_AFTER, Due::AskTimeout { ask }),
            State::Looking(looking) => {
                let at = Now { mono: now.saturating_sub(looking.since), wall_ms };
                let answer = match JoinRequest::decode(&request) {
                    Ok(request) => looking.founding.asked(at, &request),
                    Err(error) => JoinAnswer::Refused(JoinRefusal::BadRequest(error.to_string())),
                };
                self.answer(ask, to, answer.encode().into());
            }
            State::Member(member) => {
                member.replies_made += 1;
                let reply = ReplyId(member.replies_made);
                member.replies.insert(reply, ask);
                self.tell(to, Event::JoinAsked { reply, request });
            }
        }
    }

    /// A member's core has answered.
    pub(crate) fn reply(&mut self, id: HostId, reply: ReplyId, answer: Bytes) {
        let member = self.hosts.get_mut(&id).and_then(|host| host.member_mut());
        if let Some(ask) = member.and_then(|member| member.replies.remove(&reply)) {
            self.answer(ask, id, answer);
        }
    }

    fn answer(&mut self, ask: u64, by: HostId, answer: Bytes) {
        let Some(Ask { host, .. }) = self.asks.get(&ask) else { return };
        let host = *host;
        if !self.net.is_cut(by, host) {
            let delay = self.net.delay(by, host, answer.len());
            self.agenda.push(self.now + delay, Due::AskAnswered { ask, answer });
        }
    }

    /// An answer has come back.
    pub(crate) fn ask_answered(&mut self, ask: u64, answer: &Bytes) {
        let Some(Ask { host, to, .. }) = self.asks.get(&ask) else { return };
        let cut = to.is_some_and(|to| self.net.is_cut(*host, to));
        if cut {
            return;
        }
        let result = match JoinAnswer::decode(answer) {
            Ok(answer) => SeedResult::Answered(answer),
            Err(error) => SeedResult::Unreachable(error.to_string()),
        };
        self.ask_ends(ask, result);
    }

    /// Nobody has answered in time, if nobody has.
    pub(crate) fn ask_timeout(&mut self, ask: u64) {
        self.ask_ends(ask, SeedResult::Unreachable("no answer in time".into()));
    }

    fn ask_ends(&mut self, ask: u64, result: SeedResult) {
        let Some(Ask { host, run, why, .. }) = self.asks.remove(&ask) else { return };
        if run != self.run_of(host) {
            return;
        }
        match why {
            Why::Looking { attempt } => {
                self.with_founding(host, |founding, now| founding.result(now, attempt, result));
            }
            Why::Greeting { may_refuse } => self.heard_of_seed(host, result, may_refuse),
        }
    }

    /// A member asks its seeds whether they are of its cluster.
    pub(crate) fn greet(&mut self, id: HostId, first: bool) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(host) = self.hosts.get(&id) else { return };
        let Some(member) = host.member() else { return };
        let seeds = host.settings.seeds.clone();
        let may_refuse = first && member.started_on_data && seeds.len() == 1;
        let (cluster, wants) = (member.cluster, wants_seeds(member.status.as_ref()));
        if (first && member.started_on_data) || wants {
            let Some(request) = self.request(id, Some(cluster)) else { return };
            let request = Bytes::from(request.encode());
            for seed in seeds {
                self.ask(id, &seed, request.clone(), Why::Greeting { may_refuse });
            }
        }
        self.agenda.push(now + GREETED_EVERY, Due::Greet { host: id, run, first: false });
    }

    fn heard_of_seed(&mut self, id: HostId, result: SeedResult, may_refuse: bool) {
        let Some(member) = self.hosts.get(&id).and_then(|host| host.member()) else { return };
        let SeedResult::Answered(answer) = result else { return };
        let theirs = match answer {
            JoinAnswer::Refused(JoinRefusal::OtherCluster(theirs)) => theirs,
            JoinAnswer::Joined { cluster, roster, .. } if cluster == member.cluster => {
                return self.tell(id, Event::RosterHeard { roster });
            }
            _ => return,
        };
        let counts = member.store.counts();
        let members = member.status.as_ref().map_or(1, |status| status.members.len());
        let own = ClusterFacts { cluster: member.cluster, members, entries: counts.keys + counts.tombstones };
        if should_dissolve(own, theirs) {
            self.trace.say(self.now, || format!("{id} gives its cluster up"));
            return self.give_way(id);
        }
        if may_refuse && !should_dissolve(theirs, own) {
            self.crash_of_itself(id, "its data is of another cluster than its seeds");
            if let Some(host) = self.hosts.get_mut(&id) {
                host.given_up = Some("its data is of another cluster than its seeds".into());
            }
        }
    }

    /// A cluster of one without keys gives way to the seeds'.
    fn give_way(&mut self, id: HostId) {
        self.note_disk_lost(id);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.run += 1;
        host.disk.engine = None;
        host.disk.small.borrow_mut().member = None;
        self.drop_links(id, false);
        self.begin_to_look(id);
    }
}

fn wants_seeds(status: Option<&gossip::core::Status>) -> bool {
    let Some(status) = status else { return false };
    let alone = status.members.len() <= 1;
    let down = status.members.iter().any(|member| member.state == LivenessState::Down);
    status.serving != Serving::Removed && (alone || down)
}
