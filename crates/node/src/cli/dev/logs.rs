//! The nodes' log lines, from their files to the terminal: shortened, each with its node's name in front.
//!
//! Nodes write to files and not to pipes, so that neither a slow terminal nor the end of `dev` stops them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The most that is read of one log at once, in bytes; what a node writes faster is shown later.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// The longest line shown, in characters; the file has it whole.
const LINE_CHARS_MAX: usize = 180;

/// What one node writes from now on.
#[derive(Debug)]
pub(crate) struct Follower {
    file: File,
    unfinished: Vec<u8>,
    last: Option<String>,
    /// The last line that says what is wrong.
    wrong: Option<String>,
}

impl Follower {
    /// Follows the file from its present end on.
    pub(crate) fn at_end(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, unfinished: Vec::new(), last: None, wrong: None })
    }

    /// The lines finished since the last call, shortened.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let mut read = Vec::new();
        // A log that cannot be read is no reason to stop a cluster.
        let _ = self.file.by_ref().take(READ_BYTES_MAX).read_to_end(&mut read);
        self.unfinished.append(&mut read);
        let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.unfinished.split_off(end + 1);
        let finished = std::mem::replace(&mut self.unfinished, rest);
        let text = String::from_utf8_lossy(&finished);
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(shortened).collect();
        self.last = lines.last().cloned().or_else(|| self.last.take());
        let wrong = |line: &&String| line.starts_with("error: ") || line.starts_with("mangrove: ");
        self.wrong = lines.iter().rfind(wrong).cloned().or_else(|| self.wrong.take());
        lines
    }

    /// Why a node ended, as far as it said so: the last line that says what is wrong, or the last one.
    pub(crate) fn why(&self) -> Option<&str> {
        self.wrong.as_deref().or(self.last.as_deref())
    }
}

/// The line without its date and without the module that wrote it.
fn shortened(line: &str) -> String {
    let line = super::super::output::harmless(line);
    let words = match line.split_once(' ') {
        Some((stamp, rest)) if is_stamp(stamp) => {
            let (level, rest) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
            format!("{} {level:>5} {}", stamp.get(11..19).unwrap_or_default(), message(rest.trim_start()))
        }
        _ => line,
    };
    if words.chars().count() <= LINE_CHARS_MAX {
        return words;
    }
    let cut: String = words.chars().take(LINE_CHARS_MAX - 1).collect();
    format!("{cut}…")
}

/// What comes behind the module, and behind the spans that it ran in.
fn message(line: &str) -> &str {
    let mut rest = line;
    while let Some((word, behind)) = rest.split_once(": ").filter(|(word, _)| !word.contains(' ')) {
        if word.contains("::") {
            return behind;
        }
        rest = behind;
    }
    match line.split_once(": ") {
        Some((module, message)) if !module.contains(' ') => message,
        _ => line,
    }
}

/// Whether the word is the time of a log line, such as `2026-01-02T03:04:05.678Z`.
fn is_stamp(word: &str) -> bool {
    word.len() >= 20 && word.is_ascii() && word.get(10..11) == Some("T") && word.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_lose_date_and_module() {
        assert_eq!(
            shortened("2026-01-02T03:04:05.678901Z  INFO node::driver: founded a cluster cluster=ab"),
            "03:04:05  INFO founded a cluster cluster=ab"
        );
        assert_eq!(
            shortened(
                "2026-01-02T03:04:05.678901Z  INFO session: gossip::core::endings: repaired peer=n3 why=\"a: b\""
            ),
            "03:04:05  INFO repaired peer=n3 why=\"a: b\""
        );
        assert_eq!(shortened("thread 'main' panicked at: x"), "thread 'main' panicked at: x");
        assert_eq!(shortened(&"ä".repeat(300)).chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn only_new_and_finished_lines_are_shown() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "of an earlier start").unwrap();
        let mut follower = Follower::at_end(file.path()).unwrap();
        write!(file, "one\ntwo\nthr").unwrap();
        assert_eq!(follower.lines(), ["one", "two"]);
        writeln!(file, "ee").unwrap();
        assert_eq!(follower.lines(), ["three"]);
        assert!(follower.lines().is_empty());
        assert_eq!(follower.why(), Some("three"));
        writeln!(file, "error: unexpected argument '--fanou' found\n\nFor more information, try '--help'.")
            .unwrap();
        follower.lines();
        assert_eq!(follower.why(), Some("error: unexpected argument '--fanou' found"));
    }
}
