//! What a coordinator makes of a client's write: pure functions from the entry it holds to the entry it
//! will hold.
//!
//! Limits act here and nowhere else (H5): what is accepted here is merged everywhere. With a context a
//! write replaces exactly what the context covers; without one, all that the coordinator holds, so a
//! naive client never piles up siblings. A deletion makes a dot too (H1), and one with a context always
//! does, even where nothing is held: what it deletes may still be on its way (H31).
//!
//! A value that has expired is not shown any more, by the clock of the node that is asked. It is in state until the
//! expiry horizon has passed it, and counts as such: for what a write replaces, and for the limits (H20).

use std::time::Duration;

use bytes::Bytes;
use model::{Context, Dot, Entry, Expiry, Hlc, Seen, Sibling, WriterId};
use thiserror::Error;

use crate::roster::RosterVersion;
use crate::rules::{Rule, Rules};

/// The longest value a configuration may allow, in bytes.
pub const VALUE_BYTES_LIMIT: usize = 16 << 20;
/// The longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// The shortest time after which a value may expire: expiries are in milliseconds.
pub const TTL_MIN: Duration = Duration::from_millis(1);
/// The longest time after which a value may expire: 100 years of 365.25 days.
pub const TTL_MAX: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// What a coordinator accepts. Never applied to what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    /// The longest value, in bytes; at most [`VALUE_BYTES_LIMIT`].
    pub value_bytes_max: usize,
    /// The most siblings a write may leave.
    pub siblings_max: usize,
    /// The most components a write may leave in the entry's context.
    pub components_max: usize,
    /// All of them, outside of the simulator.
    pub rules: Rules,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self { value_bytes_max: 1 << 20, siblings_max: 64, components_max: 256, rules: Rules::default() }
    }
}

/// Why a client's write is refused. The entry is unchanged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The value is too long.
    #[error("the value has {bytes} bytes, at most {max} are accepted")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The value is to expire at once, or too late.
    #[error("a value expires after 1 ms to 100 years, and that is {}", if *.ttl < TTL_MIN { "less" } else { "more" })]
    Ttl {
        /// After how long it was to.
        ttl: Duration,
    },
    /// The content type is too long.
    #[error("the content type has more than {CONTENT_TYPE_BYTES_MAX} bytes")]
    ContentTypeTooLong,
    /// The write would leave too many siblings.
    #[error(
        "the key would have {siblings} siblings, at most {max} are accepted; read them all and write with their context"
    )]
    TooManySiblings {
        /// How many it would leave.
        siblings: usize,
        /// The limit.
        max: usize,
    },
    /// The write would leave too many components in the context.
    #[error("the key's context would name {components} writers, at most {max} are accepted")]
    ContextTooLarge {
        /// How many it would leave.
        components: usize,
        /// The limit.
        max: usize,
    },
}

/// A value as a client gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValue {
    /// The value.
    pub value: Bytes,
    /// Its media type, if given.
    pub content_type: Option<String>,
    /// When it expires.
    pub expiry: Expiry,
}

/// When a value of a write expires that is made while the coordinator's clock shows `wall_ms`, milliseconds since 1970:
/// counted from that or from the horizon, whichever is later, so that a coordinator whose clock is slow takes no value that
/// has expired everywhere else (H36). Not from the write's own time: that lies as far ahead as the clock ever was.
///
/// # Errors
/// [`Refusal::Ttl`]: not between [`TTL_MIN`] and [`TTL_MAX`].
pub fn expiry(ttl: Option<Duration>, wall_ms: u64, horizon: Hlc, rules: Rules) -> Result<Expiry, Refusal> {
    let Some(ttl) = ttl else { return Ok(Expiry::NEVER) };
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Err(Refusal::Ttl { ttl });
    }
    let now = Hlc::new(wall_ms.min(Hlc::MILLIS_MAX), 0);
    let from = if rules.hold(Rule::H36) { now.max(horizon) } else { now };
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let at = Hlc::new(from.millis().saturating_add(millis), from.counter());
    // The end of time is no time but never.
    Ok(Expiry::at(at.min(Hlc::new(Hlc::MILLIS_MAX, 0))))
}

/// What a write with a client's context replaces at a node with this roster and this watermark (H40).
pub fn replaced(seen: &Seen, roster: RosterVersion, watermark: Hlc, rules: Rules) -> Context {
    if rules.hold(Rule::H40) { seen.within(roster.short(), watermark) } else { seen.context().clone() }
}

/// What a read shows of an entry at this time of the node's clock: ascending, as [`Entry::siblings`].
pub fn shown(entry: &Entry, now_wall_ms: u64) -> Vec<&Sibling> {
    let now = Hlc::new(now_wall_ms, u16::MAX);
    entry.siblings().iter().filter(|sibling| !sibling.expiry().is_over(now)).collect()
}

/// Folds a PUT into the entry held.
///
/// `seen` is the client's context, if it sent one; `dot` the write's own, new and above everything its
/// writer made before; `watermark` becomes the floor, so that contexts stay at a component or two.
pub fn put(
    mut held: Entry,
    seen: Option<&Context>,
    dot: Dot,
    new: NewValue,
    watermark: Hlc,
    limits: &WriteLimits,
) -> Result<Entry, Refusal> {
    if new.value.len() > limits.value_bytes_max {
        return Err(Refusal::ValueTooLarge { bytes: new.value.len(), max: limits.value_bytes_max });
    }
    if new.content_type.as_ref().is_some_and(|t| t.len() > CONTENT_TYPE_BYTES_MAX) {
        return Err(Refusal::ContentTypeTooLong);
    }
    let seen = seen.cloned().unwrap_or_else(|| held.context().clone());
    held.write(&seen, dot, Some(Sibling::new(dot, new.value, new.content_type, new.expiry)));
    if !limits.rules.hold(Rule::H35) {
        held = as_if_never_replaced(held);
    }
    let held = folded(held, watermark, limits);
    check(&held, limits)?;
    Ok(held)
}

/// The entry as if nothing that it has replaced could outlive what it holds: for a run in which that rule is taken away.
fn as_if_never_replaced(entry: Entry) -> Entry {
    let last = entry.siblings().iter().map(Sibling::expiry).max().unwrap_or(entry.last_expiry());
    Entry::from_parts(entry.context().clone(), entry.siblings().to_vec(), last).unwrap_or(entry)
}

/// Folds a DELETE into the entry held; none when there is nothing to delete and nothing is written.
pub fn delete(
    mut held: Entry,
    seen: Option<&Context>,
    dot: Dot,
    watermark: Hlc,
    limits: &WriteLimits,
) -> Result<Option<Entry>, Refusal> {
    let nothing_to_say = seen.is_none() || !limits.rules.hold(Rule::H31);
    if nothing_to_say && held.siblings().is_empty() {
        return Ok(None);
    }
    let seen = seen.cloned().unwrap_or_else(|| held.context().clone());
    if !limits.rules.hold(Rule::H1) {
        return Ok(Some(without_a_dot(&held, &seen)));
    }
    held.write(&seen, dot, None);
    let held = folded(held, watermark, limits);
    // A deletion is never refused for the length of a context: a key that cannot be written can still go.
    check_siblings(&held, limits)?;
    Ok(Some(held))
}

/// The entry with the watermark as its floor.
fn folded(mut entry: Entry, watermark: Hlc, limits: &WriteLimits) -> Entry {
    if limits.rules.hold(Rule::H3) {
        entry.raise_floor(watermark);
        return entry;
    }
    // Never in a node. As if it were enough to know the latest writers, and those of the siblings.
    let mut latest: Vec<(Hlc, WriterId)> =
        entry.context().greatest().iter().map(|(writer, hlc)| (*hlc, *writer)).collect();
    latest.sort_unstable_by(|a, b| b.cmp(a));
    let mut context = Context::default();
    context.raise_floor(entry.context().floor());
    let of_siblings = entry.siblings().iter().map(Sibling::dot);
    let dots = latest.into_iter().take(2).map(|(hlc, writer)| Dot { hlc, writer }).chain(of_siblings);
    dots.for_each(|dot| context.insert(dot));
    Entry::from_parts(context, entry.siblings().to_vec(), entry.last_expiry()).unwrap_or(entry)
}

/// Never in a node: what was seen is gone, and nothing says when that was.
fn without_a_dot(held: &Entry, seen: &Context) -> Entry {
    let mut context = held.context().clone();
    context.merge(seen);
    let left = held.siblings().iter().filter(|sibling| !seen.covers(sibling.dot()));
    Entry::from_parts(context, left.cloned().collect(), held.last_expiry()).unwrap_or_default()
}

fn check_siblings(entry: &Entry, limits: &WriteLimits) -> Result<(), Refusal> {
    let siblings = entry.siblings().len();
    if siblings > limits.siblings_max {
        return Err(Refusal::TooManySiblings { siblings, max: limits.siblings_max });
    }
    Ok(())
}

fn check(entry: &Entry, limits: &WriteLimits) -> Result<(), Refusal> {
    check_siblings(entry, limits)?;
    let components = entry.context().components();
    if components > limits.components_max {
        return Err(Refusal::ContextTooLarge { components, max: limits.components_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(t: u64, w: u64) -> Dot {
        Dot { hlc: Hlc::new(t, 0), writer: WriterId(w) }
    }

    fn value(text: &'static str) -> NewValue {
        NewValue { value: Bytes::from(text), content_type: None, expiry: Expiry::NEVER }
    }

    fn put_at(held: Entry, seen: Option<&Context>, at: Dot) -> Entry {
        put(held, seen, at, value("v"), Hlc::ZERO, &WriteLimits::default()).unwrap()
    }

    #[test]
    fn a_naive_put_replaces_all_that_is_held() {
        let a = put_at(Entry::default(), None, dot(1, 1));
        let mut both = put_at(Entry::default(), None, dot(2, 2));
        both.merge(&a);
        assert_eq!(both.siblings().len(), 2);
        let after = put_at(both, None, dot(3, 1));
        assert_eq!(after.siblings().len(), 1);
        assert!(after.context().covers(dot(2, 2)));
    }

    #[test]
    fn a_delete_makes_a_dot() {
        let held = put_at(Entry::default(), None, dot(1, 1));
        let gone = delete(held, None, dot(2, 1), Hlc::ZERO, &WriteLimits::default()).unwrap().unwrap();
        assert!(gone.is_tombstone());
        assert!(gone.context().covers(dot(2, 1)));
    }

    #[test]
    fn a_delete_of_nothing_writes_nothing_unless_a_context_says_what_was_seen() {
        let limits = WriteLimits::default();
        assert_eq!(delete(Entry::default(), None, dot(2, 1), Hlc::ZERO, &limits), Ok(None));
        let elsewhere = put_at(Entry::default(), None, dot(60, 7));
        let gone =
            delete(Entry::default(), Some(elsewhere.context()), dot(61, 1), Hlc::ZERO, &limits).unwrap();
        let mut late = gone.unwrap();
        late.merge(&elsewhere);
        assert!(late.is_tombstone(), "what the client saw and deleted stays deleted when it arrives");
    }

    #[test]
    fn an_expiry_counts_from_the_later_of_clock_and_horizon() {
        let (now, horizon, all) = (1_000, Hlc::new(61_000, 2), Rules::default());
        let ttl = Some(Duration::from_secs(30));
        assert_eq!(expiry(ttl, now, Hlc::ZERO, all), Ok(Expiry::at(Hlc::new(31_000, 0))));
        // A coordinator that is 60 s slow.
        assert_eq!(expiry(ttl, now, horizon, all), Ok(Expiry::at(Hlc::new(91_000, 2))));
        assert_eq!(expiry(None, now, horizon, all), Ok(Expiry::NEVER));
        for ttl in [Duration::ZERO, Duration::from_nanos(999_999), TTL_MAX + TTL_MIN, Duration::MAX] {
            assert_eq!(expiry(Some(ttl), now, horizon, all), Err(Refusal::Ttl { ttl }));
        }
        let longest = expiry(Some(TTL_MAX), crate::clock::WALL_MS_MAX, horizon, all).unwrap();
        assert!(longest < Expiry::NEVER && !longest.is_over(Hlc::new(crate::clock::WALL_MS_MAX, 0)));
        assert!(expiry(Some(TTL_MAX), u64::MAX, horizon, all).unwrap() < Expiry::NEVER);
    }

    #[test]
    fn an_expired_value_is_hidden_and_in_state() {
        let limits = WriteLimits::default();
        let new = |text| NewValue { expiry: Expiry::at(Hlc::new(100, 3)), ..value(text) };
        let held = put(Entry::default(), None, dot(60, 1), new("v"), Hlc::ZERO, &limits).unwrap();
        assert_eq!((shown(&held, 99).len(), shown(&held, 100).len()), (1, 0));
        // A delete of what has expired makes a dot: elsewhere it may be shown still.
        let gone = delete(held.clone(), None, dot(101, 1), Hlc::ZERO, &limits).unwrap().unwrap();
        assert!(gone.is_tombstone() && gone.last_expiry() == Expiry::NEVER);
        // A write renews it, or makes it lasting.
        let lasting = put(held, None, dot(101, 1), value("w"), Hlc::ZERO, &limits).unwrap();
        assert_eq!((shown(&lasting, u64::MAX).len(), lasting.siblings().len()), (1, 1));
    }

    #[test]
    fn the_limits_act_and_leave_nothing_behind() {
        let limits =
            WriteLimits { value_bytes_max: 3, siblings_max: 2, components_max: 2, rules: Rules::default() };
        let long = put(Entry::default(), None, dot(1, 1), value("long"), Hlc::ZERO, &limits);
        assert_eq!(long, Err(Refusal::ValueTooLarge { bytes: 4, max: 3 }));
        let none = Context::default();
        let mut entry = Entry::default();
        for n in 1..=2 {
            entry = put(entry, Some(&none), dot(n, n), value("v"), Hlc::ZERO, &limits).unwrap();
        }
        let third = put(entry.clone(), Some(&none), dot(3, 1), value("v"), Hlc::ZERO, &limits);
        assert_eq!(third, Err(Refusal::TooManySiblings { siblings: 3, max: 2 }));
        let third = put(entry.clone(), None, dot(3, 3), value("v"), Hlc::ZERO, &limits);
        assert_eq!(third, Err(Refusal::ContextTooLarge { components: 3, max: 2 }));
        let folded = put(entry, None, dot(3, 3), value("v"), Hlc::new(2, 0), &limits).unwrap();
        assert_eq!(folded.context().components(), 1, "the watermark folds what lies under it");
    }
}
