//! The addresses behind names, for datagrams: kept for a while, resolved anew in the background.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// A name that could not be resolved is not tried again sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Datagrams kept for a name while it is resolved for the first time.
const HELD_MAX: usize = 4;
/// Names being resolved at one time.
const RESOLVING_MAX: usize = 16;

/// What is known of names. It does no IO: it says what to resolve and takes what was found.
#[derive(Debug)]
pub(super) struct Names {
    names: BTreeMap<String, Name>,
    names_max: usize,
    fresh: Duration,
    /// Whether the local socket speaks IPv6.
    v6: bool,
    resolving: usize,
}

#[derive(Debug)]
struct Name {
    address: Option<SocketAddr>,
    resolved: Option<Instant>,
    asked: Option<Instant>,
    resolving: bool,
    held: Vec<Bytes>,
    used: Instant,
}

/// What to do with a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Send it there now.
    pub to: Option<SocketAddr>,
    /// Resolve the name, and say what was found.
    pub resolve: bool,
    /// It is neither sent nor kept.
    pub dropped: bool,
}

impl Names {
    pub(super) fn new(names_max: usize, fresh: Duration, v6: bool) -> Names {
        Names { names: BTreeMap::new(), names_max: names_max.max(1), fresh, v6, resolving: 0 }
    }

    /// Where a datagram for `address` goes. One for a name not resolved yet is held, if it can be.
    pub(super) fn plan(&mut self, address: &str, bytes: &Bytes, now: Instant) -> Plan {
        if let Ok(to) = address.parse() {
            return Plan { to: Some(to), resolve: false, dropped: false };
        }
        if !self.names.contains_key(address) && !self.make_room() {
            return Plan { to: None, resolve: false, dropped: true };
        }
        let may_resolve = self.resolving < RESOLVING_MAX;
        let name = self.names.entry(address.to_owned()).or_insert_with(|| Name::new(now));
        name.used = now;
        let elapsed = |at: Instant| now.saturating_duration_since(at);
        let stale = name.resolved.is_none_or(|at| elapsed(at) >= self.fresh);
        let rested = name.asked.is_none_or(|at| elapsed(at) >= RETRY_AFTER);
        let resolve = stale && rested && may_resolve && !name.resolving;
        if resolve {
            name.resolving = true;
            name.asked = Some(now);
            self.resolving += 1;
        }
        let mut dropped = false;
        if name.address.is_none() {
            dropped = !name.resolving || name.held.len() >= HELD_MAX;
            if !dropped {
                name.held.push(bytes.clone());
            }
        }
        Plan { to: name.address, resolve, dropped }
    }

    /// Takes what a name resolved to (nothing: it failed); hands back the datagrams that waited and
    /// where they go. A name that fails keeps the address it had.
    pub(super) fn found(
        &mut self,
        address: &str,
        found: &[SocketAddr],
        now: Instant,
    ) -> (Option<SocketAddr>, Vec<Bytes>) {
        self.resolving = self.resolving.saturating_sub(1);
        let v6 = self.v6;
        let Some(name) = self.names.get_mut(address) else { return (None, Vec::new()) };
        name.resolving = false;
        let mut usable = found.iter().copied().filter(|a| a.is_ipv6() == v6);
        let kept = name.address.filter(|a| found.contains(a));
        if let Some(to) = kept.or_else(|| usable.next()) {
            name.address = Some(to);
            name.resolved = Some(now);
        }
        (name.address, std::mem::take(&mut name.held))
    }

    /// Sending to this name failed: resolve it anew when it is next used.
    pub(super) fn failed(&mut self, address: &str) {
        if let Some(name) = self.names.get_mut(address) {
            name.resolved = None;
        }
    }

    /// Forgets the name that was used longest ago, if there are as many as may be.
    fn make_room(&mut self) -> bool {
        if self.names.len() < self.names_max {
            return true;
        }
        let idle = self.names.iter().filter(|(_, name)| !name.resolving);
        let oldest = idle.min_by_key(|(_, name)| name.used).map(|(address, _)| address.clone());
        oldest.is_some_and(|address| self.names.remove(&address).is_some())
    }
}

impl Name {
    fn new(now: Instant) -> Name {
        Name { address: None, resolved: None, asked: None, resolving: false, held: Vec::new(), used: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_millis(millis)
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_resolved_once_kept_and_resolved_anew_when_old() {
        let mut names = Names::new(8, Duration::from_secs(5), false);
        let bytes = Bytes::from_static(b"x");
        let first = names.plan("a:1", &bytes, at(0));
        assert_eq!(first, Plan { to: None, resolve: true, dropped: false });
        let second = names.plan("a:1", &bytes, at(1));
        assert_eq!(second, Plan { to: None, resolve: false, dropped: false }, "one question at a time");
        let found = addresses(&["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let (to, held) = names.found("a:1", &found, at(2));
        assert_eq!((to, held.len()), (Some(found[1]), 2), "of the socket's family");
        assert!(!names.plan("a:1", &bytes, at(4_000)).resolve);
        let old = names.plan("a:1", &bytes, at(5_002));
        assert_eq!((old.to, old.resolve), (Some(found[1]), true), "sent to the known address meanwhile");
        let (to, _) = names.found("a:1", &[], at(5_003));
        assert_eq!(to, Some(found[1]), "a failure keeps what was known");
        assert!(!names.plan("a:1", &bytes, at(5_500)).resolve, "and is not tried again at once");
        assert!(names.plan("a:1", &bytes, at(6_100)).resolve);
        let moved = addresses(&["10.0.0.9:1"]);
        assert_eq!(names.found("a:1", &moved, at(6_200)).0, Some(moved[0]));
        names.failed("a:1");
        assert!(names.plan("a:1", &bytes, at(7_300)).resolve, "an error makes it old");
    }

    #[test]
    fn names_and_held_datagrams_stay_bounded() {
        let mut names = Names::new(4, Duration::from_secs(5), false);
        let bytes = Bytes::from_static(b"x");
        for n in 0..100 {
            let address = format!("host-{n}:1");
            for _ in 0..10 {
                names.plan(&address, &bytes, at(n));
            }
            assert!(names.names.len() <= 4);
            assert!(names.names.values().all(|name| name.held.len() <= HELD_MAX));
            names.found(&address, &[], at(n));
        }
        assert!(names.names.contains_key("host-99:1"));
        assert_eq!(names.resolving, 0);
    }
}
