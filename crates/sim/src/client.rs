//! Clients: they read and write at any node, with and without context tokens, as the API lets them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use gossip::clock::NeedReservation;
use gossip::coordinator::{self, NewValue, Refusal, WriteLimits};
use gossip::core::Serving;
use gossip::rules::Rule;
use model::{ClusterId, Context, Dot, Entry, Expiry, Hlc, Key, Seen, Sibling, context_token};
use storage::{Marks, UpdateError, Updated};

use crate::host::{HostId, Member, Waiter};
use crate::ledger::{Claim, Written};
use crate::world::World;

/// Tokens that clients remember: the latest.
const TOKENS_MAX: usize = 16;
/// Of a value that is told of in words: its last bytes.
const ENDING: usize = 12;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// At which node.
    pub host: HostId,
    /// Of which key; one with a token takes the token's.
    pub key: u16,
    /// What.
    pub kind: OpKind,
    /// Which of the tokens that clients remember it carries, counted from the latest.
    pub token: Option<u8>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A value: this one, as digits.
    Put(u64),
    /// The same, which expires after so long.
    PutFor(u64, Duration),
    /// The same, and so many zeros before it.
    PutLong(u64, u32),
    /// A deletion.
    Delete,
    /// The value of the greatest dot.
    Get,
    /// All siblings.
    GetAll,
}

/// What a client carries from a read to a write.
#[derive(Clone, Debug)]
pub struct Token {
    key: Key,
    text: String,
    cluster: ClusterId,
    /// What its holder was shown.
    shown: BTreeSet<Dot>,
}

/// What a client was answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 503, 409, 413 or 400: why.
    Refused(String),
    /// A read: the values shown, and the token that came with them.
    Read(Vec<Bytes>, Option<Token>),
    /// A write: the dot that it made, if it made one. It is acknowledged once that is durable.
    Written(Option<Dot>),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Read(values, _) => {
                let ends = values.iter().map(|value| value.slice(value.len().saturating_sub(ENDING)..));
                write!(
                    f,
                    "read {:?}",
                    ends.map(|end| String::from_utf8_lossy(&end).into_owned()).collect::<Vec<_>>()
                )
            }
            Self::Written(Some(dot)) => write!(f, "written {dot}"),
            Self::Written(None) => write!(f, "nothing to write"),
        }
    }
}

/// What a write is made from, beside what is held and what the client has seen.
struct Stamp<'a> {
    dot: Dot,
    marks: Marks,
    limits: &'a WriteLimits,
}

enum Decision {
    Clock(NeedReservation),
    Refused(Refusal),
}

/// The key of a number.
pub fn key(number: u16) -> Key {
    // Short and not empty, so it is a key.
    Key::new(format!("k{number}")).unwrap_or_else(|_| unreachable!("k and digits are a key"))
}

impl World {
    /// A planned request.
    pub(crate) fn client(&mut self, op: Op) {
        let held = self.tokens.len();
        let token = op.token.filter(|_| held > 0).map(|back| held - 1 - usize::from(back) % held);
        let token = token.and_then(|at| self.tokens.get(at).cloned());
        let key = token.as_ref().map_or_else(|| key(op.key), |token| token.key.clone());
        let answer = match op.kind {
            OpKind::Put(number) => self.put(op.host, &key, number.to_string().into(), token.as_ref()),
            OpKind::PutFor(number, ttl) => {
                self.put_for(op.host, &key, number.to_string().into(), Some(ttl), token.as_ref())
            }
            OpKind::PutLong(number, bytes) => {
                let mut value = vec![b'0'; bytes as usize];
                value.extend(number.to_string().bytes());
                self.put(op.host, &key, value.into(), token.as_ref())
            }
            OpKind::Delete => self.delete(op.host, &key, token.as_ref()),
            OpKind::Get => self.get(op.host, &key, false),
            OpKind::GetAll => self.get(op.host, &key, true),
        };
        self.trace.say(self.now, || format!("client {op:?} {key}: {answer}"));
        if let Answer::Read(_, Some(token)) = answer {
            self.keep_token(token);
        }
    }

    fn keep_token(&mut self, token: Token) {
        self.tokens.push(token);
        if self.tokens.len() > TOKENS_MAX {
            self.tokens.remove(0);
        }
    }

    /// Why a node answers no client, if so. As the program's service says it.
    pub(crate) fn refuses(&self, host: HostId, write: bool) -> Option<String> {
        let answers = self.hosts.get(&host).filter(|h| h.paused_until <= self.now);
        let Some(member) = answers.and_then(|h| h.member()) else {
            return Some("no member runs there".into());
        };
        let behind_refuses = self.config.rules.hold(Rule::H22);
        match member.status.as_ref().map(|status| &status.serving) {
            None => Some("starting".into()),
            Some(Serving::Yes) => None,
            Some(Serving::Stopped(_)) if !write => None,
            Some(Serving::Behind) if !behind_refuses => None,
            Some(other) => Some(format!("{other:?}")),
        }
    }

    /// A read.
    pub fn get(&mut self, host: HostId, key: &Key, all: bool) -> Answer {
        self.count.requests += 1;
        if let Some(why) = self.refuses(host, false) {
            return Answer::Refused(why);
        }
        self.check_knows(host, key);
        let only_if_all_shown = self.config.rules.hold(Rule::H4);
        let Some(h) = self.hosts.get(&host) else { return gone() };
        let wall_ms = h.wall.ms(self.now);
        let Some(member) = h.member() else { return gone() };
        let entry = match member.store.get(key) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Answer::Read(Vec::new(), None),
            Err(error) => return Answer::Refused(error.to_string()),
        };
        let mut shown = coordinator::shown(&entry, wall_ms);
        if !all {
            shown.drain(..shown.len().saturating_sub(1));
        }
        let whole = shown.len() == entry.siblings().len() || !only_if_all_shown;
        let dots = shown.iter().map(|sibling| sibling.dot()).collect();
        let token = whole.then(|| minted(member, key, &entry, dots));
        Answer::Read(shown.iter().map(|sibling| sibling.value().clone()).collect(), token)
    }

    /// A write of a value.
    pub fn put(&mut self, host: HostId, key: &Key, value: Bytes, token: Option<&Token>) -> Answer {
        self.put_for(host, key, value, None, token)
    }

    /// A write of a value that expires, if it is to.
    pub fn put_for(
        &mut self,
        host: HostId,
        key: &Key,
        value: Bytes,
        ttl: Option<Duration>,
        token: Option<&Token>,
    ) -> Answer {
        let wall_ms = self.hosts.get(&host).map_or(0, |host| host.wall.ms(self.now));
        self.write(host, key, token, true, |held, seen, Stamp { dot, marks, limits }| {
            let expiry = coordinator::expiry(ttl, wall_ms, marks.horizon, limits.rules)?;
            let new = NewValue { value: value.clone(), content_type: None, expiry };
            coordinator::put(held, seen, dot, new, marks.watermark, limits).map(Some)
        })
    }

    /// A deletion.
    pub fn delete(&mut self, host: HostId, key: &Key, token: Option<&Token>) -> Answer {
        self.check_knows(host, key);
        self.write(host, key, token, false, |held, seen, Stamp { dot, marks, limits }| {
            coordinator::delete(held, seen, dot, marks.watermark, limits)
        })
    }

    fn write(
        &mut self,
        host: HostId,
        key: &Key,
        token: Option<&Token>,
        is_put: bool,
        fold: impl Fn(Entry, Option<&Context>, Stamp<'_>) -> Result<Option<Entry>, Refusal>,
    ) -> Answer {
        self.count.requests += 1;
        if let Some(why) = self.refuses(host, true) {
            return Answer::Refused(why);
        }
        let Some(member) = self.hosts.get(&host).and_then(|h| h.member()) else { return gone() };
        let cluster = member.cluster;
        let open = |token: &Token| context_token::open(&member.token_key, &cluster, key, &token.text);
        let seen = match token.map(open).transpose() {
            Ok(seen) => seen,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        let (updated, made, held_before) = match self.update(host, key, seen.as_ref(), fold) {
            Ok(updated) => updated,
            Err(why) => return Answer::Refused(why),
        };
        // Who has just written is given a token where it knows every sibling there is: its own alone, or none.
        let entry = &updated.entry;
        if self.written_tokens && entry.siblings().len() == usize::from(is_put) && !entry.is_blank() {
            let own = entry.siblings().iter().map(Sibling::dot).collect();
            let member = self.hosts.get(&host).and_then(|h| h.member());
            let token = member.map(|member| minted(member, key, entry, own));
            self.tokens_to_come.extend(token.map(|token| (self.writes_made + 1, token)));
        }
        let shown = token.map_or(held_before, |token| token.shown.clone());
        let mut replaces = shown.clone();
        replaces.extend(self.seen_to_be_empty(cluster, key, seen.as_ref()));
        let dot = made.filter(|dot| updated.changed && updated.entry.context().covers(*dot));
        self.written(host, cluster, key, dot.map(|dot| (dot, &updated.entry)), &replaces);
        if !is_put {
            if dot.is_none() && updated.changed {
                self.ledger.delete_without_a_dot(&shown);
                self.check_key(host, key);
                self.check_root(host);
            }
            if token.is_none_or(|token| token.cluster == cluster) {
                let claim = Claim { cluster, key: key.clone(), host, gone: shown };
                self.ledger.pending.insert(self.writes_made, claim);
            }
        }
        let waiter =
            Waiter::Client { write: self.writes_made, dot, key: key.clone(), changed: updated.changed };
        self.await_durable(host, updated.seq, waiter);
        Answer::Written(dot)
    }

    /// The write in the store's critical section: what came of it, the dot that it was given, and what was held before.
    fn update(
        &mut self,
        host: HostId,
        key: &Key,
        seen: Option<&Seen>,
        fold: impl Fn(Entry, Option<&Context>, Stamp<'_>) -> Result<Option<Entry>, Refusal>,
    ) -> Result<(Updated, Option<Dot>, BTreeSet<Dot>), String> {
        let (now, limits) = (self.now, self.limits);
        let member = self.hosts.get_mut(&host).map(|h| (h.wall.ms(now), h.member_mut()));
        let Some((wall_ms, Some(member))) = member else { return Err("no member runs there".into()) };
        // Those of the status by which this node serves, as the driver has it.
        let status = member.status.as_ref();
        let (roster, watermark) =
            status.map(|status| (status.roster, status.forgetting.watermark)).unwrap_or_default();
        let replaced = seen.map(|seen| coordinator::replaced(seen, roster, watermark, limits.rules));
        let newest_seen = seen.map_or(Hlc::ZERO, |seen| seen.context().newest());
        let (mut made, mut held_before) = (None, BTreeSet::new());
        loop {
            let outcome = member.store.update(key, |held| {
                held_before = held.siblings().iter().map(|sibling| sibling.dot()).collect();
                let newest = newest_seen.max(held.context().newest());
                let hlc = member.clock.stamp(newest, wall_ms).map_err(Decision::Clock)?;
                let dot = Dot { hlc, writer: member.life };
                made = Some(dot);
                let marks = Marks { watermark, horizon: member.store.marks().horizon };
                fold(held, replaced.as_ref(), Stamp { dot, marks, limits: &limits })
                    .map_err(Decision::Refused)
            });
            match outcome {
                Ok(updated) => return Ok((updated, made, held_before)),
                Err(UpdateError::Decision(Decision::Refused(refusal))) => return Err(refusal.to_string()),
                Err(UpdateError::Store(error)) => {
                    let reason = error.to_string();
                    self.disk_failed(host, &reason);
                    return Err(reason);
                }
                Err(UpdateError::Decision(Decision::Clock(need))) => {
                    if !member.clock.reserve(need.at_least, wall_ms) {
                        return Err("the clock's reservation cannot be written".into());
                    }
                }
            }
        }
    }

    /// Deletes, and values that have expired, of which a client knows that is shown nothing of them.
    fn seen_to_be_empty(&self, cluster: ClusterId, key: &Key, seen: Option<&Seen>) -> Vec<Dot> {
        let is_empty =
            |of: &Written| (of.acknowledged || !of.lost) && (of.hash.is_none() || self.ledger.is_expired(of));
        let covers = |dot| seen.is_some_and(|seen| seen.context().covers(dot));
        let all = self.ledger.of_key(cluster, key);
        all.filter(|(dot, of)| is_empty(of) && covers(*dot)).map(|(dot, _)| dot).collect()
    }

    /// Takes a write into the ledger and has it looked at.
    fn written(
        &mut self,
        host: HostId,
        cluster: ClusterId,
        key: &Key,
        write: Option<(Dot, &Entry)>,
        replaces: &BTreeSet<Dot>,
    ) {
        self.writes_made += 1;
        let Some((dot, entry)) = write else { return };
        self.trace.number(self.now, host, "wrote", dot.hlc.as_u64() ^ dot.writer.0);
        self.check_new_dot(host, dot);
        let Some(node) = self.hosts.get(&host).and_then(|h| h.member()).map(|member| member.node) else {
            return;
        };
        let lost = self.lies_under_unknown(host, dot);
        let made = entry.sibling(dot);
        let (hash, expiry) =
            (made.map(|sibling| *sibling.hash()), made.map_or(Expiry::NEVER, Sibling::expiry));
        let written = Written {
            cluster,
            key: key.clone(),
            host,
            node,
            hash,
            expiry,
            replaced_by: Vec::new(),
            acknowledged: false,
            hurt: false,
            lost,
            quarantined: false,
            deleted: false,
            may_return: false,
        };
        self.ledger.write(dot, written, replaces);
        self.check_lives(host, dot, expiry);
        self.check_key(host, key);
        self.check_root(host);
    }

    /// A write is durable: its client is told.
    pub(crate) fn acknowledge(&mut self, host: HostId, write: u64, dot: Option<Dot>) {
        self.trace.number(self.now, host, "acknowledged", write);
        self.count.acknowledged += 1;
        if let Some(written) = dot.and_then(|dot| self.ledger.dots.get_mut(&dot)) {
            written.acknowledged = true;
        }
        if let Some(token) = self.tokens_to_come.remove(&write) {
            self.keep_token(token);
        }
        if let Some(claim) = self.ledger.pending.remove(&write) {
            self.check_claim(&claim);
            self.ledger.claims.push(claim);
        }
    }
}

/// A token of who was shown these siblings of this entry.
fn minted(member: &Member, key: &Key, entry: &Entry, shown: BTreeSet<Dot>) -> Token {
    let roster = member.status.as_ref().map(|status| status.roster.short()).unwrap_or_default();
    let seen = Seen::of(entry, roster);
    let text = context_token::mint(&member.token_key, &member.cluster, key, &seen);
    Token { key: key.clone(), text, cluster: member.cluster, shown }
}

fn gone() -> Answer {
    Answer::Refused("no member runs there".into())
}
