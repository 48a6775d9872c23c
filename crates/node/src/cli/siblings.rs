//! All concurrent values of a key, for people and for programs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Sibling, Siblings};
use model::Key;
use serde::Serialize;

/// How much of a value a table shows, in characters.
const EXCERPT_CHARS: usize = 32;

/// The whole of `get --json`.
#[derive(Debug, Serialize)]
pub(crate) struct SiblingsView {
    pub(crate) key: String,
    /// Covers exactly these values: a write with it replaces them.
    pub(crate) context: Option<String>,
    /// The latest first.
    pub(crate) siblings: Vec<SiblingRow>,
}

impl SiblingsView {
    /// `None` where there is no value.
    pub(crate) fn new(key: &Key, all: Siblings) -> Option<Self> {
        let siblings: Vec<SiblingRow> = all.siblings.into_iter().map(SiblingRow::new).collect();
        let there = !siblings.is_empty();
        there.then(|| Self { key: key.to_percent(), context: all.context, siblings })
    }
}

/// One of several concurrent values.
#[derive(Debug, Serialize)]
pub(crate) struct SiblingRow {
    /// Base64.
    pub(crate) value: String,
    pub(crate) bytes: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) dot: String,
    pub(crate) time: Option<String>,
    /// RFC 3339; null where it does not expire.
    pub(crate) expires: Option<String>,
    #[serde(skip)]
    pub(crate) excerpt: String,
}

impl SiblingRow {
    pub(crate) fn new(one: Sibling) -> Self {
        Self {
            value: STANDARD.encode(&one.value),
            bytes: one.value.len() as u64,
            excerpt: excerpt(&one.value),
            content_type: one.content_type,
            dot: one.dot,
            time: one.time,
            expires: one.expires,
        }
    }
}

/// The start of a value that is text.
fn excerpt(value: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(value) else { return "(no text)".to_owned() };
    let mut start: String = text.chars().take(EXCERPT_CHARS).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
