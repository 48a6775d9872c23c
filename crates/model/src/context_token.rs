//! What a client has seen of a key, as it carries it: opaque text, bound to one key of one cluster by a MAC, so that a
//! token of another key, of another cluster, or made up, is refused.
//!
//! Form: base64url without padding over version (1), roster (8), canonical context, the dots shown that only its floor covers
//! (16 each, ascending), MAC (16: keyed BLAKE3 over version, cluster, key length (2), key, roster, context, dots).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::{ClusterId, Context, DigestKey, Dot, Hlc, Key, Seen, WriterId, canonical};

const VERSION: u8 = 2;
const MAC_BYTES: usize = 16;
/// The longest token that is looked at, in characters: 1,024 components and dots.
pub const CHARS_MAX: usize = 22_000;

/// Why a text is no context token for this key. Nothing is changed by such an error.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is not a token at all: cut, or not base64url, or of an unknown version.
    #[error(
        "this is no context token of this version: GET the key and send its Mangrove-Context back unchanged"
    )]
    Malformed,
    /// It is of another key or cluster, or was changed.
    #[error(
        "this context token was not given out for this key by this cluster: GET the key again and send that Mangrove-Context"
    )]
    Foreign,
}

/// The key of the MAC, the same on every member of a cluster.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// The cluster's token key, derived from its digest key.
    pub fn derive(from: &DigestKey) -> Self {
        Self(blake3::derive_key("mangrove 2026 context token mac v1", &from.0))
    }
}

fn mac(with: &TokenKey, cluster: &ClusterId, key: &Key, body: &[u8]) -> [u8; MAC_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&with.0);
    hasher.update(&[VERSION]);
    hasher.update(&cluster.0);
    hasher.update(&(key.as_bytes().len() as u16).to_be_bytes());
    hasher.update(key.as_bytes());
    hasher.update(body);
    let mut out = [0; MAC_BYTES];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// The token of who has seen this of this key.
pub fn mint(with: &TokenKey, cluster: &ClusterId, key: &Key, seen: &Seen) -> String {
    let named = seen.context().components() + seen.under_floor().len();
    // Version, roster, floor and number, 16 a component or dot, MAC.
    let mut bytes = Vec::with_capacity(1 + 8 + 12 + 16 * named + MAC_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&seen.roster().to_be_bytes());
    canonical::context(&mut bytes, seen.context());
    for dot in seen.under_floor() {
        bytes.extend_from_slice(&dot.writer.0.to_be_bytes());
        bytes.extend_from_slice(&dot.hlc.as_u64().to_be_bytes());
    }
    let mac = mac(with, cluster, key, bytes.get(1..).unwrap_or_default());
    bytes.extend_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the holder of a token has seen, if the token was minted for this key by this cluster.
pub fn open(with: &TokenKey, cluster: &ClusterId, key: &Key, token: &str) -> Result<Seen, TokenError> {
    if token.len() > CHARS_MAX {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
    let (version, rest) = bytes.split_first().ok_or(TokenError::Malformed)?;
    let at = rest.len().checked_sub(MAC_BYTES).ok_or(TokenError::Malformed)?;
    let (body, claimed) = rest.split_at_checked(at).ok_or(TokenError::Malformed)?;
    if *version != VERSION {
        return Err(TokenError::Malformed);
    }
    // Compared without an early exit, so that the time taken tells nothing of the MAC.
    let wanted = mac(with, cluster, key, body);
    let differs = wanted.iter().zip(claimed).fold(0, |all, (a, b)| all | (a ^ b));
    if differs != 0 {
        return Err(TokenError::Foreign);
    }
    parse(body).ok_or(TokenError::Malformed)
}

fn parse(body: &[u8]) -> Option<Seen> {
    let (roster, rest) = body.split_first_chunk::<8>()?;
    let (floor, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (components, shown) =
        rest.split_at_checked((u32::from_be_bytes(*count) as usize).checked_mul(16)?)?;
    let mut context = Context::default();
    context.raise_floor(Hlc::from_u64(u64::from_be_bytes(*floor)));
    dots(components)?.into_iter().for_each(|dot| context.insert(dot));
    Some(Seen::from_parts(context, dots(shown)?, u64::from_be_bytes(*roster)))
}

/// Dots of 16 bytes each: writer and time.
fn dots(bytes: &[u8]) -> Option<Vec<Dot>> {
    let (all, []) = bytes.as_chunks::<16>() else { return None };
    let dot = |one: &[u8; 16]| {
        let (writer, rest) = one.split_first_chunk::<8>()?;
        let (hlc, _) = rest.split_first_chunk::<8>()?;
        let hlc = Hlc::from_u64(u64::from_be_bytes(*hlc));
        Some(Dot { hlc, writer: WriterId(u64::from_be_bytes(*writer)) })
    };
    all.iter().map(dot).collect()
}
