//! What the program's driver does, in virtual time: hands events to the core and does what it says, in order.

use std::rc::Rc;
use std::time::Duration;

use gossip::core::{Action, Env, Event};
use gossip::meta::Meta;
use gossip::stability::take_out;
use storage::{Seq, StoreError};

use crate::disk::Record;
use crate::host::{Death, HostId, Out, State, Waiter};
use crate::world::{Due, World};

/// Writes that nobody waits for are made durable within this time.
const FLUSH_AT_LATEST: Duration = Duration::from_secs(1);
/// News is fetched no sooner than this after the last.
const NEWS_EVERY: Duration = Duration::from_millis(2);
/// Microseconds until a record is on a disk that is well.
const RECORD_TAKES: std::ops::Range<u64> = 200..3_000;
/// However slow a disk is.
const RECORD_TAKES_AT_MOST: Duration = Duration::from_secs(3);
/// The shortest time between a timer that is overdue and its next look.
const TURN: Duration = Duration::from_micros(20);

impl World {
    /// Hands an event to a host's core, if there is one.
    pub(crate) fn tell(&mut self, id: HostId, event: Event) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let wall = host.wall;
        let State::Member(member) = &mut host.state else { return };
        let kind = kind(&event);
        self.trace.number(now, id, kind, 0);
        self.trace.say(now, || format!("{id} {}", words(&event)));
        let env = Env { now: member.now(now, &wall), store: &member.store, time: &member.clock };
        let actions = member.core.handle(event, env);
        self.act(id, actions);
        self.rewake(id);
    }

    /// A timer of a host is due.
    pub(crate) fn wake(&mut self, id: HostId) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        match &mut host.state {
            State::Down => {}
            State::Looking(looking) => {
                if looking.wake.is_some_and(|at| at <= now) {
                    looking.wake = None;
                    self.look(id);
                }
            }
            State::Member(member) => {
                if member.wake.is_some_and(|at| at <= now) {
                    member.wake = None;
                    self.tell(id, Event::Wake);
                }
            }
        }
    }

    /// Sets a host's timer anew.
    pub(crate) fn rewake(&mut self, id: HostId) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let run = host.run;
        let (wake, at) = match &mut host.state {
            State::Down => return,
            State::Looking(looking) => {
                (&mut looking.wake, looking.founding.next_wake().map(|at| looking.since + at))
            }
            State::Member(member) => (&mut member.wake, member.core.next_wake().map(|at| member.since + at)),
        };
        let Some(at) = at.map(|at| at.max(now + TURN)) else { return };
        if wake.is_none_or(|set| at < set || set <= now) {
            *wake = Some(at);
            self.agenda.push(at, Due::Wake { host: id, run });
        }
    }

    pub(crate) fn act(&mut self, id: HostId, actions: Vec<Action>) {
        for action in actions {
            if self.hosts.get(&id).is_none_or(|host| host.member().is_none()) || self.dies(id) {
                return;
            }
            match action {
                Action::SendHeartbeat { address, bytes, .. } => {
                    let Some(to) = self.net.at(&address) else { continue };
                    if let Some(watch) = &mut self.watch {
                        watch.datagram(id, bytes.len());
                    }
                    for delay in self.net.datagram(id, to, bytes.len()) {
                        self.agenda.push(self.now + delay, Due::Datagram { to, bytes: bytes.clone() });
                    }
                }
                Action::Send { to, frame, after } => self.send(id, to, &frame, after),
                Action::Reply { reply, answer } => self.reply(id, reply, answer),
                Action::Answer { answer, .. } => {
                    self.trace.say(self.now, || format!("{id} answers {answer:?}"))
                }
                Action::CloseWrites => {
                    // Its clients learn from the status, which comes with the same actions; theirs are at once.
                    let (now, run) = (self.now, self.run_of(id));
                    self.agenda.push(now, Due::Tell { host: id, run, event: Box::new(Event::WritesClosed) });
                }
                Action::Left => return self.has_left(id),
                Action::Merge { op, entries } => self.merge(id, op, &entries),
                Action::Quarantine { op, entries } => self.quarantine(id, op, &entries),
                Action::Advance { op, marks, rows } => {
                    let step = self.step(id, |store| store.advance(marks, rows).map(|step| step.done));
                    self.stepped(id, step.map(|done| Event::Advanced { op, done }));
                }
                Action::Forget { op, upto, rows } => {
                    let step = self.step(id, |store| store.forget(upto, rows).map(|step| step.done));
                    self.stepped(id, step.map(|done| Event::Forgot { op, done }));
                }
                Action::AwaitDurable { op, seq } => self.await_durable(id, seq, Waiter::Core(op)),
                Action::Persist(meta) => {
                    if !self.persist(id, Rc::new(*meta)) {
                        return self.crash_of_itself(id, "its record cannot be written");
                    }
                }
                Action::Keep(meta) => {
                    self.persist(id, Rc::new(*meta));
                }
                Action::Contact { peer, address } => {
                    let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
                    let out = member.outs.entry(peer).or_insert_with(Out::default);
                    if out.address != address {
                        out.address = address;
                        (out.not_before, out.moved) = (Duration::ZERO, out.dialing);
                    }
                }
                Action::Disconnect { peer, forget } => {
                    self.close(id, peer);
                    if forget && let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) {
                        member.outs.remove(&peer);
                    }
                }
                Action::Publish(status) => {
                    let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
                    member.status = Some(*status);
                }
            }
        }
    }

    /// Whether the process is killed before what it would do next.
    fn dies(&mut self, id: HostId) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(Death { kept, off, .. }) = host.dies.take_if(|death| death.after == 0) else {
            if let Some(death) = &mut host.dies {
                death.after -= 1;
            }
            return false;
        };
        self.crash(id, kept, false);
        self.back_later(id, off, false);
        true
    }

    /// Puts a member's record on its disk; says whether the disk took it.
    pub(crate) fn persist(&mut self, id: HostId, meta: Rc<Meta>) -> bool {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        if host.disk.small.borrow().full {
            return false;
        }
        if host.disk.slow > 1 {
            let micros = rand::RngExt::random_range(&mut host.rng, RECORD_TAKES) * u64::from(host.disk.slow);
            let time = Duration::from_micros(micros).min(RECORD_TAKES_AT_MOST);
            host.paused_until = host.paused_until.max(now + time);
        }
        let before = host.record();
        host.disk.small.borrow_mut().member = Some(Record::new(Rc::clone(&meta)));
        self.check_record(id, before.as_deref(), &meta);
        self.check_horizon(id, &meta);
        true
    }

    fn merge(&mut self, id: HostId, op: u64, entries: &[(model::Key, model::Entry)]) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        let event = match member.store.merge(entries) {
            Ok(merged) => {
                if merged.clashes > 0 {
                    self.clash(id);
                }
                Event::Stored { op, changed: merged.changed }
            }
            Err(error) => Event::StoreStopped { reason: error.to_string() },
        };
        self.agenda.push(now, Due::Tell { host: id, run, event: Box::new(event) });
        entries.iter().for_each(|(key, _)| self.check_key(id, key));
        self.check_root(id);
        self.flush_some_time(id);
    }

    fn step(
        &self,
        id: HostId,
        step: impl FnOnce(&storage::Store) -> Result<bool, StoreError>,
    ) -> Result<bool, String> {
        let member = self.hosts.get(&id).and_then(|h| h.member()).ok_or("no member runs there")?;
        step(&member.store).map_err(|error| error.to_string())
    }

    /// A step of forgetting was taken: the checkers look at what it changed.
    fn stepped(&mut self, id: HostId, step: Result<Event, String>) {
        let (now, run) = (self.now, self.run_of(id));
        self.see_forgotten(id);
        self.flush_some_time(id);
        let event = step.unwrap_or_else(|reason| Event::StoreStopped { reason });
        self.agenda.push(now, Due::Tell { host: id, run, event: Box::new(event) });
    }

    /// Takes siblings out of the store that this node alone holds. The file that they go to is durable before.
    fn quarantine(&mut self, id: HostId, op: u64, entries: &[(model::Key, model::Entry)]) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        let event = match take_out(&member.store, entries) {
            Ok(()) => Event::Stored { op, changed: vec![true; entries.len()] },
            Err(error) => Event::StoreStopped { reason: error.to_string() },
        };
        self.check_quarantined(id, entries);
        self.agenda.push(now, Due::Tell { host: id, run, event: Box::new(event) });
        entries.iter().for_each(|(key, _)| self.check_key(id, key));
        self.check_root(id);
        self.flush_some_time(id);
    }

    /// Somebody waits until a write is durable.
    pub(crate) fn await_durable(&mut self, id: HostId, seq: Seq, waiter: Waiter) {
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        if let Some(reason) = member.store.failure() {
            return self.tell_stopped(id, &reason);
        }
        if member.is_durable(seq) {
            return self.release(id, waiter);
        }
        member.flusher.waiting.push((seq, waiter));
        self.want_flush(id, seq);
    }

    pub(crate) fn tell_stopped(&mut self, id: HostId, reason: &str) {
        let (now, run) = (self.now, self.run_of(id));
        let event = Box::new(Event::StoreStopped { reason: reason.to_owned() });
        self.agenda.push(now, Due::Tell { host: id, run, event });
    }

    fn release(&mut self, id: HostId, waiter: Waiter) {
        let (now, run) = (self.now, self.run_of(id));
        match waiter {
            Waiter::Core(op) => {
                let event = Box::new(Event::Durable { op });
                self.agenda.push(now, Due::Tell { host: id, run, event });
            }
            Waiter::Client { write, dot, key, changed } => {
                self.acknowledge(id, write, dot);
                if changed {
                    self.gather_news(id, key);
                }
            }
        }
    }

    fn gather_news(&mut self, id: HostId, key: model::Key) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        member.news.push(key);
        if member.news.len() == 1 {
            let at = now.max(member.news_last + NEWS_EVERY);
            self.agenda.push(at, Due::News { host: id, run });
        }
    }

    /// The core learns of clients' writes.
    pub(crate) fn news(&mut self, id: HostId) {
        let now = self.now;
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        member.news_last = now;
        let keys = std::mem::take(&mut member.news);
        self.tell(id, Event::Wrote { keys });
    }

    /// Something must become durable: the flush under way does it, or one is begun.
    pub(crate) fn want_flush(&mut self, id: HostId, seq: Seq) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let slow = host.disk.slow.max(1);
        let micros = rand::RngExt::random_range(&mut host.rng, 60..1_500_u64) * u64::from(slow);
        let Some(member) = host.member_mut() else { return };
        let flusher = &mut member.flusher;
        flusher.wanted = flusher.wanted.max(seq);
        if flusher.running.is_none() && flusher.wanted > flusher.durable && member.store.failure().is_none() {
            member.flusher.running = Some((member.store.written(), member.engine.unflushed()));
            self.agenda.push(now + Duration::from_micros(micros), Due::Flushed { host: id, run });
        }
    }

    fn flush_some_time(&mut self, id: HostId) {
        let (now, run) = (self.now, self.run_of(id));
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        if !std::mem::replace(&mut member.flusher.idle, true) {
            self.agenda.push(now + FLUSH_AT_LATEST, Due::IdleFlush { host: id, run });
        }
    }

    pub(crate) fn idle_flush(&mut self, id: HostId) {
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        member.flusher.idle = false;
        let written = member.store.written();
        self.want_flush(id, written);
    }

    /// A flush has ended, well or not.
    pub(crate) fn flushed(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let fails = std::mem::take(&mut host.disk.flush_fails);
        let Some(member) = host.member_mut() else { return };
        let Some((upto, writes)) = member.flusher.running.take() else { return };
        if fails {
            member.engine.fail_next_flush();
            let reason = match member.store.flush() {
                Err(error) => error.to_string(),
                // Nothing was left to flush: nothing failed.
                Ok(_) => return,
            };
            return self.disk_failed(id, &reason);
        }
        member.engine.flush_first(writes);
        member.flusher.durable = upto;
        let (ready, waiting) =
            std::mem::take(&mut member.flusher.waiting).into_iter().partition(|(seq, _)| *seq <= upto);
        member.flusher.waiting = waiting;
        let wanted = member.flusher.wanted;
        let ready: Vec<(Seq, Waiter)> = ready;
        self.trace.number(self.now, id, "flushed", upto.0);
        ready.into_iter().for_each(|(_, waiter)| self.release(id, waiter));
        self.pump_all(id);
        self.want_flush(id, wanted);
    }

    /// The store has stopped: whoever waits is told, and what rests on what will never be durable never leaves.
    pub(crate) fn disk_failed(&mut self, id: HostId, reason: &str) {
        self.trace.say(self.now, || format!("{id} store stopped: {reason}"));
        let Some(member) = self.hosts.get_mut(&id).and_then(|h| h.member_mut()) else { return };
        member.flusher.waiting.clear();
        let durable = member.flusher.durable;
        let stuck = |out: &Out| out.queue.iter().any(|(_, after)| *after > durable);
        let peers: Vec<_> = member.outs.iter().filter(|(_, out)| stuck(out)).map(|(peer, _)| *peer).collect();
        self.tell_stopped(id, reason);
        peers.into_iter().for_each(|peer| self.close(id, peer));
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Wake => "wake",
        Event::Heartbeat { .. } => "heartbeat",
        Event::Frame { .. } => "frame",
        Event::Connected { .. } => "connected",
        Event::Disconnected { .. } => "disconnected",
        Event::Wrote { .. } => "wrote",
        Event::Stored { .. } => "stored",
        Event::Advanced { .. } => "advanced",
        Event::Forgot { .. } => "forgot",
        Event::Durable { .. } => "durable",
        Event::StoreStopped { .. } => "store stopped",
        Event::JoinAsked { .. } => "join asked",
        Event::RosterHeard { .. } => "roster heard",
        Event::Foreground(_) => "foreground",
        Event::RepairWanted { .. } => "repair wanted",
        Event::LeaveWanted { .. } => "leave wanted",
        Event::EvictWanted { .. } => "evict wanted",
        Event::WritesClosed => "writes closed",
        Event::Stop => "stop",
    }
}

fn words(event: &Event) -> String {
    let mut text = format!("{event:?}");
    if let Some((at, _)) = text.char_indices().nth(300) {
        text.truncate(at);
    }
    text
}
