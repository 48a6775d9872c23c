//! What the fuzz target `decoders` runs, and the ordinary tests on its seeds: any bytes, as a peer may send them, a client,
//! or a disk that was damaged. Panics where something does not hold.
//!
//! It stands by itself, for `fuzz/` takes it in without the rest of these tests.

use gossip::founding::{JoinAnswer, JoinRequest};
use gossip::meta::Meta;
use gossip::wire;
use model::{ClusterId, DigestKey, Key, Seen, TokenKey, context_token, stored};

/// What the first byte of an input stands for: what the others are to be decoded as.
pub const KINDS: [&str; 6] = ["frame", "join-request", "join-answer", "record", "entry", "token"];

/// Any bytes: they are refused, or they are something of which the bytes say the same again.
pub fn decoders(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match KINDS.get(usize::from(*kind)).copied() {
        Some("frame") => {
            let Ok(frame) = wire::decode(bytes) else { return };
            // One that is longer in our own words is not sent by anybody.
            let Ok(again) = wire::encode(&frame) else { return };
            assert_eq!(wire::decode(&again).as_ref(), Ok(&frame));
        }
        Some("join-request") => {
            let Ok(request) = JoinRequest::decode(bytes) else { return };
            assert_eq!(JoinRequest::decode(&request.encode()).as_ref(), Ok(&request));
        }
        Some("join-answer") => {
            let Ok(answer) = JoinAnswer::decode(bytes) else { return };
            assert_eq!(JoinAnswer::decode(&answer.encode()).as_ref(), Ok(&answer));
        }
        Some("record") => {
            let Ok(meta) = Meta::decode(bytes) else { return };
            assert_eq!(Meta::decode(&meta.encode()).unwrap().encode(), meta.encode());
        }
        Some("entry") => {
            let Ok(entry) = stored::decode(bytes) else { return };
            assert_eq!(stored::decode(&stored::encode(&entry)).as_ref(), Ok(&entry));
        }
        Some("token") => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let (with, cluster, key) = tokens();
            let Ok(seen) = context_token::open(&with, &cluster, &key, text) else { return };
            assert_eq!(context_token::open(&with, &cluster, &key, &token(&seen)).as_ref(), Ok(&seen));
        }
        _ => {}
    }
}

/// A token that `decoders` opens.
pub fn token(seen: &Seen) -> String {
    let (with, cluster, key) = tokens();
    context_token::mint(&with, &cluster, &key, seen)
}

fn tokens() -> (TokenKey, ClusterId, Key) {
    (TokenKey::derive(&DigestKey([3; 32])), ClusterId([1; 16]), Key::new("k").unwrap())
}
