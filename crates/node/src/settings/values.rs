//! Reading single values: sizes and durations with their units, switches, names, addresses.
//!
//! Every function answers with what was expected, as the end of a sentence ("wants …"); the caller adds which
//! value and where it came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::NodeId;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// The longest name of a node, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The longest host name in an address, in bytes (the limit of DNS).
const HOST_BYTES_MAX: usize = 253;

/// A value as it was written, whatever its type in TOML: units are read later, so that flags, environment and
/// file accept the same spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written(pub(crate) String);

impl std::str::FromStr for Written {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Written;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one value")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Written, E> {
                Ok(Written(value.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Written, E> {
                Ok(Written(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Written, E> {
                Ok(Written(value.to_string()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Written, E> {
                Ok(Written(value.to_string()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Written, E> {
                Ok(Written(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// The name of a node: 1 to 63 of letters, digits, `.`, `_` and `-`, and nothing that reads as a node's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// Checks a name.
    ///
    /// # Errors
    /// What a name wants, as the end of a sentence.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
            return Err("wants 1 to 63 of the letters A-Z and a-z, digits, '.', '_' and '-'");
        }
        if name.parse::<NodeId>().is_ok() {
            return Err(
                "reads as the id of a node, 16 hexadecimal digits: choose one that cannot be taken for an id",
            );
        }
        Ok(Self(name.to_owned()))
    }

    /// The name where none is given: the first label of this machine's host name, or `n1`.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::fs::read_to_string("/etc/hostname"))
            .ok()
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_default();
        Self::from_host(&host)
    }

    fn from_host(host: &str) -> Self {
        let label = host.trim().split('.').next().unwrap_or_default();
        if label.parse::<NodeId>().is_ok() {
            return Self(format!("host-{label}"));
        }
        Self::new(label).unwrap_or_else(|_| Self("n1".to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads a switch: on or off.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("wants on or off".to_owned()),
    }
}

/// Reads a duration with its unit: `500ms`, `10s`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "wants a duration with its unit, like 500ms, 10s or 2m".to_owned())
}

/// Reads a size in bytes: `65536`, `64KiB`, `1MiB`, also `kB`, `MB` and `GB` in thousands.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "wants a size, like 65536, 64KiB or 1MiB".to_owned();
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Reads an address of this machine to bind: an IP address or `localhost`, and a port.
pub(crate) fn bind_address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| "wants an IP address of this machine and a port, like 127.0.0.1:7710".to_owned())
}

/// Reads where a node is reached: a host name or IP address and a port; without a port, `default_port`.
/// Gives back `host:port`.
pub(crate) fn reachable(text: &str, default_port: u16) -> Result<String, String> {
    let wrong = || format!("wants a host name or IP address and a port, like 10.0.0.1:{default_port}");
    if let Ok(address) = text.parse::<SocketAddr>() {
        let refused = address.port() == 0 || address.ip().is_unspecified();
        return if refused { Err(wrong()) } else { Ok(text.to_owned()) };
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let refused = address.is_unspecified();
        return if refused { Err(wrong()) } else { Ok(SocketAddr::new(address, default_port).to_string()) };
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().map_err(|_| wrong())?),
        None => (text, default_port),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if port == 0 || host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(allowed) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_their_units() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("16 MiB"), Ok(16 << 20));
        assert_eq!(bytes("1MB"), Ok(1_000_000));
        for bad in ["", "MiB", "1.5MiB", "-1", "1XB", "99999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("10").is_err());
    }

    #[test]
    fn names_are_checked_and_made_from_the_host() {
        assert!(NodeName::new("n-1.a_b").is_ok());
        for bad in ["", "a b", "ü", &"n".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(NodeName::from_host("web-3.example.org\n").as_str(), "web-3");
        assert_eq!(NodeName::from_host("").as_str(), "n1");
        // What reads as an id would be taken for one.
        assert!(NodeName::new("517364c2d980ed8a").unwrap_err().contains("reads as the id"));
        assert!(NodeName::new("517364c2d980ed8").is_ok());
        assert_eq!(NodeName::from_host("517364c2d980ed8a.local").as_str(), "host-517364c2d980ed8a");
    }

    #[test]
    fn places_to_reach_get_a_port() {
        assert_eq!(reachable("n2", 7711).as_deref(), Ok("n2:7711"));
        assert_eq!(reachable("n2:9", 7711).as_deref(), Ok("n2:9"));
        assert_eq!(reachable("10.0.0.1", 7711).as_deref(), Ok("10.0.0.1:7711"));
        assert_eq!(reachable("[::1]:5", 7711).as_deref(), Ok("[::1]:5"));
        for bad in ["", ":7711", "a b:1", "n2:0", "0.0.0.0:7711", "n2:port", "http://n2:1"] {
            assert!(reachable(bad, 7711).is_err(), "{bad}");
        }
    }
}
