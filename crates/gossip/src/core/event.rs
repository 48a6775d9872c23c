//! What comes into the core and what goes out of it.

use bytes::Bytes;
use model::{Entry, Hlc, Key, NodeId, WriterId};
use storage::{Marks, Seq};

use crate::meta::Meta;
use crate::pace::Foreground;
use crate::roster::Roster;
use crate::session::SessionId;
use crate::wire::Frame;

use super::{EvictRefusal, Evicted, LeaveRefusal, Status};

/// Names a request to join, or an operator's, while its answer is awaited; the driver's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The time of [`super::Core::next_wake`] has come.
    Wake,
    /// A datagram came.
    Heartbeat {
        /// Its bytes.
        bytes: Bytes,
    },
    /// A frame came.
    Frame {
        /// Who sent it.
        from: NodeId,
        /// The life it was sent in.
        life: WriterId,
        /// What it says.
        frame: Frame,
    },
    /// A connection with a peer stands, in one of the two directions.
    Connected {
        /// The peer.
        peer: NodeId,
        /// The life it is in.
        life: WriterId,
        /// Where it says it is reached, if it connected to this node.
        address: Option<String>,
    },
    /// A connection with a peer ended: frames may have been lost.
    Disconnected {
        /// The peer.
        peer: NodeId,
    },
    /// Clients' writes were coordinated here. They may not be durable: what tells of them waits until they are.
    Wrote {
        /// Their keys.
        keys: Vec<Key>,
    },
    /// An [`Action::Merge`] or an [`Action::Quarantine`] is in the store, durable or not.
    Stored {
        /// The action's number.
        op: u64,
        /// For each of its entries, whether the store's is another than before.
        changed: Vec<bool>,
    },
    /// A step of an [`Action::Advance`] was taken.
    Advanced {
        /// The action's number.
        op: u64,
        /// Whether there is nothing more to do for these marks.
        done: bool,
    },
    /// A step of an [`Action::Forget`] was taken.
    Forgot {
        /// The action's number.
        op: u64,
        /// Whether there is nothing more to do for this watermark.
        done: bool,
    },
    /// What an [`Action::AwaitDurable`] waited for is durable.
    Durable {
        /// The action's number.
        op: u64,
    },
    /// The store failed and takes no more writes.
    StoreStopped {
        /// Why.
        reason: String,
    },
    /// A node without a cluster asks to join.
    JoinAsked {
        /// Where the answer goes.
        reply: ReplyId,
        /// Its request, as sent.
        request: Bytes,
    },
    /// A member of the same cluster, asked as a seed, told its roster.
    RosterHeard {
        /// The roster.
        roster: Box<Roster>,
    },
    /// How clients' requests went in the last window; comes four times a second.
    Foreground(Foreground),
    /// Somebody asks for a session with this member now, even where anti-entropy is switched off. It begins as soon
    /// as the member answers and neither side repairs with somebody else.
    RepairWanted {
        /// The member.
        peer: NodeId,
    },
    /// An operator wants this node to leave the cluster. Answered at once; how it goes is in the status.
    LeaveWanted {
        /// Where the answer goes.
        reply: ReplyId,
        /// Whether it is to go at once, handing nothing over.
        force: bool,
    },
    /// An operator wants a member to be removed. Answered once that is done or given up, within a few seconds.
    EvictWanted {
        /// Where the answer goes.
        reply: ReplyId,
        /// The member.
        target: NodeId,
        /// Whether it is to be removed at once, asking nobody.
        force: bool,
    },
    /// After an [`Action::CloseWrites`]: no client's write is under way, and none will begin.
    WritesClosed,
    /// The node is to stop: says goodbye. Nothing is done afterwards.
    Stop,
}

/// Something to do, in the order given. Writing the durable record comes before what depends on it.
#[derive(Debug)]
pub enum Action {
    /// Send a datagram; it may be lost.
    SendHeartbeat {
        /// To whom.
        to: NodeId,
        /// Where it is reached, `host:port`.
        address: String,
        /// The datagram, at most 1,400 bytes.
        bytes: Bytes,
    },
    /// Send a frame once everything up to `after` is durable. It may be lost, with [`Event::Disconnected`].
    Send {
        /// To whom.
        to: NodeId,
        /// What to say.
        frame: Frame,
        /// What it may depend on.
        after: Seq,
    },
    /// Answer a request to join.
    Reply {
        /// Which.
        reply: ReplyId,
        /// The answer's bytes.
        answer: Bytes,
    },
    /// Answer an operator.
    Answer {
        /// Which.
        reply: ReplyId,
        /// What.
        answer: Answered,
    },
    /// Take no client's write any more, and wait until none is under way; then [`Event::WritesClosed`]. May come twice.
    CloseWrites,
    /// This node has left the cluster, and a member knows it: the process may end.
    Left,
    /// Merge entries into the store at once, then [`Event::Stored`].
    Merge {
        /// Named in the event.
        op: u64,
        /// What to merge.
        entries: Vec<(Key, Entry)>,
    },
    /// Append these siblings, by key, to the quarantine file, durably; then take them out of the store, where their dots
    /// stay covered; then [`Event::Stored`].
    Quarantine {
        /// Named in the event.
        op: u64,
        /// Entries of the siblings to go, and of nothing else.
        entries: Vec<(Key, Entry)>,
    },
    /// Move the store along to these marks, which are on disk: see `Store::advance`. One step, then
    /// [`Event::Advanced`].
    Advance {
        /// Named in the event.
        op: u64,
        /// Watermark and horizon.
        marks: Marks,
        /// How much to do at most.
        rows: usize,
    },
    /// Take tombstones off the disk that left the tree by this watermark or an earlier one: see `Store::forget`. One
    /// step, then [`Event::Forgot`].
    Forget {
        /// Named in the event.
        op: u64,
        /// The watermark.
        upto: Hlc,
        /// How many rows at most.
        rows: usize,
    },
    /// Wait until everything up to `seq` is durable, by a flush begun later if need be, then [`Event::Durable`].
    AwaitDurable {
        /// Named in the event.
        op: u64,
        /// Up to where.
        seq: Seq,
    },
    /// Put the durable record on disk, before any action after this one. If that fails the node must stop.
    Persist(Box<Meta>),
    /// The same where nothing depends on it: it may fail, and is then tried again with the next record.
    Keep(Box<Meta>),
    /// This member is reached here from now on.
    Contact {
        /// Who.
        peer: NodeId,
        /// `host:port`.
        address: String,
    },
    /// End the connections with this node.
    Disconnect {
        /// Who.
        peer: NodeId,
        /// Whether it is to be dialed no more.
        forget: bool,
    },
    /// What people see has changed.
    Publish(Box<Status>),
}

/// What an operator is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// This node leaves, or has left; or why it does not.
    Leave(Result<(), LeaveRefusal>),
    /// The member was removed; or why it was not.
    Evict(Result<Evicted, EvictRefusal>),
}

/// What a merge or a flush was for.
#[derive(Debug)]
pub enum Op {
    /// Frames of a session.
    Session(SessionId),
    /// A flush that a session waits for.
    Flush(SessionId, Seq),
    /// A flush after which the own component may be published as this.
    Publish(Hlc),
    /// Moving the store along.
    Advance,
    /// Taking purged tombstones off the disk.
    Forget,
    /// Putting aside what only this node may hold.
    Stranded,
    /// A rumor.
    Rumor {
        /// Who sent it.
        from: NodeId,
        /// The sender's number for it.
        batch: u64,
        /// Whether the sender wants to know what was no news.
        answer: bool,
        /// Who has been told.
        told: Vec<NodeId>,
        /// The keys, as merged.
        keys: Vec<Key>,
    },
}
