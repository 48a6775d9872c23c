//! The protocol's thread: hands events to the core, one at a time, and does what it returns, in order.
//!
//! A thread of its own, since the core reads the store and merges into it, which may wait for a disk:
//! clients' requests go on meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use gossip::core::{Action, Core, Env, Event, ReplyId, Status};
use gossip::stability::take_out;
use gossip::wire::{self, Frame};
use model::{Entry, Key};
use storage::{Seq, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Timeline;
use super::files::NodeFiles;
use super::member::{Member, Present};
use super::news::FETCHED_EVERY;
use super::requests::WINDOW;
use crate::transport::{Inbox, Incoming, JoinReply, OutFrame, SendError, Transport};

/// The protocol of a running member.
pub struct Protocol {
    /// The state machine.
    pub core: Core,
    /// The member it belongs to.
    pub member: Arc<Member>,
    /// The node.
    pub present: Arc<Present>,
    /// Moves frames.
    pub transport: Transport,
    /// Keeps the durable record.
    pub files: Arc<NodeFiles>,
    /// Where people's view goes.
    pub status: watch::Sender<Status>,
    /// Its time.
    pub line: Timeline,
    /// Requests to join that wait for an answer.
    pub replies: BTreeMap<ReplyId, JoinReply>,
    /// Whether this node has left its cluster.
    pub left: bool,
}

/// What remains of a protocol that has ended.
pub struct Back {
    /// What the transport brings.
    pub inbox: Inbox,
    /// Whether this node has left its cluster.
    pub left: bool,
}

impl Protocol {
    /// Runs until `stop`, or until this node has left its cluster; then says goodbye. Gives the inbox back.
    ///
    /// # Errors
    /// The durable record cannot be written: the node must not go on.
    pub async fn run(
        mut self,
        first: Vec<Action>,
        mut inbox: Inbox,
        mut events: mpsc::Receiver<Event>,
        stop: CancellationToken,
    ) -> Result<Back, String> {
        let (tell, mut told) = mpsc::unbounded_channel();
        self.act(first, &tell)?;
        let mut window_ends = Instant::now() + WINDOW;
        let member = Arc::clone(&self.member);
        let mut news_from = Instant::now();
        while !self.left {
            let wake = self.core.next_wake().map(|at| self.line.instant(at));
            // None of the sources may starve another: one that is ready is taken at random.
            let event = tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = told.recv() => event,
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Event::Wake,
                Some(event) = events.recv() => event,
                keys = news(&member, news_from) => {
                    news_from = Instant::now() + FETCHED_EVERY;
                    Event::Wrote { keys }
                }
                () = sleep_until(window_ends) => {
                    let window = self.present.requests.take();
                    // Without clients and repair there is nothing to be quick about.
                    let quick = window.requests > 0 || self.core.is_repairing();
                    window_ends = Instant::now() + if quick { WINDOW } else { 4 * WINDOW };
                    Event::Foreground(window)
                }
                incoming = inbox.recv() => match incoming {
                    None => return Err("the transport ended".into()),
                    Some(incoming) => match self.translate(incoming) {
                        Some(event) => event,
                        None => continue,
                    },
                },
            };
            self.handle(event, &tell)?;
        }
        self.handle(Event::Stop, &tell)?;
        Ok(Back { inbox, left: self.left })
    }

    fn handle(&mut self, event: Event, tell: &mpsc::UnboundedSender<Event>) -> Result<(), String> {
        let env = Env { now: self.line.now(), store: &self.member.store, time: &*self.member.clock };
        let actions = self.core.handle(event, env);
        self.act(actions, tell)
    }

    fn act(&mut self, actions: Vec<Action>, tell: &mpsc::UnboundedSender<Event>) -> Result<(), String> {
        for action in actions {
            match action {
                Action::SendHeartbeat { address, bytes, .. } => self.transport.send_to(&address, bytes),
                Action::Send { to, frame, after } => match wire::encode(&frame) {
                    Ok(bytes) => {
                        let may_be_lost = matches!(frame, Frame::Rumor(_) | Frame::RumorAnswer { .. });
                        self.send(to, OutFrame { bytes, after }, may_be_lost);
                    }
                    Err(error) => {
                        tracing::error!(%to, %error, "a frame cannot be sent; the connection is ended");
                        self.transport.close(to);
                    }
                },
                Action::Reply { reply, answer } => {
                    if let Some(reply) = self.replies.remove(&reply) {
                        reply.send(answer);
                    }
                }
                Action::Answer { reply, answer } => self.member.operators.answer(reply, answer),
                Action::CloseWrites => self.close_writes(tell.clone()),
                Action::Left => self.left = true,
                Action::Merge { op, entries } => {
                    let event = match self.member.store.merge(&entries) {
                        Ok(merged) => {
                            if merged.clashes > 0 {
                                tracing::error!(
                                    dots = merged.clashes,
                                    "dots came with two contents; a disk or a clone of a node is at fault"
                                );
                            }
                            Event::Stored { op, changed: merged.changed }
                        }
                        Err(error) => Event::StoreStopped { reason: error.to_string() },
                    };
                    let _ = tell.send(event);
                }
                Action::Quarantine { op, entries } => {
                    let _ = tell.send(self.quarantine(op, &entries));
                }
                Action::Advance { op, marks, rows } => {
                    let advanced = self.member.store.advance(marks, rows);
                    let _ = tell.send(stepped(advanced.map(|step| Event::Advanced { op, done: step.done })));
                }
                Action::Forget { op, upto, rows } => {
                    let forgot = self.member.store.forget(upto, rows);
                    let _ = tell.send(stepped(forgot.map(|step| Event::Forgot { op, done: step.done })));
                }
                Action::AwaitDurable { op, seq } => self.await_durable(op, seq, tell.clone()),
                Action::Persist(meta) => self
                    .files
                    .save_meta(&meta)
                    .map_err(|error| format!("the node's record cannot be written: {error}"))?,
                Action::Keep(meta) => {
                    if let Err(error) = self.files.save_meta(&meta) {
                        tracing::warn!(%error, "when members were last proven identical could not be kept");
                    }
                }
                Action::Contact { peer, address } => self.transport.set_contact(peer, &address),
                Action::Disconnect { peer, forget: false } => self.transport.close(peer),
                Action::Disconnect { peer, forget: true } => self.transport.forget(peer),
                Action::Publish(status) => {
                    self.status.send_replace(*status);
                }
            }
        }
        Ok(())
    }

    /// Into the file first, durably: what is in neither place is lost.
    fn quarantine(&self, op: u64, entries: &[(Key, Entry)]) -> Event {
        let (cluster, now) = (self.member.cluster, self.line.now().wall_ms);
        if let Err(error) = self.files.quarantine(cluster, now, entries) {
            return Event::StoreStopped { reason: error.to_string() };
        }
        let taken_out = take_out(&self.member.store, entries);
        stepped(taken_out.map(|()| Event::Stored { op, changed: vec![true; entries.len()] }))
    }

    fn send(&self, to: model::NodeId, frame: OutFrame, may_be_lost: bool) {
        match self.transport.try_send(to, frame) {
            Ok(()) | Err(SendError::NoAddress | SendError::Stopping) => {}
            Err(_) if may_be_lost => tracing::debug!(%to, "no room for a rumor"),
            // A session must never see a later frame where an earlier one is missing: the connection ends, and
            // with it, on both sides, every session that ran over it.
            Err(error @ (SendError::Full | SendError::Length)) => {
                tracing::warn!(%to, %error, "the connection is ended");
                self.transport.close(to);
            }
        }
    }

    /// What clients write now is answered 503; those that came before are waited for.
    fn close_writes(&self, tell: mpsc::UnboundedSender<Event>) {
        let member = Arc::clone(&self.member);
        tokio::spawn(async move {
            member.writes.close().await;
            let _ = tell.send(Event::WritesClosed);
        });
    }

    fn await_durable(&self, op: u64, seq: Seq, tell: mpsc::UnboundedSender<Event>) {
        let then = move |durable: Result<(), StoreError>| {
            let event = match durable {
                Ok(()) => Event::Durable { op },
                Err(error) => Event::StoreStopped { reason: error.to_string() },
            };
            let _ = tell.send(event);
        };
        self.member.flusher.when_durable(seq, Box::new(then));
    }

    /// What the transport tells, in the core's terms.
    fn translate(&mut self, incoming: Incoming) -> Option<Event> {
        match incoming {
            Incoming::Accepted { peer, life, contact, .. } => {
                Some(Event::Connected { peer, life, address: Some(contact.gossip) })
            }
            Incoming::Dialed { peer, life, .. } => {
                self.member.refusals.taken(peer);
                Some(Event::Connected { peer, life, address: None })
            }
            Incoming::Frame { peer, life, bytes } => match wire::decode(&bytes) {
                Ok(frame) => Some(Event::Frame { from: peer, life, frame }),
                Err(error) => {
                    self.transport.bad_frame(peer, &error.to_string());
                    None
                }
            },
            Incoming::Disconnected { peer, way, why, .. } => {
                tracing::debug!(%peer, ?way, %why, "connection ended");
                Some(Event::Disconnected { peer })
            }
            Incoming::Refused { peer, refusal } => {
                tracing::debug!(%peer, ?refusal, "connection refused");
                self.member.refusals.refused(peer, &refusal);
                None
            }
            Incoming::JoinAsked { request, reply, .. } => {
                self.replies.retain(|_, waiting| !waiting.is_abandoned());
                let id = ReplyId(self.replies.keys().next_back().map_or(0, |last| last.0 + 1));
                self.replies.insert(id, reply);
                Some(Event::JoinAsked { reply: id, request })
            }
            Incoming::Datagram { bytes, .. } => Some(Event::Heartbeat { bytes }),
        }
    }
}

/// What a step of the store came to, or that it failed.
fn stepped(step: Result<Event, StoreError>) -> Event {
    step.unwrap_or_else(|error| Event::StoreStopped { reason: error.to_string() })
}

/// What clients have written, from an instant on.
async fn news(member: &Member, from: Instant) -> Vec<Key> {
    sleep_until(from).await;
    member.news.fetch().await
}
