//! Connections made: dialed, accepted, welcomed, or not. As the program's transport does it.

use std::collections::VecDeque;
use std::time::Duration;

use gossip::core::Event;
use gossip::founding::WireVersions;
use model::NodeId;

use crate::host::{HostId, Out};
use crate::links::{BACKOFF_MAX, BACKOFF_MIN, Link, LinkId, SILENCE_MAX, Side};
use crate::world::{Due, World};

/// The bounds and times of the program's transport.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

impl World {
    pub(crate) fn dial(&mut self, host: HostId, peer: NodeId) {
        let now = self.now;
        let Some(h) = self.hosts.get(&host) else { return };
        let (run, Some(member)) = (h.run, h.member()) else { return };
        let Some(out) = member.outs.get(&peer) else { return };
        let (cluster, from_node, from_life) = (member.cluster, member.node, member.life);
        let Some(to) = self.net.at(&out.address).filter(|to| !self.net.is_cut(host, *to)) else {
            return self
                .agenda
                .push(now + CONNECT_TIME_MAX, Due::DialFailed { host, run, peer, refused: false });
        };
        self.links_made += 1;
        let id = LinkId(self.links_made);
        let delay = self.net.delay(host, to, 200);
        let link = Link {
            from: host,
            to,
            from_run: run,
            to_run: 0,
            cluster,
            from_node,
            from_life,
            to_node: peer,
            to_life: None,
            from_open: false,
            to_open: false,
            in_flight: VecDeque::new(),
            last_arrival: now,
            stalled: None,
            broken: false,
            from_told: false,
            to_told: false,
        };
        self.links.insert(id, link);
        self.with_out(host, peer, |out| out.link = Some(id));
        self.agenda.push(now + delay, Due::Hello { link: id });
    }

    fn with_out(&mut self, host: HostId, peer: NodeId, change: impl FnOnce(&mut Out)) {
        let member = self.hosts.get_mut(&host).and_then(|h| h.member_mut());
        if let Some(out) = member.and_then(|m| m.outs.get_mut(&peer)) {
            change(out);
        }
    }

    /// A dialer's first words have arrived.
    pub(crate) fn hello(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let (from, to, peer, life) = (link.from, link.to, link.from_node, link.from_life);
        let (wanted, cluster, dialer_run) = (link.to_node, link.cluster, link.from_run);
        let now = self.now;
        let back = self.net.delay(to, from, 100);
        let run = self.run_of(to);
        let Some(host) = self.hosts.get_mut(&to) else { return };
        let (address, listens) = (host.address.clone(), !host.is_down());
        if host.member().is_none() {
            // Nobody listens, or has not joined yet.
            return self.dial_fails(id, now + back, listens);
        }
        let speaks = |host: HostId| self.hosts.get(&host).map(|host| host.speaks);
        if let (Some(one), Some(other)) = (speaks(from), speaks(to))
            && !one.meets(other)
        {
            let said = |versions: WireVersions| format!("{} to {}", versions.oldest, versions.newest);
            self.trace.say(now, || {
                format!(
                    "{to} refuses {from}: wire versions {} were offered, {} are spoken",
                    said(one),
                    said(other)
                )
            });
            return self.dial_fails(id, now + back, true);
        }
        let Some(member) = self.hosts.get_mut(&to).and_then(|h| h.member_mut()) else { return };
        if member.cluster != cluster || member.node == peer || member.node != wanted {
            return self.dial_fails(id, now + back, true);
        }
        let own_life = member.life;
        let before = member.accepted.insert(peer, id);
        let own = member.outs.get(&peer).and_then(|out| out.link);
        if let Some(before) = before {
            // Of two connections of one peer the later one stays, and the end of the other is told first.
            self.lose_side(before, Side::To);
            self.agenda.push(now + back, Due::Lost { link: before, side: Side::From });
        }
        if let Some(own) = own
            && self.links.get(&own).is_some_and(|own| own.to_life.is_some_and(|known| known != life))
        {
            self.break_link(own, Some(to), false);
        }
        let cut = self.net.is_cut(from, to);
        let Some(link) = self.links.get_mut(&id) else { return };
        (link.to_run, link.to_open, link.to_life, link.from_told) = (run, true, Some(own_life), cut);
        let contact = self.hosts.get(&from).map_or(address, |h| h.address.clone());
        self.tell(to, Event::Connected { peer, life, address: Some(contact) });
        if cut {
            self.agenda.push(
                now + CONNECT_TIME_MAX,
                Due::DialFailed { host: from, run: dialer_run, peer: wanted, refused: false },
            );
            self.agenda.push(now + SILENCE_MAX, Due::Lost { link: id, side: Side::To });
            return;
        }
        self.agenda.push(now + back, Due::Welcome { link: id });
    }

    fn dial_fails(&mut self, id: LinkId, at: Duration, refused: bool) {
        let Some(link) = self.links.remove(&id) else { return };
        let at = if self.net.is_cut(link.from, link.to) { self.now + CONNECT_TIME_MAX } else { at };
        let due = Due::DialFailed { host: link.from, run: link.from_run, peer: link.to_node, refused };
        self.agenda.push(at, due);
    }

    /// The dialer hears that it is welcome.
    pub(crate) fn welcome(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (from, peer, life, run) = (link.from, link.to_node, link.to_life, link.from_run);
        let broken = link.broken;
        let Some(life) = life.filter(|_| !broken && run == self.run_of(from)) else {
            return self.break_link(id, None, false);
        };
        let Some(member) = self.hosts.get_mut(&from).and_then(|h| h.member_mut()) else { return };
        let accepted = member.accepted.get(&peer).copied();
        match member.outs.get_mut(&peer) {
            Some(out) if out.link == Some(id) => {
                (out.open, out.dialing, out.moved, out.pause) = (true, false, false, BACKOFF_MIN);
            }
            _ => return self.break_link(id, Some(from), false),
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.from_open = true;
        }
        if let Some(other) = accepted
            && self.links.get(&other).is_some_and(|other| other.from_life != life)
        {
            self.break_link(other, Some(from), false);
        }
        self.tell(from, Event::Connected { peer, life, address: None });
        self.pump(from, peer);
    }

    /// No connection could be made.
    pub(crate) fn dial_failed(&mut self, host: HostId, peer: NodeId, refused: bool) {
        let now = self.now;
        let jitter = self.net.draw(host, host, 500);
        let mut overdue = false;
        self.with_out(host, peer, |out| {
            if out.open {
                return;
            }
            (out.link, out.dialing) = (None, false);
            let pause = if refused { BACKOFF_MAX } else { out.pause.max(BACKOFF_MIN) };
            out.pause = (pause * 2).min(BACKOFF_MAX);
            out.not_before = now + pause.mul_f64(0.5 + jitter as f64 / 1_000.0);
            if std::mem::take(&mut out.moved) {
                (out.pause, out.not_before) = (BACKOFF_MIN, now);
            }
            overdue = out.waits_since.is_some_and(|since| now >= since + QUEUE_WAIT_MAX);
            if overdue {
                out.queue.clear();
                (out.queued, out.waits_since) = (0, None);
            }
        });
        if overdue {
            self.tell(host, Event::Disconnected { peer });
        }
        self.pump(host, peer);
    }
}
