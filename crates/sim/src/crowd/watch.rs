//! What an experiment counts while whole nodes run.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip::wire::Frame;
use model::Key;

use crate::host::HostId;

/// What one node has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) rumors: u64,
    pub(crate) frames: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

/// How far a write has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    pub(crate) began: Duration,
    /// When each node got it, the one that took it not counted, in order.
    pub(crate) got: Vec<(Duration, HostId)>,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) writes: BTreeMap<Key, Watched>,
    pub(crate) sent: BTreeMap<HostId, Sent>,
    /// Each push of the watched writes, where somebody wants to tell of it.
    pub(crate) told: Option<Vec<Told>>,
}

/// Something that a story may tell.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// A rumor left.
    Rumor { at: Duration, from: HostId, to: HostId },
    /// A node has it now.
    Got { at: Duration, host: HostId },
}

impl Watch {
    /// A frame is queued for a peer.
    pub(crate) fn frame(&mut self, host: HostId, frame: &Frame, bytes: usize) {
        let sent = self.sent.entry(host).or_default();
        sent.frames += 1;
        sent.bytes += bytes as u64;
        sent.rumors += u64::from(matches!(frame, Frame::Rumor(_) | Frame::RumorAnswer { .. }));
    }

    /// A datagram leaves.
    pub(crate) fn datagram(&mut self, host: HostId, bytes: usize) {
        let sent = self.sent.entry(host).or_default();
        sent.datagrams += 1;
        sent.bytes += bytes as u64;
    }

    /// A node holds a key that it did not hold.
    pub(crate) fn got(&mut self, at: Duration, host: HostId, key: &Key) {
        let Some(watched) = self.writes.get_mut(key) else { return };
        watched.got.push((at, host));
        if let Some(told) = &mut self.told {
            told.push(Told::Got { at, host });
        }
    }

    /// A rumor leaves.
    pub(crate) fn rumor(&mut self, at: Duration, from: HostId, to: HostId) {
        if let Some(told) = &mut self.told {
            told.push(Told::Rumor { at, from, to });
        }
    }
}
