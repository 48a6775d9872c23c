//! Keys on the command line: percent-encoded as in URLs and as `list` prints them, so that what one command
//! shows another takes. Only '%' is special; every other byte stands for itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use model::Key;

use super::error::CliError;

/// Reads a key.
pub(crate) fn key(word: &OsStr) -> Result<Key, CliError> {
    let bytes = decoded(word)?;
    let length = bytes.len();
    Key::new(bytes).map_err(|_| {
        CliError::Refused(format!("a key has 1 to {} bytes, but this one has {length}", model::KEY_BYTES_MAX))
    })
}

/// Reads the start of keys; it may be empty.
pub(crate) fn prefix(word: &OsStr) -> Result<Vec<u8>, CliError> {
    decoded(word)
}

/// The bytes as they are shown: percent-encoded, whatever their length.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if plain(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn decoded(word: &OsStr) -> Result<Vec<u8>, CliError> {
    let wrong = || {
        CliError::Refused(format!(
            "{} is no key: a '%' must be followed by two hexadecimal digits; a '%' itself is written %25",
            word.to_string_lossy()
        ))
    };
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let ([high, low], others) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        bytes.push(digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low).ok_or_else(wrong)?);
        rest = others;
    }
    Ok(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<Vec<u8>, String> {
        key(OsStr::new(word)).map(|key| key.as_bytes().to_vec()).map_err(|error| error.message().unwrap())
    }

    #[test]
    fn only_the_percent_sign_is_special() {
        assert_eq!(read("a b/ü?#+").unwrap(), "a b/ü?#+".as_bytes());
        assert_eq!(read("a%2Fb%00%ff%25").unwrap(), b"a/b\x00\xff%");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(key(OsStr::new(&shown(&every))).unwrap().as_bytes(), every);
        let raw = OsStr::from_bytes(&[0xff, b'/', 0x01]);
        assert_eq!(key(raw).unwrap().as_bytes(), [0xff, b'/', 0x01]);
    }

    #[test]
    fn bad_keys_say_why() {
        assert!(read("100%").unwrap_err().contains("is written %25"));
        assert!(read("%zz").unwrap_err().contains("two hexadecimal digits"));
        assert_eq!(read("").unwrap_err(), "a key has 1 to 1024 bytes, but this one has 0");
        assert!(read(&"k".repeat(1025)).unwrap_err().ends_with("has 1025"));
    }
}
