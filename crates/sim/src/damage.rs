//! What goes wrong with disks: full, failing, lost, put back, or not what was written.

use std::time::Duration;

use model::Key;

use crate::disk::{Disk, Kept};
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::World;

impl World {
    pub(crate) fn disk_fault(&mut self, id: HostId, time: Duration, fault: &Fault) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if matches!(fault, Fault::DiskFull { .. }) {
            host.disk.small.borrow_mut().full = true;
            if let Some(engine) = &host.disk.engine {
                engine.fail_next_apply(0);
            }
        } else {
            host.disk.flush_fails = true;
        }
        self.ends_after(time, fault);
    }

    /// Somebody has looked: there is room, and a node whose store has stopped, or that ended by itself, is started anew.
    pub(crate) fn disk_is_well(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.disk.flush_fails = false;
        host.disk.small.borrow_mut().full = false;
        if let Some(engine) = &host.disk.engine {
            engine.allow_applies();
        }
        let stopped = host.member().is_some_and(|member| member.store.failure().is_some());
        if stopped {
            self.crash(id, Kept::Prefix(1_000), false);
        }
        self.back_later(id, Duration::from_millis(500), false);
    }

    pub(crate) fn rot(&mut self, id: HostId, (record, bit): (u16, u32), found: Duration, fault: &Fault) {
        let Some((at, key)) = self.hosts.get(&id).and_then(|host| host.disk.record(record)) else { return };
        self.rot_record(id, (&at, bit), &key);
        self.ends_after(found, fault);
    }

    /// The record of this key rots, wherever it stands.
    pub(crate) fn rot_key(&mut self, id: HostId, key: &Key) {
        let at = [&key.token().0.to_be_bytes()[..], key.as_bytes()].concat();
        self.rot_record(id, (&at, 300), key);
    }

    fn rot_record(&mut self, id: HostId, (at, bit): (&[u8], u32), key: &Key) {
        if self.is_rotten(id, Some(key)) {
            return;
        }
        self.trace.say(self.now, || format!("{id} the record of {key} rots"));
        self.note_record_lost(id, key);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.rot(at, bit);
        }
        self.check_acknowledged();
    }

    /// The search for damage reads everything.
    pub(crate) fn scrub(&mut self, id: HostId) {
        let Some(member) = self.hosts.get(&id).and_then(|host| host.member()) else { return };
        // What it finds stops the store, and that is looked at where stores stop.
        let _ = member.store.scrub(None, u64::MAX);
    }

    pub(crate) fn lose_disk(&mut self, id: HostId, off: Duration, lose: impl FnOnce(&mut Disk)) {
        self.crash(id, Kept::Nothing, true);
        self.note_disk_lost(id);
        if let Some(host) = self.hosts.get_mut(&id) {
            lose(&mut host.disk);
            // What it holds now is from before it left, and counts.
            host.handed_over &= host.record().is_some_and(|record| record.has_left());
        }
        // A process that ended after a failed flush had left it in the disk's cache.
        self.note_unflushed_lost(id);
        self.check_acknowledged();
        self.back_later(id, off, false);
    }
}
