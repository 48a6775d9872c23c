//! What can go wrong on purpose: machines, disks, clocks, the network.

use std::fmt;
use std::time::Duration;

use gossip::core::{Event, ReplyId};
use gossip::founding::WireVersions;
use gossip::wire::WIRE_VERSION;

use crate::disk::Kept;
use crate::host::{Death, HostId};
use crate::links::LinkId;
use crate::world::{Due, World};

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, or its machine loses power, and starts again later.
    Crash {
        /// Where.
        host: HostId,
        /// What the disk keeps of what was not flushed.
        kept: Kept,
        /// Whether the machine goes, too: then nobody is told that connections ended.
        power: bool,
        /// How long it is off.
        off: Duration,
        /// Whether it comes back at another address.
        moves: bool,
    },
    /// A process is killed in the middle of what it does: its record may be on the disk, and what was to follow not done.
    Die {
        /// Where.
        host: HostId,
        /// How many things it does before that.
        after: u16,
        /// What the disk keeps of what was not flushed.
        kept: Kept,
        /// How long it is off.
        off: Duration,
    },
    /// A process is asked to stop, and started again later.
    Restart {
        /// Where.
        host: HostId,
        /// How long it is off.
        off: Duration,
        /// Whether it comes back at another address.
        moves: bool,
    },
    /// Everything on a disk is gone; the node comes back under its name.
    Wipe {
        /// Where.
        host: HostId,
        /// How long it is off.
        off: Duration,
    },
    /// The engine's folder is gone, the member's record is still there.
    LoseEngine {
        /// Where.
        host: HostId,
        /// How long it is off.
        off: Duration,
    },
    /// A backup is taken.
    BackUp {
        /// Where.
        host: HostId,
    },
    /// The disk is put back to the last backup.
    Restore {
        /// Where.
        host: HostId,
        /// How long it is off.
        off: Duration,
    },
    /// A process does nothing for a while and then goes on.
    Pause {
        /// Where.
        host: HostId,
        /// For how long.
        time: Duration,
    },
    /// Nothing passes between two groups, or only in one direction.
    Cut {
        /// One group; the other is everyone else.
        group: Vec<HostId>,
        /// Whether only what the group sends is lost.
        one_way: bool,
        /// For how long.
        time: Duration,
    },
    /// Nothing passes between two machines.
    CutPair {
        /// One.
        one: HostId,
        /// The other.
        other: HostId,
        /// For how long.
        time: Duration,
    },
    /// Everything between two machines takes longer.
    Slow {
        /// One.
        one: HostId,
        /// The other.
        other: HostId,
        /// How many times.
        times: u32,
        /// For how long.
        time: Duration,
    },
    /// Datagrams are lost and doubled, everywhere.
    Lossy {
        /// Lost, in thousandths.
        lost: u32,
        /// Doubled, in thousandths.
        doubled: u32,
        /// For how long.
        time: Duration,
    },
    /// All connections between two machines break, perhaps in the middle of a frame.
    Break {
        /// One.
        one: HostId,
        /// The other.
        other: HostId,
    },
    /// A bit of a record changes on the disk. Somebody reads it sooner or later, or the search for damage does.
    Rot {
        /// Where.
        host: HostId,
        /// Which record, in thousandths of all, in token order.
        record: u16,
        /// Which of its bits.
        bit: u32,
        /// When the search comes to it.
        found: Duration,
    },
    /// A process is asked to stop, and another version of the program is started.
    Upgrade {
        /// Where.
        host: HostId,
        /// How long it is off.
        off: Duration,
        /// The oldest wire version that it speaks.
        oldest: u8,
        /// The newest.
        newest: u8,
    },
    /// The next flush fails: the store stops until the node is started again.
    FlushFails {
        /// Where.
        host: HostId,
        /// When somebody starts it again.
        off: Duration,
    },
    /// Nothing more can be written.
    DiskFull {
        /// Where.
        host: HostId,
        /// Until there is room again, and somebody starts the node again.
        time: Duration,
    },
    /// Flushes take longer, and a process does nothing else while it puts its record on the disk.
    SlowDisk {
        /// Where.
        host: HostId,
        /// How many times.
        times: u32,
        /// For how long.
        time: Duration,
    },
    /// A machine's clock is set.
    Jump {
        /// Where.
        host: HostId,
        /// By so many milliseconds.
        by_ms: i64,
    },
    /// A machine's clock gains or loses from now on.
    Drift {
        /// Where.
        host: HostId,
        /// Millionths.
        ppm: i64,
    },
    /// A machine that was off until now is switched on.
    Join {
        /// Where.
        host: HostId,
    },
    /// An operator wants a node to leave its cluster.
    Leave {
        /// Where.
        host: HostId,
        /// Whether it is to hand nothing over.
        force: bool,
    },
    /// An operator wants a member to be removed.
    Evict {
        /// Who is asked.
        host: HostId,
        /// Whose node is to go.
        target: HostId,
        /// Whether nobody is to be asked.
        force: bool,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl World {
    /// Makes a fault happen now.
    pub fn inject(&mut self, fault: &Fault) {
        self.count.faults += 1;
        self.trace.number(self.now, HostId(0), "fault", self.count.faults);
        self.trace.say(self.now, || format!("FAULT {fault}"));
        match fault {
            Fault::Crash { host, kept, power, off, moves } => {
                self.crash(*host, *kept, *power);
                self.back_later(*host, *off, *moves);
            }
            Fault::Die { host, after, kept, off } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.dies = Some(Death { after: *after, kept: *kept, off: *off });
                }
            }
            Fault::Restart { host, off, moves } => {
                self.stop(*host);
                self.back_later(*host, *off, *moves);
            }
            Fault::Wipe { host, off } => self.lose_disk(*host, *off, |disk| disk.wipe()),
            Fault::LoseEngine { host, off } => self.lose_disk(*host, *off, |disk| disk.engine = None),
            Fault::BackUp { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.disk.back_up();
                }
            }
            Fault::Restore { host, off } => {
                self.lose_disk(*host, *off, |disk| disk.restore());
                self.forget_times(*host);
            }
            Fault::Rot { host, record, bit, found } => self.rot(*host, (*record, *bit), *found, fault),
            Fault::Upgrade { host, off, oldest, newest } => {
                self.stop(*host);
                if let Some(host) = self.hosts.get_mut(host) {
                    host.speaks = WireVersions { oldest: *oldest, newest: *newest };
                }
                self.back_later(*host, *off, false);
            }
            Fault::Pause { host, time } => {
                let until = self.now + *time;
                if let Some(host) = self.hosts.get_mut(host) {
                    host.paused_until = host.paused_until.max(until);
                }
            }
            Fault::FlushFails { host, off } => self.disk_fault(*host, *off, fault),
            Fault::DiskFull { host, time } => self.disk_fault(*host, *time, fault),
            Fault::SlowDisk { host, times, time } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.disk.slow = *times;
                }
                self.ends_after(*time, fault);
            }
            Fault::Jump { host, by_ms } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.wall.jump(*by_ms);
                }
            }
            Fault::Drift { host, ppm } => {
                let now = self.now;
                if let Some(host) = self.hosts.get_mut(host) {
                    host.wall.drift(now, *ppm);
                }
            }
            Fault::Join { host } => self.start(*host),
            Fault::Leave { host, force } => self.operator(*host, *host, *force),
            Fault::Evict { host, target, force } => self.operator(*host, *target, *force),
            _ => self.network_fault(fault),
        }
    }

    /// Where no member runs there is nobody to ask.
    fn operator(&mut self, id: HostId, target: HostId, force: bool) {
        let node = |id: HostId| self.hosts.get(&id)?.record().map(|record| record.node);
        let running = self.hosts.get(&id).is_some_and(|host| host.member().is_some());
        let (Some(own), Some(other), true) = (node(id), node(target), running) else { return };
        if force {
            self.ledger.forced.insert((own, other));
        }
        let reply = ReplyId(0);
        self.tell(
            id,
            if id == target {
                Event::LeaveWanted { reply, force }
            } else {
                Event::EvictWanted { reply, target: other, force }
            },
        );
    }

    fn network_fault(&mut self, fault: &Fault) {
        match fault {
            Fault::Cut { time, .. } | Fault::CutPair { time, .. } => {
                self.ways(fault).into_iter().for_each(|(from, to)| self.net.block(from, to));
                self.ends_after(*time, fault);
            }
            Fault::Slow { one, other, times, time } => {
                self.net.set_slow(*one, *other, *times);
                self.ends_after(*time, fault);
            }
            Fault::Lossy { lost, doubled, time } => {
                (self.net.config.lost_permille, self.net.config.doubled_permille) = (*lost, *doubled);
                self.ends_after(*time, fault);
            }
            Fault::Break { one, other } => {
                let between =
                    |from: HostId, to: HostId| (from, to) == (*one, *other) || (to, from) == (*one, *other);
                let links = self.links.iter().filter(|(_, link)| between(link.from, link.to));
                let links: Vec<LinkId> = links.map(|(id, _)| *id).collect();
                links.into_iter().for_each(|link| self.break_link(link, None, false));
            }
            _ => {}
        }
    }

    /// What a cut blocks.
    fn ways(&self, fault: &Fault) -> Vec<(HostId, HostId)> {
        match fault {
            Fault::Cut { group, one_way, .. } => {
                let others = self.hosts.keys().filter(|id| !group.contains(id));
                let out = others.flat_map(|other| group.iter().map(|own| (*own, *other)));
                let out: Vec<_> = out.collect();
                let back =
                    out.iter().filter(|_| !one_way).map(|(own, other)| (*other, *own)).collect::<Vec<_>>();
                out.into_iter().chain(back).collect()
            }
            Fault::CutPair { one, other, .. } => vec![(*one, *other), (*other, *one)],
            _ => Vec::new(),
        }
    }

    pub(crate) fn ends_after(&mut self, time: Duration, fault: &Fault) {
        self.agenda.push(self.now + time, Due::FaultEnds(fault.clone()));
    }

    /// A fault that lasts is over.
    pub(crate) fn end_fault(&mut self, fault: &Fault) {
        self.trace.say(self.now, || format!("fault ends: {fault}"));
        match fault {
            Fault::Cut { .. } | Fault::CutPair { .. } => {
                self.ways(fault).into_iter().for_each(|(from, to)| self.net.unblock(from, to));
                self.links_go_on();
            }
            Fault::Slow { one, other, .. } => self.net.set_slow(*one, *other, 1),
            Fault::Lossy { .. } => (self.net.config.lost_permille, self.net.config.doubled_permille) = (0, 0),
            Fault::SlowDisk { host, .. } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.disk.slow = 1;
                }
            }
            Fault::FlushFails { host, .. } | Fault::DiskFull { host, .. } => self.disk_is_well(*host),
            Fault::Rot { host, .. } => self.scrub(*host),
            _ => {}
        }
    }

    pub(crate) fn back_later(&mut self, id: HostId, off: Duration, moves: bool) {
        if moves {
            self.move_host(id);
        }
        self.agenda.push(self.now + off, Due::Start { host: id });
    }

    /// A rolling change of version comes to its end.
    fn last_version(&mut self, id: HostId) {
        let newest = self.hosts.values().map(|host| host.speaks.newest).max().unwrap_or(WIRE_VERSION);
        let last = WireVersions { oldest: newest.saturating_sub(1).max(WIRE_VERSION), newest };
        let Some(host) = self.hosts.get_mut(&id).filter(|host| host.speaks != last) else { return };
        host.speaks = last;
        self.stop(id);
        self.back_later(id, Duration::from_millis(500), false);
    }

    /// Nothing goes wrong any more: networks and disks are well, everyone is switched on. Clocks stay as they are: skew
    /// stops nobody.
    pub(crate) fn end_all_faults(&mut self) {
        self.trace.say(self.now, || "no more faults".to_owned());
        self.net.heal();
        self.links_go_on();
        for id in self.hosts.keys().copied().collect::<Vec<_>>() {
            if let Some(host) = self.hosts.get_mut(&id) {
                host.disk.slow = 1;
                host.paused_until = Duration::ZERO;
                host.dies = None;
            }
            self.disk_is_well(id);
            self.scrub(id);
            self.last_version(id);
        }
    }
}
