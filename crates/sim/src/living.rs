//! A node's lives: started, stopped, killed, wiped. What the program does between its start and a running core.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gossip::core::{Core, CoreConfig, Env, Event, Time};
use gossip::meta::Meta;
use gossip::rules::Rule;
use model::{NodeId, TokenKey, WriterId};
use rand::RngExt;
use storage::{DamagedRecord, MemoryEngine, Store};

use crate::disk::Kept;
use crate::host::{Flusher, Host, HostId, Member, Seen, State};
use crate::wall::NodeClock;
use crate::world::{Due, World, contact};

impl World {
    /// Switches the node on, on what its disk holds.
    pub(crate) fn start(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if !host.is_down() || host.given_up.is_some() {
            return;
        }
        host.run += 1;
        host.paused_until = Duration::ZERO;
        if host.disk.small.borrow().node.is_none() {
            host.disk.small.borrow_mut().node = Some(NodeId(host.rng.random()));
        }
        self.trace.number(self.now, id, "start", 0);
        self.trace.say(self.now, || format!("{id} starts"));
        let record = self.hosts.get(&id).and_then(|host| host.disk.small.borrow().member.clone());
        let formed = self.hosts.get_mut(&id).is_some_and(|host| std::mem::take(&mut host.formed));
        match record.and_then(|record| record.read()) {
            Some(mut meta) => {
                // Not on the disk.
                meta.stability.founded_now = formed;
                self.be_member(id, meta, true);
            }
            None => self.begin_to_look(id),
        }
    }

    /// A member begins a life on what its disk holds.
    pub(crate) fn be_member(&mut self, id: HostId, mut meta: Meta, on_data: bool) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        // Noted before the engine's folder is made anew: a node that ends in between must not forget that it is behind.
        if host.disk.engine.is_none() && meta.counts_losses() {
            meta.lost_records_under(self.config.rules);
            if !self.persist(id, Rc::new(meta.clone())) {
                return self.crash_of_itself(id, "its record cannot be written");
            }
        }
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let engine = Arc::clone(host.disk.engine.get_or_insert_with(|| Arc::new(MemoryEngine::new())));
        let (small, wall, address) = (host.disk.small.clone(), host.wall, host.address.clone());
        let Some(store) = self.open_store(id, &mut meta, engine.clone()) else { return };
        let clock = NodeClock::start(small);
        let above_its_past = self.config.rules.hold(Rule::H11);
        if let Some(add) = meta.roster.added(meta.node).filter(|_| above_its_past) {
            let told = meta.roster.contact(meta.node).map_or(add.at, |contact| contact.stamp);
            clock.start_above(add.at.max(told));
        }
        let Some(stamp) = clock.tick(wall.ms(now)) else {
            return self.crash_of_itself(id, "the clock's reservation cannot be written");
        };
        let life = self.life(id);
        let contact = contact(&address, stamp);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let seed = host.rng.random();
        let zero = gossip::time::Now { mono: Duration::ZERO, wall_ms: wall.ms(now) };
        let env = Env { now: zero, store: &store, time: &clock };
        // The only member has nobody to be behind of.
        let behind = !meta.caught_up && meta.has_others();
        let facts = (meta.node, meta.cluster, meta.digest_key.clone());
        let config = CoreConfig { wire: host.speaks, ..self.config.clone() };
        let (core, first) = Core::start(config, meta, contact, seed, env);
        let member = Member {
            core,
            store,
            engine,
            clock,
            node: facts.0,
            life,
            cluster: facts.1,
            token_key: TokenKey::derive(&facts.2),
            digest_key: facts.2,
            status: None,
            since: now,
            wake: None,
            flusher: Flusher::default(),
            outs: Default::default(),
            accepted: Default::default(),
            news: Vec::new(),
            news_last: Duration::ZERO,
            replies: Default::default(),
            replies_made: 0,
            started_on_data: on_data,
            seen: Seen::default(),
        };
        self.begin(id, member, first, behind);
    }

    /// Opens the store without what is damaged in it; that records were lost is on disk before. The new life is that of
    /// another writer, so it is healed by the others and not believed.
    fn open_store(&mut self, id: HostId, meta: &mut Meta, engine: Arc<MemoryEngine>) -> Option<Store> {
        let full = self.hosts.get(&id).is_some_and(|host| host.disk.small.borrow().full);
        let mut damaged = 0;
        let mut set_aside = |records: &[DamagedRecord]| {
            damaged += records.len();
            if full { Err("nothing more can be written".to_owned()) } else { Ok(()) }
        };
        let (key, marks) = (meta.digest_key.clone(), meta.stability.marks());
        let store = match Store::open_healing(engine, key, marks, &mut |_| {}, &mut set_aside) {
            Ok(store) => store,
            Err(error) => {
                self.crash_of_itself(id, &error.to_string());
                return None;
            }
        };
        if damaged > 0 && meta.counts_losses() {
            self.trace.say(self.now, || format!("{id} has lost {damaged} records"));
            meta.lost_records_under(self.config.rules);
            self.persist(id, Rc::new(meta.clone()));
        }
        let stopped = Arc::clone(&self.store_stopped);
        store.on_stop(Box::new(move || stopped.store(true, Ordering::Relaxed)));
        Some(store)
    }

    /// Where a store has stopped for damaged records alone the node goes on without them, in a new life.
    pub(crate) fn heal_stopped(&mut self) {
        if !self.store_stopped.swap(false, Ordering::Relaxed) {
            return;
        }
        let is_damaged = |host: &Host| host.member().is_some_and(|member| member.store.give_up().is_some());
        let damaged = self.hosts.iter().filter(|(_, host)| is_damaged(host)).map(|(id, _)| *id);
        for id in damaged.collect::<Vec<_>>() {
            self.trace.say(self.now, || format!("{id} has found a damaged record"));
            let goes_on = !self.config.rules.hold(Rule::H24);
            let life = self.hosts.get(&id).and_then(Host::member).map(|member| member.life);
            self.process_ends(id, false);
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.same_life = life.filter(|_| goes_on);
            if let Some(meta) = host.record() {
                // Which cluster it is of was settled at the start of the process.
                self.be_member(id, Rc::unwrap_or_clone(meta), false);
            }
        }
    }

    fn begin(&mut self, id: HostId, member: Member, first: Vec<gossip::core::Action>, behind: bool) {
        let (now, failure) = (self.now, member.store.failure());
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.run += 1;
        host.state = State::Member(Box::new(member));
        let run = host.run;
        self.trace.say(now, || format!("{id} begins a life{}", if behind { ", behind" } else { "" }));
        self.check_opened(id, behind);
        self.act(id, first);
        if let Some(reason) = failure {
            self.tell_stopped(id, &reason);
        }
        self.agenda.push(now + Duration::from_millis(1), Due::Greet { host: id, run, first: true });
        self.rewake(id);
    }

    /// A new writer for each life, unless that rule is switched off.
    fn life(&mut self, id: HostId) -> WriterId {
        let always_new = self.config.rules.hold(Rule::H2);
        let Some(host) = self.hosts.get_mut(&id) else { return WriterId(0) };
        if let Some(same) = host.same_life.take() {
            return same;
        }
        let fresh = WriterId(host.rng.random());
        let mut small = host.disk.small.borrow_mut();
        if always_new { fresh } else { *small.writer.get_or_insert(fresh) }
    }

    /// The process is asked to stop: says goodbye, makes everything durable, notes that all is well.
    pub(crate) fn stop(&mut self, id: HostId) {
        if self.hosts.get(&id).is_none_or(|host| host.is_down()) {
            return;
        }
        self.trace.say(self.now, || format!("{id} stops"));
        self.flush_now(id);
        self.tell(id, Event::Stop);
        self.flush_now(id);
        self.pump_all(id);
        if let Some(member) = self.hosts.get(&id).and_then(|host| host.member()) {
            // What cannot be noted is read in full at the next start.
            let _ = member.store.note_clean_stop();
        }
        self.process_ends(id, false);
    }

    /// The node has left its cluster, and its process ends: the machine is put to another use. Nobody else may need what
    /// is on its disk, unless it was forced to leave.
    pub(crate) fn has_left(&mut self, id: HostId) {
        let node = self.hosts.get(&id).and_then(|host| host.member()).map(|member| member.node);
        self.stop(id);
        if node.is_some_and(|node| self.ledger.forced.contains(&(node, node))) {
            self.note_disk_lost(id);
        } else {
            self.note_left(id);
        }
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.disk.wipe();
        host.given_up = Some("it has left its cluster".into());
        self.check_acknowledged();
    }

    /// As if the flush under way ended now.
    fn flush_now(&mut self, id: HostId) {
        let Some(member) = self.hosts.get_mut(&id).and_then(|host| host.member_mut()) else { return };
        if member.store.failure().is_none() {
            member.flusher.running = Some((member.store.written(), member.engine.unflushed()));
            self.flushed(id);
        }
    }

    /// The process ends without a warning; `power`: the machine with it.
    pub(crate) fn crash(&mut self, id: HostId, kept: Kept, power: bool) {
        if self.hosts.get(&id).is_none_or(|host| host.is_down()) {
            return;
        }
        self.trace.say(self.now, || format!("{id} crashes, {kept:?}, power {power}"));
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.crash(kept);
        }
        self.note_unflushed_lost(id);
        self.process_ends(id, power);
        self.check_acknowledged();
    }

    /// The node ends by itself, with an error. A person starts it again.
    pub(crate) fn crash_of_itself(&mut self, id: HostId, why: &str) {
        self.trace.say(self.now, || format!("{id} ends: {why}"));
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.crash(Kept::Prefix(1_000));
        }
        self.note_unflushed_lost(id);
        self.process_ends(id, false);
    }

    fn process_ends(&mut self, id: HostId, silent: bool) {
        self.drop_links(id, silent);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.run += 1;
        host.state = State::Down;
        host.paused_until = Duration::ZERO;
        host.dies = None;
        self.trace.number(self.now, id, "end", u64::from(silent));
    }

    /// The machine comes back somewhere else.
    pub(crate) fn move_host(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.moves += 1;
        host.address = crate::world::address(id, host.moves);
        let address = host.address.clone();
        self.net.listen(id, &address);
    }
}
