//! Connections between members: one a direction, in order, each frame at most once. As the program's transport does it,
//! with its bounds and its times.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gossip::core::Event;
use gossip::rules::Rule;
use gossip::wire::{self, Frame};
use model::{ClusterId, NodeId, WriterId};
use storage::Seq;

use crate::host::HostId;
use crate::world::{Due, World};

/// The bounds and times of the program's transport.
const QUEUE_FRAMES_MAX: usize = 1_024;
const QUEUE_BYTES_MAX: usize = 64 << 20;
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(24);
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(50);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// What a machine needs to take note of something of its own.
const AT_ONCE: Duration = Duration::from_micros(5);

/// A connection, by the order in which they were dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) u64);

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who dialed it, and sends frames on it.
    From,
    /// Who accepted it, and receives them.
    To,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) from_run: u64,
    pub(crate) to_run: u64,
    pub(crate) cluster: ClusterId,
    pub(crate) from_node: NodeId,
    pub(crate) from_life: WriterId,
    pub(crate) to_node: NodeId,
    pub(crate) to_life: Option<WriterId>,
    /// Each end's view of it: whether its core knows of it.
    pub(crate) from_open: bool,
    pub(crate) to_open: bool,
    pub(crate) in_flight: VecDeque<(Duration, Bytes)>,
    pub(crate) last_arrival: Duration,
    /// Since when nothing passes.
    pub(crate) stalled: Option<Duration>,
    pub(crate) broken: bool,
    /// Which ends have learned that it is no more.
    pub(crate) from_told: bool,
    pub(crate) to_told: bool,
}

impl World {
    /// Queues a frame for a peer.
    pub(crate) fn send(&mut self, host: HostId, to: NodeId, frame: &Frame, after: Seq) {
        let may_be_lost = matches!(frame, Frame::Rumor(_) | Frame::RumorAnswer { .. });
        let Ok(bytes) = wire::encode(frame) else { return self.close(host, to) };
        let now = self.now;
        if let Some(watch) = &mut self.watch {
            watch.frame(host, frame, bytes.len());
        }
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        let Some(out) = member.outs.get_mut(&to) else { return };
        let full = !out.queue.is_empty()
            && (out.queue.len() >= QUEUE_FRAMES_MAX || out.queued + bytes.len() > QUEUE_BYTES_MAX);
        if full && may_be_lost {
            return;
        }
        if full {
            return self.close(host, to);
        }
        out.queued += bytes.len();
        out.queue.push_back((bytes, after));
        out.waits_since.get_or_insert(now);
        self.pump(host, to);
    }

    /// Sends what may leave, and sees to it that the rest will.
    pub(crate) fn pump(&mut self, host: HostId, peer: NodeId) {
        let gated = self.config.rules.hold(Rule::H2);
        let now = self.now;
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        let durable = member.flusher.durable;
        let run_dial;
        let mut leaving = Vec::new();
        let mut wanted = None;
        {
            let Some(out) = member.outs.get_mut(&peer) else { return };
            if let (Some(link), true) = (out.link, out.open) {
                while let Some((bytes, after)) = out.queue.front().cloned() {
                    if gated && after > durable {
                        wanted = Some(after);
                        break;
                    }
                    out.queue.pop_front();
                    out.queued -= bytes.len();
                    leaving.push((link, bytes));
                }
                out.waits_since = (!out.queue.is_empty()).then_some(now);
                run_dial = None;
            } else if !out.queue.is_empty() && out.link.is_none() && !out.dialing {
                out.dialing = true;
                run_dial = Some(out.not_before.max(now + AT_ONCE));
            } else {
                run_dial = None;
            }
        }
        let run = self.run_of(host);
        for (link, bytes) in leaving {
            self.fly(link, bytes);
        }
        if let Some(at) = run_dial {
            self.agenda.push(at, Due::Dial { host, run, peer });
        }
        if let Some(seq) = wanted {
            self.want_flush(host, seq);
        }
    }

    /// Pumps all of a host's queues: something has become durable.
    pub(crate) fn pump_all(&mut self, host: HostId) {
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return };
        let waiting = member.outs.iter().filter(|(_, out)| !out.queue.is_empty());
        for peer in waiting.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.pump(host, peer);
        }
    }

    fn fly(&mut self, id: LinkId, bytes: Bytes) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let delay = self.net.delay(link.from, link.to, bytes.len());
        let delay = delay + self.net.resent(link.from, link.to);
        let at = (now + delay).max(link.last_arrival);
        link.last_arrival = at;
        let first = link.in_flight.is_empty();
        link.in_flight.push_back((at, bytes));
        if first && link.stalled.is_none() {
            self.agenda.push(at, Due::Deliver { link: id });
        }
    }

    /// The next frame of a connection arrives.
    pub(crate) fn deliver(&mut self, id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let (from, to, peer, life) = (link.from, link.to, link.from_node, link.from_life);
        if link.stalled.is_some() || link.in_flight.front().is_none_or(|(at, _)| *at > now) {
            return;
        }
        if self.net.is_cut(from, to) && !link.broken {
            link.stalled = Some(now);
            return self.agenda.push(now + SILENCE_MAX, Due::Silent { link: id, since: now });
        }
        let Some((_, bytes)) = link.in_flight.pop_front() else { return };
        if let Some((at, _)) = link.in_flight.front() {
            self.agenda.push((*at).max(now), Due::Deliver { link: id });
        }
        let (open, run) = (link.to_open, link.to_run);
        if run != self.run_of(to) {
            // A process that knows nothing of this connection says so; a machine that is off says nothing.
            if self.hosts.get(&to).is_some_and(|host| !host.is_down()) {
                self.break_link(id, Some(to), false);
            }
            return;
        }
        if !open {
            return;
        }
        self.count.frames += 1;
        match wire::decode(&bytes) {
            Ok(frame) => {
                self.trace.bytes(now, to, "frame", &bytes);
                if let Some(watch) = self.watch.as_mut().filter(|_| matches!(frame, Frame::Rumor(_))) {
                    watch.rumor(now, from, to);
                }
                self.tell(to, Event::Frame { from: peer, life, frame });
            }
            Err(_) => self.close(to, peer),
        }
    }

    /// What stood still goes on, where nothing is in the way any more.
    pub(crate) fn links_go_on(&mut self) {
        let now = self.now;
        let ready: Vec<LinkId> =
            self.links.iter().filter(|(_, l)| l.stalled.is_some()).map(|(id, _)| *id).collect();
        for id in ready {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if self.net.is_cut(link.from, link.to) {
                continue;
            }
            link.stalled = None;
            let delay = self.net.delay(link.from, link.to, 0);
            let at = now + delay;
            link.in_flight.iter_mut().for_each(|(due, _)| *due = (*due).max(at));
            link.last_arrival = link.last_arrival.max(at);
            self.agenda.push(at, Due::Deliver { link: id });
        }
    }

    /// A connection on which nothing has passed for too long.
    pub(crate) fn silent(&mut self, id: LinkId, since: Duration) {
        if self.links.get(&id).is_some_and(|link| link.stalled == Some(since)) {
            self.break_link(id, None, true);
        }
    }

    /// Ends both connections with a peer, as this host's transport is told to.
    pub(crate) fn close(&mut self, host: HostId, peer: NodeId) {
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        let accepted = member.accepted.get(&peer).copied();
        let mut own = None;
        if let Some(out) = member.outs.get_mut(&peer) {
            out.queue.clear();
            (out.queued, out.waits_since) = (0, None);
            own = out.link.filter(|_| out.open);
        }
        for id in [accepted, own].into_iter().flatten() {
            self.break_link(id, Some(host), false);
        }
    }

    /// A connection ends: `by` knows at once, the other side when it can. `silent`: both just notice.
    pub(crate) fn break_link(&mut self, id: LinkId, by: Option<HostId>, silent: bool) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let (from, to) = (link.from, link.to);
        if std::mem::replace(&mut link.broken, true) {
            // One end had not noticed yet, and gives it up by itself.
            let side = if by == Some(from) { Side::From } else { Side::To };
            if by.is_some() {
                self.agenda.push(now + AT_ONCE, Due::Lost { link: id, side });
            }
            return;
        }
        let cut = self.net.is_cut(from, to);
        // Some of what was under way may still come, and everything behind it never will.
        let kept =
            if cut || by == Some(to) { 0 } else { self.net.draw(from, to, link.in_flight.len() as u64 + 1) };
        link.in_flight.truncate(kept as usize);
        link.stalled = None;
        let behind = link.in_flight.back().map_or(now, |(at, _)| *at);
        for (side, host, other) in [(Side::From, from, to), (Side::To, to, from)] {
            let at = if by == Some(host) || silent {
                now + AT_ONCE
            } else if cut {
                now + SILENCE_MAX
            } else {
                (now + self.net.delay(other, host, 0)).max(behind + AT_ONCE)
            };
            self.agenda.push(at, Due::Lost { link: id, side });
        }
    }

    /// One end learns that a connection is no more.
    pub(crate) fn lose_side(&mut self, id: LinkId, side: Side) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.broken = true;
        let (host, run, peer, open) = match side {
            Side::From => {
                link.from_told = true;
                (link.from, link.from_run, link.to_node, std::mem::take(&mut link.from_open))
            }
            Side::To => {
                link.to_told = true;
                (link.to, link.to_run, link.from_node, std::mem::take(&mut link.to_open))
            }
        };
        if link.from_told && link.to_told {
            self.links.remove(&id);
        }
        if run != self.run_of(host) {
            return;
        }
        let Some(member) = self.hosts.get_mut(&host).and_then(|h| h.member_mut()) else { return };
        match side {
            Side::To => {
                if member.accepted.get(&peer) == Some(&id) {
                    member.accepted.remove(&peer);
                }
            }
            Side::From => {
                if let Some(out) = member.outs.get_mut(&peer).filter(|out| out.link == Some(id)) {
                    (out.link, out.open, out.dialing) = (None, false, false);
                    out.queue.clear();
                    (out.queued, out.waits_since) = (0, None);
                }
            }
        }
        if open {
            self.tell(host, Event::Disconnected { peer });
            self.pump(host, peer);
        }
    }

    /// All connections of a host whose process has ended. `silent`: the machine went with it, and nobody is told.
    pub(crate) fn drop_links(&mut self, host: HostId, silent: bool) {
        let of_host = |link: &Link| link.from == host || link.to == host;
        let ids: Vec<LinkId> = self.links.iter().filter(|(_, l)| of_host(l)).map(|(id, _)| *id).collect();
        for id in ids {
            if silent {
                let at = self.now + SILENCE_MAX;
                let Some(link) = self.links.get_mut(&id) else { continue };
                let side = if link.from == host { Side::To } else { Side::From };
                link.from_told |= side == Side::To;
                link.to_told |= side == Side::From;
                self.agenda.push(at, Due::Lost { link: id, side });
            } else {
                self.break_link(id, Some(host), false);
            }
        }
    }
}
