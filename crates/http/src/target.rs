//! The request target: keys out of raw paths, parameters out of raw queries.
//!
//! The path is decoded here and not by the router, because a key may hold any byte, an encoded
//! slash included, and `..` or empty segments are parts of it like any others.

use bytes::Bytes;
use model::{KEY_BYTES_MAX, Key};

use crate::problem::{Problem, ProblemKind};

/// Longest path and query that is looked at, in bytes: a key takes at most 3,072.
pub(crate) const TARGET_BYTES_MAX: usize = 16 * 1024;

/// The key that follows `/v1/kv/` in a raw path. A plus sign is a plus sign.
pub(crate) fn key_of_path(raw: &str) -> Result<Key, Problem> {
    if raw.contains('%') {
        return key(decode(raw, false)?);
    }
    key(Bytes::copy_from_slice(raw.as_bytes()))
}

/// The key with these bytes.
pub(crate) fn key(bytes: impl Into<Bytes>) -> Result<Key, Problem> {
    let bytes = bytes.into();
    match bytes.len() {
        0 => Err(Problem::new(
            ProblemKind::KeyEmpty,
            "A key has 1 to 1,024 bytes. Put it after /v1/kv/, or into ?key=; GET /v1/kv lists keys.",
        )),
        length if length > KEY_BYTES_MAX => Err(Problem::new(
            ProblemKind::KeyTooLong,
            format!(
                "A key has at most {KEY_BYTES_MAX} bytes and this one has {length}. Use a shorter one, such as a hash of it."
            ),
        )),
        _ => Key::new(bytes).map_err(|error| {
            Problem::new(ProblemKind::BadParameter, format!("The key is refused: {error}."))
        }),
    }
}

/// Strict percent-decoding. In a query a plus sign is a space, as URL libraries write it.
fn decode(raw: &str, plus_is_space: bool) -> Result<Vec<u8>, Problem> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes().enumerate();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(|(_, digit)| hex(digit));
                let low = rest.next().and_then(|(_, digit)| hex(digit));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(bad_encoding(raw, at));
                };
                decoded.push(high << 4 | low);
            }
            b'+' if plus_is_space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Ok(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn bad_encoding(raw: &str, at: usize) -> Problem {
    let broken: String = raw.get(at..).unwrap_or_default().chars().take(3).collect();
    Problem::new(
        ProblemKind::BadPercentEncoding,
        format!(
            "'{broken}' is no percent-encoded byte: two hexadecimal digits follow a '%'. Write a percent sign as %25."
        ),
    )
}

/// The parameters of a query, each known and given once.
#[derive(Debug)]
pub(crate) struct Query(Vec<(&'static str, Vec<u8>)>);

impl Query {
    /// Parses a raw query in which only `known` may appear.
    pub fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Query, Problem> {
        let mut parameters: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for piece in raw.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let name = decode(name, true)?;
            let Some(name) = known.iter().find(|known| known.as_bytes() == name) else {
                return Err(unknown(&name, known));
            };
            if parameters.iter().any(|(given, _)| given == name) {
                let detail = format!("'{name}' is given more than once. Give it once.");
                return Err(Problem::new(ProblemKind::DuplicateParameter, detail));
            }
            parameters.push((name, decode(value, true)?));
        }
        Ok(Query(parameters))
    }

    /// Takes a parameter's decoded bytes.
    pub fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(given, _)| *given == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes a `true` or `false`; false when not given.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some(b"false") => Ok(false),
            Some(b"true") => Ok(true),
            Some(_) => {
                let detail = format!("'{name}' is true or false. Write {name}=true, or leave it out.");
                Err(Problem::new(ProblemKind::BadParameter, detail))
            }
        }
    }
}

/// True when a raw query names `key`: the second form of a key.
pub(crate) fn names_a_key(raw: Option<&str>) -> bool {
    let mut pieces = raw.unwrap_or_default().split('&');
    pieces.any(|piece| piece.split('=').next() == Some("key"))
}

fn unknown(name: &[u8], known: &[&str]) -> Problem {
    let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
    let known = match known {
        [] => "This request takes no query parameter; leave it out.".to_owned(),
        known => format!("Known: {}.", known.join(", ")),
    };
    Problem::new(ProblemKind::UnknownParameter, format!("'{name}' is not known here. {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> Vec<u8> {
        key_of_path(raw).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn a_path_is_decoded_byte_by_byte() {
        for (raw, bytes) in [
            ("a/b", &b"a/b"[..]),
            ("a%2Fb%2fc", b"a/b/c"),
            ("/a//b/", b"/a//b/"),
            ("../.././x", b"../.././x"),
            ("%00%ff+%20", b"\x00\xff+ "),
            ("%2525", b"%25"),
            ("\u{e9}", "\u{e9}".as_bytes()),
        ] {
            assert_eq!(path(raw), bytes, "{raw}");
        }
    }

    #[test]
    fn a_broken_percent_sign_is_refused_wherever_it_stands() {
        for raw in ["%", "a%", "a%4", "%zz", "%%41", "%+1", "%\u{e9}x", "%4\u{e9}"] {
            assert_eq!(key_of_path(raw).unwrap_err().kind, ProblemKind::BadPercentEncoding, "{raw}");
        }
    }

    #[test]
    fn a_key_has_1_to_1024_bytes_after_decoding() {
        assert_eq!(path(&"%41".repeat(KEY_BYTES_MAX)).len(), KEY_BYTES_MAX);
        assert_eq!(key_of_path(&"%41".repeat(1025)).unwrap_err().kind, ProblemKind::KeyTooLong);
        assert_eq!(key_of_path("").unwrap_err().kind, ProblemKind::KeyEmpty);
    }

    #[test]
    fn a_query_takes_each_known_parameter_once() {
        let mut query = Query::parse(Some("&prefix=a%26b+c&&start="), &["prefix", "start"]).unwrap();
        assert_eq!(query.take("prefix"), Some(b"a&b c".to_vec()));
        assert_eq!(query.take("start"), Some(Vec::new()));
        assert_eq!(query.take("prefix"), None);
        let refused = |raw| Query::parse(Some(raw), &["prefix", "start"]).unwrap_err();
        let unknown = refused("perfix=a");
        assert_eq!(unknown.kind, ProblemKind::UnknownParameter);
        assert!(unknown.detail.contains("perfix") && unknown.detail.contains("prefix, start"));
        assert_eq!(refused("start=a&st%61rt=b").kind, ProblemKind::DuplicateParameter);
        assert_eq!(refused("start=%4").kind, ProblemKind::BadPercentEncoding);
        assert_eq!(refused("%=4").kind, ProblemKind::BadPercentEncoding);
    }
}
