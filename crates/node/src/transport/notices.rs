//! Says things about an address once a minute, however often they happen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(60);
const ADDRESSES_MAX: usize = 1_024;

/// Remembers when something was last said about which address. Bounded: while full of addresses
/// heard of within the minute, nothing is said about others (they are still counted).
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: Mutex<BTreeMap<IpAddr, Instant>>,
}

impl Notices {
    /// Whether something may be said about this address now; if so it counts as said.
    pub(super) fn may_say(&self, address: IpAddr, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
        if said.get(&address).is_some_and(recent) {
            return false;
        }
        if said.len() >= ADDRESSES_MAX {
            said.retain(|_, at| recent(at));
        }
        if said.len() >= ADDRESSES_MAX {
            return false;
        }
        said.insert(address, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn says_once_a_minute_per_address_and_stays_bounded() {
        let notices = Notices::default();
        let start = Instant::now();
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from(n));
        assert!(notices.may_say(address(1), start));
        assert!(!notices.may_say(address(1), start + Duration::from_secs(59)));
        assert!(notices.may_say(address(2), start));
        assert!(notices.may_say(address(1), start + Duration::from_secs(60)));
        let later = start + Duration::from_secs(200);
        let said = (0..5_000).filter(|n| notices.may_say(address(*n), later)).count();
        assert_eq!(said, ADDRESSES_MAX);
        assert!(notices.may_say(address(9_999), later + PAUSE), "old ones make room");
    }
}
