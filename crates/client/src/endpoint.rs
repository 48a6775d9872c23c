//! Where requests go: endpoints, and the target of a key.

use model::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use reqwest::Url;

use crate::Error;

/// What stands for itself in a query's value.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The base of a node's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Without a slash at its end.
    base: String,
}

impl Endpoint {
    /// From `host:port` or `http://host:port`.
    pub fn parse(given: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadEndpoint { endpoint: given.to_owned(), reason: reason.to_owned() };
        // URL libraries take a number for an address, and no port for port 80.
        if !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad(&format!("it is a port alone; write http://127.0.0.1:{given}")));
        }
        if !given.contains("://") && !given.is_empty() && !has_port(given) {
            return Err(bad("it has no port; a node's is 7710 unless it was changed"));
        }
        let text = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
        let url = Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
        if url.scheme() != "http" {
            return Err(bad("only http is spoken here"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it holds a query or a fragment"));
        }
        Ok(Endpoint { base: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// For people.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// The URL of a path and query of the API.
    pub fn join(&self, target: &str) -> Result<Url, Error> {
        let text = format!("{}{target}", self.base);
        Url::parse(&text).map_err(|error| Error::BadRequest { reason: format!("{text}: {error}") })
    }
}

/// Whether there is a port behind the host.
fn has_port(given: &str) -> bool {
    let authority = given.split(['/', '?', '#']).next().unwrap_or(given);
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The target of a key. URL libraries fold `.` and `..` away and some servers between here and
/// the node join empty segments: such a key travels in the query.
pub(crate) fn target(key: &Key) -> String {
    let folded = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    if key.as_bytes().split(|byte| *byte == b'/').any(folded) {
        return format!("/v1/kv?key={}", encoded(key.as_bytes()));
    }
    format!("/v1/kv/{}", encoded(key.as_bytes()))
}

/// Bytes as a query carries them.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, KEPT).to_string()
}

/// A target with one more parameter.
pub(crate) fn with_parameter(target: &str, parameter: &str) -> String {
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{parameter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_hosts_and_ports() {
        for (given, base) in [
            ("127.0.0.1:7710", "http://127.0.0.1:7710"),
            ("http://a:1/", "http://a:1"),
            ("[::1]:7710", "http://[::1]:7710"),
            ("http://proxy/mangrove/", "http://proxy/mangrove"),
        ] {
            assert_eq!(Endpoint::parse(given).unwrap().as_str(), base);
        }
        for given in [
            "7710",
            "127.0.0.1",
            "[::1]",
            "a",
            "",
            "https://a",
            "ftp://a",
            "http://u:p@a",
            "a:1?x",
            "a:99999",
            "http://",
            "a b",
        ] {
            assert!(matches!(Endpoint::parse(given), Err(Error::BadEndpoint { .. })), "{given}");
        }
    }

    #[test]
    fn a_target_survives_a_url_library() {
        let endpoint = Endpoint::parse("a:1").unwrap();
        for key in
            ["a/b", "..", "../a", "a/./b", "/a", "a/", "a//b", "a b+c%?#&=\\|\"<>", "\u{e9}", "...", ".a"]
        {
            let key = Key::new(key.as_bytes().to_vec()).unwrap();
            let url = endpoint.join(&target(&key)).unwrap();
            let raw = match url.query() {
                Some(query) => query.strip_prefix("key=").unwrap().to_owned(),
                None => url.path().strip_prefix("/v1/kv/").unwrap().to_owned(),
            };
            assert_eq!(Key::from_percent(&raw).unwrap(), key, "{url}");
        }
    }
}
