//! What a roster from outside must look like, and the bytes its versions are hashed over.

use std::collections::BTreeMap;

use blake3::Hasher;
use model::{Hlc, NodeId};
use serde::Deserialize;

use super::{Add, Contact, IDS_HARD_MAX, Removal, Roster, RosterError, RosterVersion};

/// The longest name of a node, bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// The longest address, `host:port`, bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// A roster as it was decoded, not looked at yet.
#[derive(Deserialize)]
pub(super) struct RosterForm {
    adds: BTreeMap<NodeId, Add>,
    removes: BTreeMap<NodeId, Removal>,
    contacts: BTreeMap<NodeId, Contact>,
    leaving: BTreeMap<NodeId, Hlc>,
}

impl TryFrom<RosterForm> for Roster {
    type Error = RosterError;

    fn try_from(form: RosterForm) -> Result<Self, RosterError> {
        let RosterForm { adds, removes, contacts, leaving } = form;
        let roster = Self { adds, removes, contacts, leaving };
        roster.check()?;
        Ok(roster)
    }
}

impl Roster {
    /// Whether this roster keeps the rules that every roster made here keeps: bounds, names, addresses,
    /// no removal, contact or leaving of an id that was never added, no contact or leaving of a removed one. Decoding
    /// calls it, so a roster that exists has passed.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), RosterError> {
        if self.adds.len() > IDS_HARD_MAX {
            return Err(RosterError::Full(IDS_HARD_MAX));
        }
        self.adds.values().try_for_each(|add| check_name(&add.name))?;
        if let Some(id) = self.removes.keys().find(|id| !self.adds.contains_key(id)) {
            return Err(RosterError::Unknown(*id));
        }
        for (id, contact) in &self.contacts {
            check_address(&contact.gossip)?;
            check_address(&contact.http)?;
            if !self.contains(*id) {
                return Err(RosterError::Unknown(*id));
            }
        }
        match self.leaving.keys().find(|id| !self.contains(**id)) {
            Some(id) => Err(RosterError::Unknown(*id)),
            None => Ok(()),
        }
    }
}

/// Checks a node's name: 1 to [`NAME_BYTES_MAX`] bytes of `a-z A-Z 0-9 - _ .`.
///
/// # Errors
/// [`RosterError::Name`], with at most its first 64 characters.
pub fn check_name(name: &str) -> Result<(), RosterError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(RosterError::Name(start_of(name)))
}

/// Checks an address: `host:port`, at most [`ADDRESS_BYTES_MAX`] bytes of printable ASCII, a host without
/// `/ @ # ?`, one with colons in brackets, a port of 1 to 65535.
///
/// # Errors
/// [`RosterError::Address`], with at most its first 64 characters.
pub fn check_address(address: &str) -> Result<(), RosterError> {
    let good = address.len() <= ADDRESS_BYTES_MAX
        && address.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
    if good { Ok(()) } else { Err(RosterError::Address(start_of(address))) }
}

fn is_host(host: &str) -> bool {
    let inner = match host.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(inner) => inner,
            None => return false,
        },
        None if host.contains(':') => return false,
        None => host,
    };
    !inner.is_empty()
        && inner
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'#' | b'?' | b'[' | b']'))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Enough of a bad text to recognise it by, and no more: it comes from outside.
fn start_of(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(super) fn members_version(
    adds: &BTreeMap<NodeId, Add>,
    removes: &BTreeMap<NodeId, Removal>,
    leaving: &BTreeMap<NodeId, Hlc>,
) -> RosterVersion {
    let mut hasher = Hasher::new_derive_key("mangrove roster members 2");
    count(&mut hasher, adds.len());
    for (id, add) in adds {
        number(&mut hasher, id.0);
        time(&mut hasher, add.at);
        number(&mut hasher, add.sponsor.0);
        text(&mut hasher, &add.name);
    }
    count(&mut hasher, removes.len());
    for (id, removal) in removes {
        number(&mut hasher, id.0);
        time(&mut hasher, removal.at);
        number(&mut hasher, removal.by.0);
    }
    count(&mut hasher, leaving.len());
    for (id, since) in leaving {
        number(&mut hasher, id.0);
        time(&mut hasher, *since);
    }
    finish(&hasher)
}

pub(super) fn lives_version(members: RosterVersion, contacts: &BTreeMap<NodeId, Contact>) -> RosterVersion {
    let mut hasher = Hasher::new_derive_key("mangrove roster lives 1");
    hasher.update(&members.0);
    for (id, contact) in contacts {
        number(&mut hasher, id.0);
        time(&mut hasher, contact.stamp);
    }
    finish(&hasher)
}

pub(super) fn contacts_version(contacts: &BTreeMap<NodeId, Contact>) -> RosterVersion {
    let mut hasher = Hasher::new_derive_key("mangrove roster contacts 1");
    count(&mut hasher, contacts.len());
    for (id, contact) in contacts {
        number(&mut hasher, id.0);
        time(&mut hasher, contact.stamp);
        text(&mut hasher, &contact.gossip);
        text(&mut hasher, &contact.http);
    }
    finish(&hasher)
}

fn finish(hasher: &Hasher) -> RosterVersion {
    let mut version = [0; 16];
    hasher.finalize_xof().fill(&mut version);
    RosterVersion(version)
}

fn number(hasher: &mut Hasher, n: u64) {
    hasher.update(&n.to_le_bytes());
}

fn time(hasher: &mut Hasher, at: Hlc) {
    number(hasher, at.as_u64());
}

fn count(hasher: &mut Hasher, n: usize) {
    number(hasher, n as u64);
}

fn text(hasher: &mut Hasher, text: &str) {
    count(hasher, text.len());
    hasher.update(text.as_bytes());
}
