//! After what time a value is to expire, as people write it.

use std::time::Duration;

use thiserror::Error;

/// The units that there are, each with one letter or two and one meaning. A month and a year have none: `M` would be read
/// as minutes.
const UNITS: [&str; 6] = ["ms", "s", "m", "h", "d", "w"];

/// Longest part of a text that is repeated, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// A text that is no time to live.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a time to live is a number with its unit (ms, s, m for minutes, h, d, w), not '{shown}'")]
pub struct TtlError {
    /// What was given, cut where it is long.
    pub shown: String,
}

/// A time to live: numbers, whole or with a decimal point, each with its unit. Whether a value may have it is not asked
/// here.
///
/// # Errors
/// [`TtlError`].
pub fn parse_ttl(text: &str) -> Result<Duration, TtlError> {
    let letters = text.split(|letter: char| !letter.is_alphabetic()).filter(|unit| !unit.is_empty());
    let known = letters.clone().count() > 0 && letters.clone().all(|unit| UNITS.contains(&unit));
    let parsed = known.then(|| humantime::parse_duration(text).ok()).flatten();
    parsed.ok_or_else(|| TtlError { shown: text.chars().take(SHOWN_CHARS_MAX).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_time_to_live_and_what_is_none() {
        for (text, millis) in [
            ("1ms", 1),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("0.5s", 500),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_ttl(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["1M", "1month", "1y", "2years", "1us", "1ns", "30", "0", "", "s", "-1s", "1S", "1,5h", "1h M"]
        {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
        let long = parse_ttl(&"9".repeat(1_000)).unwrap_err();
        assert_eq!(long.shown.len(), SHOWN_CHARS_MAX);
    }
}
